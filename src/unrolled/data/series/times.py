"""The columns that hold the time of a row: a time stamp, a date and a time of day, or year, month, day and hour."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from unrolled.data.core.rows import TableRow
from unrolled.data.core.stamps import StampKind, stamp_kind

#: names that people give to their columns of time
_TIME_NAMES = {"date", "time", "timestamp", "datetime", "date_time", "ds", "period", "year", "utc", "day", "month", "t"}
#: names of columns that are a part of a time
_PARTS = {
    "year": ("year", "yr", "yyyy", "y"),
    "month": ("month", "mon", "mo", "mm", "mnth"),
    "day": ("day", "dy", "dd", "dom"),
    "yearday": ("doy", "dayofyear", "yday", "yearday"),
    "hour": ("hour", "hr", "hh", "hours"),
    "minute": ("minute", "min", "mi"),
    "second": ("second", "sec", "ss"),
}


#: a column and the part of a time that it holds: "stamp", "year", "hour" and the like
TimePart = tuple[str, str]


def put_together(parts: dict[str, str]) -> str:
    """Return a date, or its parts, with a time of day or its parts, as ISO 8601 has them."""
    numbers = {}
    for part, text in parts.items():
        if part != "stamp":
            try:
                numbers[part] = int(float(text))
            except ValueError:
                return " ".join(parts.values())
    text = parts.get("stamp", "")
    if "yearday" in numbers:
        day = np.datetime64(f"{numbers['year']:04d}-01-01") + np.timedelta64(numbers["yearday"] - 1, "D")
        text = str(day)
    elif "year" in numbers:
        text = "-".join([f"{numbers['year']:04d}", *(f"{numbers.get(p, 1):02d}" for p in ("month", "day"))])
    hour = numbers.get("hour", 0)
    # 0, 100, … 2300 count hundreds of hours and minutes
    hour, minute = divmod(hour, 100) if hour > 24 else (hour, numbers.get("minute", 0))
    clock = f" {hour:02d}:{minute:02d}:{numbers.get('second', 0):02d}" if numbers.keys() & {"hour", "minute"} else ""
    return text + clock


def named_time(columns: Sequence[str]) -> tuple[TimePart, ...]:
    """Return the parts that named columns hold: all are stamps, unless several are called year, hour and the like."""
    parts = {column: _part(column) for column in columns}
    split = len(columns) > 1 and any(part in ("year", "hour") for part in parts.values())
    return tuple((column, parts[column] if split and parts[column] else "stamp") for column in columns)


def time_columns(free: Sequence[str], sample: Sequence[TableRow], format: str | None) -> tuple[TimePart, ...]:
    """Return the columns that hold the time, by their content and names; none if there is none.

    Args:
        free: columns that nothing else is known of.
        sample: the first rows.
        format: of time stamps, as `parse_stamps` takes it.
    """
    kinds = {column: _stamp_kind(sample, column, format) for column in free}
    for column in free:
        if kinds[column] in ("date", "moment") or (kinds[column] == "number" and _means_time(column, free)):
            rest = [c for c in free if c != column]
            return ((column, "stamp"), *_of_day(column, rest, kinds, sample))
    by_part = {_part(column): column for column in reversed(free) if _part(column)}
    if "year" in by_part and by_part.keys() & {"month", "yearday"}:
        order = ("year", "yearday") if "yearday" in by_part and "month" not in by_part else ("year", "month", "day")
        return tuple((by_part[part], part) for part in (*order, "hour", "minute", "second") if part in by_part)
    for column in free:
        if bare(column) in _TIME_NAMES - {"period", "year", "day", "month", "t"}:
            # it is meant as a time, and reading it will say what is wrong with it
            return ((column, "stamp"),)
    return ()


def _means_time(column: str, free: Sequence[str]) -> bool:
    """Whether a column of numbers is called a time: a year or day beside other parts of a date is one of these."""
    name = bare(column)
    if name in ("year", "day", "month", "t"):
        parts = {_part(other) for other in free}
        return not parts & {"month", "yearday"} if name == "year" else name == "t" and "year" not in parts
    return name in _TIME_NAMES


def _of_day(
    date: str, rest: Sequence[str], kinds: dict[str, StampKind], sample: Sequence[TableRow]
) -> tuple[TimePart, ...]:
    """The columns that hold the time of day of a column of dates, if it needs one."""
    if kinds[date] == "moment":
        return ()
    clocks = [column for column in rest if kinds[column] == "clock"]
    if clocks:
        return ((clocks[0], "stamp"),)
    dates = [row.get(date) for row in sample]
    by_part = {_part(column): column for column in reversed(rest) if kinds[column] == "number"}
    if "hour" in by_part and len(set(dates)) < len(dates):
        return tuple((by_part[part], part) for part in ("hour", "minute", "second") if part in by_part)
    return ()


def _stamp_kind(sample: Sequence[TableRow], column: str, format: str | None) -> StampKind:
    """The kind that most cells of a column that are not empty have."""
    cells = [row.get(column) for row in sample[:200] if row.get(column) not in (None, "")]
    kinds = [stamp_kind(cell, format) for cell in cells]
    best: StampKind = max(sorted(set(kinds)), key=kinds.count, default="")
    if best in ("date", "moment"):
        share = sum(kind in ("date", "moment") for kind in kinds)
        best = "moment" if "moment" in kinds and share > len(kinds) / 2 else best
        return best if share > len(kinds) / 2 else ""
    return best if kinds.count(best) > len(kinds) / 2 else ""


def bare(column: str) -> str:
    """Return a column's name as names are compared."""
    return column.strip().lower()


def _part(column: str) -> str:
    return next((part for part, names in _PARTS.items() if bare(column) in names), "")
