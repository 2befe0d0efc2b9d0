"""`caption` on the wire: sentences about an image, and where the network looked as it wrote each word."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import BaseModel, Field, model_validator

from unrolled.errors import ArgumentError
from unrolled.tasks.core.api import Bounds, Message
from unrolled.tasks.core.model import Model
from unrolled.tasks.core.payloads import Base64, Matrix, decoded_base64, matrix, require_finite
from unrolled.tasks.inputs.image.api import PIXEL, ImageWire, read_image
from unrolled.tasks.inputs.text.api import Probability


class CaptionInput(Message):
    """An image, or features of one for a model that reads these."""

    image: Base64 | None = Field(None, description="a PNG, JPEG, GIF (its first frame), BMP or WebP file")
    features: Matrix | None = Field(None, description="a row for each position of the image")

    @model_validator(mode="after")
    def _one(self) -> CaptionInput:
        if (self.image is None) == (self.features is None):
            raise ValueError("expected either image or features")
        return self


class ImageCaption(BaseModel):
    """One sentence about an image."""

    text: str
    words: list[str]
    log_prob: float = Field(description="of the sentence given the image, its end included, nats")
    score: float = Field(description="log_prob divided by the length penalty")
    attention: list[list[list[Probability]]] = Field(
        description="for each word a weight on each position of the grid, rows of columns; they sum to 1"
    )


class CaptionedImage(BaseModel):
    """Sentences about an image."""

    image: str = Field(description="what it is called")
    captions: list[ImageCaption] = Field(description="the best first")
    grid: tuple[int, int] = Field(description="rows and columns of the positions that the network looks at")


class CaptionWire(ImageWire):
    """Images in, sentences out."""

    view = "caption"
    Input = CaptionInput
    Output = CaptionedImage
    example: ClassVar = {"inputs": [{"image": PIXEL}], "options": {"n": 2}}

    def read(self, model: Model, given: Any, bounds: Bounds) -> Any:
        """Pixels, or features."""
        of_features = model.encoders.format is None
        if of_features != (given.image is None):
            wanted, found = ("features", "an image") if of_features else ("an image", "features")
            raise ArgumentError(f"input: the model reads {wanted}, found {found}")
        if given.image is None:
            return matrix(given.features, "features", bounds).astype("float32")
        return read_image(decoded_base64(given.image, "image"), bounds)

    def raw(self, model: Model, data: bytes, content_type: str, bounds: Bounds) -> Any:
        """A body that is an image file."""
        if model.encoders.format is None:
            raise ArgumentError("input: the model reads features, found an image; send them as JSON")
        return super().raw(model, data, content_type, bounds)

    def answer(self, model: Model, prediction: Any, given: Any) -> dict[str, Any]:
        """With the shape of the grid."""
        found = super().answer(model, prediction, given)
        require_finite((caption.log_prob for caption in prediction.captions), "features")
        return {**found, "grid": list(prediction.captions[0].attention.shape[1:])}
