"""What `tag` predicts: tokens with labels, entities with their places, and how sure the model is."""

from __future__ import annotations

import html
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class TaggedToken:
    """A token and its label.

    Attributes:
        text: its characters.
        start, end: their place in the text.
        label: BIOES for entities.
        score: the probability of this label, given the whole sentence.
    """

    text: str
    start: int
    end: int
    label: str
    score: float

    def as_json(self) -> dict[str, Any]:
        """As one JSON object."""
        return dict(vars(self))


@dataclass(frozen=True)
class TaggedEntity:
    """An entity.

    Attributes:
        text: its characters.
        start, end: their place in the text.
        label: its type.
        score: the probability that there is an entity of this type, from its first token to its last.
        first, last: its tokens, the last included.
    """

    text: str
    start: int
    end: int
    label: str
    score: float
    first: int
    last: int

    def __str__(self) -> str:
        return f"[{self.text} {self.label}]"

    def as_json(self) -> dict[str, Any]:
        """As one JSON object."""
        return dict(vars(self))


@dataclass(frozen=True)
class Alternative:
    """One of the most probable readings of a whole text.

    Attributes:
        labels: one a token.
        score: the probability of all of them together.
    """

    labels: tuple[str, ...]
    score: float

    def as_json(self) -> dict[str, Any]:
        """As one JSON object."""
        return {"labels": list(self.labels), "score": self.score}


@dataclass(frozen=True)
class Tagging:
    """A text and what the model found in it.

    Attributes:
        text: as given, or the tokens given, joined by spaces.
        tokens: with their labels.
        entities: in order; none for labels that are not of entities.
        kind: what the labels are.
        alternatives: the `n_best` readings of a single sentence, best first; none for a text of several, and for a
            model of independent labels.
    """

    text: str
    tokens: tuple[TaggedToken, ...]
    entities: tuple[TaggedEntity, ...]
    kind: Literal["entities", "labels"]
    alternatives: tuple[Alternative, ...] = ()

    @property
    def labels(self) -> tuple[str, ...]:
        """The label of each token."""
        return tuple(token.label for token in self.tokens)

    def __str__(self) -> str:
        if self.kind == "labels":
            return " ".join(f"{token.text}/{token.label}" for token in self.tokens)
        pieces, at = [], 0
        for entity in self.entities:
            pieces += [self.text[at : entity.start], str(entity)]
            at = entity.end
        return "".join([*pieces, self.text[at:]])

    def as_json(self) -> dict[str, Any]:
        """As one JSON object; scores are probabilities."""
        return {
            "text": self.text,
            "entities": [entity.as_json() for entity in self.entities],
            "tokens": [token.as_json() for token in self.tokens],
            "alternatives": [one.as_json() for one in self.alternatives],
        }

    def _repr_html_(self) -> str:
        """The text with its entities marked, for a notebook."""
        parts: list[str] = []
        at = 0
        marks = self.entities if self.kind == "entities" else self.tokens
        for mark in marks:
            parts.append(html.escape(self.text[at : mark.start]))
            label = html.escape(mark.label)
            parts.append(
                f'<mark title="{mark.score:.3f}" style="{_style(mark.label)}">{html.escape(mark.text)}'
                f'<sub style="margin-left:.3em;font-weight:bold">{label}</sub></mark>'
            )
            at = mark.end
        parts.append(html.escape(self.text[at:]))
        return f'<div style="line-height:2;white-space:pre-wrap">{"".join(parts)}</div>'


def _style(label: str) -> str:
    """A colour of its own for each label, the same every time."""
    hue = sum(ord(c) * (n + 7) * 37 for n, c in enumerate(label)) % 360
    return f"background:hsl({hue},70%,88%);padding:.1em .3em;border-radius:.3em"
