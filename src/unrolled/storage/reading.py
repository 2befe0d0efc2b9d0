"""Reading files that a stranger may have made: nothing but regular files, and no more than a bound."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from unrolled.errors import ModelError

#: a FIFO is not waited for, should one take the file's place after it was looked at
_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


@contextmanager
def opened(path: Path) -> Iterator[tuple[BinaryIO, int]]:
    """Open a regular file, or a link to one, for reading.

    Yields:
        The stream, and the file's size in bytes.

    Raises:
        ModelError: it is a device, a FIFO, a socket or a folder.
        OSError: as the system says.
    """
    # looked at before it is opened, as opening a device may act on it
    _check_regular(path, os.stat(path))
    with os.fdopen(os.open(path, _FLAGS), "rb") as stream:
        status = os.fstat(stream.fileno())
        _check_regular(path, status)
        yield stream, status.st_size


def read_whole(path: Path, most: int) -> bytes:
    """Return the bytes of a regular file.

    Args:
        path: the file.
        most: bytes that it may have.

    Raises:
        ModelError: it is larger, no regular file, or being written.
        OSError: as the system says.
    """
    with opened(path) as (stream, size):
        if size > most:
            raise ModelError(f"{path}: larger than any such file of a model ({size:,} bytes)")
        data = stream.read(size + 1)
    if len(data) != size:
        raise ModelError(f"{path}: changes while it is read")
    return data


def available_memory() -> int:
    """Return the bytes of memory that this machine has, used or not; a terabyte where it does not say."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return 1 << 40


def _check_regular(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise ModelError(f"{path}: not a regular file")
