"""Images on the wire: files of a few formats, whose headers are believed before a pixel is decoded."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import BaseModel, Field

from unrolled.data.images.files import Pixels, decode_image, read_image_header
from unrolled.errors import ArgumentError
from unrolled.tasks.core.api import Bounds, Message, TooLarge, Wire
from unrolled.tasks.core.model import Model
from unrolled.tasks.core.payloads import Base64, decoded_base64, within_limits

#: format → content type; readers of other formats are not let near what strangers send
FORMATS = {"PNG": "image/png", "JPEG": "image/jpeg", "GIF": "image/gif", "BMP": "image/bmp", "WEBP": "image/webp"}

#: a PNG of one white pixel, for examples
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGP4DwABAQEAsTj2FAAAAABJRU5ErkJggg=="


class ImageInput(Message):
    """An image."""

    image: Base64 = Field(description="a PNG, JPEG, GIF (its first frame), BMP or WebP file")


class ImageWire(Wire):
    """What the uses on images share."""

    Input: ClassVar[type[BaseModel]] = ImageInput
    media = tuple(FORMATS.values())
    # convolutions and products of another batch size add in another order: the last bits depend on the neighbours
    together = False

    def read(self, model: Model, given: Any, bounds: Bounds) -> Any:
        """Its pixels."""
        return read_image(decoded_base64(given.image, "image"), bounds)

    def raw(self, model: Model, data: bytes, content_type: str, bounds: Bounds) -> Any:
        """A body that is an image file."""
        return read_image(data, bounds)


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
