"""How `tag` is spoken to: the steps of a text are its tokens."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import BaseModel, Field

from unrolled.tasks.core import api
from unrolled.tasks.core.model import AnyModel
from unrolled.tasks.inputs.words.api import Api as WordsApi
from unrolled.tasks.outputs.labels.api import Api as LabelsApi
from unrolled.tasks.outputs.labels.results import LabelledStep
from unrolled.types import Json


class TaggedPush(BaseModel):
    """The labels of what was typed."""

    tokens: list[LabelledStep] = Field(description="the last one as if the text ended here")


class Api(WordsApi, LabelsApi, api.Api):
    """Texts in, entities out."""

    Said: ClassVar[type[BaseModel] | None] = TaggedPush

    def labels(self, model: AnyModel) -> list[str]:
        """Return the types of entities; or the labels, where they are of no entities."""
        return list(model.output.types)

    def said(self, model: AnyModel, pushed: Any, session: Any) -> Json:
        """Return the tokens with their labels."""
        return {"tokens": [token.as_json() for token in pushed]}
