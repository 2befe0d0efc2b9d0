"""Arguments and options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unrolled.errors import ArgumentError

if TYPE_CHECKING:
    from unrolled.tasks import Model

ModelFolder = Annotated[Path, typer.Argument(metavar="MODEL", help="a model's folder", show_default=False)]
Threads = Annotated[
    int | None,
    typer.Option(metavar="N", help="CPU threads; all cores if not given", show_default=False),
]
Personal = Annotated[
    list[Path] | None,
    typer.Option(metavar="PATH", help="texts or mail of one writer, to adapt to", show_default=False),
]
AsJson = Annotated[bool, typer.Option("--json", help="print JSON")]


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


def adapted(model: Model, personal: list[Path] | None, progress: Any) -> Model:
    """The model, adapted to a writer if their texts are given.

    Raises:
        ArgumentError: the model's task has no such adaptation.
    """
    return model.personalise(personal, progress=progress) if personal else model
