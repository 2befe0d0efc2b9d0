"""A series on its grid: rows in order, a value for every step, and `--gaps` for the steps that have none."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from unrolled.data.core.findings import Findings
from unrolled.data.core.stamps import HOUR, Times
from unrolled.data.series.columns import Column
from unrolled.data.series.timeline import STEPS, Frequency, written
from unrolled.errors import LimitError

#: steps off the grid that are rounding, not irregularity
_ROUNDING = 1e-3
#: a gap longer than this many times the known values is a wrong time stamp, not a gap
_LONGEST_GAP = 1000


class Grid(NamedTuple):
    """Values for every step; see the attributes of `Series`."""

    values: NDArray[np.float64]
    times: Times
    frequency: Frequency
    known: NDArray[np.float64]


def sort_rows(column: Column, findings: Findings) -> None:
    """Put rows in the order of time, each time once."""
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
    autumn = (
        column.is_calendar and bool(np.all(column.times[again] % HOUR == 0)) and len(again) * 1000 < len(column.times)
    )
    way = "remove one, or name the clock's zone with --time-zone if it was set back" if autumn else "remove one"
    for row in map(int, again):
        same = np.array_equal(column.values[row - 1], column.values[row], equal_nan=True) and np.array_equal(
            column.known[row - 1], column.known[row], equal_nan=True
        )
        path, line = column.place(row - 1)
        message = f"series {column.name!r} has this time twice (first in {path}:{line})"
        if same:
            findings.warning("duplicate time", f"{message}, with the same value; one is dropped", *column.place(row))
        else:
            findings.error("duplicate time", f"{message}, with another value; {way}", *column.place(row))
    keep = np.ones(len(column.times), bool)
    keep[again] = False
    column.take(np.flatnonzero(keep))


def on_grid(column: Column, frequency: Frequency, gaps: str, findings: Findings, longest: int | None) -> Grid | None:
    """Return a series whose every step is there; None, and a finding, if the policy refuses it.

    Args:
        column: its rows, sorted.
        frequency: the step.
        gaps: the policy.
        longest: steps that it may have, those of its gaps among them.

    Raises:
        LimitError: it has more.
    """
    present = np.flatnonzero(~np.isnan(column.values))
    if not len(present):
        findings.error("empty", f"series {column.name!r} has no value", *column.place(0))
        return None
    begin, last = int(present[0]), int(present[-1])
    # rows after the last value are the future if they have covariates, else the series has ended
    column.take(np.arange(begin, len(column.values) if column.known.shape[1] > 0 else last + 1))
    count = last + 1 - begin
    missing = np.flatnonzero(np.isnan(column.values[:count]))
    refused = False
    if len(missing):
        message = f"no value here{f', nor in {len(missing) - 1} more rows' * (len(missing) > 1)}"
        refused = _report(column, gaps, "missing value", message, int(missing[0]), findings)
    values, known = column.values, column.known
    if column.times is None:
        times, frequency = np.arange(len(values), dtype=np.int64), STEPS
    else:
        at = frequency.positions(column.times, int(column.times[0]))
        steps = np.rint(at).astype(np.int64)
        if not _is_plausible(column, steps, findings, longest):
            return None
        off = np.flatnonzero((np.abs(at - steps) > _ROUNDING) | (np.diff(steps, prepend=-1) == 0))
        if not _is_regular(column, column.times, steps, off, frequency, gaps, findings) or refused:
            return None
        values, known, count = _placed(at, steps, values, known, count, resample=len(off) > 0)
        times = np.concatenate([column.times[:1], frequency.after(int(column.times[0]), len(values) - 1)])
    if refused:
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
    return Grid(values[:count], times, frequency, known)


def _is_plausible(column: Column, steps: NDArray[np.int64], findings: Findings, longest: int | None) -> bool:
    """Whether the gaps of a series are no longer than its times can be right."""
    if steps[-1] + 1 > _LONGEST_GAP * len(column.values):
        far = int(np.argmax(np.diff(steps))) + 1
        message = f"series {column.name!r}: {steps[far] - steps[far - 1]:,} steps after the row before; a wrong time?"
        findings.error("irregular", message, *column.place(far))
        return False
    if longest is not None and steps[-1] >= longest:
        message = f"series {column.name!r}: {steps[-1] + 1:,} steps with its gaps, and at most {longest:,} are read"
        raise LimitError(message, *column.place(0))
    return True


def _is_regular(
    column: Column,
    times: Times,
    steps: NDArray[np.int64],
    off: NDArray[np.int64],
    frequency: Frequency,
    gaps: str,
    findings: Findings,
) -> bool:
    """Report rows that are off the grid, and steps without a row; False if the policy refuses the series for them."""
    if len(off):
        stamp, first = written(times[off[:1]], frequency)[0], written(times[:1], frequency)[0]
        others = f" (and {len(off) - 1} more)" if len(off) > 1 else ""
        message = f"{stamp} is off the grid of {frequency.name} from {first}{others}; name its step with --frequency"
        if gaps == "mask":
            # a value between two steps is missing at both: there is nothing that a mask could keep
            message = f"series {column.name!r}: {message}, or resample with --gaps interpolate"
            findings.error("irregular", message, *column.place(int(off[0])))
            return False
        return not _report(column, gaps, "irregular", message, int(off[0]), findings)
    holes = np.flatnonzero(np.diff(steps) > 1)
    if not len(holes):
        return True
    absent = int((np.diff(steps)[holes] - 1).sum())
    more = f" in {len(holes)} gaps" if len(holes) > 1 else ""
    message = f"{absent} of its {frequency.name} missing before this row{more}"
    return not _report(column, gaps, "gap", message, int(holes[0]) + 1, findings)


def _report(column: Column, gaps: str, kind: str, message: str, row: int, findings: Findings) -> bool:
    """Report what is missing; True if the series is refused for it."""
    message = f"series {column.name!r}: {message}"
    if gaps == "error":
        way = "--gaps interpolate" if kind == "irregular" else "--gaps interpolate or --gaps mask"
        findings.error(kind, f"{message}; repair it, or give {way}", *column.place(row))
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
    """Put rows on their steps, NaN on those without; or read them off the line between rows that are off the grid."""
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
    """Put missing values on the line between their neighbours; level before the first and after the last."""
    seen = ~np.isnan(values)
    if seen.all() or not seen.any():
        return values
    steps = np.arange(len(values))
    return np.where(seen, values, np.interp(steps, steps[seen], values[seen]))
