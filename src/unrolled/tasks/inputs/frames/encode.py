"""The frames of a clip.

T steps, H height, W width, C channels.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import Field

from unrolled.data import Arrays, Example, ExampleStore
from unrolled.data.core.rows import TableRow
from unrolled.data.images.files import as_pixels, resize, with_channels
from unrolled.data.steps.recordings import Recording
from unrolled.data.video.files import webm
from unrolled.errors import DataError, ShapeError
from unrolled.layers import InputLayer
from unrolled.settings import Settings
from unrolled.tasks.core.rows.columns import path_beside
from unrolled.tasks.core.values import Progress
from unrolled.tasks.inputs.frames.layer import FramesNetwork, frame_layer, widths_for
from unrolled.tasks.inputs.frames.noise import filmed
from unrolled.tasks.inputs.frames.options import FramesOptions
from unrolled.tasks.inputs.series.arrays import Decoded, StepsInput
from unrolled.types import Json

#: pixels of a frame that are enough where nobody names a size
PIXELS = 1600
#: frames a second at which a clip is shown whose rate nobody knows
UNTIMED = 10.0

Pixel = Annotated[int, Field(ge=1, le=4096)]


class SavedFrames(Settings):
    """frames.json."""

    size: tuple[Pixel, Pixel]
    channels: Literal[1, 3]
    rate: Annotated[float, Field(gt=0)] | None = None


class FramesInput(StepsInput):
    """The frames of a clip: a path, or an array (T, H, W) or (T, H, W, C) of any size.

    Args:
        size: (H, W) that the network reads.
        channels: C, 1 or 3.
        rate: frames a second of the first training clip, if it is known.
    """

    name: ClassVar[str] = "frames"
    role: ClassVar[str] = "clip"
    column_names: ClassVar[tuple[str, ...]] = ("clip", "video", "file", "filename", "path")
    options: ClassVar[type[Settings]] = FramesOptions
    Saved: ClassVar[type[Settings]] = SavedFrames
    dims: ClassVar[int] = 3
    differences: ClassVar[bool] = True
    Network: ClassVar[type[Settings]] = FramesNetwork

    def __init__(self, size: tuple[int, int], channels: int, rate: float | None = None) -> None:
        super().__init__(rate)
        self.size, self.channels = size, channels

    @classmethod
    def fit(cls, examples: Sequence[Example], options: Settings, progress: Progress) -> FramesInput:
        """Take size, channels and rate of the first clip, where nobody names them."""
        chosen, first = FramesOptions.of(options), examples[0]
        if first.given.clip is None:
            raise DataError("features, and frames are wanted", first.path or None)
        channels = None if chosen.colour is None else 3 if chosen.colour else 1
        footage = first.given.clip.footage(chosen.frame_size, channels)
        height, width, channels = footage.frames.shape[1:]
        return cls(chosen.frame_size or _smaller(height, width), channels, footage.rate)

    def of_cell(self, cell: object, row: TableRow) -> object:
        """Return the path of the clip."""
        return path_beside(cell, row)

    def array(self, value: ArrayLike, *, single: bool = False) -> NDArray[np.uint8]:
        """Return frames (T, H, W, C)."""
        array = np.asarray(value)
        if single and array.ndim == 2:
            array = array[None]
        if array.ndim not in (3, 4):
            raise ShapeError("steps", "frames (T, H, W) or (T, H, W, C)", array.shape)
        if not len(array):
            return np.zeros((0, *self.size, self.channels), dtype=np.uint8)
        pixels = (with_channels(as_pixels(frame, "frame"), self.channels) for frame in array)
        return np.stack([resize(frame, *self.size) for frame in pixels])

    def decoded(self, recording: Recording) -> Decoded:
        """Return a clip's frames."""
        if recording.clip is None:
            raise DataError("features, and the model reads frames", recording.path, recording.line)
        footage = recording.clip.footage(self.size, self.channels)
        if not footage.count:
            raise DataError("no step in this recording", recording.path, recording.line)
        return Decoded(footage.frames, footage.rate, recording.name, footage.numbers, footage.count)

    def to_json(self, given: Decoded) -> Json:
        """Return the frames as a clip that browsers play."""
        return {"clip": base64.b64encode(webm(given.x, given.rate or self.rate or UNTIMED)).decode()}

    def step_layer(self, network: Mapping[str, Any], times: int = 1) -> InputLayer:
        """Return convolutions over a frame."""
        return frame_layer(FramesNetwork.picked(network), self.size, self.channels * times)

    def plan(self, options: Settings, store: ExampleStore) -> Json:
        """Return convolutions that fit the size of the frames, which are read beside their differences."""
        return {"widths": list(widths_for(self.size)), **super().plan(options, store)}

    def varied(self, example: Arrays, draw: np.random.Generator, strength: float, *, mirror: bool = False) -> Arrays:
        """Return a clip a little slower or faster, frames lost, moved, lighter or darker, covered."""
        example = super().varied(example, draw, strength)
        return {**example, "x": filmed(example["x"], draw, strength, mirror=mirror)}


def _smaller(height: int, width: int) -> tuple[int, int]:
    """Return a size of about `PIXELS` with the same proportions; small frames keep theirs."""
    scale = min(1.0, (PIXELS / (height * width)) ** 0.5)
    if scale == 1:
        return height, width
    return max(8, 4 * round(height * scale / 4)), max(8, 4 * round(width * scale / 4))
