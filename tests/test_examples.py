"""Every example in examples/ runs and says what it promises."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
SAYS = {
    "drop_in.py": "beyond its length a sequence's output is 0.0",
    "own_network.py": "the larger sum is found well",
    "own_cell.py": "output (3, 20, 32), h_n (4, 3, 16)",
    "streaming.py": "after 'the cat sat on the m': 'at",
}


def test_every_example_is_tested() -> None:
    assert {path.name for path in EXAMPLES.glob("*.py")} == set(SAYS)


@pytest.mark.parametrize("name", sorted(SAYS))
def test_example(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(EXAMPLES / name), run_name="__main__")
    assert SAYS[name] in capsys.readouterr().out
