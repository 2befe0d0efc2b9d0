"""A text cut into words and sentences, and the forms in which a word is looked up."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from unrolled.data.text.words import Word
from unrolled.errors import ArgumentError

#: of a longer word the first and the last half of so many characters are read
LONGEST_WORD = 32

_DIGIT = re.compile(r"\d")
_RUN = re.compile(r"(.)\1{2,}")


def normalised(word: str) -> str:
    """Return a word as it is looked up: lower case, every digit a 0.

    >>> normalised("Win32")
    'win00'
    """
    return _DIGIT.sub("0", word.lower())


def shape_of(word: str) -> str:
    """Return kinds of characters, runs cut to two, eight in all.

    >>> shape_of("McDonald"), shape_of("1996-08-22"), shape_of("U.N."), shape_of("EU")
    ('XxXxx', 'dd-dd-dd', 'X.X.', 'XX')
    """
    kinds = "".join("X" if c.isupper() else "d" if c.isdigit() else "x" if c.isalpha() else c for c in word[:64])
    return _RUN.sub(r"\1\1", kinds)[:8]


def characters_of(word: str) -> str:
    """Return the characters that are read."""
    if len(word) <= LONGEST_WORD:
        return word
    return word[: LONGEST_WORD // 2] + word[-LONGEST_WORD // 2 :]


class Sentences(NamedTuple):
    """A text cut into words.

    Attributes:
        text: as given, or put together from the tokens that were given.
        words: its tokens, with their places.
        ends: for each sentence the word after its last.
    """

    text: str
    words: list[Word]
    ends: list[int]

    def tokens(self) -> list[list[str]]:
        """Return the tokens of each sentence."""
        borders = itertools.pairwise((0, *self.ends))
        return [[word.text for word in self.words[begin:end]] for begin, end in borders]


def sentences_in(value: Any, cut: Callable[[str], list[Word]]) -> Sentences:
    """Return a text, the tokens of a sentence or of several, as words in sentences.

    Args:
        value: what a caller gives.
        cut: cuts a text into words.

    Raises:
        ArgumentError: it is neither text nor tokens.
    """
    if isinstance(value, Sentences):
        return value
    if isinstance(value, Mapping):
        if isinstance(sentences := value.get("sentences"), Sequence) and not isinstance(sentences, str):
            return _from_tokens(sentences)
        value = value.get("tokens", value.get("text"))
    if not isinstance(value, str):
        return _from_tokens([value])
    words = cut(value)
    # a line is a sentence: a word that a line end separates from the next is the last of its own
    ends = [n for n in range(1, len(words)) if "\n" in value[words[n - 1].end : words[n].start]]
    return Sentences(value, words, [*ends, len(words)] if words else [])


def _from_tokens(sentences: Sequence[Any]) -> Sentences:
    words: list[Word] = []
    ends, at = [], 0
    for tokens in sentences:
        is_sequence = isinstance(tokens, Sequence) and not isinstance(tokens, str)
        if not is_sequence or not all(isinstance(token, str) and token for token in tokens):
            kind = type(tokens).__name__
            raise ArgumentError(f"input: expected a text, or a list of tokens none of which is empty, found {kind}")
        for token in tokens:
            words.append(Word(token, at, at + len(token)))
            at += len(token) + 1
        if tokens:
            ends.append(len(words))
    text = "\n".join(" ".join(tokens) for tokens in sentences if tokens)
    return Sentences(text, words, ends)
