"""Sentences as plain words: without case and punctuation, as captions are written and compared."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cached_property

import numpy as np

from unrolled.data.core.examples import Array
from unrolled.data.text.tokenizer import Ids, Tokenizer
from unrolled.errors import ArgumentError
from unrolled.types import Json

_WORD = re.compile(r"\w+(?:['’-]\w+)*")


def plain_words(text: str) -> list[str]:
    """Return the words of a sentence, in lower case and without punctuation.

    >>> plain_words("A black-and-white dog doesn't jump .")
    ['a', 'black-and-white', 'dog', "doesn't", 'jump']
    """
    return _WORD.findall(text.lower().replace("’", "'"))


def sentence(words: Sequence[str]) -> str:
    """Return words as a sentence: a capital letter and a full stop.

    >>> sentence(["a", "dog", "runs"])
    'A dog runs.'
    """
    text = " ".join(words)
    return text[:1].upper() + text[1:] + "." if text else text


class WordTokenizer(Tokenizer):
    """One token a word: 0 end of document, 1 unknown, then the words. Case and punctuation are lost.

    Args:
        words: the known ones, from 2 on, all different.

    Raises:
        ArgumentError: a word occurs twice, or is no text.
    """

    kind = "words"
    unknown_id = 1

    def __init__(self, words: Sequence[str]) -> None:
        self.words = tuple(words)
        self._numbers = {str(word): n for n, word in enumerate(self.words, 2)}
        if len(self._numbers) != len(self.words) or not all(isinstance(word, str) for word in self.words):
            raise ArgumentError("words: a word occurs twice, or is no text")

    @classmethod
    def fit(cls, texts: Iterable[str], *, least: int = 1, most: int | None = None) -> WordTokenizer:
        """Return the words that occur at least `least` times, the most frequent first, equals by the alphabet.

        Args:
            texts: sentences.
            least: occurrences.
            most: how many words at most.
        """
        counts = Counter(word for text in texts for word in plain_words(text))
        kept = sorted((word for word, n in counts.items() if n >= least), key=lambda word: (-counts[word], word))
        return cls(kept[:most])

    @property
    def vocabulary_size(self) -> int:
        return len(self.words) + 2

    def encode(self, text: str) -> Ids:
        return np.array([self._numbers.get(word, self.unknown_id) for word in plain_words(text)], dtype=np.int32)

    def decode(self, ids: Sequence[int] | Array) -> str:
        return sentence(self.words_of(ids))

    def words_of(self, ids: Sequence[int] | Array) -> list[str]:
        """Return the words of ids; the end has none, and an unknown word is a question mark."""
        return [self.token_text(token) for token in self._checked(ids).tolist() if token != self.end_id]

    def token_text(self, token: int) -> str:
        return self.token_bytes(token).decode()

    @cached_property
    def bytes_of_tokens(self) -> list[bytes]:
        return [b"", b"?", *(word.encode("utf-8", "replace") for word in self.words)]

    def extended(self, other: Tokenizer) -> WordTokenizer:
        """Return a tokeniser that knows the other's words too."""
        known = other.words if isinstance(other, WordTokenizer) else ()
        return WordTokenizer(list(dict.fromkeys([*self.words, *known])))

    def _settings(self) -> Json:
        return {"words": list(self.words)}
