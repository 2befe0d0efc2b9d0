"""The folder that a new model is written to: whether it is free, and how an older model in it is replaced."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from unrolled.errors import ModelError, OutputExistsError
from unrolled.storage import is_vacant, locked, make_folder, part_path, read_whole, storage_error, write_whole
from unrolled.tasks.core.folder.config import CONFIG
from unrolled.tasks.core.values import DATA
from unrolled.training import launched_by

_BEGUN_BY = Path(DATA, "launcher")


def check_free(out: Path, resume: bool = False, overwrite: bool = False) -> None:
    """Check that a model may be written to `out`.

    Raises:
        OutputExistsError: something else is there.
        StorageError: the folder can't be read.
    """
    try:
        is_file = out.exists() and not out.is_dir()
        is_taken = out.is_dir() and not is_vacant(out)
    except OSError as error:
        raise storage_error(error, out, "looking for an older model") from error
    if is_file:
        raise OutputExistsError(f"{out}: is a file; name a folder for the model")
    if is_taken and not resume:
        if not overwrite:
            raise OutputExistsError(f"{out}: exists already; give --resume to go on, --overwrite to replace it")
        if not part_path(out / CONFIG).is_file() and not (out / DATA).is_dir():
            raise OutputExistsError(f"{out}: holds no model, and will not be overwritten; name another folder")


def begin_here(out: Path) -> None:
    """Note which launcher of workers began the run in `out`, if any did."""
    if (launcher := launched_by()) is not None:
        write_whole(out / _BEGUN_BY, launcher.encode())


def was_begun_here(out: Path) -> bool:
    """Return whether the launcher of this worker began the run in `out`, and has started its workers again since."""
    path, launcher = out / _BEGUN_BY, launched_by()
    try:
        return launcher is not None and read_whole(path, 4096) == launcher.encode()
    except (OSError, ModelError):
        return False


@contextmanager
def claimed(out: Path) -> Iterator[None]:
    """Make `out` an empty folder; its former contents are deleted on success, and restored on failure.

    Raises:
        StorageError: the folder can't be created, or its contents can't be moved.
    """
    with locked(out) as lock:
        # absolute, since "." has no name
        here = Path(os.path.abspath(out))
        aside = here.with_name(f".{here.name}.overwritten")
        is_taken = out.is_dir() and not is_vacant(out)
        if is_taken:
            try:
                if aside.is_dir() and not part_path(out / CONFIG).is_file():
                    # a run that was killed while it read its data left the older model there
                    shutil.rmtree(out)
                else:
                    shutil.rmtree(aside, ignore_errors=True)
                    out.rename(aside)
            except OSError as error:
                raise storage_error(error, out, "moving the older model out of the way") from error
        make_folder(out)
        # what was locked is aside now
        lock.take()
        try:
            yield
        except BaseException:
            shutil.rmtree(out, ignore_errors=True)
            if is_taken:
                aside.rename(out)
            raise
        if is_taken:
            shutil.rmtree(aside, ignore_errors=True)
