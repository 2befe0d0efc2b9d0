"""Rows in memory as a source, like any file: lists, iterators and data frames, handed on as JSON lines."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, time
from decimal import Decimal
from pathlib import Path

import numpy as np

from unrolled.data.core.dialect import Dialect
from unrolled.data.core.files import Source
from unrolled.data.core.findings import Findings
from unrolled.data.core.frames import frame_rows
from unrolled.data.core.rows import TableRow
from unrolled.data.core.tables import Table
from unrolled.errors import ArgumentError

#: the name of rows in error messages, where the line is the number of the row
NAME = "rows"


def as_places(data: object, *, may_be_empty: bool = False) -> tuple[Path | Source, ...]:
    """Return the places of data that somebody hands over.

    Args:
        data: a path or several; or rows: an iterable of mappings (column → value), of sequences (whose columns are
            called "1", "2", …) or of numbers, or a data frame of pandas, polars, Arrow or any other library with the
            dataframe interchange protocol.
        may_be_empty: whether there may be none.

    Raises:
        ArgumentError: it is none of these, or a row holds something that a table can't.
    """
    if isinstance(data, (str, os.PathLike)):
        return (Path(data),)
    if isinstance(data, Source):
        return (data,)
    if not isinstance(data, Mapping) and (rows := frame_rows(data)) is not None:
        return (_source(rows),)
    if isinstance(data, Mapping) or not isinstance(data, Iterable):
        raise ArgumentError(f"data: expected paths, rows or a data frame, found {type(data).__name__}")
    items = iter(data)
    first = next(items, None)
    if first is None and may_be_empty:
        return ()
    if first is None:
        raise ArgumentError("data: no file, folder or row was given")
    if isinstance(first, (str, os.PathLike, Source)):
        paths = [first, *items]
        wrong = next((p for p in paths if not isinstance(p, (str, os.PathLike, Source))), None)
        if wrong is not None:
            raise ArgumentError(f"data: paths and rows can't be mixed, found {type(wrong).__name__} among paths")
        return tuple(path if isinstance(path, Source) else Path(path) for path in paths)
    return (_source(itertools.chain([first], items)),)


@dataclasses.dataclass(frozen=True)
class RowTable(Table):
    """Rows in memory as a table that is read once, each row converted when its turn comes.

    Attributes:
        given: the rows.
        live: whether each is to be answered before the next one is asked for.
    """

    given: Iterable[object] = ()
    live: bool = False

    def rows(self, findings: Findings | None = None) -> Iterator[TableRow]:
        """Yield the rows."""
        for number, row in enumerate(self.given, 1):
            yield TableRow(_object(row, number).items(), NAME, number, self.dialect)


def row_table(rows: Iterable[object]) -> RowTable:
    """Return rows as `as_places` takes them, or a data frame, as a table; only the first row is read for it.

    Raises:
        ArgumentError: the first row, or a column of the frame, holds something that a table can't.
    """
    frame = frame_rows(rows)
    items = iter(rows) if frame is None else frame
    first = list(itertools.islice(items, 1))
    columns = tuple(_object(first[0], 1)) if first else ()
    return RowTable(
        Source(Path(NAME), content=b""),
        "jsonl",
        columns,
        Dialect(),
        itertools.chain(first, items),
        isinstance(rows, Iterator),
    )


def _source(rows: Iterable[object]) -> Source:
    lines = [json.dumps(_object(row, number), ensure_ascii=False) for number, row in enumerate(rows, 1)]
    if not lines:
        raise ArgumentError("data: there is no row in it")
    # half a surrogate pair has no UTF-8, and reading names it
    content = "\n".join(lines).encode("utf-8", "surrogatepass")
    return Source(Path(NAME), content=content)


def _object(row: object, number: int) -> dict[str, object]:
    """A row as column → value."""
    if dataclasses.is_dataclass(row) and not isinstance(row, type):
        row = dataclasses.asdict(row)
    elif hasattr(row, "_asdict"):
        row = row._asdict()
    if isinstance(row, Mapping):
        return {str(name): _value(value, number) for name, value in row.items()}
    if isinstance(row, (int, float, np.integer, np.floating)) and not isinstance(row, bool):
        return {"value": _value(row, number)}
    if isinstance(row, np.ndarray) or (isinstance(row, Sequence) and not isinstance(row, (str, bytes))):
        return {str(n): _value(value, number) for n, value in enumerate(row, 1)}
    raise ArgumentError(f"data: row {number}: expected a mapping or a sequence of values, found {type(row).__name__}")


def _value(value: object, number: int) -> object:
    """A cell as JSON has it."""
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None if math.isnan(value) else str(value)
    if isinstance(value, (date, time)):
        return value.isoformat()
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, Mapping):
        return {str(name): _value(inner, number) for name, inner in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [_value(inner, number) for inner in value]
    if type(value).__name__ in ("NaTType", "NAType"):
        # the missing values of pandas
        return None
    raise ArgumentError(f"data: row {number}: a cell can't hold {type(value).__name__}")
