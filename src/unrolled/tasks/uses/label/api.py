"""`label` on the wire: the labels of a clip's frames, or of rows of features, and of a stream of either."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field, model_validator

from unrolled.data.images.files import decode_image, resize, with_channels
from unrolled.data.video.files import Limits, read_video
from unrolled.errors import ArgumentError, ShapeError
from unrolled.tasks.core.api import Bounds, Message, Push, TooLarge, Wire, one_by_one
from unrolled.tasks.core.model import Model
from unrolled.tasks.core.payloads import Base64, Matrix, decoded_base64, matrix, require_finite, within_limits
from unrolled.tasks.inputs.frames.encode import StepEncoders, Steps, by_itself
from unrolled.tasks.inputs.image.api import PIXEL, checked_size
from unrolled.tasks.inputs.text.api import Probability
from unrolled.tasks.uses.label.options import LabelOptions
from unrolled.tasks.uses.label.session import LabelSession, given_steps

#: pixels of all frames of a clip together, in images of the largest size that is read: what takes a core some seconds
IMAGES = 80
#: bytes that the frames of a clip take, brought to the size that the network reads
MOST_BYTES = 512 << 20

#: four grey frames of 16 × 16 pixels, WebM
CLIP = (
    "GkXfo59ChoEBQveBAULygQRC84EIQoKEd2VibUKHgQJChYECGFOAZwEAAAAAAAIJEU2bdLpNu4tTq4QVSalmU6yBoU27i1OrhBZUrmtTrIHY"
    "TbuMU6uEElTDZ1OsggEbTbuMU6uEHFO7a1OsggHz7AEAAAAAAABZAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAVSalmsirXsYMPQkBNgI1MYXZmNjIuMTIuMTAyV0GNTGF2"
    "ZjYyLjEyLjEwMkSJiEBkAAAAAAAAFlSua76uAQAAAAAAADXXgQFzxYj37pc0p88BnJyBACK1nIN1bmSIgQCGhVZfVlA4g4EBI+ODhAJiWgDg"
    "hrCBELqBEBJUw2fYc3OgY8CAZ8iaRaOHRU5DT0RFUkSHjUxhdmY2Mi4xMi4xMDJzc7JjwItjxYj37pc0p88BnGfIoUWjiERVUkFUSU9ORIeT"
    "MDA6MDA6MDAuMTYwMDAwMDAwAB9DtnX254EAo6OBAACAEAIAnQEqEAAQAABHCIWFiIWEiAICAAwNYAD+/6tQgKOYgQAoALEBAAUQrAAYADAo"
    "L/QAIAD+6Z4Ao5iBAFAAsQEABRCsABgAMCgv9AAgAP7qHACjmIEAeACxAQAFEKwAGAAwKC/0ACAA/umeABxTu2uRu4+zgQC3iveBAfGCAXjw"
    "gQM="
)


class ClipInput(Message):
    """A clip, or rows of features."""

    clip: Base64 | None = Field(None, description="a video: MP4, MOV, WebM, Matroska, AVI, MPEG or Ogg")
    features: Matrix | None = Field(None, description="a row for each step")

    @model_validator(mode="after")
    def _one(self) -> ClipInput:
        if (self.clip is None) == (self.features is None):
            raise ValueError("expected either clip or features")
        return self


class LabelledSegment(BaseModel):
    """A run of one label."""

    label: str
    begin: int = Field(ge=0, description="its first step, from 0")
    end: int = Field(description="the step after its last")
    score: Probability = Field(description="mean probability of the label over its steps")
    begin_seconds: float | None = Field(
        description="the same in time; null if nobody knows how many steps a second has"
    )
    end_seconds: float | None


class LabelledClip(BaseModel):
    """A recording whose steps are labelled."""

    name: str
    rate: float | None = Field(description="steps a second, if that is known")
    segments: list[LabelledSegment] = Field(description="the runs of equal labels")
    labels: list[str] = Field(description="one a step")
    scores: list[Probability] = Field(description="of each of them")


class StepPush(Push):
    """More steps."""

    features: Matrix | None = Field(None, description="a row for each step")
    frames: list[Base64] | None = Field(None, description="a PNG, JPEG, GIF, BMP or WebP file for each step")

    @model_validator(mode="after")
    def _one(self) -> StepPush:
        if (self.features is None) == (self.frames is None):
            raise ValueError("expected either features or frames")
        return self


class LabelledPush(BaseModel):
    """The labels of the steps that were pushed."""

    position: int = Field(description="steps that were read in all")
    labels: list[str] = Field(description="one a step of this push")
    scores: list[Probability] = Field(description="of each of them")


class LabelWire(Wire):
    """Clips in, labels out."""

    view = "frames"
    Input = ClipInput
    Output = LabelledClip
    media = (
        "video/mp4", "video/quicktime", "video/webm", "video/x-matroska", "video/matroska", "video/x-msvideo",
        "video/avi", "video/mpeg", "video/mp2t", "video/ogg",
    )  # fmt: skip
    Push = StepPush
    Pushed = LabelledPush
    # `predict` reads one recording after the other
    together = False
    example: ClassVar = {"inputs": [{"features": [[0.02, 0.97], [0.91, 0.04]]}]}
    push_example: ClassVar = {"frames": [PIXEL]}

    def example_of(self, model: Model) -> dict[str, Any]:
        """A clip, or as many features as it reads."""
        encoders: StepEncoders = model.encoders
        return {"inputs": [{"clip": CLIP} if encoders.features == 0 else {"features": _rows(encoders.features)}]}

    def push_example_of(self, model: Model) -> dict[str, Any]:
        """A frame, or as many features as it reads."""
        encoders: StepEncoders = model.encoders
        return self.push_example if encoders.features == 0 else {"features": _rows(encoders.features)}

    def labels(self, model: Model) -> list[str]:
        """Of the steps."""
        return list(model.encoders.labels)

    def columns(self, model: Model) -> list[str]:
        """Of the tables that it learned from."""
        encoders: StepEncoders = model.encoders
        return list(encoders.columns)

    def read(self, model: Model, given: Any, bounds: Bounds) -> Steps:
        """Its steps, as the network reads them."""
        encoders: StepEncoders = model.encoders
        _check_kind(encoders, "features" if given.clip is None else "frames")
        if given.clip is not None:
            return read_clip(decoded_base64(given.clip, "clip"), model, bounds)
        x = given_steps(checked_features(given.features, encoders, bounds), encoders)
        return Steps(by_itself(x) if encoders.by_recording and len(x) else x, encoders.rate, None)

    def raw(self, model: Model, data: bytes, content_type: str, bounds: Bounds) -> Steps:
        """A body that is a video."""
        _check_kind(model.encoders, "frames")
        return read_clip(data, model, bounds)

    def answer(self, model: Model, prediction: Any, given: Any) -> dict[str, Any]:
        """The labels."""
        require_finite(prediction.scores, "features")
        return super().answer(model, prediction, given)

    def check(self, push: Any, bounds: Bounds) -> None:
        """As many rows, frames and pixels as a clip may have."""
        if push.features is not None:
            matrix(push.features, "features", bounds)
            return
        if len(push.frames) > bounds.frames:
            raise TooLarge(f"frames: {len(push.frames):,}, and at most {bounds.frames:,} are read in one")
        total = 0
        for number, frame in enumerate(push.frames):
            total += checked_size(decoded_base64(frame, f"frames[{number}]"), bounds, f"frames[{number}]")
            if total > IMAGES * bounds.pixels:
                raise TooLarge(f"frames: more than {IMAGES * bounds.pixels:,} pixels in {number + 1} frames")

    def push(self, model: Model, pairs: Sequence[tuple[LabelSession, StepPush]]) -> list[Any]:
        """Label these steps."""
        return one_by_one(pairs, lambda stream, given: _pushed(model.encoders, stream, given))


def _rows(width: int) -> list[list[float]]:
    return [[(7 * step + 3 * n) % 10 / 10 for n in range(width)] for step in range(3)]


def read_clip(data: bytes, model: Model, bounds: Bounds) -> Steps:
    """A video's frames, as the network reads them.

    Raises:
        TooLarge: beyond the bounds.
        DataError: it is no video, or a damaged one.
    """
    encoders: StepEncoders = model.encoders
    height, width = encoders.size or (1, 1)
    frames = min(bounds.frames, MOST_BYTES // (height * width * encoders.channels))
    limits = Limits(bounds.pixels, bounds.seconds, frames, IMAGES * bounds.pixels)
    with within_limits():
        footage = read_video(
            io.BytesIO(data),
            name="clip",
            rate=LabelOptions(**model.config.options).rate,
            size=encoders.size,
            channels=encoders.channels,
            limits=limits,
        )
    return Steps(footage.frames, footage.rate or encoders.rate, None)


def checked_features(rows: Sequence[Sequence[float]], encoders: StepEncoders, bounds: Bounds) -> NDArray[Any]:
    """Rows of as many features as the model reads, (T, F).

    Raises:
        TooLarge, ArgumentError, ShapeError: they are too many, ragged, or too wide.
    """
    found = matrix(rows, "features", bounds)
    if not len(found):
        raise ArgumentError("features: no row in it")
    if found.shape[1] != encoders.features:
        names = f": {', '.join(encoders.columns)}" if encoders.columns else ""
        raise ShapeError("features", f"(T, F={encoders.features}){names}", found.shape)
    return found


def _check_kind(encoders: StepEncoders, found: str) -> None:
    wanted = "features" if encoders.size is None else "frames"
    if wanted != found:
        raise ArgumentError(f"input: the model reads {wanted}, found {found}")


def _pushed(encoders: StepEncoders, stream: LabelSession, given: StepPush) -> dict[str, Any]:
    _check_kind(encoders, "features" if given.frames is None else "frames")
    if given.frames is None:
        # how many there may be was seen to before
        rows = len(given.features or ())
        steps = checked_features(given.features or (), encoders, Bounds(rows=rows))
    else:
        steps = _frames(given.frames, encoders)
    found = stream.push(steps)
    require_finite(found.scores, "features")
    return {"position": stream.position, "labels": list(found.labels), "scores": list(found.scores)}


def _frames(frames: Sequence[str], encoders: StepEncoders) -> NDArray[np.uint8]:
    height, width = encoders.size or (1, 1)
    read = []
    for number, frame in enumerate(frames):
        name = f"frames[{number}]"
        with within_limits():
            pixels = decode_image(decoded_base64(frame, name), name, encoders.channels)
        read.append(resize(with_channels(pixels, encoders.channels), height, width))
    return np.stack(read) if read else np.zeros((0, height, width, encoders.channels), np.uint8)
