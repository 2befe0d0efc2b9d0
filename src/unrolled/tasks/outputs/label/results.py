"""One label: how probable it and the others are, and how that came about step by step."""

from __future__ import annotations

import html
from typing import Annotated, Any, ClassVar

from pydantic import Field

from unrolled.tasks.core.results import Part, Result
from unrolled.types import Json

Probability = Annotated[float, Field(ge=0, le=1)]

#: labels that are shown beside the first, and as bars
_BESIDE, _BARS = 2, 8
#: a colour for each class, by its number: well apart, and legible behind black text
_HUES = (0, 140, 210, 45, 280, 175, 320, 90)


class AfterStep(Part):
    """The model's decision after one more step of an input."""

    step: str = Field(description="what the step is called")
    start: int = Field(description="what was read before it: characters, rows, samples")
    end: int = Field(description="what was read up to its end")
    probabilities: dict[str, Probability] = Field(description="of each label, if the input ended here")

    @property
    def label(self) -> str:
        """The most probable label so far."""
        return max(self.probabilities, key=lambda label: self.probabilities[label])


class Judgement(Part):
    """A label."""

    label: str = Field(description="the most probable one")
    probability: Probability = Field(description="of that label")
    probabilities: dict[str, Probability] = Field(description="of all labels, the most probable first; their sum is 1")


class Classification(Judgement, Result):
    """An input and its label."""

    #: below this, a label is not worth naming beside the first
    least: ClassVar[float] = 0.0005

    def __str__(self) -> str:
        others = list(self.probabilities.items())[1 : 1 + _BESIDE]
        beside = ", ".join(f"{label} {p:.1%}" for label, p in others if p >= self.least)
        return f"{self.heading()}{self.label} {self.probability:.1%}" + (f" ({beside})" if beside else "")

    def _repr_html_(self) -> str:
        """Show the input, and a bar for each label."""
        return (
            f"<figure>{self.picture()}<figcaption><b>{html.escape(self.label)}</b></figcaption></figure>{self.bars()}"
        )

    def bars(self) -> str:
        """Return a bar for each of the most probable labels, as HTML."""
        rows = "".join(
            f"<tr><td>{html.escape(label)}</td><td><div style='height:.8em;width:{p * 12:.2f}em;"
            f"background:hsl({self.hue(label)} 60% 50%)'></div></td><td>{p:.1%}</td></tr>"
            for label, p in list(self.probabilities.items())[:_BARS]
        )
        return f"<table>{rows}</table>"

    def hue(self, label: str) -> int:
        """Return the hue of a label, the same in every part of this result."""
        return _HUES[sorted(self.probabilities).index(label) % len(_HUES)]


def judged(probabilities: dict[str, float]) -> Json:
    """Return the fields of a `Judgement` from probabilities, the most probable label first."""
    label: Any = next(iter(probabilities))
    return {"label": label, "probability": probabilities[label], "probabilities": probabilities}
