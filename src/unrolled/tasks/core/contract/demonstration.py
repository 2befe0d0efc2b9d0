"""Demonstrations: the data on which a use shows itself in the gallery, `unrolled demo --all`."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from unrolled.storage import make_folder, storage_error, write_whole
from unrolled.tasks.core.catalog import module_beside
from unrolled.tasks.core.contract import AnyUse
from unrolled.tasks.core.values import Sources

#: what stands before the description of the data
ORIGINS = {"public": "Public data", "made": "Data made on the spot"}


@dataclass(frozen=True)
class Demonstration:
    """A small model that shows a use, and the data it is trained on. Nothing is fetched for it.

    Attributes:
        name: of the model.
        origin: whether the data was published by somebody, or is made when it is asked for.
        about: what the data is and, of public data, where it comes from.
        write: writes the data into a folder, which exists.
        share: how much of the gallery's time the model needs, relative to others.
        options: of the use.
        training: fields of `TrainingSettings`.
    """

    name: str
    origin: Literal["public", "made"]
    about: str
    write: Callable[[Path], Sources]
    share: float = 1.0
    options: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """The description of the data, with its origin, for the model's card and its page."""
        return f"{ORIGINS[self.origin]}: {self.about}"


def demonstrations_of(use: AnyUse) -> tuple[Demonstration, ...]:
    """Return the `DEMONSTRATIONS` in the `demo.py` of a use, and of those that read other inputs under its name."""
    modules = (module_beside(kind.__module__, "demo") for kind in (type(use), *use.others))
    return tuple(shown for module in modules if module is not None for shown in module.DEMONSTRATIONS)


def write_rows(path: Path, rows: Iterable[Iterable[object]]) -> Path:
    """Write a table as CSV or, by its name, TSV; the first row is the header. Returns the path."""
    text = io.StringIO()
    csv.writer(text, "excel-tab" if path.suffix == ".tsv" else "excel", lineterminator="\n").writerows(rows)
    write_whole(path, text.getvalue().encode())
    return path


def write_files(folder: Path, files: Iterable[tuple[str, bytes]]) -> None:
    """Write many small files into a folder, not synced one by one: whatever a crash loses of them is made anew.

    Raises:
        StorageError: the disk is full, or the folder can't be written.
    """
    make_folder(folder)
    for name, content in files:
        try:
            (folder / name).write_bytes(content)
        except OSError as error:
            raise storage_error(error, folder / name, "write") from error
