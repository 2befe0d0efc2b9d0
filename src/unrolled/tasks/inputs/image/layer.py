"""The input layer of images: convolutions over the whole, or rows, columns or pixels one after the other."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field

from unrolled.data.images.format import ImageFormat
from unrolled.errors import ArgumentError
from unrolled.layers import InputLayer
from unrolled.layers.inputs.images import ImageEncoder, ImageSteps
from unrolled.settings import Settings
from unrolled.tasks.inputs.image.options import Reading, Size

#: images are read at full width up to this
NARROW = 40


class ImageNetwork(Settings):
    """The input layer, completely; see `ImageOptions` for the words."""

    reading: Reading
    widths: tuple[Size, ...] = (24, 48, 96)
    blocks: Annotated[int, Field(ge=1, le=16)] = 1
    stem_stride: Annotated[int, Field(ge=1, le=4)] = 1


def image_layer(chosen: ImageNetwork, format: ImageFormat) -> InputLayer:
    """Return the untrained input layer.

    Raises:
        ArgumentError: images are of any width, and are not read by columns; or the other way round.
    """
    if format.any_width != (chosen.reading == "columns"):
        raise ArgumentError(f"made for reading={chosen.reading!r}, and images are of {format.width or 'any'} width")
    mean, std = torch.tensor(format.mean), torch.tensor(format.std)
    if chosen.reading != "image":
        return ImageSteps(format.height, format.width, format.channels, chosen.reading, mean=mean, std=std)
    return ImageEncoder(
        format.channels,
        chosen.widths,
        blocks=chosen.blocks,
        stem_stride=chosen.stem_stride,
        stem_size=3 if chosen.stem_stride == 1 else 5,
        mean=mean,
        std=std,
    )


def convolutions(format: ImageFormat, widths: tuple[int, ...] | None) -> tuple[tuple[int, ...], int]:
    """Return channels of the convolutions, and the stride of the first, that fit the size of the images."""
    shorter = min(format.height, format.width)
    # large images are halved at once, and until about 4 to 8 positions a side are left
    stride = 2 if shorter > NARROW else 1
    stages = 1
    while shorter / stride / 2 ** (stages + 1) >= 6 and stages < 4:
        stages += 1
    return widths or tuple(24 * 2**n for n in range(stages + 1)), stride
