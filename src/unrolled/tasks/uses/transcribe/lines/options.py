"""Options of `transcribe` for images."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from unrolled.tasks.core.examples import ExampleOptions
from unrolled.tasks.core.recurrent import Rate
from unrolled.tasks.inputs.image.options import ImageOptions, ImagePrediction, Reading
from unrolled.tasks.outputs.text.ctc.options import CTCEvaluation, CTCNetwork, CTCOptions, CTCPrediction, TextForm

#: pixels of a line's height
HEIGHT = 32


class LineOptions(ImageOptions, CTCOptions, ExampleOptions):
    """Options of training; None lets the data decide."""

    reading: Reading = Field("columns", description="how images are read; lines by their columns")
    image_size: Annotated[int, Field(ge=4, le=1024)] | None = Field(
        HEIGHT, description="of images: the height of a line, to which it is scaled"
    )
    units: Literal["auto", "characters", "words"] = "characters"
    text: TextForm = "as_is"
    encoding: str = "utf-8"
    dropout: Rate | None = None


class LineEvaluation(CTCEvaluation):
    """How to evaluate; None reads files as in training."""

    encoding: str | None = None


class LinePrediction(CTCPrediction, ImagePrediction):
    """How to predict."""


class LineNetwork(CTCNetwork):
    """The network, completely."""

    reading: Reading = "columns"
