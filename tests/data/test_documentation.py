"""The English that comes with Python."""

from __future__ import annotations

from pathlib import Path

import pytest

from unrolled.data.standard import documentation


def test_docstrings_are_those_of_modules_classes_and_functions(tmp_path: Path) -> None:
    path = tmp_path / "module.py"
    path.write_text(
        '"""Of a\n    module."""\nclass C:\n    """Of a class."""\n    def f(self):\n        """Of f."""\nx = "no"\n'
    )
    assert list(documentation.docstrings(path)) == ["Of a\nmodule.", "Of a class.", "Of f."]
    path.write_text("def (")
    assert list(documentation.docstrings(path)) == []


def test_nothing_that_is_judged_was_learned(monkeypatch: pytest.MonkeyPatch) -> None:
    long = [f"paragraph {letter} " + letter * 60 for letter in "abcde"]
    texts = [
        ("1", f"{long[0]}\n\n{long[1]}\n\nshort"),
        ("2", f"{long[1]}\n\n{long[2]}\n\n>>> {long[3]}"),
        ("3", long[4]),
    ]
    monkeypatch.setattr(documentation, "python_documentation", lambda: iter(texts))
    learned, judged = documentation.split_documentation(2)
    assert judged == [f"{long[0]}\n\n{long[1]}\n", f"{long[4]}\n"]
    assert learned == [f"{long[2]}\n"]
