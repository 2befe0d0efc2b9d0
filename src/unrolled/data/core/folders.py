"""The files that a path stands for: itself, the files of a folder, the members of a .zip; in a fixed order."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from unrolled.data.core.encodings import WIDE_MARKS, wide_without_mark
from unrolled.data.core.files import Source
from unrolled.errors import ArgumentError, DataError, StorageError

_HEAD = 8192
# formats that may hold no NUL in their first bytes and still are not text
_BINARY_MAGIC = (
    *(b"%PDF-", b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"BZh", b"7z\xbc\xaf", b"Rar!", b"\x7fELF"),
    *(b"PK\x03\x04", b"PK\x05\x06"),
)


#: a file or folder by name, or rows in memory
Place = Path | Source
Paths = str | Place | Iterable[str | Place]


def files_only(paths: Iterable[Place], kind: str) -> list[Path]:
    """Return the paths of data that can't be in rows.

    Args:
        paths: of files and folders.
        kind: of the data, in words.

    Raises:
        ArgumentError: there are rows among them.
    """
    if any(isinstance(path, Source) for path in paths):
        raise ArgumentError(f"data: rows in memory hold no {kind}; name files or folders")
    return [path for path in paths if isinstance(path, Path)]


def find_sources(paths: Paths, *, binary: tuple[str, ...] = ()) -> list[Source]:
    """Return every text file that the paths stand for, in a fixed order.

    A folder is walked in sorted order; hidden, empty and binary files in it are left out. A .zip stands for its
    members in sorted order, by the same rules. Of a mail folder that Python's `mailbox` reads the messages are taken:
    a Maildir (a folder with ``cur`` and ``new``) with its Maildir++ subfolders, though their names begin with a dot,
    and an MH folder (with ``.mh_sequences``).

    Args:
        paths: one path, or several; a `Source` stands for itself.
        binary: suffixes in lower case, such as ``.parquet``; files named so are taken though they are binary.

    Raises:
        StorageError: a path that does not exist, or can't be read.
        DataError: an empty file; a binary file; a folder or archive without any text.
    """
    named = [paths] if isinstance(paths, (str, Path, Source)) else list(paths)
    if not named:
        raise ArgumentError("paths: no file or folder was given")
    sources: list[Source] = []
    for path in named:
        if isinstance(path, Source):
            sources.append(path)
            continue
        path = Path(path)
        try:
            is_folder, is_file = path.is_dir(), path.is_file()
            exists = is_folder or is_file or path.exists()
        except (OSError, ValueError) as error:
            raise StorageError(f"{path}: can't be read: {getattr(error, 'strerror', None) or error}") from error
        if not exists:
            raise StorageError(f"{path}: no such file or folder")
        if not is_folder and not is_file:
            # text is read more than once (to fit a tokeniser, to split, to encode), which a pipe does not allow
            raise StorageError(f"{path}: not a regular file; save it to a file first")
        sources += _text_in(path, is_folder, binary)
    return sources


def _text_in(path: Path, is_folder: bool, binary: tuple[str, ...]) -> list[Source]:
    if is_folder or _is_zip(path):
        sources = [source for source in files_in(path) if _is_wanted(source, binary)]
        if not sources:
            kind, inner = ("folder", "files") if is_folder else ("archive", "members")
            raise DataError(f"no text file in this {kind} (hidden, empty and binary {inner} are skipped)", path)
        return sources
    source = Source(path)
    head = source.head()
    if not head:
        raise DataError("the file is empty", path)
    if not source.inner_name.endswith(binary):
        require_text(head, source.name)
    return [source]


def files_in(path: Path, *, archives: bool = True) -> Iterator[Source]:
    """Yield every file of a folder, or of a .zip, in sorted order; hidden ones are left out.

    Args:
        path: of the folder or .zip.
        archives: whether a .zip in a folder stands for its members, else for itself.

    Raises:
        StorageError: it can't be read.
        DataError: a damaged archive.
    """
    if path.is_file():
        yield from _members(path)
        return
    for file, message in _walk(path):
        if archives and _is_zip(file):
            yield from _members(file)
        else:
            yield Source(file, message=message, listed=True)


def _walk(folder: Path) -> Iterator[tuple[Path, bool]]:
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        raise StorageError(f"{folder}: can't be read: {error.strerror or error}") from error
    folders = {entry.name for entry in entries if entry.is_dir(follow_symlinks=False)}
    maildir = {"cur", "new"} <= folders
    mh = any(entry.name == ".mh_sequences" for entry in entries)
    for entry in entries:
        path = folder / entry.name
        if maildir and entry.name in ("cur", "new"):
            yield from ((message, True) for message, _ in _walk(path))
        elif entry.name in folders:
            subfolder = maildir and entry.name.startswith(".") and (path / "cur").is_dir()
            if subfolder or not (entry.name.startswith(".") or (maildir and entry.name == "tmp")):
                yield from _walk(path)
        # plain files beside cur and new are the mail program's indexes
        elif entry.is_file() and not entry.name.startswith(".") and not maildir:
            yield path, mh and entry.name.isdigit()


def _is_zip(path: Path) -> bool:
    return path.suffix.lower() == ".zip"


def _members(path: Path) -> Iterator[Source]:
    archive = open_zip(path)
    for info in sorted(archive.infolist(), key=lambda info: info.filename):
        parts = PurePosixPath(info.filename).parts
        if not info.is_dir() and not any(part.startswith(".") or part == "__MACOSX" for part in parts):
            yield Source(path, info.filename, listed=True, archive=archive)


def open_zip(path: Path) -> zipfile.ZipFile:
    """Open an archive.

    Raises:
        StorageError: it can't be read.
        DataError: it is damaged, or holds a name that can't be decoded.
    """
    try:
        return zipfile.ZipFile(path)
    except UnicodeDecodeError as error:
        message = "holds a file name that is not the UTF-8 it says it is; pack the files anew, or unpack them"
        raise DataError(message, path) from error
    except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
        if path.stat().st_size == 0:
            raise DataError("the file is empty", path) from error
        raise DataError(f"not a usable .zip archive: {error}", path) from error
    except OSError as error:
        raise StorageError(f"{path}: can't be read: {error.strerror or error}") from error


def _is_wanted(source: Source, binary: tuple[str, ...]) -> bool:
    head = source.head()
    if not head or source.inner_name.endswith(binary):
        return bool(head)
    return head[:2] in WIDE_MARKS or not (b"\0" in head or head.startswith(_BINARY_MAGIC))


def require_text(head: bytes, name: str) -> None:
    """Refuse a file that is not text, judged by its first bytes; UTF-16 passes.

    Raises:
        DataError: a known binary format, or a NUL byte.
    """
    if head[:2] in WIDE_MARKS:
        return
    if head.startswith(_BINARY_MAGIC):
        raise DataError("a binary file, not text; convert it to text first", name)
    # UTF-16 without a mark has NULs too: whoever has such a file must be able to name it
    if b"\0" in head[:_HEAD] and wide_without_mark(head) is None:
        raise DataError(f"a binary file, not text (NUL byte at byte {head.index(0)})", name)
