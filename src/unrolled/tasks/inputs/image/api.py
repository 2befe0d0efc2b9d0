"""Images over HTTP: files of a few formats, whose headers are believed before a pixel is decoded."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from unrolled.data.images.files import Pixels, decode_image, read_image_header
from unrolled.errors import ArgumentError
from unrolled.tasks.core.api import Bounds, InputApi, Message, Push, TooLarge
from unrolled.tasks.core.model import AnyModel
from unrolled.tasks.core.payloads import Base64, decoded_base64, within_limits
from unrolled.types import Json

#: format → content type; readers of other formats are not let near what strangers send
FORMATS = {"PNG": "image/png", "JPEG": "image/jpeg", "GIF": "image/gif", "BMP": "image/bmp", "WEBP": "image/webp"}

Byte = Annotated[int, Field(ge=0, le=255)]

#: a PNG of one white pixel, for examples
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGP4DwABAQEAsTj2FAAAAABJRU5ErkJggg=="


class ImageMessage(Message):
    """An image."""

    image: Base64 = Field(description="a PNG, JPEG, GIF (its first frame), BMP or WebP file")


class RowPush(Push):
    """More of an image, from its top to its bottom; for a model that reads by columns, from left to right."""

    rows: list[list[Byte]] = Field(
        min_length=1,
        description="rows of grey values as the training images have them; in colour red, green and blue of each pixel "
        "one after the other; for a model that reads by columns a row for each column, for one that reads pixel by "
        "pixel one for each pixel",
    )


class Api(InputApi):
    """An image file; or rows of pixels, for a stream."""

    Input: ClassVar[type[BaseModel]] = ImageMessage
    media = tuple(FORMATS.values())
    Push: ClassVar[type[Push] | None] = RowPush
    example: ClassVar[Json] = {"inputs": [{"image": PIXEL}]}
    push_example: ClassVar[Json] = {"rows": [[0, 0, 17, 254, 96, 0, 0, 0]]}

    def read(self, model: AnyModel, given: Any, bounds: Bounds) -> Pixels:
        """Return its pixels."""
        return read_image(decoded_base64(given.image, "image"), bounds)

    def raw(self, model: AnyModel, data: bytes, content_type: str, bounds: Bounds) -> Pixels:
        """Return the pixels of a body that is an image file."""
        return read_image(data, bounds)

    def push_example_of(self, model: AnyModel) -> Json:
        """Return a row, or pixel, as wide as the model reads them."""
        width: Any = model.network.get_submodule("inputs").output_size
        return {"rows": [[(97 * n) % 256 for n in range(int(width))]]}

    def check(self, push: Any, bounds: Bounds) -> None:
        """Check that there are no more pixels than an image has."""
        numbers = sum(map(len, push.rows))
        if numbers > 3 * bounds.pixels or len(push.rows) > bounds.rows:
            raise TooLarge(f"rows: {len(push.rows):,} rows of {numbers:,} numbers, more than are read in one")

    def piece(self, model: AnyModel, push: Any) -> NDArray[np.uint8]:
        """Return the rows, (n, W·C)."""
        if len({len(row) for row in push.rows}) > 1:
            raise ArgumentError("rows: expected rows of one length")
        return np.array(push.rows, dtype=np.uint8)


def checked_size(data: bytes, bounds: Bounds, name: str = "image") -> int:
    """The pixels that an image says that it has.

    Raises:
        TooLarge: more than the bound.
        ArgumentError: it is of another format.
        DataError: it is no image.
    """
    with within_limits():
        header = read_image_header(data, name)
    if header.format not in FORMATS:
        raise ArgumentError(f"{name}: {header.format} is not read here; send one of {', '.join(FORMATS)}")
    pixels = header.height * header.width
    if pixels > bounds.pixels:
        size = f"{header.width} × {header.height} pixels"
        raise TooLarge(f"{name}: {size}, and at most {bounds.pixels:,} are decoded; make it smaller")
    return pixels


def read_image(data: bytes, bounds: Bounds, name: str = "image") -> Pixels:
    """An image file as (H, W, C) uint8.

    Raises:
        TooLarge, ArgumentError, DataError: as `checked_size`; or it is damaged.
    """
    checked_size(data, bounds, name)
    with within_limits():
        return decode_image(data, name)
