"""The steps of an image that is read row by row, column by column or pixel by pixel."""

from __future__ import annotations

import torch
from torch import nn

from unrolled.data.images.files import Pixels
from unrolled.errors import ArgumentError
from unrolled.layers.inputs.images import ImageSteps
from unrolled.tasks.core.probe import last_steps
from unrolled.tasks.core.values import InputSteps


def image_steps(layer: nn.Module, pixels: Pixels, limit: int) -> InputSteps:
    """Name the last `limit` rows, columns or pixels of an image.

    Raises:
        ArgumentError: the network sees the image as a whole.
    """
    if not isinstance(layer, ImageSteps):
        raise ArgumentError(
            "input: this model sees an image as a whole; train with --reading rows to look at its steps"
        )
    read = pixels.swapaxes(0, 1) if layer.by == "columns" else pixels
    rows = read.reshape(-1, layer.output_size)
    first, note = last_steps(len(rows), limit, layer.by)
    names = tuple(f"{layer.by[:-1]} {n + 1}" for n in range(first, len(rows)))
    return InputSteps({"images": torch.tensor(rows[first:, None])}, names, note)
