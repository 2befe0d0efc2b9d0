"""The rule of what a completion may be, as a finite automaton over tokens.

A phrase is a few words, perhaps with punctuation between them. It ends with the sentence or the line, or when it has
the most words allowed. So while it grows, only two things matter: how many words it has begun, and whether its last
character belongs to a word. Together these are its *mode*, a small integer; the tables here say for each mode and token
whether the token may follow, and which mode it leads to. They are built once for a vocabulary.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence

import numpy as np
import torch

from unrolled.decoding.contract import check_ids, check_range

START_MODE = 0


class PhraseRule:
    """Where words and phrases end, for one vocabulary.

    Letters, digits, combining marks and the ``joiners`` belong to words; all else separates them. Bytes that are not a
    whole character (pieces of byte-level tokenisers) count as letters.

    Args:
        pieces: the UTF-8 bytes of each token, in order of ids; b"" for a special token (unknown, end of text), which is
            never suggested.
        max_words: the most words in a phrase; a word that is only completed counts as one.
        forbidden: further ids that are never suggested.
        end_ids: special tokens that end a word before them (end of text).
        sentence_ends: characters that end a phrase and are shown; a line break always ends one and is not shown.
        joiners: characters besides letters that belong to words.
    Raises:
        ArgumentError: max_words < 1, or ids outside the vocabulary.
    """

    def __init__(
        self,
        pieces: Sequence[bytes],
        *,
        max_words: int = 5,
        forbidden: Sequence[int] = (),
        end_ids: Sequence[int] = (),
        sentence_ends: str = ".!?…。！？",
        joiners: str = "'’-_",
    ) -> None:
        check_range("max_words", max_words, "an integer ≥ 1", max_words >= 1)
        check_ids("forbidden", tuple(forbidden), len(pieces))
        check_ids("end_ids", tuple(end_ids), len(pieces))
        self.pieces, self.max_words = tuple(pieces), max_words
        self._known: dict[str, bool] = {}
        self._sentence_ends, self._joiners = frozenset(sentence_ends), frozenset(joiners)
        self._spaced = _Spaced(self.in_word)
        texts = [_text(piece) for piece in pieces]
        kept = [self.before_end(text) for text in texts]

        suggestible = np.array([bool(text) for text in texts], dtype=bool)
        suggestible[list(forbidden)] = False
        ends = np.array([shown is not None for shown in kept], dtype=bool)
        grown = [text if shown is None else shown for text, shown in zip(texts, kept, strict=True)]
        runs = np.array([self.count_words(text) for text in grown], dtype=np.int64)
        begins = np.array([bool(text) and self.in_word(text[0]) for text in texts], dtype=bool)
        closes = np.array([bool(text) and self.in_word(text[-1]) for text in texts], dtype=bool)

        words = np.repeat(np.arange(max_words + 1), 2)[:, None]  # (M, 1)
        inside = np.tile([False, True], max_words + 1)[:, None]
        new_words = words + runs - (inside & begins)
        fits = suggestible & (new_words <= max_words)
        # After the last word only tokens that end the phrase are useful.
        grows = fits & ~ends & ~((words == max_words) & ~begins)
        end_tokens = np.flatnonzero(ends & suggestible)

        self.end_kept: list[bytes] = [(kept[token] or "").encode("utf-8", "surrogateescape") for token in end_tokens]
        self.end_tokens = torch.from_numpy(end_tokens)  # (E,)
        self.end_blocked = torch.from_numpy((~fits | (new_words == 0))[:, end_tokens])  # (M, E)
        self.blocked = torch.from_numpy(~grows)  # (M, V)
        self.next_mode = torch.from_numpy(np.where(grows, 2 * new_words + closes, START_MODE).ravel())  # (M·V,)
        # Added to log-probabilities: 0 where a token may follow, else −inf.
        self.cost = np.where(grows, 0.0, -np.inf)  # (M, V)
        self.end_cost = np.where((~fits | (new_words == 0))[:, end_tokens], -np.inf, 0.0)  # (M, E)
        # Added to the log-probability that a word ends: 0 where a word is open, else −inf.
        self.open_word = torch.from_numpy(np.where(inside[:, 0], 0.0, -np.inf))  # (M,)
        separates = np.array([bool(text) for text in texts], dtype=bool) & ~begins
        separates[list(end_ids)] = True
        self.separates = torch.from_numpy(separates)  # (V,)

    @classmethod
    def from_text(
        cls,
        vocabulary_size: int,
        token_text: Callable[[int], str],
        *,
        max_words: int = 5,
        forbidden: Sequence[int] = (),
        end_ids: Sequence[int] = (),
    ) -> PhraseRule:
        """Build the rule for a vocabulary of whole characters or words."""
        pieces = [token_text(token).encode() for token in range(vocabulary_size)]
        return cls(pieces, max_words=max_words, forbidden=forbidden, end_ids=end_ids)

    def in_word(self, character: str) -> bool:
        """Return whether a character belongs to words; so do lone surrogates, which stand for bytes of a character."""
        known = self._known.get(character)
        if known is None:
            letter = unicodedata.category(character)[0] in "LMN" or "\ud800" <= character < "\ue000"
            known = self._known[character] = letter or character in self._joiners
        return known

    def count_words(self, text: str) -> int:
        """Return the number of runs of word characters."""
        return len(text.translate(self._spaced).split())

    def before_end(self, text: str) -> str | None:
        """Return the part of the text to show if a phrase ends inside it, else None."""
        for place, character in enumerate(text):
            if character in "\r\n":
                return text[:place]
            if character in self._sentence_ends:
                return text[: place + 1]
        return None

    def ends_in_word(self, text: str) -> bool:
        """Return whether the last character belongs to a word."""
        return bool(text) and self.in_word(text[-1])


class _Spaced(dict[int, int]):
    """Table of `str.translate` that maps every character outside words to a space."""

    def __init__(self, in_word: Callable[[str], bool]) -> None:
        super().__init__()
        self._in_word = in_word

    def __missing__(self, code: int) -> int:
        self[code] = mapped = code if self._in_word(chr(code)) else ord(" ")
        return mapped


def _text(piece: bytes) -> str:
    return piece.decode("utf-8", "surrogateescape")
