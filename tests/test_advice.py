"""Messages advise nothing that does not exist: each option and each command that one names is there."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "unrolled"
#: as the command writes them, which another test compares
PAGES = (ROOT / "docs" / "cli.md").read_text("utf-8")
#: an option, alone or with its value; not the rest of another word
OPTION = re.compile(r"(?<![\w-])--([a-z][a-z-]*[a-z])(?![\w{-])")
COMMAND = re.compile(r"\bunrolled (?!was\b)([a-z]+)\b")
#: of torchrun
FOREIGN = {"max-restarts", "nproc-per-node"}


def messages() -> Iterator[tuple[str, int, str]]:
    """Yield file, line and text of every string, the fixed parts of formatted ones among them."""
    for path in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
                yield str(path.relative_to(SOURCE)), node.lineno, node.value


def test_every_option_that_a_message_names_exists() -> None:
    known = set(OPTION.findall(PAGES)) | FOREIGN
    named = {(option, f"{path}:{line}") for path, line, text in messages() for option in OPTION.findall(text)}
    assert len({option for option, _ in named}) > 40
    assert sorted((option, place) for option, place in named if option not in known) == []


def test_every_command_that_a_message_names_exists() -> None:
    known = set(re.findall(r"^## unrolled ([a-z]+)", PAGES, re.MULTILINE))
    named = {(name, f"{path}:{line}") for path, line, text in messages() for name in COMMAND.findall(text)}
    assert {"train", "data"} <= {name for name, _ in named}
    assert sorted((name, place) for name, place in named if name not in known) == []
