"""docs/cli.md, made of the help pages: `python -m unrolled.cli.reference > docs/cli.md`, or `make docs`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import typer
from typer.core import TyperGroup

from unrolled.cli.app import app
from unrolled.cli.layout import WIDTH

TITLE = """# The command

Every help page of `unrolled`, as `--help` prints it. Made by `make docs`; a test holds it to the code.

Exit codes: 0 done, 1 a defect of ours, 2 something that you can put right (one line says what), 130 after Ctrl-C.
Results go to standard output, everything else to standard error; what `train` and `demo` tell of the training is their
result.

Variables: `UNROLLED_ENGINE` forces an engine, `UNROLLED_CPU` an instruction set of the native one, `UNROLLED_CACHE` and
`UNROLLED_MIRROR` say where data sets are kept and taken from, `UNROLLED_DEBUG=1` shows where an error arose.
"""


def pages() -> Iterator[tuple[str, str]]:
    """Each command as it is typed, and its help page."""
    yield from _pages(typer.main.get_command(app), "unrolled", None)


def _pages(command: Any, name: str, parent: Any) -> Iterator[tuple[str, str]]:
    context = command.context_class(
        command, info_name=name.split()[-1], parent=parent, terminal_width=WIDTH, max_content_width=WIDTH
    )
    yield name, "\n".join(line.rstrip() for line in command.get_help(context).strip("\n").splitlines())
    if isinstance(command, TyperGroup):
        for inner in command.list_commands(context):
            yield from _pages(command.get_command(context, inner), f"{name} {inner}", context)


def markdown() -> str:
    """The whole of docs/cli.md."""
    parts = [TITLE]
    parts += [f"## {name}\n\n```text\n{page}\n```\n" for name, page in pages()]
    return "\n".join(parts)


if __name__ == "__main__":
    print(markdown(), end="")
