"""`classify` on the wire: a label for a text, and for a stream one after each word."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from pydantic import BaseModel, Field

from unrolled.tasks.model import Model
from unrolled.tasks.wires.base import one_by_one
from unrolled.tasks.wires.rewriting import Rewritable
from unrolled.tasks.wires.text import Probability, TextPush, TextWire, rewound


class JudgedWord(BaseModel):
    """What the model thinks after one more word."""

    word: str
    start: int = Field(description="characters of the text before it")
    end: int = Field(description="characters of the text up to its end")
    probabilities: dict[str, Probability] = Field(description="of each label, if the text ended here")


class Judgement(BaseModel):
    """The label of a text."""

    label: str = Field(description="the most probable one")
    probability: Probability = Field(description="of that label")
    probabilities: dict[str, Probability] = Field(description="of all labels, the most probable first; their sum is 1")


class ClassifiedText(Judgement):
    """A text and its label."""

    text: str
    words: list[JudgedWord] | None = Field(None, description="with the option words, for a text that has any")


class ClassifiedPush(BaseModel):
    """What the model thinks after what was typed."""

    length: int = Field(description="characters of the whole text")
    since: int = Field(description="the words of this answer replace all that begin at this character or later")
    words: list[JudgedWord] = Field(description="the last one as if the text ended here")
    prediction: Judgement


class ClassifyWire(TextWire):
    """Texts in, labels out."""

    view = "feeling"
    Output = ClassifiedText
    Push = TextPush
    Pushed = ClassifiedPush
    # matrices of other heights are multiplied in another order: the last bits depend on what stands beside a text
    together = False
    example: ClassVar = {"inputs": ["A film so good that I saw it twice."], "options": {"words": True}}
    push_example: ClassVar = {"text": "A film so "}

    def open(self, model: Model) -> Rewritable:
        """A session that can be edited."""
        return Rewritable(model.stream())

    def push(self, model: Model, pairs: Sequence[tuple[Rewritable, TextPush]]) -> list[Any]:
        """Read on, or anew from what has changed."""
        return one_by_one(pairs, _pushed)


def _pushed(stream: Rewritable, given: TextPush) -> dict[str, Any]:
    [fresh] = rewound([(stream, given)])
    since = stream.session.settled
    words = stream.session.push(fresh)
    stream.pushed(fresh)
    ended = stream.session.fork()
    words = [*words, *ended.finish()]
    found = ended.prediction().as_json()
    del found["text"]
    return {
        "length": len(stream.text),
        "since": since,
        "words": [word.as_json() for word in words],
        "prediction": found,
    }
