"""Tables, written row by row: CSV, TSV, JSON lines and Parquet, by the name of the file.

The columns of a delimited or Parquet file are those of its first row. Such a cell holds nested values as JSON.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from unrolled.data.core.tables import PARQUET, TABS
from unrolled.errors import ArgumentError, DataError, MissingDependencyError
from unrolled.storage import plain_json, written_aside

#: what tables that are written may be called
SUFFIXES = (".csv", *TABS, ".jsonl", ".ndjson", *PARQUET)
#: rows of Parquet in memory at a time
_ROWS = 1024

Row = Mapping[str, object]


def check_written(path: Path) -> None:
    """Check that a table can be written under a name.

    Raises:
        ArgumentError: its suffix is of no format; names those that are.
        MissingDependencyError: Parquet without pyarrow.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise ArgumentError(f"--out: {str(path)!r} should end in {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}")
    if path.suffix.lower() in PARQUET:
        _pyarrow()


def write_table(path: Path, rows: Iterable[Row]) -> int:
    """Write rows as they come; the file is there only when all of them are.

    Returns:
        How many there were.

    Raises:
        ArgumentError, MissingDependencyError: as `check_written`.
        DataError: a row has a column that the first row lacks, or a cell of another type than the cells above it.
        StorageError: the file can't be written. Whatever the rows raise.
    """
    check_written(path)
    suffix = path.suffix.lower()
    write: Callable[[BinaryIO, Iterable[Row], Path], int]
    write = _parquet if suffix in PARQUET else _lines if suffix in (".jsonl", ".ndjson") else _delimited
    with written_aside(path) as stream:
        return write(stream, rows, path)


def _lines(stream: BinaryIO, rows: Iterable[Row], path: Path) -> int:
    count = 0
    for row in rows:
        count += 1
        text = json.dumps(plain_json(row), ensure_ascii=False, allow_nan=False, default=str)
        stream.write(text.encode("utf-8", "surrogatepass") + b"\n")
    return count


def _delimited(stream: BinaryIO, rows: Iterable[Row], path: Path) -> int:
    text = io.TextIOWrapper(stream, "utf-8", newline="", write_through=True)
    mark = "\t" if path.suffix.lower() in TABS else ","
    count = 0
    columns: list[str] = []
    # line feeds, as everything else here has them
    writer = csv.writer(text, delimiter=mark, lineterminator="\n")
    for count, row in enumerate(rows, 1):
        if count == 1:
            columns = list(row)
            writer.writerow(columns)
        _check_columns(row, columns, path, count)
        writer.writerow([_flat(row.get(name)) for name in columns])
    text.detach()
    return count


def _parquet(stream: BinaryIO, rows: Iterable[Row], path: Path) -> int:
    pyarrow = _pyarrow()
    count, writer = 0, None
    schema: Any = None
    try:
        for some in _batches(rows):
            table = [{name: _typed(cell) for name, cell in row.items()} for row in some]
            if writer is None:
                schema = pyarrow.Table.from_pylist(table).schema
                writer = pyarrow.parquet.ParquetWriter(stream, schema)
            for number, row in enumerate(table, count + 1):
                _check_columns(row, schema.names, path, number)
            writer.write_table(pyarrow.Table.from_pylist(table, schema))
            count += len(some)
    except pyarrow.ArrowException as error:
        hint = "the cells of a column are of several types; write .jsonl, or .csv"
        raise DataError(f"{error}; {hint}", path, count + 1) from error
    finally:
        if writer is not None:
            writer.close()
    return count


def _batches(rows: Iterable[Row]) -> Iterator[list[Row]]:
    batch: list[Row] = []
    for row in rows:
        batch.append(row)
        if len(batch) == _ROWS:
            yield batch
            batch = []
    if batch:
        yield batch


def _check_columns(row: Row, columns: list[str], path: Path, number: int) -> None:
    extra = next((name for name in row if name not in columns), None)
    if extra is not None:
        raise DataError(f"a row with a column {extra!r}, which the first row lacks; write .jsonl", path, number)


def _flat(cell: object) -> object:
    """A cell of delimited text."""
    if isinstance(cell, float) and cell != cell:
        return ""
    return cell if isinstance(cell, (str, int, float)) and not isinstance(cell, bool) else _typed(cell, plain=True)


def _typed(cell: object, *, plain: bool = False) -> Any:
    """A cell with nested values as JSON; `plain` also turns truth into lower case and None into nothing."""
    if isinstance(cell, (Mapping, list, tuple)) or (plain and isinstance(cell, bool)):
        return json.dumps(plain_json(cell), ensure_ascii=False, default=str)
    return "" if plain and cell is None else cell


def _pyarrow() -> Any:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise MissingDependencyError("pyarrow", "hub", "writing Parquet") from error
    return pyarrow
