"""Arguments and options that several commands share, and groups with a command for each task."""

from __future__ import annotations

import inspect
from abc import abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unrolled.cli.layout import Group
from unrolled.errors import ArgumentError

if TYPE_CHECKING:
    from unrolled.cli.console import ProgressLine
    from unrolled.tasks import AnyUse, Model

ModelFolder = Annotated[Path, typer.Argument(metavar="MODEL", help="a model's folder", show_default=False)]
Threads = Annotated[
    int | None,
    typer.Option(metavar="N", help="CPU threads; by default all cores", show_default=False),
]
Personal = Annotated[
    list[Path] | None,
    typer.Option(metavar="PATH", help="texts or mail of one writer to adapt to", show_default=False),
]
#: the help page's heading over the options that follow, which say how texts are read
AS_IN_TRAINING = "As in training"
Encoding = Annotated[
    str | None, typer.Option(rich_help_panel=AS_IN_TRAINING, help="encoding of text files", show_default=False)
]
Errors = Annotated[
    str | None,
    typer.Option(rich_help_panel=AS_IN_TRAINING, help="strict or replace: invalid bytes", show_default=False),
]
Format = Annotated[
    str | None, typer.Option(rich_help_panel=AS_IN_TRAINING, help="format of the files", show_default=False)
]
TextKey = Annotated[
    str | None,
    typer.Option(
        rich_help_panel=AS_IN_TRAINING, help="the field of a JSONL line that holds its text", show_default=False
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="print JSON")]


class TaskGroup(Group):
    """A command with a subcommand for each task; the tasks are imported only when they are needed."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of all tasks."""
        from unrolled.tasks import task_names

        return task_names()

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return the command of one task.

        Raises:
            ArgumentError: there is no task of that name.
        """
        from unrolled.tasks import task_named

        return self.command_of(task_named(cmd_name))

    @abstractmethod
    def command_of(self, task: AnyUse) -> Any:
        """Return the command for a task, made from its declaration."""


def use_threads(threads: int | None) -> None:
    """Set torch's number of threads.

    Raises:
        ArgumentError: the number is below 1.
    """
    if threads is None:
        return
    if threads < 1:
        raise ArgumentError(f"--threads: expected 1 or more, found {threads}")
    import torch

    torch.set_num_threads(threads)


def personal_option(task: AnyUse) -> list[inspect.Parameter]:
    """Return the option --personal, if the task's models can be adapted to a writer."""
    from unrolled.tasks import AnyUse as Base

    if type(task).personalise is Base.personalise:
        return []
    return [inspect.Parameter("personal", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Personal)]


def adapted(model: Model, personal: list[Path] | None, progress: ProgressLine) -> Model:
    """Return the model, adapted to a writer if their texts are given.

    Raises:
        ArgumentError: the model's task can't be adapted.
    """
    return model.personalise(personal, progress=progress) if personal else model
