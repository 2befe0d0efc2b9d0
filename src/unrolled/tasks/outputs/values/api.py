"""How numbers for each step are answered over HTTP, and for a stream as its steps come."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from pydantic import BaseModel, Field

from unrolled.tasks.core.api import OutputApi
from unrolled.tasks.core.model import AnyModel
from unrolled.types import Json


class AnsweredPush(BaseModel):
    """What is known after what was pushed."""

    values: list[list[float]] = Field(description="for each step that is answered now, one of each name")


class Api(OutputApi):
    """Numbers for each step."""

    Said: ClassVar[type[BaseModel] | None] = AnsweredPush

    def labels(self, model: AnyModel) -> list[str]:
        """Return the names of the numbers."""
        return list(model.output.names)

    def said(self, model: AnyModel, pushed: Any, session: Any) -> Json:
        """Return the numbers of the steps that are answered now; the middle ones of quantiles."""
        values = np.asarray(pushed, np.float64)
        return {"values": (values if values.ndim == 2 else values[..., model.output.middle]).tolist()}
