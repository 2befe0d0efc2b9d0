"""How a label is answered over HTTP, and for a stream after each step."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import BaseModel, Field

from unrolled.tasks.core.api import OutputApi
from unrolled.tasks.core.model import AnyModel
from unrolled.tasks.outputs.label.results import AfterStep, Judgement, judged
from unrolled.types import Json


class JudgedPush(BaseModel):
    """The model's decision after what was pushed."""

    steps: list[AfterStep] = Field(description="what the model thinks after each step that was read")
    prediction: Judgement = Field(description="if the input ended here")


class Api(OutputApi):
    """A label."""

    Said: ClassVar[type[BaseModel] | None] = JudgedPush

    def labels(self, model: AnyModel) -> list[str]:
        """Return the classes."""
        return list(model.output.labels)

    def said(self, model: AnyModel, pushed: Any, session: Any) -> Json:
        """Return what the model thinks after each step, and of all of it."""
        return {"steps": [step.as_json() for step in pushed], "prediction": judged(session.probabilities())}
