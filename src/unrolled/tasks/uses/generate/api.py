"""`generate` on the wire: suggestions for texts, streams of people who type, and text written on from a prompt."""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, Field

from unrolled.decoding import SamplingOptions, Suggestion, choose
from unrolled.errors import UnrolledError
from unrolled.networks import SyncedNetwork
from unrolled.tasks.core.api import CEILINGS, Bounds, Message
from unrolled.tasks.core.model import Model
from unrolled.tasks.inputs.text.api import Suggested, TextPush, TextWire, check_text, rewound
from unrolled.tasks.inputs.text.editing import Rewritable
from unrolled.tasks.outputs.next.session import TextSession
from unrolled.tasks.outputs.next.streams import Searched, push_together, suggest_together


class Completed(BaseModel):
    """What a model suggests after a text."""

    typed: str
    shown: str | None = Field(description="the suggestion above the threshold")
    threshold: float | None = Field(description="nats a token")
    suggestions: list[Suggested] = Field(description="all that was found, best score first")


class TypedPush(TextPush):
    """More of a text that somebody types, and what is wanted after it."""

    suggest: bool = Field(True, description="whether suggestions are wanted")
    threshold: float | None = Field(None, le=0, description="nats a token below which nothing is shown [as fitted]")
    max_words: int | None = Field(None, ge=1, le=20, description="words in a suggestion, at most [as fitted]")
    n: int = Field(3, ge=1, le=CEILINGS["n"], description="suggestions of each length")


class Beginning(Message):
    """What to write on from, and how."""

    prompt: str
    max_tokens: int = Field(400, ge=1, le=CEILINGS["max_tokens"], description="length, at most")
    seed: int = Field(0, ge=0, lt=2**63, description="the same seed writes the same text")
    stop: tuple[Annotated[str, Field(min_length=1, max_length=200)], ...] = Field(
        (), max_length=8, description="the text ends before any of these"
    )
    temperature: float = Field(1.0, ge=0, le=100, description="below 1 more careful, above 1 wilder; 0 the likeliest")
    top_k: int | None = Field(None, ge=1, description="draw from the k likeliest tokens")
    top_p: float | None = Field(None, gt=0, le=1, description="draw from the likeliest of this probability")
    min_p: float | None = Field(None, ge=0, le=1, description="leave out what is less likely than this share")
    repetition_penalty: float | None = Field(None, gt=0, le=100, description="above 1: repeat less")
    frequency_penalty: float | None = Field(None, description="nats off for each time a token was used")
    presence_penalty: float | None = Field(None, description="nats off if a token was used")
    no_repeat_ngram: int | None = Field(None, ge=1, le=256, description="do not write the same n tokens twice")


class Typed(BaseModel):
    """After a push."""

    length: int = Field(description="characters read so far")
    shown: Suggested | None = Field(description="the suggestion above the threshold")
    threshold: float | None = Field(description="nats a token")
    suggestions: list[Suggested]


class TypedText(Rewritable):
    """A stream of a `generate` model whose text may be edited."""

    session: TextSession

    def suggested(self, found: list[Suggestion], push: TypedPush) -> dict[str, Any]:
        """The answer to a push."""
        limit = self.session.model.fitted.get("threshold") if push.threshold is None else push.threshold
        shown = None if limit is None else choose(found, limit)
        return {
            "length": len(self.text),
            "shown": None if shown is None else shown.as_json(),
            "threshold": limit,
            "suggestions": [one.as_json() for one in found],
        }


class GenerateWire(TextWire):
    """Texts that are completed."""

    view: ClassVar[Any] = "write"
    Output = Completed
    Push = TypedPush
    Pushed = Typed
    Prompt = Beginning
    example: ClassVar[dict[str, Any]] = {"inputs": ["Thank you for yo"], "options": {"n": 1}}
    push_example: ClassVar[dict[str, Any]] = {"text": "Thank you for yo"}

    def open(self, model: Model) -> TypedText:
        """A text in progress."""
        return TypedText(model.stream())

    def write(self, model: Model, asked: Beginning, bounds: Bounds) -> Iterator[str]:
        """What `TextSession.generate` writes after the prompt."""
        check_text(asked.prompt, bounds)
        plain = ("prompt", "max_tokens", "seed", "stop")
        shaping = {k: v for k, v in asked.model_dump(exclude_none=True).items() if k not in plain}
        session: TextSession = model.stream().push(asked.prompt)
        options = SamplingOptions(**shaping)
        return session.generate(asked.max_tokens, options=options, seed=asked.seed, stop=asked.stop)

    def push(self, model: Model, pairs: Sequence[tuple[TypedText, TypedPush]]) -> list[Any]:
        """Read what each was told, all in the same steps; then complete, alike ones in one search."""
        texts = rewound(pairs)
        push_together([stream.session for stream, _ in pairs], texts)
        for (stream, _), text in zip(pairs, texts, strict=True):
            stream.pushed(text)
        answers: list[Any] = [stream.suggested([], push) for stream, push in pairs]
        alike: dict[tuple[Any, ...], list[int]] = {}
        for place, (_, push) in enumerate(pairs):
            if push.suggest:
                alike.setdefault((push.max_words, push.n), []).append(place)
        last = searched(model)
        for (max_words, n), places in alike.items():
            try:
                found = suggest_together([pairs[p][0].session for p in places], n, max_words=max_words, last=last)
            except UnrolledError as error:
                for place in places:
                    answers[place] = error
                continue
            for place, suggestions in zip(places, found, strict=True):
                stream, push = pairs[place]
                answers[place] = stream.suggested(suggestions, push)
        return answers


#: for each model what its streams have searched; a model's pushes come from one thread
_SEARCHED: weakref.WeakKeyDictionary[Model, Searched] = weakref.WeakKeyDictionary()


def searched(model: Model) -> Searched | None:
    """What searches of a model's streams remember; None where its network can't."""
    if not isinstance(model.network, SyncedNetwork):
        return None
    if model not in _SEARCHED:
        _SEARCHED[model] = Searched(model.network)
    return _SEARCHED[model]
