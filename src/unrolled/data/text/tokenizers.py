"""Tokenisers: text to integer ids and back, over characters, bytes, or pairs of bytes merged (BPE).

Id 0 ends a document in every kind. All kinds are lossless on text whose characters they know; a character that a
`CharTokenizer` has never seen becomes `unknown_id` and reads back as U+FFFD, bytes and BPE know every character. Only
the words of `unrolled.data.text.plain_words` lose case and punctuation.
"""

from __future__ import annotations

import codecs
import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from unrolled.errors import ArgumentError, ModelError, StorageError
from unrolled.storage import written_aside

FORMAT, VERSION = "unrolled.tokenizer", 1
_LARGEST_FILE = 64 << 20
_REPLACEMENT = 0xFFFD

Ids = NDArray[np.int32]


class Tokenizer(ABC):
    """What every kind of tokeniser can do."""

    kind: ClassVar[str]
    end_id: ClassVar[int] = 0
    """The token that ends a document; it has no text."""
    unknown_id: ClassVar[int | None] = None
    """The token for characters that are not in the vocabulary, if there can be any."""

    @property
    @abstractmethod
    def vocabulary_size(self) -> int:
        """V: ids are 0 … V-1."""

    @abstractmethod
    def encode(self, text: str) -> Ids:
        """The ids of `text`, shape (T,), int32; no end-of-document token is added."""

    @property
    @abstractmethod
    def bytes_of_tokens(self) -> list[bytes]:
        """The UTF-8 bytes that each token stands for (BPE tokens may be parts of a character); none for `end_id`.

        In the order of the ids, for a search among tokens by their bytes; not to be changed.
        """

    @abstractmethod
    def _settings(self) -> dict[str, Any]:
        """What makes up this tokeniser, as JSON."""

    def decode(self, ids: Sequence[int] | NDArray[np.integer[Any]]) -> str:
        """The text of ids; `end_id` has none, and bytes that are no UTF-8 become U+FFFD.

        Raises:
            ArgumentError: an id outside the vocabulary.
        """
        table = self.bytes_of_tokens
        return b"".join([table[token] for token in self._checked(ids).tolist()]).decode("utf-8", "replace")

    def token_bytes(self, token: int) -> bytes:
        """One token's entry of `bytes_of_tokens`.

        Raises:
            ArgumentError: there is no such id.
        """
        if not 0 <= token < self.vocabulary_size:
            raise ArgumentError(f"ids: {token} is not in the vocabulary of {self.vocabulary_size} tokens")
        return self.bytes_of_tokens[token]

    def token_text(self, token: int) -> str:
        """One token alone as text: ``decode([token])``."""
        return self.decode([token])

    def decoder(self) -> StreamDecoder:
        """A new incremental decoder, for text that is shown as it is generated."""
        return StreamDecoder(self)

    def encode_prefix(self, text: str) -> tuple[Ids, str]:
        """Ids of the text up to the last place where any continuation leaves them as they are, and the rest.

        A model that has read ``["I", " am", " wri"]`` has never seen ``ting`` follow: in its training data the word was
        one token. So the continuation is to be searched from the safe place, among tokens whose bytes begin with,
        or are the beginning of, the rest ("token healing").

        Returns:
            (ids, rest): ``decode(ids) + rest == text`` for known characters; rest is ``""`` for characters and bytes.
        """
        return self.encode(text), ""

    def safe_boundary(self, text: str) -> int:
        """The last place at which `text` can be cut and both sides encoded alone with the same result, as an index.

        It holds whatever follows; 0 if there is no such place.
        """
        return len(text)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 (hex) of the settings as canonical JSON: equal if and only if two tokenisers encode alike."""
        text = json.dumps(self._payload(), sort_keys=True, separators=(",", ":"), ensure_ascii=True)
        return hashlib.sha256(text.encode("ascii")).hexdigest()

    def save(self, path: str | Path) -> None:
        """Write the tokeniser as JSON.

        Args:
            path: the file, ``tokenizer.json`` in a model folder.
        Raises:
            StorageError: it can't be written.
        """
        text = json.dumps(self._payload(), ensure_ascii=False, indent=1)
        with written_aside(path) as stream:
            stream.write(text.encode("utf-8") + b"\n")

    def _payload(self) -> dict[str, Any]:
        return {"format": FORMAT, "version": VERSION, "kind": self.kind, **self._settings()}

    def _checked(self, ids: Sequence[int] | NDArray[np.integer[Any]]) -> NDArray[np.int64]:
        array = np.asarray(ids, dtype=np.int64).reshape(-1)
        if array.size and not (array.min() >= 0 and array.max() < self.vocabulary_size):
            wrong = array[(array < 0) | (array >= self.vocabulary_size)][0]
            raise ArgumentError(f"ids: {wrong} is not in the vocabulary of {self.vocabulary_size} tokens")
        return array


class StreamDecoder:
    """Text out of ids that come one at a time; the beginning of a character is withheld until the rest has come."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._utf8 = codecs.getincrementaldecoder("utf-8")("replace")

    def feed(self, token: int) -> str:
        """The text that this token completes; empty if it completes none."""
        return self._utf8.decode(self._tokenizer.token_bytes(token))

    def flush(self) -> str:
        """What is left at the end: U+FFFD for a character that was never completed, else nothing."""
        text = self._utf8.decode(b"", final=True)
        self._utf8.reset()
        return text


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

    def decode(self, ids: Sequence[int] | NDArray[np.integer[Any]]) -> str:
        """Return the text of some ids."""
        array = self._checked(ids)
        return self._codes[array[array != self.end_id]].tobytes().decode(_UTF32)

    @cached_property
    def bytes_of_tokens(self) -> list[bytes]:
        return [b"", b"\xef\xbf\xbd", *(character.encode("utf-8") for character in self.characters)]

    def _settings(self) -> dict[str, Any]:
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

    def decode(self, ids: Sequence[int] | NDArray[np.integer[Any]]) -> str:
        """Return the text of some ids."""
        array = self._checked(ids)
        return (array[array != self.end_id] - 1).astype(np.uint8).tobytes().decode("utf-8", "replace")

    @cached_property
    def bytes_of_tokens(self) -> list[bytes]:
        return [b"", *(bytes([byte]) for byte in range(256))]

    def _settings(self) -> dict[str, Any]:
        return {}


_UTF32 = "utf-32-le"


def _codes(text: str) -> NDArray[np.uint32]:
    """Code points, in one go."""
    return np.frombuffer(text.encode(_UTF32, "surrogatepass"), dtype="<u4")


KINDS = ("char", "byte", "bpe")
LARGEST_CHARACTER_SET = 60_000
"""Characters that `fit_tokenizer` keeps at most: more than any script has in use, and ids fit 16 bits."""


def fit_tokenizer(
    kind: str, pieces: Iterable[str], vocabulary_size: int | None = None, *, min_count: int = 1
) -> Tokenizer:
    """Make a tokeniser for a corpus.

    Args:
        kind: ``char``, ``byte`` or ``bpe``.
        pieces: the corpus as text, read once and in constant memory (not read at all for ``byte``).
        vocabulary_size: V at most. ``char``: the most frequent characters are kept, by default up to
            LARGEST_CHARACTER_SET; ``bpe``: by default 8192, at least 257.
        min_count: ``char`` only: a rarer character becomes unknown.
    Returns:
        the tokeniser; the same for the same text, however it is cut into pieces.
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
        from unrolled.data.text.bpe import fit_bpe

        return fit_bpe(pieces, 8192 if vocabulary_size is None else vocabulary_size)
    if vocabulary_size is not None and vocabulary_size < 3:
        raise ArgumentError(f"vocabulary_size: must be at least 3 for characters, found {vocabulary_size}")
    return _fit_char(pieces, (vocabulary_size or LARGEST_CHARACTER_SET + 2) - 2, min_count)


def _fit_char(pieces: Iterable[str], most: int, min_count: int) -> CharTokenizer:
    counts = np.zeros(0x110000, dtype=np.int64)
    for piece in pieces:
        found = np.bincount(_codes(piece))
        counts[: found.size] += found
    counts[0xD800:0xE000] = 0
    known = np.flatnonzero(counts >= min_count)
    # Ties are broken by code point, so that the choice is the same everywhere.
    frequent = known[np.argsort(-counts[known], kind="stable")][:most]
    return CharTokenizer("".join(map(chr, np.sort(frequent).tolist())))


def load_tokenizer(path: str | Path) -> Tokenizer:
    """Read a tokeniser that `save` wrote.

    Raises:
        StorageError: the file is missing or can't be read.
        ModelError: it is corrupt, is no tokeniser of ours, or was written by a later version.
    """
    path = Path(path)
    try:
        if path.stat().st_size > _LARGEST_FILE:
            raise ModelError(f"{path}: larger than any tokenizer ({_LARGEST_FILE >> 20} MiB)")
        raw = path.read_bytes()
    except OSError as error:
        raise StorageError(f"{path}: can't be read: {error.strerror or error}") from error
    try:
        payload = json.loads(raw.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path}: corrupt, not JSON ({error}); restore it from a copy of the model") from error
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
            from unrolled.data.text.bpe import BPETokenizer

            return BPETokenizer(**_fields(payload, vocabulary=list, merges=list))
        if kind == "words":
            from unrolled.data.text.plain_words import WordTokenizer

            return WordTokenizer(**_fields(payload, words=list))
    except ArgumentError as error:
        raise ModelError(f"{path}: corrupt, {error}") from error
    raise ModelError(f"{path}: corrupt, unknown kind {kind!r} of tokenizer")


def _fields(payload: dict[str, Any], **types: type) -> dict[str, Any]:
    for name, expected in types.items():
        if not isinstance(payload.get(name), expected):
            raise ArgumentError(f'"{name}" is missing or of the wrong type')
    if extra := sorted(payload.keys() - types.keys()):
        raise ArgumentError(f"it holds {', '.join(extra)}, which its format version does not have")
    return payload
