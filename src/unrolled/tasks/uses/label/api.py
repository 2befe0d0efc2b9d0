"""How `label` is spoken to: a clip or rows of features in, the labels of their steps out."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import BaseModel, Field, model_validator

from unrolled.tasks.core import api
from unrolled.tasks.core.api import Bounds, InputApi, Message, Push
from unrolled.tasks.core.model import AnyModel
from unrolled.tasks.core.payloads import Base64, Matrix
from unrolled.tasks.inputs.frames.api import Api as FramesApi
from unrolled.tasks.inputs.frames.encode import FramesInput
from unrolled.tasks.inputs.series.api import Api as RowsApi
from unrolled.tasks.inputs.series.arrays import Decoded
from unrolled.tasks.outputs.labels.api import Api as LabelsApi
from unrolled.tasks.outputs.labels.results import Probability
from unrolled.types import Json

FRAMES, ROWS = FramesApi(), RowsApi()


class ClipOrRows(Message):
    """A clip, or rows of features."""

    clip: Base64 | None = Field(None, description="a video: MP4, MOV, WebM, Matroska, AVI, MPEG or Ogg")
    features: Matrix | None = Field(None, description="a row for each step")

    @model_validator(mode="after")
    def _one(self) -> ClipOrRows:
        if (self.clip is None) == (self.features is None):
            raise ValueError("expected either clip or features")
        return self


class StepPush(Push):
    """More steps."""

    features: Matrix | None = Field(None, description="a row for each step")
    frames: list[Base64] | None = Field(None, description="a PNG, JPEG, GIF, BMP or WebP file for each step")

    @model_validator(mode="after")
    def _one(self) -> StepPush:
        if (self.features is None) == (self.frames is None):
            raise ValueError("expected either features or frames")
        return self


class LabelledSteps(BaseModel):
    """The labels of the steps that were pushed."""

    labels: list[str] = Field(description="one a step of this push")
    scores: list[Probability] = Field(description="of each of them")


class Api(LabelsApi, api.Api):
    """Clips or rows in, labels out: what is read is for the half whose it is."""

    Input: ClassVar[type[BaseModel]] = ClipOrRows
    media = FramesApi.media
    Push: ClassVar[type[Push] | None] = StepPush
    Said: ClassVar[type[BaseModel] | None] = LabelledSteps
    example: ClassVar[Json] = RowsApi.example
    push_example: ClassVar[Json] = FramesApi.push_example

    def example_of(self, model: AnyModel) -> Json:
        """Return a clip, or as many features as the model reads."""
        return _half(model).example_of(model)

    def push_example_of(self, model: AnyModel) -> Json:
        """Return a frame, or as many features as the model reads."""
        return _half(model).push_example_of(model)

    def columns(self, model: AnyModel) -> list[str]:
        """Return the columns of the tables that the model learned from."""
        return _half(model).columns(model)

    def read(self, model: AnyModel, given: Any, bounds: Bounds) -> Decoded:
        """Return its steps, as the network reads them."""
        steps: Decoded = (ROWS if given.clip is None else FRAMES).read(model, given, bounds)
        return steps

    def raw(self, model: AnyModel, data: bytes, content_type: str, bounds: Bounds) -> Decoded:
        """Return the frames of a body that is a video."""
        return FRAMES.raw(model, data, content_type, bounds)

    def check(self, push: Any, bounds: Bounds) -> None:
        """Check that there are no more rows, frames and pixels than a clip may have."""
        (ROWS if push.frames is None else FRAMES).check(push, bounds)

    def piece(self, model: AnyModel, push: Any) -> Any:
        """Return the steps that were pushed."""
        return (ROWS if push.frames is None else FRAMES).piece(model, push)

    def said(self, model: AnyModel, pushed: Any, session: Any) -> Json:
        """Return the labels of these steps."""
        return {"labels": list(pushed.labels), "scores": list(pushed.scores)}


def _half(model: AnyModel) -> InputApi:
    return FRAMES if isinstance(model.input, FramesInput) else ROWS
