"""Clips over HTTP: a video; for a stream its frames, each an image."""

from __future__ import annotations

import io
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from unrolled.data.images.files import decode_image
from unrolled.data.video.files import VideoLimits, read_video
from unrolled.errors import ArgumentError
from unrolled.tasks.core.api import Bounds, InputApi, Message, Push, TooLarge
from unrolled.tasks.core.model import AnyModel
from unrolled.tasks.core.payloads import Base64, decoded_base64, within_limits
from unrolled.tasks.inputs.frames.encode import FramesInput
from unrolled.tasks.inputs.frames.options import FramesOptions
from unrolled.tasks.inputs.image.api import PIXEL, checked_size
from unrolled.tasks.inputs.series.arrays import Decoded
from unrolled.types import Json

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

VIDEO = Field(description="a video: MP4, MOV, WebM, Matroska, AVI, MPEG or Ogg")
IMAGE_FILES = Field(description="a PNG, JPEG, GIF, BMP or WebP file for each step")


class ClipInput(Message):
    """A clip."""

    clip: Base64 = VIDEO


class FramesPush(Push):
    """More frames."""

    frames: list[Base64] = IMAGE_FILES


class Api(InputApi):
    """A clip; for a stream, more of its frames."""

    Input: ClassVar[type[BaseModel]] = ClipInput
    media = (
        "video/mp4", "video/quicktime", "video/webm", "video/x-matroska", "video/matroska", "video/x-msvideo",
        "video/avi", "video/mpeg", "video/mp2t", "video/ogg",
    )  # fmt: skip
    Push: ClassVar[type[Push] | None] = FramesPush
    example: ClassVar[Json] = {"inputs": [{"clip": CLIP}]}
    push_example: ClassVar[Json] = {"frames": [PIXEL]}

    def read(self, model: AnyModel, given: Any, bounds: Bounds) -> Decoded:
        """Return its frames, as the network reads them."""
        return self.raw(model, decoded_base64(given.clip, "clip"), "", bounds)

    def raw(self, model: AnyModel, data: bytes, content_type: str, bounds: Bounds) -> Decoded:
        """Return the frames of a body that is a video."""
        source = frames_of(model)
        height, width = source.size
        frames = min(bounds.frames, MOST_BYTES // (height * width * source.channels))
        limits = VideoLimits(bounds.pixels, bounds.seconds, frames, IMAGES * bounds.pixels)
        with within_limits():
            footage = read_video(
                io.BytesIO(data),
                name="clip",
                rate=FramesOptions.of(model.options).rate,
                size=source.size,
                channels=source.channels,
                limits=limits,
            )
        return Decoded(footage.frames, footage.rate)

    def check(self, push: Any, bounds: Bounds) -> None:
        """Check that there are no more frames and pixels than a clip may have."""
        if len(push.frames) > bounds.frames:
            raise TooLarge(f"frames: {len(push.frames):,}, and at most {bounds.frames:,} are read in one")
        total = 0
        for number, frame in enumerate(push.frames):
            total += checked_size(decoded_base64(frame, f"frames[{number}]"), bounds, f"frames[{number}]")
            if total > IMAGES * bounds.pixels:
                raise TooLarge(f"frames: more than {IMAGES * bounds.pixels:,} pixels in {number + 1} frames")

    def piece(self, model: AnyModel, push: Any) -> NDArray[np.uint8]:
        """Return the frames, (n, H, W, C)."""
        source = frames_of(model)
        read = []
        for number, frame in enumerate(push.frames):
            name = f"frames[{number}]"
            with within_limits():
                read.append(decode_image(decoded_base64(frame, name), name, source.channels))
        whole = [source.array(pixels[None]) for pixels in read]
        return np.concatenate(whole) if whole else np.zeros((0, *source.size, source.channels), np.uint8)


def frames_of(model: AnyModel) -> FramesInput:
    """Return what a model of frames reads.

    Raises:
        ArgumentError: it reads features.
    """
    if not isinstance(model.input, FramesInput):
        raise ArgumentError("input: the model reads features, found frames")
    return model.input
