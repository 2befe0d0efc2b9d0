"""Time series out of tables: long (series, time, value), wide (a column each) or in rows (a row each, as M4 has them).

A series that is in several files continues from one to the next. `--gaps` decides about missing values and irregular
time stamps:

    error        a gap, a missing cell or a stamp off the grid is refused, with file and line
    interpolate  missing values lie on the line between their neighbours; series off the grid are resampled onto it
    mask         missing values stay missing: the network reads a mask, and they count in no loss and no metric

Unsorted rows are sorted and equal duplicates dropped, with a warning; duplicates that contradict each other are errors.
Missing cells before a series begins and after it has ended are neither: in wide tables series may start and stop.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from unrolled.data.core.examples import Example
from unrolled.data.core.files import Source
from unrolled.data.core.findings import Findings
from unrolled.data.core.stamps import Times, parse_time
from unrolled.data.series.columns import read_columns
from unrolled.data.series.grid import on_grid, sort_rows
from unrolled.data.series.layout import SeriesOptions
from unrolled.data.series.timeline import STEPS, Frequency, infer_frequency
from unrolled.errors import ArgumentError, DataError


@dataclass(frozen=True, kw_only=True)
class Series(Example):
    """One series on its grid.

    Attributes:
        name: unique among those read together.
        values: (T,) float64, NaN where nothing is known.
        times: (T + F,) of each step, F of them after the last value, for which `known` has covariates.
        frequency: the step.
        known: (T + F, K) covariates that are known ahead of time.
        static: its description, column → value.
        first: the first step that may be a target; the network only reads those before it.
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
        values = self.values[np.isfinite(self.values)]
        return len(values) > 1 and bool((values == values[0]).all())

    def __len__(self) -> int:
        return len(self.values)

    def part(self, end: int, known: int | None = None, *, first: int = 0) -> Series:
        """Return the values before a step, and the covariates before another one (by default the same).

        Args:
            end: T of the part.
            known: its T + F.
            first: as the attribute.
        """
        until = end if known is None else known
        return replace(self, values=self.values[:end], times=self.times[:until], known=self.known[:until], first=first)

    def index(self, place: str) -> int:
        """Return the first step at or after a place: a time, or a number of steps, from the end if negative.

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
        """Return the series continued by another, `first` where that begins; None if there is a gap between them."""
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
        """Return the times of the steps after the last value."""
        have = self.times[len(self.values) : len(self.values) + steps]
        if len(have) == steps:
            return have
        last = int(self.times[-1]) if len(self.times) else -1
        return np.concatenate([have, self.frequency.after(last, steps - len(have), anchor=int(self.times[0]))])


def as_series(
    values: ArrayLike, name: str = "series", *, times: Times | None = None, frequency: Frequency = STEPS, **more: Any
) -> Series:
    """Return a series of an array.

    Raises:
        DataError: it is no array of one dimension, or holds an infinite value (NaN stands for a missing one).
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
    """Return the series of some tables, in the order in which they are first seen.

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
        sort_rows(column, findings)
    step = Frequency.parse(options.frequency) if options.frequency else frequency
    if step is None:
        stamps = [c.times for c in columns if c.times is not None]
        step = infer_frequency(stamps, all(c.is_calendar for c in columns)) if stamps else STEPS
    result = []
    for column in columns:
        if not len(column.values):
            findings.error("empty", f"series {column.name!r} has no value", column.path, None)
            continue
        grid = on_grid(column, step or STEPS, options.gaps, findings, longest)
        if grid is not None:
            result.append(
                Series(
                    path=column.path,
                    line=column.place(0)[1],
                    name=column.name,
                    values=grid.values,
                    times=grid.times,
                    frequency=grid.frequency,
                    known=grid.known,
                    static=column.static,
                )
            )
    return result


def _is_year(text: str, series: Series) -> bool:
    """Whether four digits are a year within a series and not a number of its steps."""
    year = len(text) == 4 and series.frequency.calendar
    return year and bool(series.times[0] <= parse_time(text)[0] <= series.times[-1])
