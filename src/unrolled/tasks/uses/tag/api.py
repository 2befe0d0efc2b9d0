"""`tag` on the wire: the entities or labels of a text, and for a stream those of its tokens as they come."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import BaseModel, Field

from unrolled.tasks.core.model import Model
from unrolled.tasks.inputs.text.api import EditedTextWire, Probability, TextPush, rewound
from unrolled.tasks.inputs.text.editing import Rewritable


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


class TagWire(EditedTextWire):
    """Texts in, entities out."""

    view = "entities"
    Output = TaggedText
    Pushed = TaggedPush
    # as for `classify`
    together = False
    example: ClassVar = {"inputs": ["Ada Lovelace lived in London."]}
    push_example: ClassVar = {"text": "Ada Lovelace lived "}

    def labels(self, model: Model) -> list[str]:
        """The types of entities; or the labels, where they are of no entities."""
        return list(model.encoders.types)

    def pushed(self, stream: Rewritable, given: TextPush) -> dict[str, Any]:
        """The labels of the tokens that are new, or read anew."""
        [fresh] = rewound([(stream, given)])
        since = stream.session.settled
        tokens = stream.session.push(fresh)
        stream.pushed(fresh)
        tokens = [*tokens, *stream.session.fork().finish()]
        return {"length": len(stream.text), "since": since, "tokens": [token.as_json() for token in tokens]}
