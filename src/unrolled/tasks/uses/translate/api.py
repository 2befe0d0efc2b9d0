"""`translate` on the wire: a sentence and its translation, with what each token of it looked at."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

from pydantic import BaseModel, Field

from unrolled.tasks.core.api import Bounds
from unrolled.tasks.core.model import Model
from unrolled.tasks.inputs.text.api import Probability, TextWire, check_text

#: characters of a sentence: its attention is a number for each token of both sides, and memory grows with their product
LONGEST = 1_000


class TranslationCandidate(BaseModel):
    """One translation among several."""

    text: str
    log_prob: float = Field(description="of its tokens, the end included, nats")
    score: float = Field(description="log_prob divided by the length penalty, plus the coverage penalty")


class TranslatedText(BaseModel):
    """A sentence and its translation."""

    source: str
    text: str = Field(description="the translation; empty for a blank sentence")
    log_prob: float = Field(description="of its tokens, the end included, nats")
    score: float = Field(description="what it was chosen by, nats")
    candidates: list[TranslationCandidate] = Field(description="n_best, the best first; fewer where texts were equal")
    source_tokens: list[str] = Field(description="what the sentence was cut into, </s> last")
    target_tokens: list[str] = Field(description="what the translation was written in, </s> last")
    attention: list[list[Probability]] = Field(
        description="for each token of the translation its weights on those of the sentence, which sum to 1"
    )


class TranslateWire(TextWire):
    """Sentences in, translations out. A translator reads all of a sentence before it writes, so it has no streams."""

    view = "translate"
    Output = TranslatedText
    # as for `classify`
    together = False
    example: ClassVar = {"inputs": ["Ein Hund rennt durch den Park."], "options": {"n_best": 3}}

    def read(self, model: Model, given: Any, bounds: Bounds) -> str:
        """The sentence."""
        return check_text(given.root, _shorter(bounds))

    def raw(self, model: Model, data: bytes, content_type: str, bounds: Bounds) -> str:
        """A body of UTF-8."""
        return super().raw(model, data, content_type, _shorter(bounds))


def _shorter(bounds: Bounds) -> Bounds:
    return replace(bounds, characters=min(bounds.characters, LONGEST))
