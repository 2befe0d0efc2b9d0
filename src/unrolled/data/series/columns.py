"""The columns of series in tables of any of the three layouts, before they are put on a grid."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from unrolled.data.core.files import Source
from unrolled.data.core.findings import Findings
from unrolled.data.core.numbers import likely_marker
from unrolled.data.core.rows import TableRow
from unrolled.data.core.stamps import Times, localised, parse_stamps, zone_named
from unrolled.data.core.tables import Table, open_tables
from unrolled.data.series.layout import Layout, SeriesOptions, layout_of
from unrolled.errors import ArgumentError, DataError


@dataclass
class Column:
    """One series as its rows stand in the files.

    Attributes:
        name: of the series.
        values: (N,), NaN where a cell is missing.
        known: (N, K) covariates.
        times: (N,), or None without a time column.
        lines, files: (N,) the place of each row; `names[file]` is the file.
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
        """Return file and line of a row."""
        return self.names[int(self.files[row])], int(self.lines[row])

    def take(self, rows: NDArray[np.int64]) -> None:
        """Keep these rows, in this order."""
        self.values, self.known = self.values[rows], self.known[rows]
        self.lines, self.files = self.lines[rows], self.files[rows]
        self.times = None if self.times is None else self.times[rows]


@dataclass
class _Rows:
    """A series while it is being read; `stamps` are numbers of rows among all."""

    values: list[float] = field(default_factory=list)
    known: list[tuple[float, ...]] = field(default_factory=list)
    stamps: list[int] = field(default_factory=list)
    static: dict[str, str] = field(default_factory=dict)


@dataclass
class _Read:
    """All rows of some tables: their stamps and places, and the series by name."""

    stamps: list[object] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    files: list[int] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    series: dict[str, _Rows] = field(default_factory=dict)


def read_columns(paths: Sequence[Path | Source], options: SeriesOptions, findings: Findings) -> list[Column]:
    """Return every series of some tables, in the order in which they are first seen; one that is in several continues.

    Raises:
        ArgumentError: options that exclude each other.
        DataError, StorageError: a column that is missing, or times that can be read in two ways; rows that can't be
            used go to `findings`.
    """
    if options.layout == "rows" and (options.known or options.static):
        raise ArgumentError("--layout rows: has no columns for --known or --static; they go with long tables")
    asked = [n for n in (*options.time, options.series, *options.values, *options.known, *options.static) if n]
    read = _Read()
    layouts: list[Layout] = []
    for table in open_tables(paths, options, known=[name for name in asked if not name.isdigit()]):
        layout = layout_of(table, options, layouts[0] if layouts else None)
        if layouts and layouts[0].has_times != layout.has_times:
            this, before = ("a", "none") if layout.has_times else ("no", "one")
            message = f"has {this} time column, and the file before has {before}; name it with --time"
            raise DataError(message, table.name, 1)
        layouts.append(layout)
        table.note(findings, layout.roles)
        _warn_of_the_rest(table, layout, findings)
        _read_rows(table, layout, options, read, findings)
    timed = bool(layouts and layouts[0].has_times)
    times, readable, calendar = _times(read, layouts, options, findings) if timed else (None, None, True)
    lines, files = np.array(read.lines, np.int64), np.array(read.files, np.int64)
    zone = zone_named(options.time_zone) if options.time_zone else None
    columns = []
    for name, rows in read.series.items():
        at = np.array(rows.stamps, np.int64)
        kept = np.flatnonzero(readable[at]) if readable is not None else np.arange(len(at))
        known = np.array(rows.known, np.float64).reshape(len(rows.values), len(options.known))[kept]
        values, at = np.array(rows.values, np.float64)[kept], at[kept]
        own = None if times is None else localised(times[at], zone) if zone and calendar else times[at]
        column = Column(name, values, known, own, lines[at], files[at], read.names, rows.static, calendar)
        _warn_of_a_marker(column, findings)
        columns.append(column)
    return columns


def _warn_of_the_rest(table: Table, layout: Layout, findings: Findings) -> None:
    for column in layout.categories:
        message = f"column {column!r} holds categories, no numbers, and is left out"
        findings.warning("category", message, table.name, 1)
    for column in layout.counters:
        message = f"column {column!r} numbers the rows and is left out; --values {column} reads it all the same"
        findings.warning("row numbers", message, table.name, 1)


def _warn_of_a_marker(column: Column, findings: Findings) -> None:
    marker = likely_marker(column.values)
    if marker is not None:
        message = (
            f"series {column.name!r}: {marker:g} lies far from all other values; if it stands for a missing one, give "
            f"--missing {marker:g}"
        )
        findings.warning("marker", message, *column.place(int(np.argmax(column.values == marker))))


def _read_rows(table: Table, layout: Layout, options: SeriesOptions, read: _Read, findings: Findings) -> None:
    read.names.append(table.name)
    for row in table.rows(findings):
        try:
            cells = list(_values(row, layout))
            known = tuple(_number(row, column) for column in options.known)
            static = {column: _text(row, column) for column in options.static}
            for name, _ in cells:
                _check_static(read.series.get(name), name, static, row)
        except DataError as error:
            findings.caught(error, "value")
            continue
        # a row is one time of all its series, or all times of one
        stamps = layout.stamps[: len(cells)] or (layout.stamp(row) if layout.time else None,)
        number = len(read.lines)
        read.stamps += stamps
        read.lines += [row.line] * len(stamps)
        read.files += [len(read.names) - 1] * len(stamps)
        for n, (name, value) in enumerate(cells):
            rows = read.series.setdefault(name, _Rows(static=static))
            rows.values.append(value)
            rows.known.append(known)
            rows.stamps.append(number + n * bool(layout.stamps))


def _check_static(rows: _Rows | None, name: str, static: dict[str, str], row: TableRow) -> None:
    if rows is not None and rows.static != static:
        column = next(c for c in static if static[c] != rows.static[c])
        message = f"series {name!r}: column {column!r} changes from {rows.static[column]!r} to {static[column]!r}"
        raise DataError(f"{message}; a static covariate is one a series, --known ones may change", row.path, row.line)


def _times(
    read: _Read, layouts: Sequence[Layout], options: SeriesOptions, findings: Findings
) -> tuple[Times, NDArray[np.bool_], bool]:
    stamps = parse_stamps(read.stamps, options.time_format)
    columns = " and ".join(repr(column) for column, _ in layouts[0].time) or "names"
    if stamps.ambiguous:
        message = f"column {columns}: {read.stamps[0]!r} may name the day first or the month first"
        raise DataError(f"{message}; give --time-format %d/%m/%Y or %m/%d/%Y", read.names[0], read.lines[0])
    for row in np.flatnonzero(~stamps.readable).tolist():
        way = f"give its form with --time-format{', such as %d/%m/%Y' * (options.time_format is None)}"
        message = f"column {columns}: {read.stamps[row]!r} is no time that can be read; {way}"
        findings.error("time", message, read.names[read.files[row]], read.lines[row])
    return stamps.times, stamps.readable, stamps.calendar


def _values(row: TableRow, layout: Layout) -> Iterator[tuple[str, float]]:
    """Series and value of each cell that is one.

    Raises:
        DataError: a cell is no number.
    """
    if layout.kind == "wide":
        yield from [(column, _number(row, column)) for column in layout.values]
        return
    name = "/".join(_text(row, column) for column in layout.series if len(layout.series) == 1 or row.get(column))
    if layout.kind == "long":
        several = len(layout.values) > 1
        yield from [(f"{name}/{c}" if several else name, _number(row, c)) for c in layout.values]
        return
    cells = [_number(row, column) for column in layout.values]
    while cells and math.isnan(cells[-1]):
        cells.pop()
    yield from [(name, cell) for cell in cells]


def _number(row: TableRow, column: str) -> float:
    if column not in row:
        raise DataError(row.without(column), row.path, row.line)
    value = row.number(column)
    if math.isinf(value):
        raise DataError(f"column {column!r}: expected a finite number, found {row[column]!r}", row.path, row.line)
    return value


def _text(row: TableRow, column: str) -> str:
    value = row.get(column)
    if value is None or (isinstance(value, str) and not value.strip()):
        raise DataError(f"column {column!r}: expected a name, found an empty cell", row.path, row.line)
    return str(value).strip()
