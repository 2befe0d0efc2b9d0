"""The logs of a run: append-only journals, which a kill or another writer may have torn."""

from __future__ import annotations

import errno
import json
import logging
import os
import stat
from pathlib import Path
from types import TracebackType

from unrolled.errors import StorageError
from unrolled.storage import storage_error
from unrolled.types import Json

log = logging.getLogger("unrolled.training")

#: a link is not followed, and a FIFO not waited for: the folder may be a stranger's
_FLAGS = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)


class Journal:
    """A text file that only grows, one write per entry, and that can be truncated to an earlier length.

    Args:
        path: created if need be.

    Raises:
        StorageError: the file can't be opened, or is a link, a device or the like.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._descriptor = os.open(path, _FLAGS, 0o666)
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise StorageError(f"{path}: a link, which is not followed; remove it") from error
            raise storage_error(error, path, "opening it") from error
        status = os.fstat(self._descriptor)
        if not stat.S_ISREG(status.st_mode):
            self.close()
            raise StorageError(f"{path}: not a regular file; remove it")
        self.length = status.st_size

    def append(self, entry: str) -> None:
        """Add an entry; if it does not fit on the disk, the part that did is removed again.

        Raises:
            StorageError: the system refused.
        """
        data = entry.encode("utf-8", "backslashreplace")
        try:
            if os.write(self._descriptor, data) != len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            os.ftruncate(self._descriptor, self.length)
            raise storage_error(error, self.path, "writing to it") from error
        self.length += len(data)

    def truncate(self, length: int) -> bool:
        """Truncate the file to an earlier length; return False if it has become another file in the meantime.

        A file that is shorter, or whose line does not end there, is truncated after the last whole line before.
        """
        try:
            whole = length <= self.length and (not length or self._read(length - 1, 1) == b"\n")
            if not whole:
                length = self._read(0, min(length, self.length)).rfind(b"\n") + 1
            os.ftruncate(self._descriptor, length)
        except OSError as error:
            raise storage_error(error, self.path, "shortening it") from error
        self.length = length
        return whole

    def _read(self, begin: int, count: int) -> bytes:
        with self.path.open("rb") as stream:
            stream.seek(begin)
            return stream.read(count)

    def sync(self) -> None:
        """Wait until the disk has every entry."""
        try:
            os.fsync(self._descriptor)
        except OSError as error:
            raise storage_error(error, self.path, "writing to it") from error

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class NoJournal(Journal):
    """A journal that another worker of the run writes."""

    def __init__(self, path: Path) -> None:
        self.path, self.length = path, 0

    def append(self, entry: str) -> None:
        """Leave it to the other."""

    def truncate(self, length: int) -> bool:
        """Leave it to the other."""
        return True

    def sync(self) -> None:
        """Leave it to the other."""

    def close(self) -> None:
        """Do nothing."""


def read_metrics(path: str | Path) -> list[Json]:
    """Return the records of a `metrics.jsonl`, oldest first; lines torn by a kill or another writer are left out.

    Raises:
        StorageError: the file can't be read.
    """
    try:
        lines = [line for line in Path(path).read_bytes().split(b"\n") if line.strip()]
    except OSError as error:
        raise storage_error(error, Path(path), "reading it") from error
    records = [record for line in lines if (record := _record(line)) is not None]
    if len(records) < len(lines):
        log.warning("%s: left out %d damaged of %d lines", path, len(lines) - len(records), len(lines))
    return records


def _record(line: bytes) -> Json | None:
    """Return a line's record; None if it is torn, which may leave JSON of another form."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) and type(record.get("step")) is int and "split" in record else None
