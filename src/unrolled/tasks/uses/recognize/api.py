"""How `recognize` is spoken to: a push of rows is answered by the probabilities alone."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import BaseModel, Field

from unrolled.tasks.core import api
from unrolled.tasks.core.model import AnyModel
from unrolled.tasks.inputs.image.api import Api as ImageApi
from unrolled.tasks.outputs.label.api import Api as LabelApi
from unrolled.tasks.outputs.label.results import Probability
from unrolled.types import Json


class SeenSoFar(BaseModel):
    """The decision about the part of an image that has come."""

    probabilities: dict[str, Probability] = Field(description="of all classes, the most probable first; sum 1")


class Api(ImageApi, LabelApi, api.Api):
    """Images in, classes out."""

    Said: ClassVar[type[BaseModel] | None] = SeenSoFar

    def said(self, model: AnyModel, pushed: Any, session: Any) -> Json:
        """Return the probabilities."""
        return {"probabilities": session.probabilities()}
