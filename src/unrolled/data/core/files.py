"""Bytes and text out of files, whether they are plain, .gz, .xz or in a .zip, in pieces of bounded size."""

from __future__ import annotations

import codecs
import gzip
import io
import lzma
import os
import re
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import BinaryIO, cast

from unrolled.errors import ArgumentError, DataError, EncodingError, StorageError

CHUNK = 1 << 20
"""Bytes read at a time."""

LONGEST_LINE = 64 << 20
"""A line longer than this (bytes, or characters of text) is refused rather than gathered in memory."""

_HEAD = 8192
_GZIP, _XZ, _ZIP = b"\x1f\x8b", b"\xfd7zXZ\x00", (b"PK\x03\x04", b"PK\x05\x06")
_COMPRESSED = {".gz": _GZIP, ".xz": _XZ}
# Formats that may hold no NUL in their first bytes and still are not text.
_BINARY_MAGIC = (b"%PDF-", b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"BZh", b"7z\xbc\xaf", b"Rar!", b"\x7fELF", *_ZIP)
_WIDE_BOM = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}


@dataclass(frozen=True)
class Source:
    """One stream of bytes that can be read from its start any number of times.

    Args:
        path: the file on disk.
        member: the name inside the archive, if `path` is a .zip.
        message: True for a file that a Maildir says is one mail message.
        found: True if it was found in a folder or archive instead of being named.
        archive: the open archive that `member` is in; shared by its members, closed with the last of them.
        content: the bytes themselves, of what is no file and is only called `path`; they are not decompressed.
    """

    path: Path
    member: str | None = None
    message: bool = False
    found: bool = False
    archive: zipfile.ZipFile | None = field(default=None, compare=False, repr=False)
    content: bytes | None = field(default=None, repr=False)

    @property
    def name(self) -> str:
        """What error messages call it: the path, and the member behind a ``!``."""
        return str(self.path) if self.member is None else f"{self.path}!{self.member}"

    @property
    def inner_name(self) -> str:
        """The bare file name in lower case, without a suffix that only says how it is compressed."""
        name = PurePosixPath(self.member).name if self.member is not None else self.path.name
        stem, suffix = os.path.splitext(name.lower())
        return stem if suffix in _COMPRESSED else name.lower()

    def chunks(self, size: int = CHUNK) -> Iterator[bytes]:
        """The decompressed bytes, at most `size` at a time; memory does not depend on the length of the file.

        Raises:
            StorageError: the file can't be opened or read.
            DataError: the compressed data is damaged, cut short, encrypted, or not what its name says.
        """
        try:
            with ExitStack() as stack:
                stream = self._open(stack)
                while chunk := stream.read(size):
                    yield chunk
        except zipfile.BadZipFile as error:
            raise DataError(f"not a usable .zip archive: {error}", self.name) from error
        except (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile) as error:
            raise DataError(f"compressed data is damaged or cut short: {error}", self.name) from error
        except (NotImplementedError, RuntimeError) as error:
            # zipfile's words for an unknown compression method and for a password.
            raise DataError(f"this .zip member can't be read: {error}", self.name) from error
        except OSError as error:
            raise StorageError(f"{self.name}: can't be read: {error.strerror or error}") from error

    def head(self, size: int = _HEAD) -> bytes:
        """The first `size` bytes or fewer."""
        return next(self.chunks(size), b"")

    def lines(self) -> Iterator[bytes]:
        r"""The lines as bytes, each with its ``\n``.

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

    def _open(self, stack: ExitStack) -> BinaryIO:
        raw: BinaryIO
        if self.content is not None:
            return io.BytesIO(self.content)
        if self.archive is not None and self.member is not None:
            raw = cast(BinaryIO, stack.enter_context(self.archive.open(self.member)))
        else:
            raw = stack.enter_context(self.path.open("rb"))
        magic = raw.read(len(_XZ))
        raw.seek(0)
        suffix = os.path.splitext(self.member or self.path.name)[1].lower()
        if magic and suffix in _COMPRESSED and not magic.startswith(_COMPRESSED[suffix]):
            raise DataError(f"is named {suffix} but holds no {suffix} data; rename it if it is plain text", self.name)
        if magic.startswith(_GZIP):
            return cast(BinaryIO, stack.enter_context(gzip.open(raw)))
        if magic.startswith(_XZ):
            return cast(BinaryIO, stack.enter_context(lzma.open(raw)))
        return raw


def find_sources(paths: str | Path | Iterable[str | Path], *, binary: tuple[str, ...] = ()) -> list[Source]:
    """Every text file that the paths stand for, in a fixed order.

    A folder is walked in sorted order; hidden, empty and binary files in it are left out. A .zip stands for its
    members in sorted order, by the same rules. In a Maildir (a folder with ``cur`` and ``new``) the messages are
    taken, and Maildir++ subfolders, though their names begin with a dot.

    Args:
        paths: one path, or several.
        binary: suffixes in lower case, such as ``.parquet``; files named so are taken though they are binary.
    Raises:
        StorageError: a path that does not exist, or can't be read.
        DataError: an empty file; a binary file; a folder or archive without any text.
    """
    named = [paths] if isinstance(paths, (str, Path)) else list(paths)
    if not named:
        raise ArgumentError("paths: no file or folder was given")
    sources: list[Source] = []
    for path in map(Path, named):
        try:
            is_folder, is_file = path.is_dir(), path.is_file()
            exists = is_folder or is_file or path.exists()
        except OSError as error:
            raise StorageError(f"{path}: can't be read: {error.strerror or error}") from error
        if not exists:
            raise StorageError(f"{path}: no such file or folder")
        if is_folder:
            found = [source for source in _in_folder(path) if _is_wanted(source, binary)]
            if not found:
                raise DataError("no text file in this folder (hidden, empty and binary files are skipped)", path)
            sources += found
        elif is_file:
            sources += _in_file(path, binary)
        else:
            # Text is read more than once (to fit a tokeniser, to split, to encode), which a pipe does not allow.
            raise StorageError(f"{path}: not a regular file; save it to a file first")
    return sources


def _is_wanted(source: Source, binary: tuple[str, ...]) -> bool:
    head = source.head()
    return _holds_text(head) or (bool(head) and source.inner_name.endswith(binary))


def _in_file(path: Path, binary: tuple[str, ...]) -> list[Source]:
    source = Source(path)
    if _is_zip(path):
        members = [member for member in _members(path) if _is_wanted(member, binary)]
        if not members:
            raise DataError("no text file in this archive (hidden, empty and binary members are skipped)", path)
        return members
    head = source.head()
    if not head:
        raise DataError("the file is empty", path)
    if not source.inner_name.endswith(binary):
        require_text(head, source.name)
    return [source]


def _in_folder(folder: Path) -> Iterator[Source]:
    for path, message in _walk(folder):
        if _is_zip(path):
            yield from _members(path)
        else:
            yield Source(path, message=message, found=True)


def _walk(folder: Path) -> Iterator[tuple[Path, bool]]:
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        raise StorageError(f"{folder}: can't be read: {error.strerror or error}") from error
    folders = {entry.name for entry in entries if entry.is_dir(follow_symlinks=False)}
    maildir = {"cur", "new"} <= folders
    for entry in entries:
        path = folder / entry.name
        if maildir and entry.name in ("cur", "new"):
            yield from ((message, True) for message, _ in _walk(path))
        elif entry.name in folders:
            subfolder = maildir and entry.name.startswith(".") and (path / "cur").is_dir()
            if subfolder or not (entry.name.startswith(".") or (maildir and entry.name == "tmp")):
                yield from _walk(path)
        # Plain files beside cur and new are the mail program's indexes.
        elif entry.is_file() and not entry.name.startswith(".") and not maildir:
            yield path, False


def _is_zip(path: Path) -> bool:
    return path.suffix.lower() == ".zip"


def _members(path: Path) -> Iterator[Source]:
    try:
        archive = zipfile.ZipFile(path)
    except zipfile.BadZipFile as error:
        if path.stat().st_size == 0:
            raise DataError("the file is empty", path) from error
        raise DataError(f"not a usable .zip archive: {error}", path) from error
    except OSError as error:
        raise StorageError(f"{path}: can't be read: {error.strerror or error}") from error
    for info in sorted(archive.infolist(), key=lambda info: info.filename):
        parts = PurePosixPath(info.filename).parts
        if not info.is_dir() and not any(part.startswith(".") or part == "__MACOSX" for part in parts):
            yield Source(path, info.filename, found=True, archive=archive)


def _holds_text(head: bytes) -> bool:
    return bool(head) and (head[:2] in _WIDE_BOM or not _looks_binary(head))


def _looks_binary(head: bytes) -> bool:
    return b"\0" in head or head.startswith(_BINARY_MAGIC)


def require_text(head: bytes, name: str) -> None:
    """Refuse what is not text, judging by its first bytes; UTF-16 with a byte-order mark passes.

    Raises:
        DataError: it is a known binary format, or holds a NUL byte.
    """
    if head[:2] not in _WIDE_BOM and head.startswith(_BINARY_MAGIC):
        raise DataError("a binary file, not text; convert it to text first", name)
    if head[:2] not in _WIDE_BOM and b"\0" in head[:_HEAD]:
        # UTF-16 without a mark has NULs too: whoever has such a file must be able to say so.
        at = head.index(b"\0")
        if not re.match(rb"(?:[^\0]\0){8}|(?:\0[^\0]){8}", head):
            raise DataError(f"a binary file, not text (NUL byte at byte {at})", name)


def check_encoding(encoding: str, errors: str) -> None:
    """Refuse an encoding that Python does not know, or a way of handling errors other than strict and replace.

    Raises:
        ArgumentError: names the option and what it may be.
    """
    try:
        # Refuses codecs from bytes to bytes too, such as hex.
        " ".encode(encoding)
    except (LookupError, ValueError) as error:
        raise ArgumentError(f"--encoding {encoding!r}: no such text encoding; try utf-8, cp1252 or utf-16") from error
    if errors not in ("strict", "replace"):
        raise ArgumentError(f"--errors {errors!r}: must be strict or replace")


def decode(chunks: Iterable[bytes], name: str, encoding: str = "utf-8", errors: str = "strict") -> Iterator[str]:
    r"""Bytes to text, piece by piece, with every kind of line end turned to ``\n``.

    A character or ``\r\n`` that lies across two chunks comes out whole. A UTF-8 byte-order mark is dropped.

    Args:
        chunks: the bytes in order.
        name: what error messages call the file.
        encoding: any text encoding of Python's.
        errors: ``strict``, or ``replace`` to read U+FFFD for what can't be decoded.
    Raises:
        EncodingError: bytes that are not text in this encoding: byte position (from 0), line, and the way out.
        DataError: a NUL byte, which no text has (encodings of two or four bytes a character aside).
    """
    codec = codecs.lookup(encoding).name
    wide = codec.startswith(("utf-16", "utf-32"))
    utf8 = codec in ("utf-8", "utf-8-sig")
    decoder = codecs.getincrementaldecoder("utf-8" if utf8 else encoding)(errors)
    newlines = io.IncrementalNewlineDecoder(None, translate=True)
    fed, line, first = 0, 1, True
    try:
        for chunk in chunks:
            fed += len(chunk)
            if first and utf8:
                if chunk[:2] in _WIDE_BOM:
                    hint = "it begins with the mark of UTF-16: try --encoding utf-16"
                    raise EncodingError(f"not valid UTF-8 at byte 0; {hint}", name, 1)
                chunk = chunk.removeprefix(codecs.BOM_UTF8)
            first = False
            if not wide and (at := chunk.find(b"\0")) >= 0:
                place = fed - len(chunk) + at
                raise DataError(
                    f"a binary file, not text (NUL byte at byte {place})", name, line + chunk.count(b"\n", 0, at)
                )
            if text := newlines.decode(decoder.decode(chunk)):
                yield text
            line += chunk.count(b"\n")
        if text := newlines.decode(decoder.decode(b"", final=True), final=True):
            yield text
    except UnicodeDecodeError as error:
        # error.object is what the decoder held back plus the newest chunk.
        place = fed - len(error.object) + error.start
        line += error.object.count(b"\n", 0, error.start)
        bad = " ".join(f"{byte:02x}" for byte in error.object[error.start : error.end][:4])
        raise EncodingError(
            f"not valid {codec.upper()} at byte {place} ({bad}: {error.reason}); "
            "give its --encoding (cp1252 is likely for old Western files), or --errors replace",
            name,
            line,
        ) from error
    except UnicodeError as error:
        # UTF-16 and UTF-32 without a byte-order mark raise the plain class.
        raise EncodingError(f"not valid {codec.upper()}: {error}; try utf-16-le or utf-16-be", name) from error


def filled_lines(source: Source, encoding: str, errors: str) -> Iterator[tuple[int, str]]:
    """The lines of a text file that are not blank, with their numbers from 1: those of JSONL, say.

    Raises:
        DataError, EncodingError, StorageError: as `decode` and `text_lines` do.
    """
    for number, line in enumerate(text_lines(decode(source.chunks(), source.name, encoding, errors), source.name), 1):
        if line.strip():
            yield number, line


def text_lines(texts: Iterable[str], name: str) -> Iterator[str]:
    r"""Lines without their ``\n`` out of pieces of text.

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
