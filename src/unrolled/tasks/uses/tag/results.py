"""A tagged text: tokens with labels, entities with their places, and how sure the model is."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any, Literal

from pydantic import Field

from unrolled.tasks.core.results import Part, Result
from unrolled.tasks.outputs.labels.results import LabelledStep, Probability, mark, slashed
from unrolled.types import Json


class TaggedEntity(Part):
    """An entity."""

    text: str
    start: int = Field(description="characters of the text before it")
    end: int = Field(description="characters of the text up to its end")
    label: str = Field(description="its type")
    score: Probability = Field(description="that there is an entity of this type, from its first token to its last")
    first: int = Field(description="the number of its first token, from 0")
    last: int = Field(description="the number of its last token")

    def __str__(self) -> str:
        return f"[{self.text} {self.label}]"


class Alternative(Part):
    """One of the most probable readings of a sentence."""

    labels: tuple[str, ...] = Field(description="one a token")
    score: Probability = Field(description="of all of them together")


class Tagging(Result):
    """A text and the labels of its tokens."""

    entities: tuple[TaggedEntity, ...] = Field(description="in order; none for labels that are not of entities")
    tokens: tuple[LabelledStep, ...] = Field(description="their labels are BIOES for entities")
    alternatives: tuple[Alternative, ...] = Field(
        description="n_best of them, the best first; of a chain model's single sentence"
    )
    kind: Literal["entities", "labels"] = Field("entities", exclude=True, repr=False)

    @property
    def labels(self) -> tuple[str, ...]:
        """The label of each token."""
        return tuple(token.label for token in self.tokens)

    def beside(self) -> Json:
        """Return the tokens and their labels, and the entities where labels are of entities."""
        labelled: Json = {"tokens": [token.text for token in self.tokens], "labels": list(self.labels)}
        entities = [entity.as_json() for entity in self.entities]
        return {**labelled, **({"entities": entities} if self.kind == "entities" else {})}

    def beside_steps(self, steps: int) -> list[Json]:
        """Return label and score of each token."""
        return [{"label": token.label, "score": token.score} for token in self.tokens]

    def __str__(self) -> str:
        return slashed(self.tokens) if self.kind == "labels" else "".join(self._pieces(self.entities, str))

    def _repr_html_(self) -> str:
        """Show the text with its entities, or tokens, marked."""
        marks: Sequence[Any] = self.entities if self.kind == "entities" else self.tokens
        return (
            f'<div style="line-height:2;white-space:pre-wrap">{"".join(self._pieces(marks, mark, html.escape))}</div>'
        )

    def _pieces(self, marks: Sequence[Any], write: Any, between: Any = str) -> list[str]:
        """Return the text in pieces, those that are marked written in another way."""
        text: str = getattr(self, "text", "")
        pieces, at = [], 0
        for marked in marks:
            pieces += [between(text[at : marked.start]), write(marked)]
            at = marked.end
        return [*pieces, between(text[at:])]
