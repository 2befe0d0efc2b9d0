"""The series that `predict` takes: paths of tables, arrays, mappings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unrolled.data import Findings
from unrolled.data.core.files import Source
from unrolled.data.series.read import Series, SeriesOptions, as_series, read_series
from unrolled.errors import ArgumentError, DataError
from unrolled.tasks.uses.forecast.fitted import FittedSeries

_KEYS = ("values", "name", "start", "known", "static")


def each_series(fitted: FittedSeries, options: SeriesOptions, value: object, start: str | None) -> Iterator[Series]:
    """Yield the series of one input.

    Args:
        fitted: on the training series.
        options: by which training read its tables.
        value: a path, a `Series` or several, an array (T,) or (T, series), or a mapping with `values`.
        start: the time of an array's first value.

    Raises:
        ArgumentError: it is none of these.
        DataError, StorageError: a table can't be read.
    """
    if isinstance(value, Series):
        yield value
    elif isinstance(value, (str, Path)):
        findings = Findings()
        yield from table_series(fitted, options, Path(value), findings)
        findings.log("unrolled data check forecast DATA shows all")
    elif isinstance(value, Sequence) and value and all(isinstance(series, Series) for series in value):
        yield from value
    elif isinstance(value, Mapping):
        yield as_example(fitted, {"start": start, **value})
    else:
        array = _numbers(value)
        if array.ndim > 2:
            raise ArgumentError(f"input: expected (T,) or (T, series), found shape {array.shape}")
        if array.ndim == 1:
            yield as_example(fitted, {"values": array, "start": start})
            return
        numbers = map(str, range(1, array.shape[1] + 1))
        names = fitted.series_names if array.shape[1] == len(fitted.series_names) else numbers
        for name, column in zip(names, array.T, strict=True):
            yield as_example(fitted, {"values": column, "name": name, "start": start})


def table_series(
    fitted: FittedSeries,
    options: SeriesOptions,
    table: Path | Source,
    findings: Findings,
    *,
    encoding: str | None = None,
    longest: int | None = None,
) -> list[Series]:
    """Return the series of a table, read as those that the model was trained on.

    Args:
        fitted, options: as for `each_series`.
        table: the table.
        encoding: instead of the one in training.
        findings, longest: as of `read_series`.

    Raises:
        DataError, StorageError, LimitError: as `read_series`.
    """
    if encoding is not None:
        options = options.model_copy(update={"encoding": encoding})
    # few rows could tell another frequency than the model's; a table without times has none
    frequency = None if fitted.unit == "step" else fitted.frequency
    return read_series((table,), options, findings, frequency=frequency, longest=longest)


def as_example(fitted: FittedSeries, value: object) -> Series:
    """Return the series of a mapping with `values` and, as the model needs them, `name`, `start`, `known` and `static`;
    or of an array (T,).

    Raises:
        ArgumentError, DataError: it is none, or the model asks for more.
    """
    given: Mapping[str, Any] = value if isinstance(value, Mapping) else {"values": value}
    if "values" not in given or any(key not in _KEYS for key in given):
        keys = ", ".join(str(key) for key in given if key != "start" or given[key] is not None)
        raise ArgumentError(f"input: expected a mapping of {', '.join(_KEYS)}, found {keys}")
    values, width = _numbers(given["values"]), len(fitted.known)
    known = np.asarray(given.get("known", np.zeros((len(values), 0))), np.float64)
    if known.ndim != 2 or known.shape[1] != width or len(known) < len(values):
        names = ", ".join(fitted.known) or "no covariates"
        raise ArgumentError(
            f"known: the model reads {names}; expected shape (T={len(values)} + H, {width}), found {known.shape}"
        )
    begin, steps = fitted.start_time(given.get("start")), len(known)
    times = np.concatenate([[begin], fitted.frequency.after(begin, steps - 1)]) if steps else np.zeros(0)
    return as_series(
        values,
        str(given.get("name", fitted.only_name)),
        times=times.astype(np.int64),
        frequency=fitted.frequency,
        known=known,
        static={str(key): str(cell) for key, cell in dict(given.get("static", {})).items()},
    )


def _numbers(value: object) -> NDArray[np.float64]:
    """Return an array of numbers.

    Raises:
        ArgumentError: it is none.
    """
    try:
        array = np.asarray(value, np.float64)
    except (TypeError, ValueError) as error:
        raise ArgumentError(f"input: the task 'forecast' reads paths and arrays of numbers: {error}") from error
    if array.ndim == 0:
        raise ArgumentError(f"input: the task 'forecast' reads paths and arrays of numbers, found {value!r}")
    if not array.size:
        raise DataError("input: a series without values")
    return array
