"""Atomic writes: a kill, a full disk or a power cut leaves the old file or the new one, never half of one."""

from __future__ import annotations

import errno
import json
import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from unrolled.errors import StorageError

#: a new file; never what a link leads to that somebody left under its name
_NEW = os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
_FULL = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "the file size limit is reached",
}


def storage_error(error: OSError, path: str | Path, doing: str) -> StorageError:
    """Return the error to raise when the system refused an operation on a path.

    Args:
        error: the system's error.
        path: the file or folder.
        doing: the operation, as in "writing the checkpoint".
    """
    cause = _FULL.get(error.errno or 0) or error.strerror or str(error)
    return StorageError(f"{path}: {cause} while {doing}")


def make_folder(path: str | Path) -> None:
    """Create a folder and its parents.

    Raises:
        StorageError: it is not permitted, or something else has that name.
    """
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise storage_error(error, path, "creating the folder") from error


@contextmanager
def written_aside(path: str | Path) -> Iterator[BinaryIO]:
    """Open a file that replaces `path` only when the block ends without an error.

    The bytes go to a hidden neighbour (``.NAME.partial``), are fsynced, and are then renamed. The neighbour's name is
    fixed, so that the next process removes what a killed one left behind.

    Args:
        path: the file to create or replace; its folder must exist.

    Yields:
        a seekable binary stream.

    Raises:
        StorageError: the file can't be created, filled (a full disk) or renamed; `path` is then as it was before.
    """
    target = Path(path)
    aside = target.with_name(f".{target.name}.partial")
    try:
        aside.unlink(missing_ok=True)
        with os.fdopen(os.open(aside, os.O_RDWR | _NEW, 0o666), "wb+") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
            if not os.path.samestat(os.fstat(stream.fileno()), os.lstat(aside)):
                raise StorageError(f"{target}: another process is writing it too; what was there before is whole")
        os.replace(aside, target)
        sync_folder(target.parent)
    except BaseException as error:
        with suppress(OSError):
            aside.unlink(missing_ok=True)
        if isinstance(error, OSError) and not isinstance(error, StorageError):
            raise storage_error(error, target, "writing it; what was there before is whole") from error
        raise


def plain_json(value: Any) -> Any:
    """Return a nested value as strict JSON can hold it, with None for numbers that are not finite.

    >>> plain_json({"a": [1.5, float("inf")], "b": {"c": float("nan")}})
    {'a': [1.5, None], 'b': {'c': None}}
    """
    if isinstance(value, Mapping):
        return {str(k): plain_json(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain_json(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def write_whole(path: str | Path, content: bytes) -> None:
    """Replace a file in one step.

    Raises:
        StorageError: as for `written_aside`.
    """
    with written_aside(path) as stream:
        stream.write(content)


def write_text(path: str | Path, text: str) -> None:
    """Replace a file of text in one step; bytes of file names that are no UTF-8 are written as JSON escapes them.

    Raises:
        StorageError: as for `written_aside`.
    """
    write_whole(path, text.encode("utf-8", "backslashreplace"))


def write_json(path: str | Path, value: object, indent: int | None = 1) -> None:
    """Replace a JSON file in one step.

    Raises:
        StorageError: as for `written_aside`.
    """
    write_text(path, json.dumps(value, ensure_ascii=False, indent=indent) + "\n")


def write_durably(path: Path, data: bytes) -> None:
    """Write a new file and wait until the disk has it.

    Raises:
        OSError: as the system says; the file may then be incomplete.
    """
    descriptor = os.open(path, os.O_WRONLY | _NEW, 0o666)
    try:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(path: str | Path) -> None:
    """Wait until a folder's entries are on the disk. Windows can't do that, and does not need it for a rename."""
    if os.name != "posix":
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
