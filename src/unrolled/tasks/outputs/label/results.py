"""What `classify` predicts: a label, how probable it and the others are, and how that came about word by word."""

from __future__ import annotations

import html
from dataclasses import dataclass
from typing import Any

#: labels that are shown beside the first, where there are many
_SHOWN = 2
#: a colour for each class, by its number: well apart, and legible behind black text
_HUES = (0, 140, 210, 45, 280, 175, 320, 90)


@dataclass(frozen=True)
class AfterWord:
    """What the model thinks after one more word of a text.

    Attributes:
        word: its characters.
        start, end: their place in the text.
        probabilities: of all labels, in the order of the model's, if the text ended here.
    """

    word: str
    start: int
    end: int
    probabilities: dict[str, float]

    @property
    def label(self) -> str:
        """The most probable label so far."""
        return max(self.probabilities, key=lambda label: self.probabilities[label])

    def as_json(self) -> dict[str, Any]:
        """As one JSON object."""
        return dict(vars(self))


@dataclass(frozen=True)
class Classification:
    """A text and its label.

    Attributes:
        text: as given.
        label: the most probable one.
        probability: of that label.
        probabilities: of all labels, the most probable first; they sum to 1.
        words: what the model thinks after each word, if it was asked for.
    """

    text: str
    label: str
    probability: float
    probabilities: dict[str, float]
    words: tuple[AfterWord, ...] = ()

    def __str__(self) -> str:
        others = list(self.probabilities.items())[1 : 1 + _SHOWN]
        beside = ", ".join(f"{label} {p:.1%}" for label, p in others if p >= 0.0005)
        line = f"{self.label} {self.probability:.1%}" + (f" ({beside})" if beside else "")
        steps = [f"{one.word} {one.label} {one.probabilities[one.label]:.0%}" for one in self.words]
        return " | ".join([line, *steps])

    def as_json(self) -> dict[str, Any]:
        """As one JSON object."""
        found: dict[str, Any] = {
            "text": self.text,
            "label": self.label,
            "probability": self.probability,
            "probabilities": self.probabilities,
        }
        if self.words:
            found["words"] = [one.as_json() for one in self.words]
        return found

    def _repr_html_(self) -> str:
        """Bars for the labels; each word in the colour of the label that it leads to, the surer the stronger."""
        numbers = {label: n for n, label in enumerate(sorted(self.probabilities))}
        rows = "".join(
            f"<tr><td>{html.escape(label)}</td><td><div style='height:.8em;width:{p * 12:.2f}em;"
            f"background:{_colour(numbers[label], 1)}'></div></td><td>{p:.1%}</td></tr>"
            for label, p in list(self.probabilities.items())[:8]
        )
        return f"<div style='line-height:2;white-space:pre-wrap'>{self._marked(numbers)}</div><table>{rows}</table>"

    def _marked(self, numbers: dict[str, int]) -> str:
        pieces, at = [], 0
        for one in self.words:
            pieces.append(html.escape(self.text[at : one.start]))
            chance = 1 / len(one.probabilities)
            sure = (one.probabilities[one.label] - chance) / (1 - chance)
            title = ", ".join(f"{label} {p:.1%}" for label, p in one.probabilities.items())
            pieces.append(
                f"<mark title='{html.escape(title, quote=True)}' style='background:"
                f"{_colour(numbers[one.label], sure)}'>{html.escape(one.word)}</mark>"
            )
            at = one.end
        return "".join([*pieces, html.escape(self.text[at:])])


def _colour(number: int, strength: float) -> str:
    return f"hsl({_HUES[number % len(_HUES)]},70%,{97 - 22 * max(strength, 0.0):.0f}%)"


def ranked(labels: tuple[str, ...], probabilities: list[float]) -> dict[str, float]:
    """Labels with their probabilities, the most probable first; of equal ones in the order of the model's."""
    pairs = sorted(zip(labels, probabilities, strict=True), key=lambda pair: -pair[1])
    return dict(pairs)
