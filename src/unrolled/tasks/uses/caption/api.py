"""How `caption` is spoken to: an image, or features of one; and the shape of the grid that was looked at."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import BaseModel, Field, model_validator

from unrolled.errors import ArgumentError
from unrolled.tasks.core import api
from unrolled.tasks.core.api import Bounds, Message
from unrolled.tasks.core.model import AnyModel
from unrolled.tasks.core.payloads import Base64, Matrix, matrix, require_finite
from unrolled.tasks.core.results import result_type
from unrolled.tasks.inputs.image.api import PIXEL
from unrolled.tasks.inputs.image.api import Api as ImageApi
from unrolled.tasks.outputs.text.attention.api import Api as AttentionApi
from unrolled.tasks.uses.caption.results import CaptionedPrediction
from unrolled.types import Json


class CaptionInput(Message):
    """An image, or features of one for a model that reads these."""

    image: Base64 | None = Field(None, description="a PNG, JPEG, GIF (its first frame), BMP or WebP file")
    features: Matrix | None = Field(None, description="a row for each position of the image")

    @model_validator(mode="after")
    def _one(self) -> CaptionInput:
        if (self.image is None) == (self.features is None):
            raise ValueError("expected either image or features")
        return self


class CaptionsOfImage(CaptionedPrediction):
    """Sentences about an image."""

    grid: tuple[int, int] = Field(description="rows and columns of the positions that the network looks at")


class Api(ImageApi, AttentionApi, api.Api):
    """Images in, sentences out."""

    Input: ClassVar[type[BaseModel]] = CaptionInput
    Push: ClassVar[type[api.Push] | None] = None
    example: ClassVar[Json] = {"inputs": [{"image": PIXEL}], "options": {"n": 2}}

    @property
    def Output(self) -> type[BaseModel]:
        """A prediction, and the grid."""
        return result_type(self.use.input.Shown, CaptionsOfImage)

    def read(self, model: AnyModel, given: Any, bounds: Bounds) -> Any:
        """Return pixels, or features."""
        wanted, sent = ("an image" if is_image else "features" for is_image in (model.input.is_image, given.image))
        if wanted != sent:
            raise ArgumentError(f"input: the model reads {wanted}, found {sent}")
        if given.image is None:
            return matrix(given.features, "features", bounds).astype("float32")
        return super().read(model, given, bounds)

    def raw(self, model: AnyModel, data: bytes, content_type: str, bounds: Bounds) -> Any:
        """Return the pixels of a body that is an image file."""
        if not model.input.is_image:
            raise ArgumentError("input: the model reads features, found an image; send them as JSON")
        return super().raw(model, data, content_type, bounds)

    def answer(self, model: AnyModel, prediction: Any, given: Any) -> Json:
        """Return the prediction with the shape of the grid."""
        require_finite((caption.log_prob for caption in prediction.captions), "features")
        grid = prediction.captions[0].attention.shape[1:]
        return {**super().answer(model, prediction, given), "grid": list(grid)}
