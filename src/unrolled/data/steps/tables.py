"""Tables of which every row is a step: features, a label, perhaps a time, perhaps which recording the row belongs to.

T time, F features.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from unrolled.data.core.findings import Findings
from unrolled.data.core.tables import Row, Table, cell_number
from unrolled.data.steps.recordings import Reading, Recording
from unrolled.errors import DataError

#: an interval between two steps that is so many times the usual one is a gap
GAP = 5.0


def recordings_of(table: Table, reading: Reading, findings: Findings) -> Iterator[Recording]:
    """The recordings of a table: one, or one for each value of the sequence column.

    Args:
        table: as it was opened.
        reading: how.
        findings: told of what can't be used, which is left out with the recording it belongs to, and of odd times.
    """
    try:
        special: dict[str, str | None] = {}
        for role, wanted in (
            ("label", reading.label_column),
            ("time", reading.time_column),
            ("sequence", reading.sequence_column),
        ):
            try:
                special[role] = None if wanted is None else table.column(wanted)
            except DataError:
                # what is to be labelled may come without all that it was learned with
                if reading.labelled:
                    raise
                special[role] = None
        features = tuple(map(table.column, reading.features)) or tuple(
            name for name in table.columns if name not in special.values()
        )
        if not features:
            raise DataError(f"no column of features; {table.described()}", table.name, 1)
    except DataError as error:
        findings.caught(error, "missing column")
        return
    groups, spoiled = _grouped(table, special["sequence"], findings)
    if not groups:
        findings.error("empty", "a table without rows", table.name, 1)
    for name, rows in groups.items():
        # one wrong row spoils its recording, since the steps around it would follow each other
        before = findings.errors
        times = _times(rows, special["time"], reading, findings)
        matrix = _matrix(rows, features, findings)
        if findings.errors == before and name not in spoiled:
            label = special.get("label")
            steps = None if label is None else tuple(_label(row.get(label)) for row in rows)
            yield Recording(
                path=table.name,
                line=rows[0].line,
                name=name or table.source.inner_name.rpartition(".")[0] or table.name,
                features=matrix,
                columns=features,
                times=times,
                rate=reading.rate if times is None else _rate(times),
                steps=steps,
                lines=np.array([row.line for row in rows], dtype=np.int64),
            )


def _grouped(table: Table, sequence: str | None, findings: Findings) -> tuple[dict[str, list[Row]], set[str]]:
    """The rows of each recording; and the recordings on either side of a row that can't be read, which have a hole."""
    groups: dict[str, list[Row]] = {}
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


def _matrix(rows: list[Row], features: tuple[str, ...], findings: Findings) -> NDArray[np.float32]:
    matrix = np.empty((len(rows), len(features)), dtype=np.float32)
    for n, row in enumerate(rows):
        for k, name in enumerate(features):
            try:
                matrix[n, k] = cell_number(row, name)
            except KeyError:
                findings.error("missing column", f"no column {name!r} in this row", row.path, row.line)
                return matrix
            except DataError:
                hint = "; name the columns of features with --features" if n == 0 else ""
                message = f"column {name!r}: expected a number, found {row[name]!r}{hint}"
                findings.error("no number", message, row.path, row.line)
                return matrix
        if not np.isfinite(matrix[n]).all():
            name = features[int(np.flatnonzero(~np.isfinite(matrix[n]))[0])]
            findings.error("missing value", f"column {name!r}: {row[name]!r} is no number to go by", row.path, row.line)
            return matrix
    return matrix


def _times(rows: list[Row], column: str | None, reading: Reading, findings: Findings) -> NDArray[np.float64] | None:
    """Seconds from the first step; what is irregular about them is found."""
    if not column:
        return None
    times = np.empty(len(rows))
    for n, row in enumerate(rows):
        try:
            times[n] = _moment(row, column, reading.units_per_second)
        except DataError as error:
            findings.caught(error, "bad time")
            return None
    steps = np.diff(times)
    backward = np.flatnonzero(~(steps > 0))
    if len(backward):
        row, many = rows[int(backward[0]) + 1], f" ({len(backward)} times)" if len(backward) > 1 else ""
        findings.warning(
            "irregular time", f"{row[column]} does not come after the time before it{many}", row.path, row.line
        )
    usual = float(np.median(steps)) if len(steps) else 0.0
    gaps = np.flatnonzero(steps > GAP * usual) if usual > 0 else np.array([], dtype=int)
    if len(gaps):
        row, many = rows[int(gaps[0]) + 1], f" ({len(gaps)} such gaps)" if len(gaps) > 1 else ""
        findings.warning(
            "irregular time",
            f"a gap of {steps[gaps[0]]:.3g} s before this step, where {usual:.3g} s are usual{many}",
            row.path,
            row.line,
        )
    return times - times[0]


def _moment(row: Row, column: str, units_per_second: float | None) -> float:
    value = row[column]
    if isinstance(value, datetime):
        return value.timestamp()
    try:
        number = cell_number(row, column)
    except DataError:
        try:
            return datetime.fromisoformat(str(value).strip()).timestamp()
        except ValueError:
            pass
        raise DataError(
            f"column {column!r}: expected seconds or a date and time, found {value!r}", row.path, row.line
        ) from None
    if not np.isfinite(number):
        raise DataError(f"column {column!r}: no time in this row", row.path, row.line)
    return number / (units_per_second or 1.0)


def _rate(times: NDArray[np.float64]) -> float | None:
    """Steps a second, by the median interval."""
    usual = float(np.median(np.diff(times))) if len(times) > 1 else 0.0
    return 1 / usual if usual > 0 else None
