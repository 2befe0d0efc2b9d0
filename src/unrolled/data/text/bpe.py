"""Byte-level byte-pair encoding; the merging itself is done by the `tokenizers` library."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from functools import cached_property

import numpy as np
import tokenizers
from tokenizers import models, pre_tokenizers, trainers

from unrolled.data.text.tokenizer import Ids, Tokenizer
from unrolled.errors import ArgumentError
from unrolled.types import Json

SMALLEST_VOCABULARY = 257
"""256 bytes and the end of a document."""

# Segments are encoded in parallel, and bound the memory of the library.
_SEGMENT = 1 << 14
# A place before a space, tab or new line, after what certainly is none: the words of the pre-tokeniser's pattern never
# cross it and look at nothing before it, so both sides may be encoded alone.
_BOUNDARY = re.compile(r"(?<=[!-~\w])(?=[ \n\t])")
# A closing quote may become 'll, 've or 're, which are words of their own.
_CONTRACTION = re.compile(r"'[lvr]\Z")


def _byte_symbols() -> dict[str, int]:
    """The printable characters by which byte-level BPE writes the 256 bytes.

    Source: Radford et al. 2019 (GPT-2): printable Latin-1 stands for itself, the rest follows from U+0100 on.
    """
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in set(printable)]
    return {chr(byte): byte for byte in printable} | {chr(0x100 + n): byte for n, byte in enumerate(others)}


_SYMBOLS = _byte_symbols()


class BPETokenizer(Tokenizer):
    """Byte-level BPE: 0 end of document, then single bytes and merged ones.

    No text encodes to the end-of-document token: it is not part of the merging at all.

    Args:
        vocabulary: the tokens in the order of their ids from 1, in byte-level notation ("Ġthe" is " the").
        merges: the pairs in the order in which they are merged.
    Raises:
        ArgumentError: a token occurs twice or is not in byte-level notation, one of the 256 bytes is missing, or a
            merge makes or uses a token that does not exist.
    """

    kind = "bpe"

    def __init__(self, vocabulary: list[str], merges: list[tuple[str, str]] | list[list[str]]) -> None:
        if not all(isinstance(token, str) and token and _SYMBOLS.keys() >= set(token) for token in vocabulary):
            raise ArgumentError("vocabulary: a token is not in byte-level notation")
        ids = {token: n for n, token in enumerate(vocabulary)}
        if len(ids) != len(vocabulary):
            raise ArgumentError("vocabulary: a token occurs twice")
        if not ids.keys() >= _SYMBOLS.keys():
            raise ArgumentError("vocabulary: one of the 256 bytes is missing")
        pairs: list[tuple[str, str]] = []
        for pair in merges:
            if (
                not (isinstance(pair, (list, tuple)) and len(pair) == 2 and all(isinstance(part, str) for part in pair))
                or not {pair[0], pair[1], pair[0] + pair[1]} <= ids.keys()
            ):
                raise ArgumentError(f"merges: {pair!r} is no pair of tokens that makes a token")
            pairs.append((pair[0], pair[1]))
        self._vocabulary, self._merges = list(vocabulary), pairs
        self._model = tokenizers.Tokenizer(models.BPE(vocab=ids, merges=pairs))
        self._model.pre_tokenizer = _words()

    @property
    def vocabulary_size(self) -> int:
        return len(self._vocabulary) + 1

    @property
    def merges(self) -> list[tuple[bytes, bytes]]:
        """The pairs of tokens, as bytes, in the order in which they are merged."""
        return [(_bytes(first), _bytes(second)) for first, second in self._merges]

    def encode(self, text: str) -> Ids:
        """Return the ids of a text's tokens."""
        text = text.encode("utf-8", "replace").decode("utf-8")
        encodings = self._model.encode_batch_fast(list(_segments(text)), add_special_tokens=False)
        return np.array([n + 1 for encoding in encodings for n in encoding.ids], dtype=np.int32)

    def encode_prefix(self, text: str) -> tuple[Ids, str]:
        """Return the ids of the tokens that no further text can change, and the text of the others."""
        start = self.safe_boundary(text)
        words = self._model.pre_tokenizer.pre_tokenize_str(text[start:])
        # Whatever follows can lengthen the last word, and no other, contractions aside.
        contraction = _CONTRACTION.search(text, start)
        open_from = contraction.start() if contraction else len(text) - 1
        last = max((start + begin for _, (begin, _) in words if start + begin <= open_from), default=start)
        return self.encode(text[:last]), text[last:]

    def safe_boundary(self, text: str) -> int:
        """Return the last place at which the text can be cut without changing any token."""
        # from the end, in windows, since the last boundary is wanted and the text may be long
        stop = len(text)
        while stop > 0:
            start = max(0, stop - 4096)
            places = [match.start() for match in _BOUNDARY.finditer(text, start, stop)]
            if places:
                return places[-1]
            stop = start + 1 if start else 0
        return 0

    @cached_property
    def bytes_of_tokens(self) -> list[bytes]:
        return [b"", *map(_bytes, self._vocabulary)]

    def _settings(self) -> Json:
        return {"vocabulary": self._vocabulary, "merges": [list(pair) for pair in self._merges]}


def _bytes(token: str) -> bytes:
    """Return the bytes of a token in byte-level notation."""
    return bytes(_SYMBOLS[symbol] for symbol in token)


def _words() -> pre_tokenizers.PreTokenizer:
    return pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)


def _segments(text: str) -> Iterator[str]:
    """Parts of `text` that can be encoded alone, about _SEGMENT characters long where it has spaces."""
    start = 0
    while len(text) - start > _SEGMENT:
        boundary = _BOUNDARY.search(text, start + _SEGMENT)
        if boundary is None:
            break
        yield text[start : boundary.start()]
        start = boundary.start()
    if start < len(text):
        yield text[start:]


def fit_bpe(pieces: Iterable[str], vocabulary_size: int = 8192) -> BPETokenizer:
    """Learn the merges from a corpus.

    Args:
        pieces: the corpus as text; words that lie across two pieces are counted whole.
        vocabulary_size: V at most; fewer if fewer pairs occur twice.

    Raises:
        ArgumentError: vocabulary_size is below SMALLEST_VOCABULARY.
    """
    if vocabulary_size < SMALLEST_VOCABULARY:
        raise ArgumentError(f"vocabulary_size: must be at least {SMALLEST_VOCABULARY} for bpe, found {vocabulary_size}")
    model = tokenizers.Tokenizer(models.BPE())
    model.pre_tokenizer = _words()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary_size - 1,
        min_frequency=2,
        special_tokens=[],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    model.train_from_iterator(_whole_words(pieces), trainer)
    learned = json.loads(model.to_str())["model"]
    vocabulary = sorted(learned["vocab"], key=learned["vocab"].get)
    # Older releases of the library write a pair as one string; no token holds a space.
    merges: list[list[str]] = [pair.split(" ") if isinstance(pair, str) else pair for pair in learned["merges"]]
    return BPETokenizer(vocabulary, merges)


def _whole_words(pieces: Iterable[str]) -> Iterator[str]:
    tail = ""
    for piece in pieces:
        text = tail + piece
        cut = max((match.start() for match in _BOUNDARY.finditer(text, max(0, len(text) - 4096))), default=len(text))
        yield from _segments(text[:cut])
        tail = text[cut:]
    if tail:
        yield tail
