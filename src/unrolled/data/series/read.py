"""Time series out of tables: long (series, time, value), wide (a column each) or in rows (a row each, as M4 has them).

A series that stands in several files is continued from one to the next. What is wrong with its time stamps is found
here, and what becomes of it is the policy `--gaps`:

    error        a gap, an empty cell or a stamp off the grid is refused, with file and line
    interpolate  missing values lie on the line between their neighbours; series off the grid are resampled onto it
    mask         missing values stay missing: the network is told so, and they count in no loss and no metric

Unsorted rows are sorted and equal duplicates dropped, with a warning; duplicates that contradict each other are errors.
Empty cells before a series begins and after it has ended are neither: in wide tables series may start and stop.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from unrolled.data.core.examples import Example
from unrolled.data.core.files import Source
from unrolled.data.core.findings import Findings
from unrolled.data.series.tables import Column, read_columns
from unrolled.data.series.timeline import STEPS, Frequency, Times, infer_frequency, parse_time, written
from unrolled.errors import ArgumentError, DataError, LimitError
from unrolled.settings import Settings

#: steps off the grid that are rounding, not irregularity
_ROUNDING = 1e-3
#: a gap longer than this many times what is known is a wrong time stamp, not a gap
_LONGEST_GAP = 1000


class SeriesOptions(Settings):
    """Where in a table the series are, and what becomes of what is missing."""

    layout: Literal["auto", "long", "wide", "rows"] = Field(
        "auto", description="long: a row a series and time; wide: a column a series; rows: a row a series"
    )
    time: str | None = Field(None, description="the time column; none if there is none [found by its content]")
    series: str | None = Field(None, description="the column that names the series, of the long layout")
    values: list[str] = Field([], description="the columns of values [all numeric ones]; may be repeated")
    known: list[str] = Field([], description="columns known ahead of time, such as prices or holidays; may be repeated")
    static: list[str] = Field([], description="columns that describe a series, of the long layout; may be repeated")
    time_format: str | None = Field(None, description="of time stamps, such as %d/%m/%Y [ISO 8601, years or seconds]")
    frequency: str | None = Field(None, description="the step, such as 15min, 1h, 1d, 1w, 1mo [the most frequent one]")
    gaps: Literal["error", "interpolate", "mask"] = Field(
        "error", description="what becomes of missing values and irregular times"
    )
    encoding: str = "utf-8"


@dataclass(frozen=True, kw_only=True)
class Series(Example):
    """One series on its grid.

    Attributes:
        name: unique among those read together.
        values: (T,) float64, NaN where nothing is known.
        times: (T + F,) of each step, F of them after the last value, for which `known` says something.
        frequency: the step.
        known: (T + F, K) covariates that are known ahead of time.
        static: what describes it, column → value.
        first: the first step that may be a target; those before it are only read.
        line: of its first row.
    """

    name: str
    values: NDArray[np.float64]
    times: Times
    frequency: Frequency = STEPS
    known: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 0)))
    static: dict[str, str] = field(default_factory=dict)
    first: int = 0

    @property
    def given(self) -> Series:
        """The series: what is read of it ends where its forecast begins."""
        return self

    @property
    def target(self) -> Series:
        """The series: targets are its values from `first` on."""
        return self

    @property
    def key(self) -> str:
        """A hash of the values: the same series under two names is one."""
        return hashlib.blake2b(self.values.tobytes(), digest_size=16).hexdigest()

    @property
    def is_empty(self) -> bool:
        """Whether no value is known."""
        return not np.isfinite(self.values).any()

    @property
    def is_constant(self) -> bool:
        """Whether it never changes."""
        found = self.values[np.isfinite(self.values)]
        return len(found) > 1 and bool((found == found[0]).all())

    def __len__(self) -> int:
        return len(self.values)

    def part(self, end: int, known: int | None = None, *, first: int = 0) -> Series:
        """The values before a step, and what is known before another one (by default the same).

        Args:
            end: T of the part.
            known: its T + F.
            first: as the attribute.
        """
        upto = end if known is None else known
        return replace(self, values=self.values[:end], times=self.times[:upto], known=self.known[:upto], first=first)

    def index(self, place: str) -> int:
        """The first step at or after a place: a time, or a number of steps, from the end if negative.

        Raises:
            ArgumentError: it is neither.
        """
        text = place.strip()
        number = re.fullmatch(r"-?\d+", text)
        if number and (self.frequency.unit == "step" or not _is_year(text, self)):
            count = int(text)
            return min(count, len(self)) if count >= 0 else max(0, len(self) + count)
        try:
            at, is_date = parse_time(text)
        except ValueError as error:
            raise ArgumentError(f"{place!r}: expected a time or a number of steps") from error
        if self.frequency.unit == "step" or is_date != self.frequency.calendar:
            raise ArgumentError(f"{place!r}: series {self.name!r} has no such times; give a number of steps")
        return int(np.searchsorted(self.times[: len(self)], at))

    def joined(self, more: Series) -> Series | None:
        """Gone on with another series, `first` where that begins; None if it does not follow without a gap."""
        if self.frequency != more.frequency or self.known.shape[1] != more.known.shape[1]:
            return None
        begin = len(self)
        if self.frequency.unit != "step":
            at = np.searchsorted(more.times, self.following(1)[0])
            if at >= len(more) or more.times[at] != self.following(1)[0]:
                return None
            more = replace(more, values=more.values[at:], times=more.times[at:], known=more.known[at:])
            times = np.concatenate([self.times[:begin], more.times])
        else:
            times = np.arange(begin + len(more.times), dtype=np.int64)
        values = np.concatenate([self.values, more.values])
        return replace(
            self, values=values, times=times, known=np.concatenate([self.known[:begin], more.known]), first=begin
        )

    def following(self, steps: int) -> Times:
        """The times of the steps after the last value."""
        have = self.times[len(self.values) : len(self.values) + steps]
        if len(have) == steps:
            return have
        last = int(self.times[-1]) if len(self.times) else -1
        return np.concatenate([have, self.frequency.after(last, steps - len(have), anchor=int(self.times[0]))])


def as_series(
    values: Any, name: str = "series", *, times: Times | None = None, frequency: Frequency = STEPS, **more: Any
) -> Series:
    """A series of an array.

    Raises:
        DataError: it is no array of one dimension, or holds what is not finite (NaN is what is missing).
    """
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1:
        raise DataError(f"series {name!r}: expected one dimension, (T,), found shape {array.shape}")
    if np.isinf(array).any():
        raise DataError(f"series {name!r}: step {int(np.argmax(np.isinf(array)))} is infinite")
    stamps = np.arange(len(array), dtype=np.int64) if times is None else times
    known = more.pop("known", np.zeros((len(stamps), 0)))
    return Series(name=name, values=array, times=stamps, frequency=frequency, known=known, **more)


def read_series(
    paths: Sequence[Path | Source],
    options: SeriesOptions,
    findings: Findings,
    *,
    frequency: Frequency | None = None,
    longest: int | None = None,
) -> list[Series]:
    """The series of some tables, in the order in which they are first seen.

    Args:
        frequency: that of a trained model, which the series must have.
        longest: steps that a series may have, those of its gaps among them.

    Raises:
        LimitError: it has more.
        DataError, StorageError, ArgumentError: naming file, line and column; a series that can't be used goes to
            `findings`.
    """
    columns = read_columns(paths, options, findings)
    for column in columns:
        _sort(column, findings)
    step = Frequency.parse(options.frequency) if options.frequency else frequency
    if step is None:
        stamps = [c.times for c in columns if c.times is not None]
        step = infer_frequency(stamps, all(c.is_calendar for c in columns)) if stamps else STEPS
    found = []
    for column in columns:
        if not len(column.values):
            findings.error("empty", f"series {column.name!r} has no value", column.path, None)
            continue
        one = _on_grid(column, step or STEPS, options.gaps, findings, longest)
        if one is not None:
            found.append(one)
    return found


def _sort(column: Column, findings: Findings) -> None:
    """Rows in the order of time, each time once."""
    if column.times is None or not len(column.times):
        return
    order = np.argsort(column.times, kind="stable")
    if (np.diff(column.times) < 0).any():
        at = int(np.argmax(np.diff(column.times) < 0)) + 1
        findings.warning(
            "unsorted",
            f"series {column.name!r}: earlier than the row before; rows are sorted by time",
            *column.place(at),
        )
    column.take(order)
    again = np.flatnonzero(np.diff(column.times) == 0) + 1
    if not len(again):
        return
    for row in map(int, again):
        same = np.array_equal(column.values[row - 1], column.values[row], equal_nan=True) and np.array_equal(
            column.known[row - 1], column.known[row], equal_nan=True
        )
        path, line = column.place(row - 1)
        message = f"series {column.name!r} has this time twice (first in {path}:{line})"
        if same:
            findings.warning("duplicate time", f"{message}, with the same value; one is dropped", *column.place(row))
        else:
            findings.error("duplicate time", f"{message}, with another value; remove one", *column.place(row))
    keep = np.ones(len(column.times), bool)
    keep[again] = False
    column.take(np.flatnonzero(keep))


def _on_grid(column: Column, frequency: Frequency, gaps: str, findings: Findings, longest: int | None) -> Series | None:
    """A series whose every step is there, or None if the policy refuses it."""
    known_values = np.flatnonzero(~np.isnan(column.values))
    if not len(known_values):
        findings.error("empty", f"series {column.name!r} has no value", *column.place(0))
        return None
    begin, last = int(known_values[0]), int(known_values[-1])
    # rows after the last value are the future if something is known of them, else the series has ended
    has_known = column.known.shape[1] > 0
    end = len(column.values) if has_known else last + 1
    column.take(np.arange(begin, end))
    count = last + 1 - begin
    missing = np.flatnonzero(np.isnan(column.values[:count]))
    bad = False
    if len(missing):
        bad |= _found(
            column,
            gaps,
            "missing value",
            f"series {column.name!r}: no value here{f', nor in {len(missing) - 1} more rows' * (len(missing) > 1)}",
            int(missing[0]),
            findings,
        )
    values, known = column.values, column.known
    if column.times is None:
        times = np.arange(len(values), dtype=np.int64)
        frequency = STEPS
    else:
        at = frequency.positions(column.times, int(column.times[0]))
        steps = np.rint(at).astype(np.int64)
        off = np.flatnonzero((np.abs(at - steps) > _ROUNDING) | (np.diff(steps, prepend=-1) == 0))
        if steps[-1] + 1 > _LONGEST_GAP * len(values):
            far = int(np.argmax(np.diff(steps))) + 1
            message = (
                f"series {column.name!r}: {steps[far] - steps[far - 1]:,} steps after the row before; a wrong time?"
            )
            findings.error("irregular", message, *column.place(far))
            return None
        if longest is not None and steps[-1] >= longest:
            message = f"series {column.name!r}: {steps[-1] + 1:,} steps with its gaps, and at most {longest:,} are read"
            raise LimitError(message, *column.place(0))
        if len(off):
            stamp = written(column.times[off[:1]], frequency)[0]
            grid = f"the grid of {frequency.name} from {written(column.times[:1], frequency)[0]}"
            others = f" (and {len(off) - 1} more)" if len(off) > 1 else ""
            message = f"series {column.name!r}: {stamp} is off {grid}{others}; name its step with --frequency"
            if gaps == "mask":
                # a value between two steps is missing at both: there is nothing that a mask could keep
                findings.error(
                    "irregular", f"{message}, or resample with --gaps interpolate", *column.place(int(off[0]))
                )
                return None
            bad |= _found(column, gaps, "irregular", message, int(off[0]), findings)
        holes = np.flatnonzero(np.diff(steps) > 1)
        if len(holes) and not bad:
            absent = int((np.diff(steps)[holes] - 1).sum())
            more = f" in {len(holes)} gaps" if len(holes) > 1 else ""
            message = f"series {column.name!r}: {absent} of its {frequency.name} missing before this row{more}"
            bad |= _found(column, gaps, "gap", message, int(holes[0]) + 1, findings)
        if not bad:
            values, known, count = _placed(at, steps, values, known, count, resample=len(off) > 0)
            times = np.concatenate([column.times[:1], frequency.after(int(column.times[0]), len(values) - 1)])
    if bad:
        return None
    if gaps == "interpolate":
        values = np.concatenate([_filled(values[:count]), values[count:]])
        known = np.stack([_filled(k) for k in known.T], 1) if known.shape[1] else known
    empty = np.flatnonzero(np.isnan(known).any(axis=1))
    if len(empty):
        stamp = written(times[empty[:1]], frequency)[0]
        message = f"series {column.name!r}: a known covariate is missing at {stamp}; fill it, or --gaps interpolate"
        findings.error("missing covariate", message, column.path)
        return None
    return Series(
        path=column.path,
        line=column.place(0)[1],
        name=column.name,
        values=values[:count],
        times=times,
        frequency=frequency,
        known=known,
        static=column.static,
    )


def _found(column: Column, gaps: str, kind: str, message: str, row: int, findings: Findings) -> bool:
    """Tell of what is missing; True if the series is refused for it."""
    if gaps == "error":
        findings.error(kind, f"{message}; repair it, or give --gaps interpolate or --gaps mask", *column.place(row))
        return True
    findings.warning(kind, message, *column.place(row))
    return False


def _placed(
    at: NDArray[np.float64],
    steps: NDArray[np.int64],
    values: NDArray[np.float64],
    known: NDArray[np.float64],
    count: int,
    *,
    resample: bool,
) -> tuple[NDArray[np.float64], NDArray[np.float64], int]:
    """Rows put on their steps, NaN on those without; or read off the line between rows, where they are off the grid."""
    length = int(steps[-1]) + 1
    if not resample:
        placed, covariates = np.full(length, np.nan), np.full((length, known.shape[1]), np.nan)
        placed[steps], covariates[steps] = values, known
        return placed, covariates, int(steps[count - 1]) + 1
    grid = np.arange(int(np.floor(at[-1] + _ROUNDING)) + 1, dtype=np.float64)
    seen = ~np.isnan(values)
    inside = grid <= at[count - 1] + _ROUNDING
    placed = np.where(inside, np.interp(grid, at[seen], values[seen]), np.nan)
    covariates = np.stack([np.interp(grid, at, k) for k in known.T], 1) if known.shape[1] else np.zeros((len(grid), 0))
    return placed, covariates, int(inside.sum())


def _filled(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Missing values drawn on the line between their neighbours; before the first and after the last, level."""
    seen = ~np.isnan(values)
    if seen.all() or not seen.any():
        return values
    steps = np.arange(len(values))
    return np.where(seen, values, np.interp(steps, steps[seen], values[seen]))


def _is_year(text: str, series: Series) -> bool:
    """Whether four digits are a year within a series and not a number of its steps."""
    year = len(text) == 4 and series.frequency.calendar
    return year and bool(series.times[0] <= parse_time(text)[0] <= series.times[-1])
