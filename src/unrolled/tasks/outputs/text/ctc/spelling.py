"""The units that spell a text: characters or words, fitted on the training data.

U units of a text.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unrolled.data.text.words import plain_text
from unrolled.errors import ModelError
from unrolled.tasks.outputs.text.ctc.options import CTCOptions, TextForm, Units
from unrolled.types import Json

#: up to so many words, each said so often on average, are units of their own: a closed vocabulary, such as commands
FEW_WORDS, OFTEN = 500, 8


@dataclass(frozen=True)
class UnitSpelling:
    """Text → units, and units → text.

    Attributes:
        units: what a class stands for.
        vocabulary: the text of each class; class 0 is CTC's blank and has none.
        text: "plain" is lower case without punctuation.
    """

    units: Units
    vocabulary: tuple[str, ...]
    text: TextForm

    @classmethod
    def fit(cls, texts: Sequence[str], options: CTCOptions) -> UnitSpelling | None:
        """Collect the units of some texts; None if there is no text in them."""
        normalised = [normal_form(text, options.text) for text in texts]
        words = Counter(word for text in normalised for word in text.split())
        if not words:
            return None
        is_closed = len(words) <= FEW_WORDS and sum(words.values()) >= OFTEN * len(words)
        units: Units = ("words" if is_closed else "characters") if options.units == "auto" else options.units
        vocabulary = sorted({part for text in normalised for part in parts_of(text, units)})
        return cls(units, ("", *vocabulary), options.text)

    @property
    def between(self) -> str:
        """Return the text between that of two units."""
        return " " if self.units == "words" else ""

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {unit: n for n, unit in enumerate(self.vocabulary) if n}

    def normalised(self, text: str) -> str:
        """Return a text as the model is to write it, and as it is scored."""
        return normal_form(text, self.text)

    def units_of(self, text: str) -> tuple[NDArray[np.int32], list[str]]:
        """Return the classes of a normalised text, (U,), and what of it has none."""
        numbers, parts = self._numbers, parts_of(text, self.units)
        return np.array([numbers[p] for p in parts if p in numbers], np.int32), [p for p in parts if p not in numbers]

    def spelled(self, units: Sequence[int]) -> str:
        """Return the text of some classes, one space between words."""
        return " ".join(self.between.join(self.vocabulary[unit] for unit in units).split())

    def as_json(self) -> Json:
        """Return one JSON object."""
        return {"units": self.units, "vocabulary": list(self.vocabulary), "text": self.text}

    @classmethod
    def from_json(cls, value: Any, path: Path) -> UnitSpelling:
        """Return the spelling of an object with these fields, and maybe others.

        Args:
            value: the object.
            path: the file it was read from.

        Raises:
            ModelError: it is damaged.
        """
        try:
            spelling = cls(value["units"], tuple(value["vocabulary"]), value["text"])
            spelling._check()
        except (KeyError, TypeError, ValueError) as error:
            raise ModelError(f"{path}: corrupt, {error}; restore it from a copy of the model") from error
        return spelling

    def _check(self) -> None:
        strings = all(isinstance(unit, str) for unit in self.vocabulary)
        if not strings or len(set(self.vocabulary)) != len(self.vocabulary) or self.vocabulary[:1] != ("",):
            raise ValueError("vocabulary: expected different strings, the first empty")
        if self.units not in ("characters", "words") or self.text not in ("plain", "as_is"):
            raise ValueError(f"units, text: {self.units!r}, {self.text!r}")


def normal_form(text: str, form: TextForm) -> str:
    """Return a text in lower case without punctuation, or as it is; one space between words."""
    return plain_text(text) if form == "plain" else " ".join(text.split())


def parts_of(text: str, units: Units) -> list[str]:
    """Return a text cut into its units."""
    return text.split() if units == "words" else list(text)
