"""What `predict` returns for text: objects that print well and turn into JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from unrolled.decoding import Suggestion


@dataclass(frozen=True)
class GeneratedText:
    """A text that a model wrote.

    Attributes:
        prompt: what it was given.
        text: what it wrote after it.
        seed: of this text.
    """

    prompt: str
    text: str
    seed: int

    def __str__(self) -> str:
        return self.prompt + self.text

    def as_json(self) -> dict[str, Any]:
        """As one JSON object."""
        return {"prompt": self.prompt, "text": self.text, "seed": self.seed}


@dataclass(frozen=True)
class Completion:
    """What a model suggests after a text.

    Attributes:
        typed: the text.
        shown: the suggestion above the threshold, or None.
        threshold: nats per token.
        suggestions: all that was found, best score first.
    """

    typed: str
    shown: Suggestion | None
    threshold: float | None
    suggestions: tuple[Suggestion, ...]

    def __str__(self) -> str:
        return self.typed if self.shown is None else self.typed + self.shown.text

    def as_json(self) -> dict[str, Any]:
        """As one JSON object; log-probabilities in nats, scores in nats per token."""
        return {
            "typed": self.typed,
            "shown": None if self.shown is None else self.shown.text,
            "threshold": self.threshold,
            "suggestions": [s.as_json() for s in self.suggestions],
        }
