"""The answers of a language model: completions of a text, and texts written on from it."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Annotated

from pydantic import Field, PlainSerializer

from unrolled.decoding import Suggestion, choose
from unrolled.tasks.core.results import Part, Result
from unrolled.types import Json


class Suggested(Part):
    """A suggestion."""

    text: str
    log_prob: float = Field(description="nats")
    score: float = Field(description="nats a token")
    words: int
    #: that spell it; left out of the JSON
    tokens: tuple[int, ...] = Field((), exclude=True, repr=False)

    @classmethod
    def of(cls, suggestion: Suggestion) -> Suggested:
        """Return a suggestion as a part of a result."""
        return cls(**vars(suggestion))


#: a suggestion whose JSON is its text
TextOfSuggestion = Annotated[
    Suggested | None, PlainSerializer(lambda shown: shown and shown.text, return_type=str | None)
]


class Completion(Result):
    """The suggestions of a model after a text."""

    typed: str = Field(description="the text")
    shown: TextOfSuggestion = Field(description="the suggestion above the threshold")
    threshold: float | None = Field(description="nats a token")
    suggestions: tuple[Suggested, ...] = Field(description="all that was found, best score first")

    @classmethod
    def of(cls, typed: str, suggestions: Sequence[Suggestion], threshold: float | None) -> Completion:
        """Return the suggestions after a text, and of them what is shown: none without a threshold."""
        shown = None if threshold is None else choose(suggestions, threshold)
        return cls(
            typed=typed,
            shown=None if shown is None else Suggested.of(shown),
            threshold=threshold,
            suggestions=tuple(map(Suggested.of, suggestions)),
        )

    def beside(self) -> Json:
        """Return what is shown, and all suggestions."""
        suggestions = [suggestion.as_json() for suggestion in self.suggestions]
        return {"completion": None if self.shown is None else self.shown.text, "suggestions": suggestions}

    def __str__(self) -> str:
        return self.typed if self.shown is None else self.typed + self.shown.text

    def _repr_html_(self) -> str:
        """Show the text with what would be suggested, paler."""
        return _continued(self.typed, "" if self.shown is None else self.shown.text)


class GeneratedText(Result):
    """A text that a model wrote."""

    prompt: str = Field(description="what it was given")
    text: str = Field(description="what it wrote after it")
    seed: int = Field(description="of this text")

    def beside(self) -> Json:
        """Return what was written."""
        return {"text": self.text}

    def __str__(self) -> str:
        return self.prompt + self.text

    def _repr_html_(self) -> str:
        """Show the text, what was written paler than what was given."""
        return _continued(self.prompt, self.text)


def _continued(given: str, written: str) -> str:
    return (
        f'<div style="white-space:pre-wrap">{html.escape(given)}'
        f'<span style="opacity:.6">{html.escape(written)}</span></div>'
    )
