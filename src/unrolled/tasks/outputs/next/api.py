"""How a language model answers over HTTP: suggestions for a text and after each push, and texts written on."""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Sequence
from typing import Annotated, ClassVar

from pydantic import BaseModel, Field

from unrolled.decoding import Suggestion, choose
from unrolled.errors import UnrolledError
from unrolled.networks import SyncedNetwork
from unrolled.tasks.core.api import CEILINGS, Bounds, Message, OutputApi
from unrolled.tasks.core.model import AnyModel
from unrolled.tasks.outputs.next.decode import shaping
from unrolled.tasks.outputs.next.options import Writing
from unrolled.tasks.outputs.next.predictor import asked_with
from unrolled.tasks.outputs.next.results import Suggested
from unrolled.tasks.outputs.next.session import TextSession
from unrolled.tasks.outputs.next.streams import Searched, suggest_together
from unrolled.types import Json


class Wanted(Message):
    """Which suggestions are wanted after a push."""

    suggest: bool = Field(True, description="whether suggestions are wanted")
    threshold: float | None = Field(None, le=0, description="nats a token below which nothing is shown [as fitted]")
    max_words: int | None = Field(None, ge=1, le=20, description="words in a suggestion, at most [as fitted]")
    n: int = Field(3, ge=1, le=CEILINGS["n"], description="suggestions of each length")


class Beginning(Message):
    """The beginning of a text to write on from, and how."""

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
    ngram: int | None = Field(None, ge=0, le=12, description="0 leaves out the n-gram that is mixed in")


class SuggestedPush(BaseModel):
    """The suggestions after what was typed."""

    shown: Suggested | None = Field(description="the suggestion above the threshold")
    threshold: float | None = Field(description="nats a token")
    suggestions: list[Suggested]


class Api(OutputApi):
    """The next words. A search costs little more for many texts than for one, and says the same of each."""

    Said: ClassVar[type[BaseModel] | None] = SuggestedPush
    together: ClassVar[bool] = True
    Prompt: ClassVar[type[BaseModel] | None] = Beginning

    def write(self, model: AnyModel, asked: Beginning, bounds: Bounds) -> Iterator[str]:
        """Yield what `TextSession.generate` writes after the prompt."""
        options = Writing.picked(asked.model_dump())
        session = TextSession(asked_with(model, options.ngram, options.adapt)).push(asked.prompt)
        return session.generate(asked.max_tokens, options=shaping(options), seed=asked.seed, stop=asked.stop)

    def suggested(self, session: TextSession, suggestions: list[Suggestion], wanted: Wanted) -> Json:
        """Return the answer to a push, of these suggestions."""
        limit = session.model.fitted.get("threshold") if wanted.threshold is None else wanted.threshold
        shown = None if limit is None else choose(suggestions, limit)
        return {
            "shown": None if shown is None else shown.as_json(),
            "threshold": limit,
            "suggestions": [suggestion.as_json() for suggestion in suggestions],
        }

    def suggest(self, model: AnyModel, pairs: Sequence[tuple[TextSession, Wanted]]) -> list[Json | UnrolledError]:
        """Complete several texts, alike ones in one search; returns an answer for each, or the error it ran into."""
        answers: list[Json | UnrolledError] = [self.suggested(session, [], wanted) for session, wanted in pairs]
        alike: dict[tuple[int | None, int], list[int]] = {}
        for place, (_, wanted) in enumerate(pairs):
            if wanted.suggest:
                alike.setdefault((wanted.max_words, wanted.n), []).append(place)
        last = searched(model)
        for (max_words, n), places in alike.items():
            sessions = [pairs[place][0] for place in places]
            try:
                results = suggest_together(sessions, n, max_words=max_words, last=last)
            except UnrolledError as error:
                for place in places:
                    answers[place] = error
                continue
            for place, suggestions in zip(places, results, strict=True):
                session, wanted = pairs[place]
                answers[place] = self.suggested(session, suggestions, wanted)
        return answers


#: for each model what its streams have searched; a model's pushes come from one thread
_SEARCHED: weakref.WeakKeyDictionary[AnyModel, Searched] = weakref.WeakKeyDictionary()


def searched(model: AnyModel) -> Searched | None:
    """Return what searches of a model's streams remember; None where its network can't, or where streams learn."""
    if not isinstance(model.network, SyncedNetwork) or model.output.adapt is not None:
        return None
    if model not in _SEARCHED:
        _SEARCHED[model] = Searched(model)
    return _SEARCHED[model]
