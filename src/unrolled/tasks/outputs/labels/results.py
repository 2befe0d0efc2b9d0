"""A label for each step, and how probable it is."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from typing import Annotated, Protocol

from pydantic import Field

from unrolled.tasks.core.results import Part, Result, tint

Probability = Annotated[float, Field(ge=0, le=1)]


class LabelledStep(Part):
    """A step and its label."""

    text: str = Field(description="the step: its characters, its time or its number")
    start: int = Field(description="what was read before it: characters, rows")
    end: int = Field(description="what was read up to its end")
    label: str
    score: Probability = Field(description="the probability of this label, given all that was read")


class StepLabels(Result):
    """An input whose steps are labelled."""

    steps: tuple[LabelledStep, ...] = Field(description="in order")

    @property
    def labels(self) -> tuple[str, ...]:
        """The label of each step."""
        return tuple(step.label for step in self.steps)

    def __str__(self) -> str:
        return self.heading() + slashed(self.steps)

    def _repr_html_(self) -> str:
        """Show the steps, marked with their labels."""
        return f'<div style="line-height:2">{" ".join(map(mark, self.steps))}</div>'


def labelled_steps(
    names: Iterable[tuple[str, int, int]], labels: Iterable[str], scores: Iterable[float]
) -> list[LabelledStep]:
    """Return steps with their labels.

    Args:
        names: name, start and end of each.
        labels: one a step.
        scores: the probability of each.
    """
    return [
        LabelledStep(text=text, start=start, end=end, label=label, score=score)
        for (text, start, end), label, score in zip(names, labels, scores, strict=True)
    ]


def slashed(steps: Sequence[LabelledStep]) -> str:
    """Return steps and labels as a line: "Rome/NNP is/VBZ old/JJ"."""
    return " ".join(f"{step.text}/{step.label}" for step in steps)


class Marked(Protocol):
    """A step or a span of several: anything that has a text, a label and a probability."""

    @property
    def text(self) -> str:
        """Its characters."""

    @property
    def label(self) -> str:
        """Its label."""

    @property
    def score(self) -> float:
        """The probability of the label."""


def mark(marked: Marked) -> str:
    """Return a text with its label, in the label's colour, as HTML."""
    hue = sum(ord(c) * (n + 7) * 37 for n, c in enumerate(marked.label)) % 360
    style = f"{tint(hue)};padding:.1em .3em;border-radius:.3em"
    return (
        f'<mark title="{marked.score:.3f}" style="{style}">{html.escape(marked.text)}'
        f'<sub style="margin-left:.3em;font-weight:bold">{html.escape(marked.label)}</sub></mark>'
    )
