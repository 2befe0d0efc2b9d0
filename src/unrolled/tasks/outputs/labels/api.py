"""How labels of steps are answered over HTTP, and for a stream as its steps come."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import BaseModel, Field

from unrolled.tasks.core.api import OutputApi
from unrolled.tasks.core.model import AnyModel
from unrolled.tasks.outputs.labels.results import LabelledStep
from unrolled.types import Json


class LabelledPush(BaseModel):
    """The labels of what was pushed."""

    steps: list[LabelledStep] = Field(description="what was read, the last one as if the input ended here")


class Api(OutputApi):
    """A label for each step."""

    Said: ClassVar[type[BaseModel] | None] = LabelledPush

    def labels(self, model: AnyModel) -> list[str]:
        """Return all labels."""
        return list(model.output.labels)

    def said(self, model: AnyModel, pushed: Any, session: Any) -> Json:
        """Return the steps with their labels."""
        return {"steps": [step.as_json() for step in pushed]}
