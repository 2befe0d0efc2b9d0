"""Deletes from a model's folder what only its training needed."""

from __future__ import annotations

import shutil
from pathlib import Path

from unrolled.errors import ModelError
from unrolled.storage import locked, storage_error
from unrolled.tasks.core.folder.config import read_config
from unrolled.tasks.core.values import DATA

CHECKPOINTS = "checkpoints"


def clean(folder: str | Path) -> int:
    """Delete checkpoints and encoded data of a model whose training is over, and return how many bytes were freed.

    Raises:
        StorageError: there is no such folder, another process writes into it, or it can't be written.
        ModelError: it holds no model, or one whose training can still be resumed.
    """
    folder = Path(folder)
    config = read_config(folder)
    if not config.result or config.result.get("interrupted"):
        way = "resume it first with unrolled train … --resume, or delete the folder"
        raise ModelError(f"{folder}: training has not come to an end, and needs what would be deleted; {way}")
    freed = 0
    with locked(folder):
        for part in (folder / CHECKPOINTS, folder / DATA):
            # what a link leads to is not the model's
            if part.is_symlink() or not part.is_dir():
                continue
            size = sum(path.lstat().st_size for path in part.rglob("*") if not path.is_dir())
            try:
                shutil.rmtree(part)
            except OSError as error:
                raise storage_error(error, part, "deleting it") from error
            freed += size
    return freed
