"""`unrolled export`: a trained model for another runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from unrolled.cli.arguments import ModelFolder
from unrolled.cli.console import progress_line


def export(
    model: ModelFolder,
    to: Annotated[str, typer.Option(metavar="RUNTIME", help="onnx", show_default=False)],
    out: Annotated[Path, typer.Option(metavar="PATH", help="the file that is written", show_default=False)],
) -> None:
    """
      unrolled export my-model --to onnx --out my-model.onnx

    Write a trained model for another runtime. ONNX: batch and length are dynamic, and what a stream carries are inputs
    NAME_in and outputs NAME_out; a model that writes has a second file, NAME.decoder.onnx, for a step of its decoder.
    docs/export.md names the inputs and outputs, and shows a driver of a few lines that decodes them.
    """
    from unrolled.export.models import export as write
    from unrolled.tasks import load

    with progress_line() as line:
        line("reading the model", 0, None)
        loaded = load(model)
        line("writing", 0, None)
        paths = write(loaded, to, out)
    for path in paths:
        print(path)
