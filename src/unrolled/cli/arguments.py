"""Arguments, options and ways of finding commands that several commands have."""

from __future__ import annotations

import inspect
from abc import abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unrolled.cli.layout import Group
from unrolled.errors import ArgumentError

if TYPE_CHECKING:
    from unrolled.tasks import AnyUse, Model

ModelFolder = Annotated[Path, typer.Argument(metavar="MODEL", help="a model's folder", show_default=False)]
Threads = Annotated[
    int | None,
    typer.Option(metavar="N", help="CPU threads; all cores if not given", show_default=False),
]
Personal = Annotated[
    list[Path] | None,
    typer.Option(metavar="PATH", help="texts or mail of one writer, to adapt to", show_default=False),
]
#: of the options below, how texts are read, in the help pages
AS_IN_TRAINING = "As in training"
Encoding = Annotated[str | None, typer.Option(rich_help_panel=AS_IN_TRAINING, help="of text files", show_default=False)]
Errors = Annotated[
    str | None,
    typer.Option(rich_help_panel=AS_IN_TRAINING, help="strict or replace: bytes that are no text", show_default=False),
]
Format = Annotated[str | None, typer.Option(rich_help_panel=AS_IN_TRAINING, help="of the files", show_default=False)]
TextKey = Annotated[
    str | None,
    typer.Option(rich_help_panel=AS_IN_TRAINING, help="where a line of JSONL has its text", show_default=False),
]
AsJson = Annotated[bool, typer.Option("--json", help="print JSON")]


class TaskGroup(Group):
    """A command with one for each task under it; the tasks are imported only when they are asked for."""

    def list_commands(self, ctx: Any) -> list[str]:
        """The names of all tasks."""
        from unrolled.tasks import task_names

        return task_names()

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of one task.

        Raises:
            ArgumentError: there is none of that name.
        """
        from unrolled.tasks import task_named

        return self.command_of(task_named(cmd_name))

    @abstractmethod
    def command_of(self, task: AnyUse) -> Any:
        """The command for a task, made of its declaration."""


def use_threads(threads: int | None) -> None:
    """Limit torch to so many threads.

    Raises:
        ArgumentError: fewer than one.
    """
    if threads is None:
        return
    if threads < 1:
        raise ArgumentError(f"--threads: expected 1 or more, found {threads}")
    import torch

    torch.set_num_threads(threads)


def personal_option(task: AnyUse) -> list[inspect.Parameter]:
    """--personal, for a task whose models can be adapted to a writer."""
    from unrolled.tasks import AnyUse as Base

    if type(task).personalise is Base.personalise:
        return []
    return [inspect.Parameter("personal", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Personal)]


def adapted(model: Model, personal: list[Path] | None, progress: Any) -> Model:
    """The model, adapted to a writer if their texts are given.

    Raises:
        ArgumentError: the model's task has no such adaptation.
    """
    return model.personalise(personal, progress=progress) if personal else model
