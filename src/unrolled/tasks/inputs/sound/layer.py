"""The input layer of sound: frames standardised, several of them stacked to a step, mapped."""

from __future__ import annotations

from typing import Annotated

import numpy as np
import torch
from pydantic import Field
from torch import nn

from unrolled.data import ExampleStore
from unrolled.errors import ArgumentError
from unrolled.layers import StackedFrames
from unrolled.settings import Settings
from unrolled.tasks.core.recurrent import Rate, Units


class SoundNetwork(Settings):
    """The input layer, completely. Sizes are in units, dropouts are probabilities."""

    bands: Annotated[int, Field(ge=1, le=4096)]
    stride: Annotated[int, Field(ge=1, le=100)]
    # earlier frames that a step sees again
    left: Annotated[int, Field(ge=0, le=100)]
    input_size: Units
    input_dropout: Rate = 0.0


def sound_layer(chosen: SoundNetwork, bands: int, stride: int) -> StackedFrames:
    """Return the untrained input layer.

    Raises:
        ArgumentError: the settings were made for another input.
    """
    if (chosen.bands, chosen.stride) != (bands, stride):
        raise ArgumentError(f"made for other bands and stride than {bands} and {stride}")
    return StackedFrames(bands, chosen.input_size, stride=stride, left=chosen.left, dropout=chosen.input_dropout)


def stacked_frames(network: nn.Module) -> StackedFrames:
    """Return the input layer of a network that reads sound."""
    layer = network.get_submodule("inputs")
    if not isinstance(layer, StackedFrames):
        raise ArgumentError("network: its input layer stacks no frames")
    return layer


def standardise_frames(layer: StackedFrames, store: ExampleStore) -> None:
    """Give the input layer the mean and the spread of the training data's frames."""
    width = store[0]["frames"].shape[1]
    count, total, squares = 0, np.zeros(width), np.zeros(width)
    for n in range(len(store)):
        frames = store[n]["frames"].astype(np.float64)
        count, total, squares = count + len(frames), total + frames.sum(0), squares + (frames**2).sum(0)
    mean = total / count
    std = np.sqrt(np.maximum(squares / count - mean**2, 0))
    layer.standardise(torch.from_numpy(mean).float(), torch.from_numpy(std).float())
