"""The grid that times lie on: the step between them, the times that follow, the calendar.

Times are int64 microseconds: since 1970 (UTC, or the clock of stamps without a zone) where stamps name a date, since 0
where a time column holds plain numbers, which are taken as seconds. Without a time column, steps count.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from unrolled.data.core.stamps import DAY, HOUR, MINUTE, SECOND, Times, months_begin
from unrolled.errors import ArgumentError

Phase = Literal["day", "week", "year"]


_UNITS = {"s": SECOND, "min": MINUTE, "h": HOUR, "d": DAY, "w": 7 * DAY}
_MONTHS = {"mo": 1, "q": 3, "y": 12}
#: names of common steps, and how many make the most common season
_NAMED = {
    ("us", SECOND): ("seconds", 60),
    ("us", MINUTE): ("minutes", 60),
    ("us", HOUR): ("hours", 24),
    ("us", DAY): ("days", 7),
    ("us", 7 * DAY): ("weeks", 52),
    ("month", 1): ("months", 12),
    ("month", 3): ("quarters", 4),
    ("month", 12): ("years", 1),
}


@dataclass(frozen=True)
class Frequency:
    """The step of a series.

    Attributes:
        unit: "us" for steps of equal length, "month" for those of the calendar, "step" where there is no time.
        count: microseconds, months, or 1.
        calendar: whether times name dates, so that they have an hour and a weekday.
    """

    unit: str
    count: int
    calendar: bool = True

    def __post_init__(self) -> None:
        if self.unit not in ("us", "month", "step") or self.count < 1:
            raise ArgumentError(f"frequency: no step of {self.count} {self.unit}")

    @classmethod
    def parse(cls, text: str) -> Frequency:
        """Read e.g. 1h, 15min, 1d, 1w, 1mo, 1q, 1y or 0.02s.

        >>> Frequency.parse("15min"), Frequency.parse("q")
        (Frequency(unit='us', count=900000000, calendar=True), Frequency(unit='month', count=3, calendar=True))

        Raises:
            ArgumentError: it is none of these.
        """
        match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)?\s*(s|min|h|d|w|mo|q|y)\s*", text.lower())
        if match:
            number, unit = float(match[1] or 1), match[2]
            size = number * (_UNITS.get(unit) or _MONTHS[unit])
            if size >= 1 and size == int(size):
                return cls("us" if unit in _UNITS else "month", int(size))
        raise ArgumentError(f"--frequency: {text!r} is no step of time; try 1h, 15min, 1d, 1w, 1mo, 1q, 1y or 0.5s")

    @property
    def name(self) -> str:
        """The step in words, e.g. "15 minutes".

        >>> Frequency.parse("1h").name, Frequency.parse("15min").name, Frequency("step", 1, False).name
        ('hours', '15 minutes', 'steps')
        """
        if self.unit == "step":
            return "steps"
        if (self.unit, self.count) in _NAMED:
            return _NAMED[self.unit, self.count][0]
        if self.unit == "month":
            return f"{self.count} months"
        sizes = ((DAY, "days"), (HOUR, "hours"), (MINUTE, "minutes"), (SECOND, "seconds"))
        size, name = next((pair for pair in sizes if self.count % pair[0] == 0), sizes[-1])
        return f"{self.count / size:g} {name}"

    @property
    def season(self) -> int:
        """The most common season of a series of this step, in steps; 1 where nothing is known.

        >>> [Frequency.parse(text).season for text in ("1h", "15min", "1d", "1mo", "1q", "1y", "2s")]
        [24, 96, 7, 12, 4, 1, 30]
        """
        if self.unit == "step" or not self.calendar:
            return 1
        if (self.unit, self.count) in _NAMED:
            return _NAMED[self.unit, self.count][1]
        if self.unit == "month":
            return 12 // self.count if 12 % self.count == 0 else 1
        for period in (MINUTE, DAY, 7 * DAY):
            if self.count < period and period % self.count == 0 and (period > MINUTE or self.count < MINUTE):
                return period // self.count
        return 1

    def positions(self, times: Times, origin: int) -> NDArray[np.float64]:
        """Return how many steps each time is from `origin`; whole numbers are on the grid."""
        if self.unit != "month":
            return (times - origin) / self.count
        return (months(times) - int(months(np.array([origin]))[0])) / self.count

    def after(self, last: int, steps: int, *, anchor: int | None = None) -> Times:
        """Return the next times, (steps,).

        Args:
            last: the time that they follow.
            anchor: the time whose day of the month is kept, where a month has it; `last` by default.
        """
        counts = np.arange(1, steps + 1, dtype=np.int64)
        if self.unit != "month":
            return last + counts * self.count
        anchor = last if anchor is None else anchor
        start = int(months(np.array([last]))[0])
        anchored = months(np.array([anchor]))
        within = anchor - int(months_begin(anchored)[0])
        # the last day of a month is followed by last days, the 31st as well as 28 February
        is_last = anchor + DAY >= int(months_begin(anchored + 1)[0])
        begins, ends = months_begin(start + counts * self.count), months_begin(start + counts * self.count + 1)
        latest = ends - DAY + within % DAY
        return latest if is_last else np.minimum(begins + within, latest)


#: of a series without a time column
STEPS = Frequency("step", 1, False)


def months(times: Times) -> NDArray[np.int64]:
    """Return months since January 1970."""
    return times.astype("datetime64[us]").astype("datetime64[M]").astype(np.int64)


def infer_frequency(times: Sequence[Times], calendar: bool) -> Frequency | None:
    """Return the step that most neighbours are apart; None if there are no two times.

    Args:
        times: of each series, sorted, without duplicates.
        calendar: whether they name dates.
    """
    gaps = [np.diff(series) for series in times if len(series) > 1]
    if not gaps:
        return None
    step = _most_frequent(np.concatenate(gaps))
    if calendar and step >= 28 * DAY:
        apart = np.concatenate([np.diff(months(series)) for series in times if len(series) > 1])
        count = _most_frequent(apart)
        # four weeks are no month
        if count >= 1 and not (step == 28 * DAY and np.mean(np.concatenate(gaps) == step) > 0.5):
            return Frequency("month", count)
    return Frequency("us", step, calendar)


def _most_frequent(values: NDArray[np.int64]) -> int:
    """The most frequent value; of equals the nearest to the median, which is the step of irregular times."""
    distinct, counts = np.unique(values, return_counts=True)
    best = distinct[counts == counts.max()]
    return int(best[np.argmin(np.abs(best - np.median(values)))])


def written(times: Times, frequency: Frequency) -> list[str]:
    """Return times as text, no finer than the step needs; plain numbers where times are numbers.

    >>> written(np.array([0, 3600 * SECOND]), Frequency.parse("1h"))
    ['1970-01-01 00:00', '1970-01-01 01:00']
    """
    if frequency.unit == "step":
        return [str(int(t)) for t in times]
    if not frequency.calendar:
        return [f"{t / SECOND:.15g}" for t in times]
    if np.all(times % DAY == 0) and (frequency.unit == "month" or frequency.count % DAY == 0):
        if frequency.unit == "month" and len(times) and np.array_equal(months_begin(months(times)), times):
            return [str(t) for t in times.astype("datetime64[us]").astype("datetime64[M]")]
        return [str(t) for t in times.astype("datetime64[us]").astype("datetime64[D]")]
    unit = "m" if np.all(times % MINUTE == 0) else "s" if np.all(times % SECOND == 0) else "us"
    return [str(t).replace("T", " ") for t in times.astype("datetime64[us]").astype(f"datetime64[{unit}]")]


#: phases of the calendar: their period, and the number of harmonics
_PHASES = {"day": (DAY, 2), "week": (7 * DAY, 3), "year": (None, 2)}
#: 1970-01-01 was a Thursday: days from the Monday before
_MONDAY = 3 * DAY


def phases_for(frequency: Frequency, span: int) -> tuple[Phase, ...]:
    """Return the phases that a series of this step can follow, and that some microseconds of it show at least twice.

    >>> phases_for(Frequency.parse("1h"), 365 * DAY), phases_for(Frequency.parse("1mo"), 3000 * DAY)
    (('day', 'week'), ('year',))
    """
    if not frequency.calendar:
        return ()
    step = frequency.count if frequency.unit == "us" else 28 * DAY * frequency.count
    lengths: dict[Phase, int] = {"day": DAY, "week": 7 * DAY, "year": 365 * DAY}
    return tuple(name for name, length in lengths.items() if 2 * step <= length and span >= 2 * length)


def calendar_features(times: Times, phases: Sequence[str]) -> NDArray[np.float32]:
    """Return sine and cosine of the time of day, of the week and of the year, (T, features)."""
    columns: list[NDArray[np.float64]] = []
    for name in phases:
        period, harmonics = _PHASES[name]
        if period is None:
            year = times.astype("datetime64[us]").astype("datetime64[Y]")
            begin = year.astype("datetime64[us]").astype(np.int64)
            end = (year + 1).astype("datetime64[us]").astype(np.int64)
            turn = (times - begin) / (end - begin)
        else:
            turn = ((times + _MONDAY) % period) / period
        for k in range(1, harmonics + 1):
            columns += [np.sin(2 * np.pi * k * turn), np.cos(2 * np.pi * k * turn)]
    if not columns:
        return np.zeros((len(times), 0), np.float32)
    return np.stack(columns, 1).astype(np.float32)
