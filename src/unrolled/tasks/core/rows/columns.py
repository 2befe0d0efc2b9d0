"""Which column of a table holds the inputs of a model, and how such a table is opened."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Protocol

from unrolled.data.core.dialect import TableOptions
from unrolled.data.core.files import Source
from unrolled.data.core.folders import Place
from unrolled.data.core.rows import TableRow
from unrolled.data.core.tables import SUFFIXES, Table, open_tables, with_header
from unrolled.errors import DataError
from unrolled.tasks.core.fitted import AnyFitted


class ReadsColumns(Protocol):
    """The part of an `Input` that says which columns it is read from."""

    role: ClassVar[str]
    column_names: ClassVar[tuple[str, ...]]


def is_table(path: Path) -> bool:
    """Return whether a file is named like a table, packed or not."""
    return Source(path).inner_name.removesuffix(".zip").endswith(SUFFIXES) and path.is_file()


def tables_for(
    model: AnyFitted, source: ReadsColumns, place: Place, column: str | None, reading: Mapping[str, object]
) -> list[Table]:
    """Open the tables of a file, read as those of the training data where nothing else is said.

    Args:
        model, source: the model and what it reads.
        place: the file.
        column: the one to read; None for that of the training data.
        reading: fields of `TableOptions`.

    Raises:
        ArgumentError, StorageError, DataError, MissingDependencyError: as `open_tables`.
    """
    trained = {name: getattr(model.options, name) for name in TableOptions.model_fields if hasattr(model.options, name)}
    options = TableOptions(**{**trained, **reading})
    names = [name for name in (column, *_noted(model, source), *source.column_names) if name]
    return open_tables(place, with_header(options, [column]), known=names)


def input_column(model: AnyFitted, source: ReadsColumns, table: Table, column: str | None) -> str:
    """Return the column that holds the inputs: the one named, that of the training data, the one of a usual name, or
    the only one.

    Raises:
        DataError: there is none of that name, or none can be recognised; naming those that there are.
    """
    if column is not None:
        return table.column(column)
    noted = _noted(model, source)
    names = [*(name for name in noted if name in table.columns), *table.columns[: len(table.columns) == 1]]
    like = table.column_like([*(name.lower() for name in noted), *source.column_names])
    chosen = next(iter([*names[:1], *([like] if like else []), *names[1:]]), None)
    if chosen is None:
        meant = f" (in training it was {noted[0]!r})" if noted else ""
        message = f"which column holds the {source.role}s{meant}? {table.described()}; name it with --column"
        raise DataError(message, table.name, 1)
    return chosen


def path_beside(cell: object, row: TableRow) -> object:
    """Return the path of a file that a cell names, in the folder of its table if there is such a file."""
    if not isinstance(cell, str) or not cell:
        raise DataError(f"expected the path of a file, found {cell!r:.40}", row.path, row.line)
    beside = Path(row.path.partition("!")[0]).parent / cell
    return beside if beside.exists() else Path(cell)


def _noted(model: AnyFitted, source: ReadsColumns) -> list[str]:
    """The column of inputs in the training data: as the options named it, or the reader found it."""
    chosen = getattr(model.options, f"{source.role}_column", None)
    columns = model.config.data.get("columns")
    noted = columns.get(source.role) if isinstance(columns, dict) else None
    return [name for name in (chosen, noted) if isinstance(name, str)]
