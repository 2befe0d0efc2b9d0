"""`classify` on the wire: a label for a text, and for a stream one after each word."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import BaseModel, Field

from unrolled.tasks.core.model import Model
from unrolled.tasks.inputs.text.api import EditedTextWire, Probability, TextPush, rewound
from unrolled.tasks.inputs.text.editing import Rewritable


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


class ClassifyWire(EditedTextWire):
    """Texts in, labels out."""

    view = "feeling"
    Output = ClassifiedText
    Pushed = ClassifiedPush
    # matrices of other heights are multiplied in another order: the last bits depend on what stands beside a text
    together = False
    example: ClassVar = {"inputs": ["A film so good that I saw it twice."], "options": {"words": True}}
    push_example: ClassVar = {"text": "A film so "}

    def labels(self, model: Model) -> list[str]:
        """The classes."""
        return list(model.encoders.labels)

    def pushed(self, stream: Rewritable, given: TextPush) -> dict[str, Any]:
        """What the model thinks after each word that is new, or read anew."""
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
