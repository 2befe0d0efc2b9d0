r"""A corpus encoded once, as a memory-mapped file of token ids.

Layout: 4096 bytes of header, then the ids, little-endian. The header is the line ``unrolled-tokens``, one line of JSON,
and spaces up to its last byte, a ``\n``; so ``head -2 FILE`` shows what a file is.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from unrolled.data.core.examples import Array
from unrolled.data.text.documents import Piece
from unrolled.data.text.tokenizer import Tokenizer
from unrolled.errors import DataError, StorageError
from unrolled.storage import written_aside
from unrolled.types import Json

VERSION = 1
DType = np.dtype[np.unsignedinteger]
_MAGIC = b"unrolled-tokens\n"
_HEADER = 4096
_COUNTS = ("tokens", "characters", "bytes", "documents", "vocabulary_size")
# A BPE tail without any safe boundary (text without spaces) is cut here all the same.
_LONGEST_TAIL = 1 << 18


class TokenFile:
    """A file of token ids, mapped into memory: only the pages in use take any.

    Attributes:
        path: the file.
        tokens: the ids, shape (N,), read-only; uint8, uint16 or uint32, the smallest that holds the vocabulary.
        characters, bytes: size of the text that was encoded; bytes as UTF-8.
        documents: how many documents there are. An `end_id` follows each of them, but none if there is only one.
        vocabulary_size: of the tokeniser.
        tokenizer_fingerprint: which tokeniser wrote it.
        fingerprint: SHA-256 (hex) of the ids: which text it holds.
    """

    def __init__(self, path: Path, header: Json) -> None:
        self.path = path
        self.characters: int = header["characters"]
        self.bytes: int = header["bytes"]
        self.documents: int = header["documents"]
        self.vocabulary_size: int = header["vocabulary_size"]
        self.tokenizer_fingerprint: str = header["tokenizer_fingerprint"]
        self.fingerprint: str = header["sha256"]
        with path.open("rb") as stream:
            self._map = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
        self.tokens: Array = np.frombuffer(
            self._map, dtype=_dtype(self.vocabulary_size), offset=_HEADER, count=header["tokens"]
        )

    def __len__(self) -> int:
        return int(self.tokens.size)

    def holds(self, ids: Sequence[int]) -> bool:
        """Return whether these tokens stand somewhere in it, one after the other."""
        wanted = np.asarray(ids, dtype=self.tokens.dtype).tobytes()
        size, at = self.tokens.itemsize, self._map.find(wanted, _HEADER)
        while at >= 0 and (at - _HEADER) % size:
            at = self._map.find(wanted, at + 1)
        return at >= 0

    def release(self) -> None:
        """Give the pages read so far back to the system; reading them again is correct, and fetches them again.

        Without it the pages of a whole epoch would count as this process's memory until the system runs short.
        """
        if hasattr(mmap, "MADV_DONTNEED"):
            self._map.madvise(mmap.MADV_DONTNEED)

    def verify(self) -> None:
        """Compare all of it with its checksum.

        Raises:
            DataError: the ids are not those that were written.
        """
        digest = hashlib.sha256()
        for at in range(0, len(self), 1 << 20):
            digest.update(self.tokens[at : at + (1 << 20)].tobytes())
            self.release()
        if digest.hexdigest() != self.fingerprint:
            raise DataError(
                "damaged: its content does not have its checksum; encode it again (train with --overwrite)", self.path
            )

    @classmethod
    def open(cls, path: str | Path, tokenizer: Tokenizer) -> TokenFile:
        """Map a file that `encode_corpus` wrote.

        Args:
            path: the file.
            tokenizer: the tokeniser that its ids are to be read with.
        Raises:
            StorageError: it is missing or can't be read.
            DataError: it is torn, no token file, of a later version, or written with another tokeniser.
        """
        path = Path(path)
        header = _read_header(path)
        if header["tokenizer_fingerprint"] != tokenizer.fingerprint:
            raise DataError(
                "was encoded with another tokenizer; encode the corpus again (train with --overwrite)", path
            )
        if header["vocabulary_size"] != tokenizer.vocabulary_size:
            raise DataError(
                "corrupt: its vocabulary is not its tokenizer's; encode it again (train with --overwrite)", path
            )
        return cls(path, header)


def encode_corpus(
    pieces: Iterable[Piece], tokenizer: Tokenizer, path: str | Path, *, progress: Callable[[int], None] | None = None
) -> TokenFile:
    """Encode documents into a token file, in constant memory.

    An `end_id` is written after each document if there are two or more; a corpus of one document is just its text, so
    that with characters its N tokens are its N characters. Where pieces are cut does not change the ids (BPE text
    without a space for 256 Ki characters aside).

    Args:
        pieces: the documents in order.
        tokenizer: encodes them.
        path: the file to create or replace: written aside, fsynced and renamed.
        progress: called after each piece with the characters encoded so far.
    Raises:
        StorageError: the file can't be written (a full disk); nothing is left behind.
        DataError: there is no text at all.
    """
    path = Path(path)
    dtype = _dtype(tokenizer.vocabulary_size)
    end = np.array([tokenizer.end_id], dtype=dtype)
    counts = dict.fromkeys(_COUNTS, 0) | {"vocabulary_size": tokenizer.vocabulary_size}
    digest = hashlib.sha256()
    with written_aside(path) as stream:

        def write(ids: Array) -> None:
            data = ids.astype(dtype, copy=False).tobytes()
            stream.write(data)
            digest.update(data)
            counts["tokens"] += ids.size

        stream.write(b"\0" * _HEADER)
        tail, between = "", True
        for piece in pieces:
            if between:
                # Only now is it known that the document before was not the only one.
                if counts["documents"]:
                    write(end)
                counts["documents"] += 1
            between = piece.ends_document
            counts["characters"] += len(piece.text)
            counts["bytes"] += len(piece.text.encode("utf-8", "replace"))
            text = tail + piece.text
            cut = len(text) if between else tokenizer.safe_boundary(text)
            if len(text) - cut > _LONGEST_TAIL:
                cut = len(text)
            write(tokenizer.encode(text[:cut]))
            tail = text[cut:]
            if progress is not None:
                progress(counts["characters"])
        write(tokenizer.encode(tail))
        if between and counts["documents"] > 1:
            write(end)
        if not counts["tokens"]:
            raise DataError("there is no text to encode")
        stream.seek(0)
        stream.write(_header(counts, tokenizer.fingerprint, digest.hexdigest(), dtype))
    return TokenFile.open(path, tokenizer)


def _dtype(vocabulary_size: int) -> DType:
    return np.dtype("u1" if vocabulary_size <= 1 << 8 else "<u2" if vocabulary_size <= 1 << 16 else "<u4")


def _header(counts: dict[str, int], fingerprint: str, sha256: str, dtype: DType) -> bytes:
    fields = {"version": VERSION, "dtype": dtype.name, **counts, "tokenizer_fingerprint": fingerprint, "sha256": sha256}
    return (_MAGIC + json.dumps(fields).encode("ascii") + b"\n").ljust(_HEADER - 1) + b"\n"


def _read_header(path: Path) -> Json:
    try:
        with path.open("rb") as stream:
            raw = stream.read(_HEADER)
            size = os.fstat(stream.fileno()).st_size
    except OSError as error:
        raise StorageError(f"{path}: can't be read: {error.strerror or error}") from error
    if not raw.startswith(_MAGIC):
        raise DataError("not a file of tokens written by this library", path)
    try:
        fields = json.loads(raw[len(_MAGIC) :].decode("ascii"))
    except (ValueError, RecursionError) as error:
        raise DataError("torn or corrupt header; encode the corpus again (train with --overwrite)", path) from error
    version = fields.get("version") if isinstance(fields, dict) else None
    if type(version) is int and version > VERSION:
        raise DataError(f"format version {version} is later than what this release reads, {VERSION}; upgrade", path)
    strings = ("dtype", "tokenizer_fingerprint", "sha256")
    if (
        version != VERSION
        or not all(type(fields.get(name)) is int and fields[name] >= 0 for name in _COUNTS)
        or not all(isinstance(fields.get(name), str) for name in strings)
        or fields["dtype"] != _dtype(fields["vocabulary_size"]).name
    ):
        raise DataError("corrupt header; encode the corpus again (train with --overwrite)", path)
    expected = _HEADER + fields["tokens"] * _dtype(fields["vocabulary_size"]).itemsize
    if size != expected or not fields["tokens"]:
        raise DataError(
            f"torn: {size} bytes instead of {expected}; encode the corpus again (train with --overwrite)", path
        )
    return fields
