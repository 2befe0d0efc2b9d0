"""Names and texts that no terminal and no encoding expects: bytes that are no UTF-8, and control characters."""

from __future__ import annotations

import ast
import io
import os
from pathlib import Path

import pytest
from tests.cli.running import complaint, unrolled

import unrolled as package
from unrolled.terminal import say

#: legal on Linux, and no UTF-8
STRANGE = os.fsdecode(b"a\xff")
QUICK = ("--steps", 2, "--threads", 1, "-q", "--no-examples")


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / f"{STRANGE}.txt"
    path.write_text("\n".join(map(str, range(3000))))
    return path


def test_files_and_folders_may_have_names_that_are_no_utf_8(text: Path, tmp_path: Path) -> None:
    out = tmp_path / STRANGE
    trained = unrolled("train", "generate", text, "--out", out, *QUICK)
    assert trained.code == 0, trained.err
    assert (out / "card.md").read_text("utf-8").startswith("# a\\udcff\n")
    evaluated = unrolled("evaluate", out, text, "--json", "--no-completion")
    assert evaluated.code == 0, evaluated.err
    assert evaluated.json[0]["data"] == [str(text)]
    assert unrolled("predict", out, STRANGE, "--json").json[0]["typed"] == STRANGE


def test_a_label_that_is_no_utf_8_is_refused(tmp_path: Path) -> None:
    for label in (STRANGE, "neg"):
        (tmp_path / "data" / label).mkdir(parents=True)
        for n in range(12):
            (tmp_path / "data" / label / f"{n}.txt").write_text(f"{label == 'neg'} {n}")
    trained = unrolled("train", "classify", tmp_path / "data", "--out", tmp_path / "m", *QUICK)
    assert (trained.code, complaint(trained).endswith("has bytes that are no UTF-8; rename its folder")) == (2, True)
    assert not (tmp_path / "m").exists()
    assert unrolled("data", "check", "classify", tmp_path / "data").code == 2


class Terminal(io.StringIO):
    encoding = "ascii"

    def isatty(self) -> bool:
        return True


def test_nothing_that_is_said_moves_the_cursor() -> None:
    stream = Terminal()
    say("\x1b]0;PWNED\x07label\u202e\ttext\n" + STRANGE, stream)
    assert stream.getvalue() == "�]0;PWNED�label�\ttext\na�\n"
    pipe = io.StringIO()
    say("\x1b[2J", pipe)
    assert pipe.getvalue() == "\x1b[2J\n"


def test_what_an_encoding_lacks_is_escaped_as_in_json() -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    say(f'"ü {STRANGE}"', stream)
    assert stream.buffer.getvalue() == b'"\\xfc a\\udcff"\n'  # type: ignore[attr-defined]


def test_the_command_says_everything_by_say() -> None:
    room = Path(package.__file__).parent / "cli"
    printing = [
        f"{path.name}:{node.lineno}"
        for path in sorted(room.glob("*.py"))
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    ]
    assert [place for place in printing if not place.startswith(("demo.py", "app.py", "reference.py"))] == []
