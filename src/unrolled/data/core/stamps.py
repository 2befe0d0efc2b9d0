"""Time stamps as people and programs write them, read a column at a time.

A column decides together: whether 3/4/2020 is in March or in April, whether digits are years, days or seconds. Read are
ISO 8601 and its relatives (2020-01-31, 2020/1/31 5:00, 20200131, 2020013105), days first or months first (31.1.2020,
1/31/20 5:00 PM), names of months in English, months, quarters and years (2020-01, 2020M01, 2020Q1, 2020), zones as
offsets (Z, UTC, +02:00), 24:00, and seconds since 1970 (or thousands, millions and billions of them).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date, datetime, timezone
from typing import Literal, NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
from numpy.typing import NDArray

from unrolled.errors import ArgumentError

Times = NDArray[np.int64]
"""Microseconds."""

SECOND = 1_000_000
MINUTE, HOUR, DAY = 60 * SECOND, 3600 * SECOND, 86400 * SECOND
_LARGEST = 2**63 - 1

StampKind = Literal["date", "moment", "clock", "number", ""]

_MONTH_NAMES = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_NAME = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*"
_DATE = re.compile(
    rf"""(?:
      (?P<y1>\d{{4}})(?P<s1>[-/. ])(?P<m1>\d{{1,2}})(?P=s1)(?P<d1>\d{{1,2}})
    | (?P<a>\d{{1,2}})(?P<s2>[-/.])(?P<b>\d{{1,2}})(?P=s2)(?P<y2>\d{{4}}|\d{{2}})
    | (?P<d3>\d{{1,2}})[-\s/]?(?P<m3>{_NAME})\.?[-\s,/]*(?P<y3>\d{{4}}|\d{{2}})
    | (?P<m4>{_NAME})\.?\s+(?P<d4>\d{{1,2}}),?\s+(?P<y4>\d{{4}})
    | (?P<y5>\d{{4}})[-/](?P<m5>\d{{2}})
    | (?P<y6>\d{{4}})[-\s]?M(?P<m6>\d{{1,2}})
    | (?P<y7>\d{{4}})[-\s]?Q(?P<q7>[1-4])
    | (?P<m8>{_NAME})[-\s](?P<y8>\d{{4}}|\d{{2}})
    | (?P<y9>\d{{4}})(?P<m9>\d{{2}})(?P<d9>\d{{2}})
    )""",
    re.VERBOSE | re.IGNORECASE,
)
_CLOCK = re.compile(
    r"""(?P<h>\d{1,2})(?:[:.h](?P<m>\d{2})(?:[:.](?P<s>\d{2})(?:[.,](?P<f>\d{1,9}))?)?)?
    \s*(?P<half>[ap]\.?m\.?)?\s*(?P<zone>Z|UTC|GMT|[+-]\d{2}(?::?\d{2})?)?""",
    re.VERBOSE | re.IGNORECASE,
)
#: 2020013105 and finer
_DIGITS = re.compile(r"(\d{8})(\d{2})(\d{2})?(\d{2})?")
_PLAIN = re.compile(r"\d{4}-\d\d(-\d\d([T ]\d\d:\d\d(:\d\d(\.\d{1,6})?)?)?)?")
#: units in which time since 1970 is counted, and the range in which it lies from 2001 to 2100
_EPOCH = ((1.0, "s"), (1e3, "ms"), (1e6, "us"), (1e9, "ns"))
_FROM, _TO = 1e9, 4.2e9


class _Either(NamedTuple):
    """A day and a month, whichever comes first."""

    first: int
    second: int
    year: int
    clock: int


class Stamps(NamedTuple):
    """A column of time stamps.

    Attributes:
        times: (N,) microseconds; 0 where there is none.
        readable: (N,) whether each is a time.
        calendar: whether they name dates.
        ambiguous: whether days and months could be exchanged, and both readings are equally regular.
    """

    times: Times
    readable: NDArray[np.bool_]
    calendar: bool
    ambiguous: bool = False


def parse_stamps(stamps: Sequence[object], format: str | None = None) -> Stamps:
    """Read the stamps of a column.

    Args:
        stamps: (N,) text, numbers, or dates as Parquet has them.
        format: of text, as `datetime.strptime` takes it.
    """
    distinct = list(dict.fromkeys(stamps))
    numbers = None if format is not None else _numbers(distinct)
    if numbers is not None:
        times, calendar = numbers
        values: list[int | None] = [int(t) for t in times]
        ambiguous = False
    else:
        moments = [_moment(stamp, format) for stamp in distinct]
        values, ambiguous = _in_order(moments)
        calendar = True
    by_stamp = dict(zip(distinct, values, strict=True))
    read = [by_stamp[stamp] for stamp in stamps]
    readable = np.array([value is not None for value in read], bool)
    return Stamps(np.array([value or 0 for value in read], np.int64), readable, calendar, ambiguous)


def parse_time(value: object, format: str | None = None) -> tuple[int, bool]:
    """Read a single time stamp: microseconds, and whether it names a date.

    Raises:
        ValueError: it is no time, or one whose day and month could be exchanged.
    """
    stamps = parse_stamps([value], format)
    if not stamps.readable[0] or stamps.ambiguous:
        raise ValueError(f"{value!r} is no time")
    return int(stamps.times[0]), stamps.calendar


def stamp_kind(value: object, format: str | None = None) -> StampKind:
    """Return the kind of a cell: a date, a date with a time of day, a time of day, a number, or "" for none."""
    if isinstance(value, str) and format is None:
        text = value.strip()
        if len(text) > 8 and _of_digits(text) is not None:
            return "moment"
        if _numbers([text]) is not None and not _DATE.fullmatch(text):
            return "number"
        if _clock(text) is not None and (":" in text or "." in text or text[-1:] in "mM"):
            return "clock"
        return "" if _moment(text, None) is None else "date" if _DATE.fullmatch(text) else "moment"
    if isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool):
        return "number"
    moment = _moment(value, format)
    return "" if moment is None else "date" if isinstance(moment, int) and moment % DAY == 0 else "moment"


def months_begin(count: NDArray[np.int64]) -> Times:
    """Return the beginnings of months, counted from January 1970."""
    return count.astype("datetime64[M]").astype("datetime64[us]").astype(np.int64)


def zone_named(name: str) -> ZoneInfo:
    """Return a time zone.

    Raises:
        ArgumentError: there is none of this name.
    """
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ArgumentError(f"--time-zone {name!r}: no such zone; names are like Europe/Berlin or UTC") from error


def localised(times: Times, zone: ZoneInfo) -> Times:
    """Return times of a clock on the wall as UTC; of an hour that comes twice in autumn the second one is the later.

    Args:
        times: (T,) in the order in which they were recorded.
    """
    seen: set[int] = set()
    result = np.empty_like(times)
    for n, time in enumerate(times.tolist()):
        moment = datetime(1970, 1, 1) + np.timedelta64(time, "us").astype("O")
        result[n] = time - _offset(moment.replace(tzinfo=zone, fold=int(time in seen)))
        seen.add(time)
    return result


def _offset(moment: datetime) -> int:
    offset = moment.utcoffset()
    return 0 if offset is None else round(offset.total_seconds() * SECOND)


def _numbers(stamps: Sequence[object]) -> tuple[Times, bool] | None:
    """The times of a column that is all numbers, and whether they name dates; None if it is not."""
    try:
        values = np.array([_float(stamp) for stamp in stamps])
    except (TypeError, ValueError, OverflowError):
        return None
    if not len(values) or not np.isfinite(values).all():
        return None
    if (values == np.floor(values)).all():
        if ((values >= 1600) & (values <= 2200)).all():
            return months_begin((values.astype(np.int64) - 1970) * 12), True
        digits = [_of_digits(f"{value:.0f}") for value in values]
        if all(moment is not None for moment in digits):
            return np.array(digits, np.int64), True
    for scale, _ in _EPOCH:
        if ((values >= _FROM * scale) & (values < _TO * scale)).all():
            return np.rint(values / scale * SECOND).astype(np.int64), True
    if not (np.abs(values) * SECOND < _LARGEST).all():
        return None
    return np.rint(values * SECOND).astype(np.int64), False


def _float(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (str, int, float, np.integer, np.floating)):
        raise TypeError
    return float(value)


def _of_digits(text: str) -> int | None:
    """20200131, 2020013105, 202001310530 or 20200131053000 as a time."""
    if not (text.isascii() and text.isdigit()):
        return None
    if len(text) == 8:
        day, clock = text, 0
    elif match := _DIGITS.fullmatch(text):
        day = match[1]
        hour, minute, second = (int(part or 0) for part in match.groups()[1:])
        if hour > 24 or minute > 59 or second > 59:
            return None
        clock = hour * HOUR + minute * MINUTE + second * SECOND
    else:
        return None
    year, month, of_month = int(day[:4]), int(day[4:6]), int(day[6:])
    begin = _day(year, month, of_month) if 1800 <= year <= 2100 else None
    return None if begin is None else begin + clock


def _moment(value: object, format: str | None) -> int | _Either | None:
    """A stamp in microseconds; None if it is none."""
    if isinstance(value, datetime):
        return _since_1970(value)
    if isinstance(value, date):
        return _day(value.year, value.month, value.day)
    if not isinstance(value, str):
        numbers = _numbers([value])
        return None if numbers is None or not numbers[1] else int(numbers[0][0])
    text = value.strip()
    if format is not None:
        try:
            return _since_1970(datetime.strptime(text, format))
        except ValueError:
            return None
    if _PLAIN.fullmatch(text):
        try:
            return int(np.datetime64(text.replace(" ", "T"), "us").astype(np.int64))
        except ValueError:
            pass
    match = _DATE.match(text)
    if match is None:
        return _of_digits(text)
    rest = text[match.end() :]
    clock = 0 if not rest else _clock(rest.lstrip("T ,").rstrip()) if rest[0] in "T ," else None
    return None if clock is None else _of_match(match, clock)


def _of_match(match: re.Match[str], clock: int) -> int | _Either | None:
    part = {name: text for name, text in match.groupdict().items() if text is not None}
    year = _year(next(text for name, text in part.items() if name[0] == "y"))
    if "a" in part:
        first, second = int(part["a"]), int(part["b"])
        if part["s2"] == ".":
            begin = _day(year, second, first)
            return None if begin is None else begin + clock
        return _Either(first, second, year, clock)
    month = next((text for name, text in part.items() if name[0] == "m"), "1")
    number = int(month) if month.isdigit() else _MONTH_NAMES.index(month[:3].lower()) + 1
    if "q7" in part:
        number = 3 * int(part["q7"]) - 2
    begin = _day(year, number, int(next((text for name, text in part.items() if name[0] == "d"), "1")))
    return None if begin is None else begin + clock


def _year(text: str) -> int:
    year = int(text)
    # as `datetime.strptime` reads two digits
    return year if len(text) == 4 else year + (2000 if year < 69 else 1900)


def _day(year: int, month: int, day: int) -> int | None:
    try:
        return (date(year, month, day).toordinal() - date(1970, 1, 1).toordinal()) * DAY
    except ValueError:
        return None


def _clock(text: str) -> int | None:
    """A time of day in microseconds after midnight UTC; None if it is none."""
    match = _CLOCK.fullmatch(text)
    if match is None:
        return None
    hour, minute, second = int(match["h"]), int(match["m"] or 0), int(match["s"] or 0)
    if match["half"]:
        if not 1 <= hour <= 12:
            return None
        hour = hour % 12 + 12 * (match["half"][0] in "pP")
    # 24:00 ends a day
    if hour > 24 or minute > 59 or second > 59 or (hour == 24 and minute + second > 0):
        return None
    fraction = int((match["f"] or "0").ljust(6, "0")[:6])
    clock = hour * HOUR + minute * MINUTE + second * SECOND + fraction
    zone = match["zone"] or ""
    if zone[:1] in ("+", "-"):
        digits = zone[1:].replace(":", "").ljust(4, "0")
        offset = int(digits[:2]) * HOUR + int(digits[2:]) * MINUTE
        clock -= offset if zone[0] == "+" else -offset
    return clock


def _in_order(moments: Sequence[int | _Either | None]) -> tuple[list[int | None], bool]:
    """Stamps with days and months where they belong, and whether that is anybody's guess.

    A number above 12 is a day. If there is none, the order that steps back least often is right, then the one whose
    steps are the most regular.
    """
    either = [moment for moment in moments if isinstance(moment, _Either)]
    if not either:
        return [moment for moment in moments if not isinstance(moment, _Either)], False
    readings = {}
    for days_first in (True, False):
        read: list[int | None] = []
        for moment in moments:
            if not isinstance(moment, _Either):
                read.append(moment)
                continue
            day, month = (moment.first, moment.second) if days_first else (moment.second, moment.first)
            begin = _day(moment.year, month, day)
            read.append(None if begin is None else begin + moment.clock)
        readings[days_first] = read
    fits = {days_first: _fit(read) for days_first, read in readings.items()}
    best = fits[True] > fits[False]
    return readings[best], fits[True] == fits[False] and any(m.first != m.second for m in either)


def _fit(times: Sequence[int | None]) -> tuple[int, int, float]:
    """Return a fit: fewest unreadable, fewest steps back, largest share of equal steps (months count)."""
    known = np.array([time for time in times if time is not None], np.int64)
    steps = np.diff(known)
    forward = np.diff(np.unique(known))
    share = 0.0
    if len(forward):
        counts = np.unique(forward, return_counts=True)[1]
        months = np.isin(forward, [days * DAY for days in (28, 29, 30, 31)])
        share = float(max(counts.max(), months.sum())) / len(forward)
    return len(known), -int((steps < 0).sum()), share


def _since_1970(moment: datetime) -> int:
    if moment.tzinfo is not None:
        moment = moment.astimezone(timezone.utc).replace(tzinfo=None)
    return int(np.datetime64(moment, "us").astype(np.int64))
