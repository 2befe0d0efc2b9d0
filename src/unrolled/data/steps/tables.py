"""Tables of which every row is a step: features, a label, perhaps a time, perhaps the name of a recording.

T time, F features.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from unrolled.data.core.findings import Findings
from unrolled.data.core.numbers import likely_marker
from unrolled.data.core.rows import TableRow
from unrolled.data.core.stamps import SECOND, parse_stamps
from unrolled.data.core.tables import Table
from unrolled.data.steps.recordings import Recording, StepOptions
from unrolled.errors import DataError

#: an interval between two steps that is so many times the usual one is a gap
GAP = 5.0


def recordings_of(
    table: Table, options: StepOptions, findings: Findings, *, labelled: bool = True
) -> Iterator[Recording]:
    """Yield the recordings of a table: one, or one for each value of the sequence column.

    Args:
        table: as it was opened.
        options: how it is read.
        findings: collects data that can't be used, which is left out with its recording, and odd times.
        labelled: whether steps must have labels.
    """
    try:
        label, time, sequence = (
            _column(table, wanted, labelled)
            for wanted in (options.label_column, options.time_column, options.sequence_column)
        )
        special = (label, time, sequence)
        features = tuple(map(table.column, options.features)) or tuple(c for c in table.columns if c not in special)
        if not features:
            raise DataError(f"no column of features; {table.described()}", table.name, 1)
    except DataError as error:
        findings.caught(error, "missing column")
        return
    roles = {column: role for column, role in zip(special, ("label", "time", "recording"), strict=True) if column}
    table.note(findings, {**dict.fromkeys(features, "feature"), **roles})
    groups, spoiled = _grouped(table, sequence, findings)
    if not groups:
        findings.error("empty", "a table without rows", table.name, 1)
    for name, rows in groups.items():
        # one wrong row spoils its recording, since the steps around it would follow each other
        before = findings.errors
        times = _times(rows, time, options, findings)
        matrix = _matrix(rows, features, findings)
        if findings.errors == before and name not in spoiled:
            yield Recording(
                path=table.name,
                line=rows[0].line,
                name=name or table.source.inner_name.rpartition(".")[0] or table.name,
                features=matrix,
                columns=features,
                times=times,
                rate=options.rate if times is None else _rate(times),
                steps=None if label is None else tuple(_label(row.get(label)) for row in rows),
                lines=np.array([row.line for row in rows], dtype=np.int64),
            )


def _column(table: Table, wanted: str | None, labelled: bool) -> str | None:
    try:
        return None if wanted is None else table.column(wanted)
    except DataError:
        # steps that are to be labelled may come with features alone
        if labelled:
            raise
        return None


def _grouped(table: Table, sequence: str | None, findings: Findings) -> tuple[dict[str, list[TableRow]], set[str]]:
    """The rows of each recording; and the recordings on either side of a row that can't be read, which have a hole."""
    groups: dict[str, list[TableRow]] = {}
    spoiled: set[str] = set()
    errors, name = findings.errors, None
    for row in table.rows(findings):
        before, name = name, "" if not sequence else str(row[sequence])
        if findings.errors > errors:
            errors = findings.errors
            spoiled |= {name} if before is None else {name, before}
        groups.setdefault(name, []).append(row)
    if findings.errors > errors and name is not None:
        spoiled.add(name)
    return groups, spoiled


def _label(value: object) -> str | None:
    text = "" if value is None else str(value).strip()
    return text or None


def _matrix(rows: list[TableRow], features: tuple[str, ...], findings: Findings) -> NDArray[np.float32]:
    matrix = np.empty((len(rows), len(features)), dtype=np.float32)
    for n, row in enumerate(rows):
        for k, name in enumerate(features):
            try:
                matrix[n, k] = row.number(name)
            except KeyError:
                findings.error("missing column", row.without(name), row.path, row.line)
                return matrix
            except DataError as error:
                hint = "; name the columns of features with --features" if n == 0 else ""
                message = str(error).removeprefix(f"{row.path}:{row.line}: ") + hint
                findings.error("no number", message, row.path, row.line)
                return matrix
        if not np.isfinite(matrix[n]).all():
            name = features[int(np.flatnonzero(~np.isfinite(matrix[n]))[0])]
            message = f"column {name!r}: {row[name]!r:.80} is no number that can be read; fill it in"
            findings.error("missing value", message, row.path, row.line)
            return matrix
    for k, name in enumerate(features):
        marker = likely_marker(matrix[:, k].astype(np.float64))
        if marker is not None:
            row = rows[int(np.argmax(matrix[:, k] == np.float32(marker)))]
            message = f"column {name!r}: {marker:g} lies far from all other values; does it stand for a missing one?"
            findings.warning("marker", message, row.path, row.line)
    return matrix


def _times(
    rows: list[TableRow], column: str | None, options: StepOptions, findings: Findings
) -> NDArray[np.float64] | None:
    """Seconds from the first step; irregular ones are reported."""
    if not column:
        return None
    try:
        times = np.array([row.number(column) for row in rows]) / (options.units_per_second or 1.0)
        readable = np.isfinite(times)
    except (DataError, KeyError):
        stamps = parse_stamps([row.get(column) for row in rows])
        times, readable = stamps.times / SECOND, stamps.readable
    if not readable.all():
        row = rows[int(np.argmin(readable))]
        message = f"column {column!r}: expected seconds or a date and time, found {row.get(column)!r:.80}"
        findings.error("bad time", message, row.path, row.line)
        return None
    steps = np.diff(times)
    backward = np.flatnonzero(~(steps > 0))
    if len(backward):
        row, many = rows[int(backward[0]) + 1], f" ({len(backward)} times)" if len(backward) > 1 else ""
        message = f"{row[column]} does not come after the time before it{many}"
        findings.warning("irregular time", message, row.path, row.line)
    usual = float(np.median(steps)) if len(steps) else 0.0
    gaps = np.flatnonzero(steps > GAP * usual) if usual > 0 else np.array([], dtype=int)
    if len(gaps):
        row, many = rows[int(gaps[0]) + 1], f" ({len(gaps)} such gaps)" if len(gaps) > 1 else ""
        message = f"a gap of {steps[gaps[0]]:.3g} s before this step, where {usual:.3g} s are usual{many}"
        findings.warning("irregular time", message, row.path, row.line)
    return times - times[0]


def _rate(times: NDArray[np.float64]) -> float | None:
    """Steps a second, by the median interval."""
    usual = float(np.median(np.diff(times))) if len(times) > 1 else 0.0
    return 1 / usual if usual > 0 else None
