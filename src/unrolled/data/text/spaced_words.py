"""A tokeniser of words as white space separates them, for text that was cut into tokens before, like Penn Treebank's.

White space is reduced to one space before each word, and a new line is a word of its own. `<unk>` in a text is the
unknown word.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cached_property

import numpy as np

from unrolled.data.text.tokenizer import Ids, Tokenizer
from unrolled.errors import ArgumentError
from unrolled.types import Json

UNKNOWN = "<unk>"
#: words known at most, where no number is given
VOCABULARY = 50_000
#: different words counted at a time; beyond, those seen once are forgotten
_COUNTED = 4_000_000
_TOKEN = re.compile(r"\n|[^\s]+")
#: what more text may still change: the last word, with the space before it
_OPEN = re.compile(r"[^\S\n]*[^\s]*\Z")


class SpacedWordTokenizer(Tokenizer):
    """One token a word: 0 end of document, 1 unknown, then the words, the most frequent first.

    Args:
        words: the known ones, from 2 on, all different and without white space, but for the new line.

    Raises:
        ArgumentError: a word occurs twice, is none, or is `<unk>`.
    """

    kind = "word"
    unknown_id = 1

    def __init__(self, words: Sequence[str]) -> None:
        self.words = tuple(words)
        self._numbers = {word: n for n, word in enumerate(self.words, 2) if isinstance(word, str)}
        if len(self._numbers) != len(self.words):
            raise ArgumentError("words: a word occurs twice, or is no text")
        for word in self._numbers:
            if _TOKEN.fullmatch(word) is None or word == UNKNOWN:
                raise ArgumentError(f"words: {word!r} is no word")

    @property
    def vocabulary_size(self) -> int:
        return len(self.words) + 2

    def encode(self, text: str) -> Ids:
        """Return the ids of a text's words."""
        numbers, unknown = self._numbers, self.unknown_id
        return np.array([numbers.get(word, unknown) for word in _TOKEN.findall(text)], dtype=np.int32)

    def encode_prefix(self, text: str) -> tuple[Ids, str]:
        """Return the ids of the words that no further text can change, and the last word with one space before it."""
        start = self._open_from(text)
        rest = text[start:]
        return self.encode(text[:start]), f" {rest.lstrip()}" if rest else ""

    def safe_boundary(self, text: str) -> int:
        """Return the last place at which the text can be cut without changing any token."""
        return self._open_from(text)

    @cached_property
    def bytes_of_tokens(self) -> list[bytes]:
        words = (word if word == "\n" else f" {word}" for word in self.words)
        return [b"", f" {UNKNOWN}".encode(), *(word.encode("utf-8", "replace") for word in words)]

    def _open_from(self, text: str) -> int:
        # from the end, as the last word is wanted and the text may be long
        place = max((text.rfind(mark) for mark in (" ", "\n", "\t")), default=-1)
        match = _OPEN.search(text, max(0, place - 1))
        return match.start() if match else len(text)

    def extended(self, other: Tokenizer) -> SpacedWordTokenizer:
        """Return a tokeniser that knows the other's words too."""
        known = other.words if isinstance(other, SpacedWordTokenizer) else ()
        return SpacedWordTokenizer(list(dict.fromkeys([*self.words, *known])))

    def _settings(self) -> Json:
        return {"words": list(self.words)}


def fit_spaced_words(pieces: Iterable[str], most: int | None = None) -> SpacedWordTokenizer:
    """Return a tokeniser of the most frequent words of a corpus, equals by the alphabet.

    A corpus that has `<unk>` itself has chosen its words: all are known. In any other those that occur once are not, so
    that a network learns what follows an unknown word.

    Args:
        pieces: the corpus; words that lie across two pieces are counted whole.
        most: V at most, the end of a document and the unknown word among them.

    Raises:
        ArgumentError: V below 3.
    """
    if most is not None and most < 3:
        raise ArgumentError(f"vocabulary_size: must be at least 3 for words, found {most}")
    counts, tail = Counter[str](), ""
    for piece in pieces:
        text = tail + piece
        cut = max(text.rfind(" "), text.rfind("\n")) + 1
        counts.update(_TOKEN.findall(text[:cut]))
        tail = text[cut:]
        if len(counts) > _COUNTED:
            counts = Counter({word: n for word, n in counts.items() if n > 1})
    counts.update(_TOKEN.findall(tail))
    least = 1 if counts.pop(UNKNOWN, 0) else 2
    known = sorted((word for word, n in counts.items() if n >= least), key=lambda word: (-counts[word], word))
    return SpacedWordTokenizer(known[: (most or VOCABULARY) - 2])
