"""A text as it comes, cut into words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from unrolled.data import Arrays
from unrolled.data.text.words import Word, split_words
from unrolled.tasks.core.stream import Step, StepStream
from unrolled.tasks.inputs.text.collate import collated, text_batch
from unrolled.types import Json


class WordStream(StepStream[str]):
    """Turns characters into words. Carries the characters of a word that what follows may still change.

    Unlike `TextInput.encode`, it reads the whole of a text longer than `longest`.

    Args:
        encode: makes arrays of words and the word before them.
        counts: how often each entry of the vocabulary occurs.
    """

    def __init__(self, encode: Callable[[Sequence[str], str], Arrays], counts: NDArray[np.int64]) -> None:
        self._encode, self._counts = encode, counts
        self._pending, self._before, self._characters = "", "", 0

    def push(self, piece: str) -> list[Step]:
        """Read more text, which may end within a word; returns all words before the last space."""
        pending = self._pending + piece
        settled = self._settled(pending)
        self._pending = pending[settled:]
        return self._words(pending[:settled])

    def finish(self) -> list[Step]:
        """Return the words of what is pending."""
        pending, self._pending = self._pending, ""
        return self._words(pending)

    @property
    def position(self) -> int:
        """Characters whose words are certain."""
        return self._characters

    @property
    def extra(self) -> Json:
        """The characters that are pending, and the word before them."""
        return {"pending": self._pending, "characters": self._characters, "before": self._before}

    def resume(self, position: int, tensors: tuple[Tensor, ...], extra: Json) -> None:
        """Take up what was pending."""
        self._pending, self._characters = str(extra.get("pending", "")), int(extra.get("characters", 0))
        self._before = str(extra.get("before", ""))

    def _settled(self, text: str) -> int:
        # no word reaches over a space
        return max((n for n, c in enumerate(text, 1) if c.isspace()), default=0)

    def _cut(self, text: str) -> list[Word]:
        return split_words(text)

    def _words(self, text: str) -> list[Step]:
        steps = [self._step(word) for word in self._cut(text)]
        self._characters += len(text)
        return steps

    def _step(self, word: Word) -> Step:
        encoded = self._encode([word.text], self._before)
        self._before = word.text
        batch: Any = text_batch(collated([encoded], self._counts, 0.0, None))
        # one step of one row: (1, 1) → (1,)
        x = batch._replace(words=batch.words[0], vectors=batch.vectors[0], pairs=batch.pairs[0])
        start = self._characters + word.start
        return Step(x, word.text, start, start + len(word.text))
