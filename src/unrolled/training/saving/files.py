"""Files that survive a kill, a full disk or a power cut: durable writes and append-only journals."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from types import TracebackType

from unrolled.storage import storage_error
from unrolled.types import Json


def write_durably(path: Path, data: bytes) -> None:
    """Write a new file and wait until the disk has it.

    Raises:
        OSError: as the system says; the file may then be incomplete.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
    try:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class Journal:
    """A text file that only grows, one write per entry, and that can be truncated to an earlier length.

    Args:
        path: created if need be.

    Raises:
        StorageError: the file can't be opened.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
            self.length = os.fstat(self._descriptor).st_size
        except OSError as error:
            raise storage_error(error, path, "opening it") from error

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
        """Truncate the file to an earlier length; return False if it has become shorter than that in the meantime.

        A shorter file is truncated after its last whole line.
        """
        try:
            whole = length <= self.length
            if not whole:
                length = self.path.read_bytes().rfind(b"\n") + 1
            os.ftruncate(self._descriptor, length)
        except OSError as error:
            raise storage_error(error, self.path, "shortening it") from error
        self.length = length
        return whole

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


def read_metrics(path: str | Path) -> list[Json]:
    """Return the lines of a `metrics.jsonl`, oldest first; a last line cut short by a kill is left out.

    Raises:
        StorageError: the file can't be read.
    """
    try:
        lines = Path(path).read_bytes().split(b"\n")
    except OSError as error:
        raise storage_error(error, Path(path), "reading it") from error
    # A whole file ends in a line feed, so the last piece is empty or incomplete.
    return [json.loads(line) for line in lines[:-1] if line.strip()]
