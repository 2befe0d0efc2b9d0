"""Tokenisers by their kind: over characters, bytes, pairs of bytes merged (BPE), words, or plain words."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from unrolled.data.text.bpe import BPETokenizer, fit_bpe
from unrolled.data.text.characters import ByteTokenizer, CharTokenizer, fit_char
from unrolled.data.text.plain_words import WordTokenizer
from unrolled.data.text.spaced_words import SpacedWordTokenizer, fit_spaced_words
from unrolled.data.text.tokenizer import FORMAT, VERSION, Tokenizer
from unrolled.errors import ArgumentError, ModelError
from unrolled.storage import RESTORE, read_part
from unrolled.types import Json

_LARGEST_FILE = 64 << 20

KINDS = ("char", "byte", "bpe", "word")
LARGEST_CHARACTER_SET = 60_000
"""Characters that `fit_tokenizer` keeps at most: more than any script has in use, and ids fit 16 bits."""


def fit_tokenizer(
    kind: str, pieces: Iterable[str], vocabulary_size: int | None = None, *, min_count: int = 1
) -> Tokenizer:
    """Fit a tokeniser to a corpus.

    Args:
        kind: ``char``, ``byte``, ``bpe`` or ``word``.
        pieces: the corpus as text, read once and in constant memory (not read at all for ``byte``).
        vocabulary_size: V at most. ``char``: the most frequent characters are kept, by default up to
            LARGEST_CHARACTER_SET; ``bpe``: by default 8192, at least 257; ``word``: the most
            frequent words, by default 50,000.
        min_count: ``char`` only: a rarer character becomes unknown.

    Returns:
        The tokeniser; the same for the same text, however it is cut into pieces.

    Raises:
        ArgumentError: an unknown kind, or a size out of range.
    """
    if kind not in KINDS:
        raise ArgumentError(f"tokenizer {kind!r}: must be one of {', '.join(KINDS)}")
    if min_count < 1:
        raise ArgumentError(f"min_count: must be at least 1, found {min_count}")
    if kind == "byte":
        if vocabulary_size not in (None, 257):
            raise ArgumentError(f"vocabulary_size: a byte tokenizer always has 257 tokens, found {vocabulary_size}")
        return ByteTokenizer()
    if kind == "bpe":
        return fit_bpe(pieces, 8192 if vocabulary_size is None else vocabulary_size)
    if kind == "word":
        return fit_spaced_words(pieces, vocabulary_size)
    if vocabulary_size is not None and vocabulary_size < 3:
        raise ArgumentError(f"vocabulary_size: must be at least 3 for characters, found {vocabulary_size}")
    return fit_char(pieces, (vocabulary_size or LARGEST_CHARACTER_SET + 2) - 2, min_count)


def load_tokenizer(path: str | Path) -> Tokenizer:
    """Read a tokeniser that `save` wrote.

    Raises:
        StorageError: the file can't be read.
        ModelError: it is missing, corrupt, no tokeniser of this library, or was written by a later version.
    """
    path = Path(path)
    raw = read_part(path, _LARGEST_FILE)
    try:
        payload = json.loads(raw.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path}: corrupt, not JSON ({error}); {RESTORE}") from error
    if not isinstance(payload, dict) or payload.pop("format", None) != FORMAT:
        raise ModelError(f'{path}: not a tokenizer of this library (its "format" is not {FORMAT!r})')
    version, kind = payload.pop("version", None), payload.pop("kind", None)
    if type(version) is int and version > VERSION:
        raise ModelError(f"{path}: format version {version} is later than what this release reads, {VERSION}; upgrade")
    if type(version) is not int or version < 1:
        raise ModelError(f"{path}: corrupt, no valid format version")
    try:
        if kind == "char":
            return CharTokenizer(**_fields(payload, characters=str))
        if kind == "byte":
            return ByteTokenizer(**_fields(payload))
        if kind == "bpe":
            return BPETokenizer(**_fields(payload, vocabulary=list, merges=list))
        if kind == "word":
            return SpacedWordTokenizer(**_fields(payload, words=list))
        if kind == "words":
            return WordTokenizer(**_fields(payload, words=list))
    except ArgumentError as error:
        raise ModelError(f"{path}: corrupt, {error}") from error
    raise ModelError(f"{path}: corrupt, unknown kind {kind!r} of tokenizer")


def _fields(payload: Json, **types: type) -> Json:
    for name, expected in types.items():
        if not isinstance(payload.get(name), expected):
            raise ArgumentError(f'"{name}" is missing or of the wrong type')
    if extra := sorted(payload.keys() - types.keys()):
        raise ArgumentError(f"it holds {', '.join(extra)}, which its format version does not have")
    return payload
