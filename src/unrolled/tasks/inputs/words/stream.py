"""A text as it comes, cut into words; or words as they are."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from unrolled.data import Arrays
from unrolled.data.text.words import Word
from unrolled.errors import ArgumentError
from unrolled.tasks.core.stream import Step
from unrolled.tasks.inputs.text.stream import WordStream
from unrolled.tasks.inputs.words.collate import Noise, collated, word_batch
from unrolled.tasks.inputs.words.unspaced import TokenCutter


class TokenStream(WordStream):
    """Turns characters, or whole tokens, into words. Carries the characters of a word that may still change.

    Args:
        encode: makes arrays of the tokens of a sentence.
        cutter: cuts text into tokens.
    """

    def __init__(self, encode: Callable[[Sequence[str]], Arrays], cutter: TokenCutter) -> None:
        self._encode_tokens, self._cutter = encode, cutter
        self._pending, self._before, self._characters = "", "", 0

    def push(self, piece: str | Sequence[str]) -> list[Step]:
        """Read more text, which may end within a word; or whole tokens, which end a word that is pending."""
        if isinstance(piece, str):
            return super().push(piece)
        for token in piece:
            if not isinstance(token, str) or not token:
                raise ArgumentError(f"text: expected tokens none of which is empty, found {token!r}")
        steps = self.finish()
        for token in piece:
            steps.append(self._step(Word(token, 0, len(token))))
            self._characters += len(token) + 1
        return steps

    def _settled(self, text: str) -> int:
        return self._cutter.settled(text)

    def _cut(self, text: str) -> list[Word]:
        return self._cutter(text)

    def _step(self, word: Word) -> Step:
        batch = word_batch(collated([self._encode_tokens([word.text])], Noise(), 0, None))
        # one step of one row: (1, 1) → (1,)
        steps = {name: getattr(batch, name)[0] for name in ("words", "shapes", "vectors", "spellings")}
        start = self._characters + word.start
        return Step(batch._replace(**steps), word.text, start, start + len(word.text))
