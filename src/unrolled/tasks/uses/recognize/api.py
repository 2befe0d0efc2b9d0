"""`recognize` on the wire: the class of an image, and of one that comes row by row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar

import numpy as np
from pydantic import BaseModel, Field

from unrolled.errors import ArgumentError
from unrolled.tasks.core.api import Bounds, Push, TooLarge, one_by_one
from unrolled.tasks.core.model import Model
from unrolled.tasks.inputs.image.api import PIXEL, ImageWire
from unrolled.tasks.inputs.image.stream import RowSession
from unrolled.tasks.inputs.text.api import Probability

Byte = Annotated[int, Field(ge=0, le=255)]


class RecognizedImage(BaseModel):
    """The class of an image."""

    image: str = Field(description="what it is called")
    label: str = Field(description="the most probable class")
    probability: Probability = Field(description="of that class")
    probabilities: dict[str, Probability] = Field(description="of all classes, the most probable first; sum 1")


class RowPush(Push):
    """More of an image, from its top to its bottom."""

    rows: list[list[Byte]] = Field(
        min_length=1,
        description="rows of grey values as the training images have them; in colour red, green and blue of each pixel "
        "one after the other; for a model that reads pixel by pixel a row for each pixel",
    )


class RecognizedPush(BaseModel):
    """What the image seems to be by now."""

    position: int = Field(description="rows, or pixels, that were read")
    probabilities: dict[str, Probability] = Field(description="of all classes, the most probable first; sum 1")


class RecognizeWire(ImageWire):
    """Images in, classes out."""

    view = "recognize"
    Output = RecognizedImage
    Push = RowPush
    Pushed = RecognizedPush
    example: ClassVar = {"inputs": [{"image": PIXEL}]}
    push_example: ClassVar = {"rows": [[0, 0, 17, 254, 96, 0, 0, 0]]}

    def push_example_of(self, model: Model) -> dict[str, Any]:
        """A row, or pixel, as wide as it reads them."""
        network: Any = model.network
        return {"rows": [[(97 * n) % 256 for n in range(int(network.inputs.output_size))]]}

    def labels(self, model: Model) -> list[str]:
        """The classes."""
        return list(model.encoders.labels)

    def check(self, push: Any, bounds: Bounds) -> None:
        """No more pixels than an image has."""
        numbers = sum(map(len, push.rows))
        if numbers > 3 * bounds.pixels or len(push.rows) > bounds.rows:
            raise TooLarge(f"rows: {len(push.rows):,} rows of {numbers:,} numbers, more than are read in one")

    def push(self, model: Model, pairs: Sequence[tuple[RowSession, RowPush]]) -> list[Any]:
        """Read these rows."""
        return one_by_one(pairs, _pushed)


def _pushed(stream: RowSession, given: RowPush) -> dict[str, Any]:
    if len({len(row) for row in given.rows}) > 1:
        raise ArgumentError("rows: expected rows of one length")
    stream.push(np.array(given.rows, dtype=np.uint8))
    return {"position": stream.position, "probabilities": stream.probabilities()}
