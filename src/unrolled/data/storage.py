"""Writing a file so that a reader sees the whole of it or nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from ..errors import StorageError


@contextmanager
def written_aside(path: str | Path) -> Iterator[BinaryIO]:
    """Open a file that takes the place of `path` only when the block ends without an error.

    The bytes go to a hidden neighbour (``.NAME.partial``), are fsynced, and are then renamed. The neighbour's name is
    fixed, so that what a killed process left behind is overwritten by the next one instead of piling up.

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
        with aside.open("wb+") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(aside, target)
        _sync_folder(target.parent)
    except BaseException as error:
        if aside.parent.is_dir():
            aside.unlink(missing_ok=True)
        if isinstance(error, OSError) and not isinstance(error, StorageError):
            raise StorageError(f"{target}: can't be written: {error.strerror or error}") from error
        raise


def _sync_folder(folder: Path) -> None:
    # The rename itself is durable only once the folder is; Windows has no such call on folders.
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
