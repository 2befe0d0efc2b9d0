"""`unrolled export`: a trained model for another runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from unrolled.cli.arguments import ModelFolder
from unrolled.cli.console import progress_line
from unrolled.terminal import say


def export(
    model: ModelFolder,
    to: Annotated[str, typer.Option(metavar="RUNTIME", help="onnx, c or html", show_default=False)],
    out: Annotated[Path, typer.Option(metavar="PATH", help="the file that is written", show_default=False)],
    weights_beside: Annotated[
        bool, typer.Option("--weights-beside", help="c: write the weights into NAME.bin, not into the source")
    ] = False,
) -> None:
    """
      unrolled export my-model --to onnx --out my-model.onnx
      unrolled export my-model --to c --out my_model.c
      unrolled export my-model --to html --out my-model.html

    Write a trained model for another runtime. ONNX: batch and length are dynamic, and what a stream carries are inputs
    NAME_in and outputs NAME_out; a model that writes has a second file, NAME.decoder.onnx, for a step of its decoder.
    C: one C99 source and its header, NAME.h, with no dependency and no allocation; a stream is a struct that can be
    saved. HTML: one page that runs the model in the browser, with no server; a model of text completes what one types.
    docs/export.md names the inputs and outputs, and shows a driver and a program of a few lines.
    """
    from unrolled.export.models import export as write
    from unrolled.tasks import load

    with progress_line() as line:
        line("reading the model", 0, None)
        loaded = load(model)
        line("writing", 0, None)
        paths = write(loaded, to, out, weights_beside=weights_beside)
    for path in paths:
        say(str(path))
