"""The columns of series in tables of any of the three layouts, before anything is made of their times."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from unrolled.data.core.files import Source
from unrolled.data.core.findings import Findings
from unrolled.data.core.tables import Row, Table, cell_number, open_tables
from unrolled.data.series.timeline import Times, parse_time
from unrolled.errors import ArgumentError, DataError

if TYPE_CHECKING:
    from unrolled.data.series.read import SeriesOptions

#: rows by which a table's layout is told
_LOOKED_AT = 100
#: names that people give to their columns of time and of series
_TIME_NAMES = {"date", "time", "timestamp", "datetime", "date_time", "ds", "period", "year"}
_SERIES_NAMES = {"series", "series_id", "unique_id", "id", "item_id", "ts_id", "name"}


@dataclass
class Column:
    """One series as its rows stand in the files.

    Attributes:
        name: of the series.
        values: (N,), NaN where a cell is empty.
        known: (N, K) covariates.
        times: (N,), or None without a time column.
        lines, files: (N,) where each row is from; `names[file]` is the file.
        static: column → cell.
        is_calendar: whether its times name dates.
    """

    name: str
    values: NDArray[np.float64]
    known: NDArray[np.float64]
    times: Times | None
    lines: NDArray[np.int64]
    files: NDArray[np.int64]
    names: list[str]
    static: dict[str, str] = field(default_factory=dict)
    is_calendar: bool = True

    @property
    def path(self) -> str:
        """The file that it begins in."""
        return self.names[int(self.files[0])] if len(self.files) else (self.names or [""])[0]

    def place(self, row: int) -> tuple[str, int]:
        """File and line of a row."""
        return self.names[int(self.files[row])], int(self.lines[row])

    def take(self, rows: NDArray[np.int64]) -> None:
        """Keep these rows, in this order."""
        self.values, self.known = self.values[rows], self.known[rows]
        self.lines, self.files = self.lines[rows], self.files[rows]
        self.times = None if self.times is None else self.times[rows]


@dataclass
class _Rows:
    """A series while it is being read."""

    values: list[float] = field(default_factory=list)
    known: list[tuple[float, ...]] = field(default_factory=list)
    times: list[int] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    files: list[int] = field(default_factory=list)
    static: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Layout:
    """What each column of one table is.

    Attributes:
        kind: "long", "wide" or "rows".
        time, series: their columns.
        values: columns of values; in rows, of steps.
    """

    kind: str
    time: str | None
    series: str | None
    values: tuple[str, ...]


def read_columns(paths: Sequence[Path | Source], options: SeriesOptions, findings: Findings) -> list[Column]:
    """Every series of some tables, in the order in which they are first seen; one that is in several goes on.

    Raises:
        ArgumentError: options that exclude each other.
        DataError, StorageError: a column that is missing; rows that can't be used go to `findings`.
    """
    if options.layout == "rows" and (options.known or options.static):
        raise ArgumentError("--layout rows: has no columns for --known or --static; they go with long tables")
    asked = [n for n in (options.time, options.series, *options.values, *options.known, *options.static) if n]
    tables = open_tables(paths, known=asked, encoding=options.encoding)
    found: dict[str, _Rows] = {}
    names: list[str] = []
    timed: set[bool] = set()
    calendar = True
    for number, table in enumerate(tables):
        names.append(table.name)
        layout = _layout(table, options)
        timed.add(layout.time is not None)
        if len(timed) > 1:
            raise DataError("has no time column, and the file before has one; name it with --time", table.name, 1)
        for row in table.rows(findings):
            at, is_date = 0, True
            if layout.time is not None:
                try:
                    at, is_date = parse_time(row[layout.time], options.time_format)
                except ValueError:
                    way = f"give its form with --time-format{', such as %d/%m/%Y' * (options.time_format is None)}"
                    message = f"column {layout.time!r}: {row[layout.time]!r} is no time that can be read; {way}"
                    findings.error("time", message, row.path, row.line)
                    continue
            calendar &= is_date
            try:
                for name, value in _values(row, layout):
                    _append(found, name, value, row, layout, options, at, number)
            except DataError as error:
                findings.caught(error, "value")
    columns = []
    for name, rows in found.items():
        times = np.array(rows.times, np.int64) if timed == {True} else None
        known = np.array(rows.known, np.float64).reshape(len(rows.values), len(options.known))
        lines, files = np.array(rows.lines, np.int64), np.array(rows.files, np.int64)
        values = np.array(rows.values, np.float64)
        columns.append(Column(name, values, known, times, lines, files, names, rows.static, calendar))
    return columns


def _append(
    found: dict[str, _Rows],
    name: str,
    value: float,
    row: Row,
    layout: _Layout,
    options: SeriesOptions,
    at: int,
    number: int,
) -> None:
    """One value of a series.

    Raises:
        DataError: a covariate is no number, or a static one changes.
    """
    known = tuple(_number(row, column) for column in options.known)
    static = {column: _text(row, column) for column in options.static}
    rows = found.get(name)
    if rows is None:
        rows = found[name] = _Rows(static=static)
    elif rows.static != static:
        column = next(c for c in static if static[c] != rows.static[c])
        message = f"series {name!r}: column {column!r} changes from {rows.static[column]!r} to {static[column]!r}"
        raise DataError(f"{message}; a static covariate is one a series, --known ones may change", row.path, row.line)
    rows.values.append(value)
    rows.known.append(known)
    rows.times.append(at)
    rows.lines.append(row.line)
    rows.files.append(number)


def _values(row: Row, layout: _Layout) -> Iterator[tuple[str, float]]:
    """Series and value of each cell that is one.

    Raises:
        DataError: a cell is no number.
    """
    if layout.kind == "wide":
        yield from [(column, _number(row, column)) for column in layout.values]
        return
    name = _text(row, str(layout.series))
    if layout.kind == "long":
        several = len(layout.values) > 1
        yield from [(f"{name}/{c}" if several else name, _number(row, c)) for c in layout.values]
        return
    cells = [_number(row, column) for column in layout.values]
    while cells and math.isnan(cells[-1]):
        cells.pop()
    yield from [(name, cell) for cell in cells]


def _number(row: Row, column: str) -> float:
    value = cell_number(row, column)
    if math.isinf(value):
        raise DataError(f"column {column!r}: expected a finite number, found {row[column]!r}", row.path, row.line)
    return value


def _text(row: Row, column: str) -> str:
    value = row.get(column)
    if value is None or (isinstance(value, str) and not value.strip()):
        raise DataError(f"column {column!r}: expected a name, found an empty cell", row.path, row.line)
    return str(value).strip()


def _layout(table: Table, options: SeriesOptions) -> _Layout:
    """What the columns of a table are: as the options say, and what they leave open by its first rows.

    Raises:
        DataError: a column is missing, or there is none that could hold values.
    """
    sample = list(itertools.islice(table.rows(Findings(strict=False)), _LOOKED_AT))
    if not sample:
        raise DataError("a table without rows", table.name)
    given = {
        name: [table.column(c) for c in columns]
        for name, columns in (("values", options.values), ("known", options.known), ("static", options.static))
    }
    for row in sample[:1]:
        # the model's description speaks of columns as they were spelled
        for spelled, column in zip((*options.known, *options.static), (*given["known"], *given["static"]), strict=True):
            if spelled != column:
                raise DataError(f"no column {spelled!r}; write {column!r}, as its header does", row.path, 1)
    taken = {column for columns in given.values() for column in columns}
    free = [column for column in table.columns if column not in taken]
    time = _time_column(table, options, free, sample) if options.layout != "rows" else None
    numeric = [c for c in free if c != time and _holds(sample, c, _is_number)]
    words = [c for c in free if c != time and c not in numeric and _holds(sample, c, bool)]
    series = table.column(options.series) if options.series else None
    kind: str = options.layout
    if kind == "auto":
        kind = _kind(table, series, time, words, numeric, sample)
    if kind == "wide":
        if options.static:
            raise DataError("--static belongs to the long layout; name the series' column with --series", table.name)
        series = None
    elif series is None:
        by_name = [c for c in free if c.lower() in _SERIES_NAMES]
        candidates = by_name or words or [c for c in free if c != time]
        series = candidates[0] if candidates else table.columns[0]
    if kind == "rows":
        values = tuple(c for c in table.columns if c != series)
    else:
        values = tuple(given["values"]) or tuple(c for c in numeric if c != series)
    if not values:
        raise DataError(f"no column of numbers; name it with --values ({table.described()})", table.name, 1)
    return _Layout(kind, time, series, values)


def _kind(
    table: Table, series: str | None, time: str | None, words: list[str], numeric: list[str], sample: list[Row]
) -> str:
    """The layout of a table that nobody named."""
    if series is not None:
        return "long"
    named = [c for c in table.columns if c.lower() in _SERIES_NAMES and c != time]
    first = table.columns[0]
    cells = [str(row.get(first)) for row in sample]
    # a name at the head of each row, never twice, and many numbers behind it
    if time is None and words == [first] and len(numeric) > 1 and len(set(cells)) == len(cells):
        return "rows"
    return "long" if named or (len(words) == 1 and numeric) else "wide"


def _time_column(table: Table, options: SeriesOptions, free: list[str], sample: list[Row]) -> str | None:
    if options.time is not None:
        return None if options.time == "none" else table.column(options.time)

    def is_time(value: Any) -> bool:
        try:
            parse_time(value, options.time_format)
        except ValueError:
            return False
        return True

    for column in free:
        readable = _holds(sample, column, is_time)
        if readable and (column.lower() in _TIME_NAMES or not _holds(sample, column, _is_number)):
            return column
    for column in free:
        if column.lower() in _TIME_NAMES - {"period", "year"}:
            # it is meant as a time, and reading it will say what is wrong with it
            return column
    return None


def _holds(sample: list[Row], column: str, test: Any) -> bool:
    """Whether most cells of a column that are not empty pass: one that does not is an error, and no other column."""
    passes = [bool(test(row[column])) for row in sample if row.get(column) not in (None, "")]
    return sum(passes) > len(passes) / 2


def _is_number(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        return False
    if isinstance(value, str) and value.strip().lower() in ("", "nan", "na", "null", "none"):
        return True
    try:
        float(value)
    except ValueError:
        return False
    return True
