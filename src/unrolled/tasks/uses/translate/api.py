"""How `translate` is spoken to: a sentence has a bound of its own, and there are no streams."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

from unrolled.tasks.core import api
from unrolled.tasks.core.api import Bounds
from unrolled.tasks.core.model import AnyModel
from unrolled.tasks.inputs.text.api import Api as TextApi
from unrolled.tasks.outputs.text.attention.api import Api as AttentionApi
from unrolled.types import Json

#: characters of a sentence: its attention is a number for each token of both sides, and memory grows with their product
LONGEST = 1_000


class Api(TextApi, AttentionApi, api.Api):
    """Sentences in, translations out."""

    Push: ClassVar[type[api.Push] | None] = None
    example: ClassVar[Json] = {"inputs": ["Ein Hund rennt durch den Park."], "options": {"n_best": 3}}

    def read(self, model: AnyModel, given: Any, bounds: Bounds) -> str:
        """Return the sentence."""
        return super().read(model, given, _shorter(bounds))

    def raw(self, model: AnyModel, data: bytes, content_type: str, bounds: Bounds) -> str:
        """Return a body of UTF-8."""
        return super().raw(model, data, content_type, _shorter(bounds))


def _shorter(bounds: Bounds) -> Bounds:
    return replace(bounds, characters=min(bounds.characters, LONGEST))
