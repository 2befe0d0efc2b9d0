"""Tokenisers of characters and of bytes.

A character that a `CharTokenizer` has never seen becomes `unknown_id` and reads back as U+FFFD; bytes know all.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from unrolled.data.core.examples import Array
from unrolled.data.text.tokenizer import Ids, Tokenizer
from unrolled.errors import ArgumentError
from unrolled.types import Json

_REPLACEMENT = 0xFFFD
_UTF32 = "utf-32-le"


class CharTokenizer(Tokenizer):
    """One token a character: 0 end of document, 1 unknown, then the characters.

    Args:
        characters: the characters known, each once, in the order of their ids from 2.
    Raises:
        ArgumentError: a character occurs twice, or is half a surrogate pair.
    """

    kind = "char"
    unknown_id = 1
    _FIRST: ClassVar[int] = 2

    def __init__(self, characters: str) -> None:
        codes = _codes(characters)
        if np.unique(codes).size != codes.size:
            raise ArgumentError("characters: one occurs twice")
        if ((codes >= 0xD800) & (codes <= 0xDFFF)).any():
            raise ArgumentError("characters: half a surrogate pair is no character")
        self.characters = characters
        self._codes = np.concatenate([np.array([0, _REPLACEMENT], dtype=np.uint32), codes])
        # A table over code points; the entry past the last known one stands for all above it.
        self._ids = np.full(int(codes.max(initial=0)) + 2, self.unknown_id, dtype=np.int32)
        self._ids[codes] = np.arange(self._FIRST, self._FIRST + codes.size, dtype=np.int32)

    @property
    def vocabulary_size(self) -> int:
        return self._FIRST + len(self.characters)

    def encode(self, text: str) -> Ids:
        """Return the ids of a text's tokens."""
        return self._ids[np.minimum(_codes(text), self._ids.size - 1)]

    def decode(self, ids: Sequence[int] | Array) -> str:
        """Return the text of some ids."""
        array = self._checked(ids)
        return self._codes[array[array != self.end_id]].tobytes().decode(_UTF32)

    @cached_property
    def bytes_of_tokens(self) -> list[bytes]:
        return [b"", b"\xef\xbf\xbd", *(character.encode("utf-8") for character in self.characters)]

    def extended(self, other: Tokenizer) -> CharTokenizer:
        """Return a tokeniser that knows the other's characters too."""
        known = other.characters if isinstance(other, CharTokenizer) else ""
        return CharTokenizer("".join(dict.fromkeys(self.characters + known)))

    def _settings(self) -> Json:
        return {"characters": self.characters}


class ByteTokenizer(Tokenizer):
    """One token a byte of UTF-8: 0 end of document, byte b is b + 1."""

    kind = "byte"

    @property
    def vocabulary_size(self) -> int:
        return 257

    def encode(self, text: str) -> Ids:
        """Return the ids of a text's tokens."""
        # Half a surrogate pair has no UTF-8; it reads as "?".
        return np.frombuffer(text.encode("utf-8", "replace"), dtype=np.uint8).astype(np.int32) + 1

    def decode(self, ids: Sequence[int] | Array) -> str:
        """Return the text of some ids."""
        array = self._checked(ids)
        return (array[array != self.end_id] - 1).astype(np.uint8).tobytes().decode("utf-8", "replace")

    @cached_property
    def bytes_of_tokens(self) -> list[bytes]:
        return [b"", *(bytes([byte]) for byte in range(256))]

    def _settings(self) -> Json:
        return {}


def _codes(text: str) -> NDArray[np.uint32]:
    """Code points, in one go."""
    return np.frombuffer(text.encode(_UTF32, "surrogatepass"), dtype="<u4")


def fit_char(pieces: Iterable[str], most: int, min_count: int) -> CharTokenizer:
    """Return a tokeniser of the `most` most frequent characters that occur at least `min_count` times."""
    counts = np.zeros(0x110000, dtype=np.int64)
    for piece in pieces:
        codes = np.bincount(_codes(piece))
        counts[: codes.size] += codes
    counts[0xD800:0xE000] = 0
    known = np.flatnonzero(counts >= min_count)
    # Ties are broken by code point, so that the choice is the same everywhere.
    frequent = known[np.argsort(-counts[known], kind="stable")][:most]
    return CharTokenizer("".join(map(chr, np.sort(frequent).tolist())))
