"""`tag` on the wire: the entities or labels of a text, and for a stream those of its tokens as they come."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from pydantic import BaseModel, Field

from unrolled.tasks.model import Model
from unrolled.tasks.wires.base import one_by_one
from unrolled.tasks.wires.rewriting import Rewritable
from unrolled.tasks.wires.text import Probability, TextPush, TextWire, rewound


class LabelledToken(BaseModel):
    """A token and its label."""

    text: str
    start: int = Field(description="characters of the text before it")
    end: int = Field(description="characters of the text up to its end")
    label: str = Field(description="BIOES for entities")
    score: Probability = Field(description="of this label, given all that was read")


class FoundEntity(BaseModel):
    """An entity."""

    text: str
    start: int = Field(description="characters of the text before it")
    end: int = Field(description="characters of the text up to its end")
    label: str = Field(description="its type")
    score: Probability = Field(description="that there is an entity of this type, from its first token to its last")
    first: int = Field(description="the number of its first token, from 0")
    last: int = Field(description="the number of its last token")


class TagReading(BaseModel):
    """One of the most probable readings of a sentence."""

    labels: list[str] = Field(description="one a token")
    score: Probability = Field(description="of all of them together")


class TaggedText(BaseModel):
    """A text and what was found in it."""

    text: str
    entities: list[FoundEntity] = Field(description="in order; none for labels that are not of entities")
    tokens: list[LabelledToken]
    alternatives: list[TagReading] = Field(description="n_best of them, the best first; of a chain model's sentence")


class TaggedPush(BaseModel):
    """The labels of what was typed."""

    length: int = Field(description="characters of the whole text")
    since: int = Field(description="the tokens of this answer replace all that begin at this character or later")
    tokens: list[LabelledToken] = Field(description="the last one as if the text ended here")


class TagWire(TextWire):
    """Texts in, entities out."""

    view = "entities"
    Output = TaggedText
    Push = TextPush
    Pushed = TaggedPush
    # as for `classify`
    together = False
    example: ClassVar = {"inputs": ["Ada Lovelace lived in London."]}
    push_example: ClassVar = {"text": "Ada Lovelace lived "}

    def open(self, model: Model) -> Rewritable:
        """A session that can be edited."""
        return Rewritable(model.stream())

    def push(self, model: Model, pairs: Sequence[tuple[Rewritable, TextPush]]) -> list[Any]:
        """Read on, or anew from what has changed."""
        return one_by_one(pairs, _pushed)


def _pushed(stream: Rewritable, given: TextPush) -> dict[str, Any]:
    [fresh] = rewound([(stream, given)])
    since = stream.session.settled
    tokens = stream.session.push(fresh)
    stream.pushed(fresh)
    tokens = [*tokens, *stream.session.fork().finish()]
    return {"length": len(stream.text), "since": since, "tokens": [token.as_json() for token in tokens]}
