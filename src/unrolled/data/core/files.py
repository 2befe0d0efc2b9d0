"""Bytes and text out of files, whether they are plain, .gz, .bz2, .xz or in a .zip, in pieces of bounded size."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath
from typing import BinaryIO, cast

from unrolled.data.core.encodings import decode, suggestion
from unrolled.errors import DataError, StorageError

CHUNK = 1 << 20
"""Bytes read at a time."""

LONGEST_LINE = 64 << 20
"""A line longer than this (bytes, or characters of text) is refused rather than gathered in memory."""

_HEAD = 8192
_GZIP, _XZ, _BZIP = b"\x1f\x8b", b"\xfd7zXZ\x00", b"BZh"
_COMPRESSED = {".gz": _GZIP, ".xz": _XZ, ".bz2": _BZIP}


@dataclass(frozen=True)
class Source:
    """One stream of bytes that can be read from its start any number of times.

    Args:
        path: the file on disk.
        member: the name inside the archive, if `path` is a .zip.
        message: True for a file that its folder says is one mail message.
        listed: True if it was listed from a folder or archive, False if it was named.
        archive: the open archive that `member` is in; shared by its members, closed with the last of them.
        content: the bytes themselves, of data that is in no file and is only called `path`; they are not decompressed.
            Without a suffix in its name they are JSON lines.
    """

    path: Path
    member: str | None = None
    message: bool = False
    listed: bool = False
    archive: zipfile.ZipFile | None = field(default=None, compare=False, repr=False)
    content: bytes | None = field(default=None, repr=False)

    @property
    def name(self) -> str:
        """The name in error messages: the path, and the member behind a ``!``."""
        return str(self.path) if self.member is None else f"{self.path}!{self.member}"

    def __str__(self) -> str:
        return self.name

    @property
    def parts(self) -> tuple[str, ...]:
        """The folders it lies in and its file name, inside the archive if it is in one."""
        return self.path.parts if self.member is None else PurePosixPath(self.member).parts

    @property
    def inner_name(self) -> str:
        """The bare file name in lower case, without a suffix that only says how it is compressed."""
        name = self.parts[-1] if self.parts else ""
        if self.content is not None and "." not in name:
            return f"{name}.jsonl"
        stem, suffix = os.path.splitext(name.lower())
        return stem if suffix in _COMPRESSED else name.lower()

    def chunks(self, size: int = CHUNK, *, unpack: bool = True) -> Iterator[bytes]:
        """Yield the decompressed bytes, at most `size` at a time; memory does not depend on the length of the file.

        Args:
            size: of a chunk.
            unpack: whether a compressed file is decompressed.

        Raises:
            StorageError: the file can't be opened or read.
            DataError: the compressed data is damaged, cut short, encrypted, or not what its name says.
        """
        try:
            with ExitStack() as stack:
                stream = self._open(stack, unpack)
                while chunk := stream.read(size):
                    yield chunk
        except (zipfile.BadZipFile, ValueError, struct.error) as error:
            # zipfile decodes names and unpacks fields without a word of its own about what is wrong with them
            raise DataError(f"not a usable .zip archive: {error}", self.name) from error
        except (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile) as error:
            raise DataError(f"compressed data is damaged or cut short: {error}", self.name) from error
        except (NotImplementedError, RuntimeError) as error:
            # zipfile's words for an unknown compression method and for a password
            raise DataError(f"this .zip member can't be read: {error}", self.name) from error
        except OSError as error:
            raise StorageError(f"{self.name}: can't be read: {error.strerror or error}") from error

    def head(self, size: int = _HEAD) -> bytes:
        """Return the first `size` bytes or fewer."""
        return next(self.chunks(size), b"")

    def lines(self) -> Iterator[bytes]:
        r"""Yield the lines as bytes, each with its ``\n``.

        Raises:
            DataError: a line is longer than LONGEST_LINE; or as `chunks`.
        """
        tail, number = b"", 0
        for chunk in self.chunks():
            *whole, tail = (tail + chunk).split(b"\n")
            for line in whole:
                yield line + b"\n"
            number += len(whole)
            if len(tail) > LONGEST_LINE:
                raise DataError(f"a line longer than {LONGEST_LINE >> 20} MiB", self.name, number + 1)
        if tail:
            yield tail

    def text(self, encoding: str = "utf-8", errors: str = "strict") -> Iterator[str]:
        """Yield the text in pieces of bounded size.

        Raises:
            DataError, EncodingError, StorageError: as `decode` and `chunks`.
        """
        suggest = partial(suggestion, self.chunks) if encoding.lower() in ("utf-8", "utf8") else None
        return decode(self.chunks(), self.name, encoding, errors, suggest=suggest)

    def text_lines(self, encoding: str = "utf-8", errors: str = "strict") -> Iterator[tuple[int, str]]:
        r"""Yield the lines of text without their ``\n``, with their numbers from 1.

        Raises:
            DataError, EncodingError, StorageError: as `text`; a line is longer than LONGEST_LINE.
        """
        return enumerate(text_lines(self.text(encoding, errors), self.name), 1)

    def filled_lines(self, encoding: str = "utf-8", errors: str = "strict") -> Iterator[tuple[int, str]]:
        """Yield the lines that are not blank, as `text_lines`."""
        return ((number, line) for number, line in self.text_lines(encoding, errors) if line.strip())

    def _open(self, stack: ExitStack, unpack: bool) -> BinaryIO:
        raw: BinaryIO
        if self.content is not None:
            return io.BytesIO(self.content)
        if self.archive is not None and self.member is not None:
            raw = cast(BinaryIO, stack.enter_context(self.archive.open(self.member)))
        else:
            raw = stack.enter_context(self.path.open("rb"))
        if not unpack:
            return raw
        magic = raw.read(len(_XZ))
        raw.seek(0)
        suffix = os.path.splitext(self.member or self.path.name)[1].lower()
        if magic and suffix in _COMPRESSED and not magic.startswith(_COMPRESSED[suffix]):
            raise DataError(f"is named {suffix} but holds no {suffix} data; rename it if it is plain text", self.name)
        if magic.startswith(_GZIP):
            return cast(BinaryIO, stack.enter_context(gzip.open(raw)))
        if magic.startswith(_BZIP) and suffix == ".bz2":
            return cast(BinaryIO, stack.enter_context(bz2.open(raw)))
        if magic.startswith(_XZ):
            return cast(BinaryIO, stack.enter_context(lzma.open(raw)))
        return raw


def text_lines(texts: Iterable[str], name: str) -> Iterator[str]:
    r"""Yield lines without their ``\n`` out of pieces of text.

    Raises:
        DataError: a line is longer than LONGEST_LINE.
    """
    tail, number = "", 0
    for text in texts:
        *whole, tail = (tail + text).split("\n")
        yield from whole
        number += len(whole)
        if len(tail) > LONGEST_LINE:
            raise DataError(f"a line longer than {LONGEST_LINE >> 20} Mi characters", name, number + 1)
    if tail:
        yield tail
