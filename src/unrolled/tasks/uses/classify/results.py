"""A text and its label, and what the model thinks word by word."""

from __future__ import annotations

import html

from pydantic import Field

from unrolled.tasks.core.results import Part, tint
from unrolled.tasks.outputs.label.results import Classification, Probability
from unrolled.types import Json


class AfterWord(Part):
    """The model's decision after one more word of a text."""

    word: str = Field(description="its characters")
    start: int = Field(description="characters of the text before it")
    end: int = Field(description="characters of the text up to its end")
    probabilities: dict[str, Probability] = Field(description="of each label, if the text ended here")

    @property
    def label(self) -> str:
        """The most probable label so far."""
        return max(self.probabilities, key=lambda label: self.probabilities[label])


class TextClassification(Classification):
    """A text and its label."""

    words: tuple[AfterWord, ...] = Field((), description="with the option words, for a text that has any")

    def __str__(self) -> str:
        steps = [f"{after.word} {after.label} {after.probabilities[after.label]:.0%}" for after in self.words]
        return " | ".join([super().__str__(), *steps])

    def as_json(self) -> Json:
        """Return one JSON object; without `words` where there are none."""
        values = super().as_json()
        return values if self.words else {name: value for name, value in values.items() if name != "words"}

    def _repr_html_(self) -> str:
        """Show each word in the colour of the label after it, the surer the stronger, and bars for the labels."""
        return f"<div style='line-height:2;white-space:pre-wrap'>{self._marked()}</div>{self.bars()}"

    def _marked(self) -> str:
        text: str = getattr(self, "text", "")
        pieces, at = [], 0
        for after in self.words:
            pieces.append(html.escape(text[at : after.start]))
            chance = 1 / len(after.probabilities)
            strength = (after.probabilities[after.label] - chance) / (1 - chance)
            title = ", ".join(f"{label} {p:.1%}" for label, p in after.probabilities.items())
            pieces.append(
                f"<mark title='{html.escape(title, quote=True)}' style='{tint(self.hue(after.label), strength)}'>"
                f"{html.escape(after.word)}</mark>"
            )
            at = after.end
        return "".join([*pieces, html.escape(text[at:])])
