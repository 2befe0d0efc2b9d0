"""docs/cli.md, made of the help pages: `python -m unrolled.cli.reference > docs/cli.md`, or `make docs`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import typer
from typer.core import TyperGroup

from unrolled.cli.app import FOLLOWING, app
from unrolled.cli.layout import WIDTH

TITLE = """# The command

Every help page of `unrolled`, as `--help` prints it. Made by `make docs`; a test holds it to the code.

Exit codes: 0 done, 1 a defect of ours, 2 something that you can put right (one line says what), 130 after Ctrl-C.
Results go to standard output, everything else to standard error; what `train` and `demo` tell of the training is their
result.

Variables: `UNROLLED_ENGINE` forces an engine, `UNROLLED_CPU` an instruction set of the native one, `UNROLLED_CACHE` and
`UNROLLED_MIRROR` say where data sets are kept and taken from, `UNROLLED_DEBUG=1` shows where an error arose.
"""

FOLLOWING_TITLE = """## What a task adds

`unrolled predict MODEL --help` and `unrolled evaluate MODEL --help` show these for the task of that model.
"""


def pages() -> Iterator[tuple[str, str]]:
    """Each command as it is typed, and its help page."""
    yield from _pages(typer.main.get_command(app), "unrolled", None)


def pages_of_tasks() -> Iterator[tuple[str, str]]:
    """Each command that follows the model it is given, with a task, and the options that the task adds."""
    from unrolled.tasks import task_named, task_names

    root: Any = typer.main.get_command(app)
    for name, command in FOLLOWING.items():
        general = _page(root.get_command(None, name), f"unrolled {name}", None)
        for task in task_names():
            page = _page(command.of_task(task_named(task)), f"unrolled {name}", None)
            known = set(general.splitlines())
            yield f"{name}, {task}", "\n".join(line for line in page.splitlines() if line not in known)


def _pages(command: Any, name: str, parent: Any) -> Iterator[tuple[str, str]]:
    yield name, _page(command, name, parent)
    if isinstance(command, TyperGroup):
        context = _context(command, name, parent)
        for inner in command.list_commands(context):
            yield from _pages(command.get_command(context, inner), f"{name} {inner}", context)


def _context(command: Any, name: str, parent: Any) -> Any:
    return command.context_class(
        command, info_name=name.split()[-1], parent=parent, terminal_width=WIDTH, max_content_width=WIDTH
    )


def _page(command: Any, name: str, parent: Any) -> str:
    text = command.get_help(_context(command, name, parent))
    return "\n".join(line.rstrip() for line in text.strip("\n").splitlines())


def markdown() -> str:
    """The whole of docs/cli.md."""
    parts = [TITLE]
    parts += [f"## {name}\n\n```text\n{page}\n```\n" for name, page in pages()]
    parts += [FOLLOWING_TITLE]
    parts += [f"### {name}\n\n```text\n{page.strip()}\n```\n" for name, page in pages_of_tasks() if page.strip()]
    return "\n".join(parts)


if __name__ == "__main__":
    print(markdown(), end="")
