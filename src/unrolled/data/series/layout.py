"""Which column of a table of series is what: time, name of the series, values, covariates.

Options decide, and the first rows what they leave open. A column of words names the series only if its values are few
and the times of each are distinct and regular; else it is a category.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from pydantic import Field, field_validator

from unrolled.data.core.dialect import TableOptions
from unrolled.data.core.findings import Findings
from unrolled.data.core.rows import TableRow
from unrolled.data.core.stamps import Times, parse_stamps, stamp_kind
from unrolled.data.core.tables import Table
from unrolled.data.series.times import TimePart, bare, named_time, put_together, time_columns
from unrolled.errors import DataError

#: rows that a layout is judged by
_LOOKED_AT = 1000
#: share of steps that are equal in a regular series
_REGULAR = 0.9
#: names that people give to their columns of series, and of row numbers
_SERIES_NAMES = {"series", "series_id", "unique_id", "id", "item_id", "ts_id", "name"}
_COUNTER_NAMES = {
    "no",
    "no.",
    "nr",
    "number",
    "index",
    "idx",
    "row",
    "rownames",
    "obs",
    "instant",
    "unnamed: 0",
    "#",
    "id",
}


class SeriesOptions(TableOptions):
    """Options by which series are read: where in a table they are, and what becomes of missing values."""

    layout: Literal["auto", "long", "wide", "rows"] = Field(
        default="auto", description="long: a row a series and time; wide: a column a series; rows: a row a series"
    )
    time: list[str] = Field(
        default=[],
        description="the time column; none if there is none; repeated, columns that are joined [by their content]",
    )
    series: str | None = Field(default=None, description="the column that names the series, of the long layout")
    values: list[str] = Field(default=[], description="the columns of values [all numeric ones]; may be repeated")
    known: list[str] = Field(
        default=[], description="columns known ahead of time, such as prices or holidays; may be repeated"
    )
    static: list[str] = Field(
        default=[], description="columns that describe a series, of the long layout; may be repeated"
    )
    time_format: str | None = Field(default=None, description="of time stamps, such as %d/%m/%Y [found out]")
    time_zone: str | None = Field(
        default=None,
        description="of time stamps that name none, such as Europe/Berlin: they are read as its local time",
    )
    frequency: str | None = Field(
        default=None, description="the step, such as 15min, 1h, 1d, 1w, 1mo [the most frequent one]"
    )
    gaps: Literal["error", "interpolate", "mask"] = Field(
        default="error", description="what becomes of missing values and irregular times"
    )

    @field_validator("time", mode="before")
    @classmethod
    def _as_list(cls, value: object) -> object:
        # a single name, as Python callers and earlier models have it
        return [] if value is None else [value] if isinstance(value, str) else value


@dataclass(frozen=True)
class Layout:
    """The role of each column of one table.

    Attributes:
        kind: "long", "wide" or "rows".
        time: its columns, each with the part of a time that it is: "stamp", "year", "hour" and the like.
        series: the columns that name the series.
        values: columns of values; in rows, of steps.
        stamps: in rows, the times in the header, one for each of `values`.
        categories: columns of words that are none of these, and are left out.
        counters: columns of row numbers, which are left out.
    """

    kind: str
    time: tuple[TimePart, ...]
    series: tuple[str, ...]
    values: tuple[str, ...]
    stamps: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    counters: tuple[str, ...] = ()

    @property
    def has_times(self) -> bool:
        """Whether its values have times."""
        return bool(self.time or self.stamps)

    @property
    def roles(self) -> dict[str, str]:
        """Column → what it is used as."""
        roles = {column: "time" if part == "stamp" else part for column, part in self.time}
        roles |= dict.fromkeys(self.values, "value")
        roles |= dict.fromkeys(self.categories, "category (left out)") | dict.fromkeys(self.counters, "row (left out)")
        return roles | dict.fromkeys(self.series, "series")

    def stamp(self, row: TableRow) -> object:
        """Return the time stamp of a row, put together where several columns hold it."""
        if len(self.time) == 1 and self.time[0][1] == "stamp":
            return row.get(self.time[0][0])
        if all(part == "stamp" for _, part in self.time):
            return " ".join(str(row.get(column) or "").strip() for column, _ in self.time)
        return put_together({part: str(row.get(column) or "").strip() for column, part in self.time})


def layout_of(table: Table, options: SeriesOptions, before: Layout | None = None) -> Layout:
    """Return the roles of a table's columns.

    Args:
        table: as it was opened.
        options: what is known of it.
        before: the layout of the table that it continues.

    Raises:
        DataError: a column is missing, or there is none that could hold values.
    """
    sample = table.sample(_LOOKED_AT)
    if not sample:
        raise DataError("a table without rows", table.name)
    given = [*options.values, *options.known, *options.static]
    _check_spelling(table, [*options.known, *options.static])
    taken = {table.column(column) for column in given}
    free = [column for column in table.columns if column not in taken]
    time: tuple[TimePart, ...] = ()
    if options.layout != "rows" and options.time != ["none"]:
        named = named_time([table.column(name) for name in options.time])
        time = named or time_columns(free, sample, options.time_format)
    used = {column for column, _ in time}
    free = [column for column in free if column not in used]
    sample_of_all = [*sample, *_first_cells(table, [c for c in free if not _present(sample, c)])]
    numeric = [column for column in free if _holds(sample_of_all, column, _is_number(table))]
    words = [column for column in free if column not in numeric and _holds(sample, column, bool)]
    steps = _steps_in_header(table, numeric) if options.layout in ("auto", "rows") and not time else ()
    series: tuple[str, ...] = (table.column(options.series),) if options.series else ()
    kind: str = options.layout
    if kind == "auto" and steps and not series:
        kind = "rows"
    if kind in ("auto", "long") and not series:
        series = _series_column(sample, Layout("", time, (), ()), free, words, kind == "long")
    if kind == "auto":
        least = 1 if before is not None and before.kind == "rows" else 2
        is_rows = not time and len(numeric) >= least and _is_rows(table, words, sample)
        kind = "long" if series else "rows" if is_rows else "wide"
    if kind == "wide":
        if options.static:
            raise DataError("--static belongs to the long layout; name the series' column with --series", table.name)
        series = ()
    elif not series:
        series = _names_of_rows(sample, words, free or table.columns)
    counters = [c for c in numeric if c not in series and not options.values and _counts(sample, c, table)]
    if kind == "rows":
        values, counters = steps or tuple(c for c in table.columns if c not in series), []
    else:
        values = tuple(map(table.column, options.values)) or tuple(
            c for c in numeric if c not in series and c not in counters
        )
    if not values:
        raise DataError(f"no column of numbers; name it with --values ({table.described()})", table.name, 1)
    categories = tuple(c for c in words if c not in series)
    stamps = values if kind == "rows" and steps and stamp_kind(steps[0]) else ()
    return Layout(kind, time, series, values, stamps, categories, tuple(counters))


def _check_spelling(table: Table, names: Sequence[str]) -> None:
    """Refuse other spellings of columns' names where the model's description uses them as they were given."""
    for name in names:
        if table.column(name) != name:
            raise DataError(f"no column {name!r}; write {table.column(name)!r}, as its header does", table.name, 1)


def _present(sample: Sequence[TableRow], column: str) -> bool:
    """Whether a cell of a column is filled."""
    return any(row.get(column) not in (None, "") for row in sample)


def _first_cells(table: Table, columns: Sequence[str]) -> list[TableRow]:
    """The rows in which columns that are empty at the beginning of a table are filled for the first time."""
    rows: list[TableRow] = []
    left = set(columns)
    for row in table.rows(Findings(strict=False)) if left else ():
        filled = {column for column in left if row.get(column) not in (None, "")}
        if filled:
            rows.append(row)
            left -= filled
        if not left:
            break
    return rows


def _steps_in_header(table: Table, numeric: Sequence[str]) -> tuple[str, ...]:
    """The columns of numbers whose names count on, or are times: each is a step, and each row a series."""
    named = [column for column in numeric if column in table.named]
    times = [
        column for column in named if stamp_kind(column) in ("date", "moment") or re.fullmatch(r"[12]\d{3}", column)
    ]
    if len(times) > max(3, len(named) // 2):
        return tuple(times)
    counted = [(match[1], int(match[2])) for column in named if (match := re.fullmatch(r"(\D*)(\d+)", column))]
    runs = [a[0] == b[0] and b[1] == a[1] + 1 for a, b in itertools.pairwise(counted)]
    # M4 and M5 have hundreds of them; a few columns x1, x2, x3 are series side by side
    return tuple(f"{name}{n}" for name, n in counted) if len(counted) > 20 and all(runs) else ()


def _names_of_rows(sample: Sequence[TableRow], words: Sequence[str], free: Sequence[str]) -> tuple[str, ...]:
    """The column of words that is different in each row, else all of them; the first column if there are none."""
    cells = {column: {str(row.get(column) or "") for row in sample} - {""} for column in words}
    unique = [column for column in words if len(cells[column]) == len(sample)]
    return (unique[0],) if unique else tuple(words) or (free[0],)


def _series_column(
    sample: Sequence[TableRow], layout: Layout, free: Sequence[str], words: Sequence[str], asked: bool
) -> tuple[str, ...]:
    """The columns that name the series: by their names, or because each of their few values has regular times."""
    by_name = [column for column in free if bare(column) in _SERIES_NAMES and not _increases(sample, column)]
    if by_name:
        return (by_name[0],)
    if asked:
        return tuple(words[:1])
    fits = [(column,) for column in words if _each_is_regular(sample, layout, (column,))]
    if not fits and len(words) > 1 and layout.time and _each_is_regular(sample, layout, words):
        return tuple(words)
    return fits[0] if len(fits) == 1 or (fits and layout.time) else ()


def _each_is_regular(sample: Sequence[TableRow], layout: Layout, columns: Sequence[str]) -> bool:
    names = ["/".join(str(row.get(column)) for column in columns) for row in sample]
    distinct = list(dict.fromkeys(names))
    if len(distinct) > max(1, len(names) // 2):
        return False
    if not layout.time:
        # without times, a series is a stretch of rows
        return len([name for name, _ in itertools.groupby(names)]) == len(distinct)
    stamps = parse_stamps([layout.stamp(row) for row in sample])
    if len(distinct) == 1:
        return True
    everything = _regularity(stamps.times[stamps.readable])
    own = [_regularity(stamps.times[np.array([n == name for n in names]) & stamps.readable]) for name in distinct]
    if everything.repeats == 0:
        # each time stands once: the words would only tear one series apart
        return everything.share < _REGULAR and min(each.share for each in own) >= _REGULAR
    return all(each.repeats <= 0.1 for each in own) and float(np.median([each.share for each in own])) >= 0.5


class _Regularity(NamedTuple):
    """Of the steps between some times, the shares that are 0 and that are the most frequent one."""

    repeats: float
    share: float


def _regularity(times: Times) -> _Regularity:
    steps = np.diff(np.sort(times))
    if not len(steps):
        return _Regularity(0.0, 1.0)
    counts = np.unique(steps[steps > 0], return_counts=True)[1]
    return _Regularity(float((steps == 0).mean()), float(counts.max(initial=0)) / len(steps))


def _is_rows(table: Table, words: Sequence[str], sample: Sequence[TableRow]) -> bool:
    """Whether a name stands at the head of each row, and never twice."""
    first = table.columns[0]
    return list(words) == [first] and len({str(row.get(first)) for row in sample}) == len(sample)


def _counts(sample: Sequence[TableRow], column: str, table: Table) -> bool:
    """Whether a column numbers the rows, by its name and its content."""
    unnamed = column not in table.named
    return len(sample) > 2 and (unnamed or bare(column) in _COUNTER_NAMES) and _increases(sample, column)


def _increases(sample: Sequence[TableRow], column: str) -> bool:
    try:
        numbers = [row.number(column) for row in sample]
    except (DataError, KeyError):
        return False
    return len(numbers) > 1 and all(after == before + 1 for before, after in itertools.pairwise(numbers))


def _is_number(table: Table) -> Callable[[object], bool]:
    def test(value: object) -> bool:
        if isinstance(value, bool):
            return False
        try:
            table.dialect.number(value)
        except ValueError:
            return False
        return True

    return test


def _holds(sample: Sequence[TableRow], column: str, test: Callable[[object], bool]) -> bool:
    """Whether most cells of a column that are not empty pass: one that does not is an error, and no other column."""
    passes = [bool(test(row[column])) for row in sample if row.get(column) not in (None, "")]
    return sum(passes) > len(passes) / 2
