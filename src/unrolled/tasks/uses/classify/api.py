"""How `classify` is spoken to: the steps of a text are its words."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import BaseModel, Field

from unrolled.tasks.core import api
from unrolled.tasks.core.model import AnyModel
from unrolled.tasks.inputs.text.api import Api as TextApi
from unrolled.tasks.outputs.label.api import Api as LabelApi
from unrolled.tasks.outputs.label.results import Judgement, judged
from unrolled.tasks.uses.classify.results import AfterWord
from unrolled.types import Json


class JudgedWords(BaseModel):
    """The model's decision after what was typed."""

    words: list[AfterWord] = Field(description="the last one as if the text ended here")
    prediction: Judgement


class Api(TextApi, LabelApi, api.Api):
    """Texts in, labels out."""

    Said: ClassVar[type[BaseModel] | None] = JudgedWords
    example: ClassVar[Json] = {"inputs": ["A film so good that I saw it twice."], "options": {"words": True}}

    def said(self, model: AnyModel, pushed: Any, session: Any) -> Json:
        """Return what the model thinks after each word, and of all of it."""
        return {"words": [word.as_json() for word in pushed], "prediction": judged(session.probabilities())}
