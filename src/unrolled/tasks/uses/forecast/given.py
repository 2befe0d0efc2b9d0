"""What `predict` takes as a series: paths of tables, arrays, mappings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from unrolled.data import Findings
from unrolled.data.core.files import Source
from unrolled.data.series.read import Series, SeriesOptions, as_series, read_series
from unrolled.errors import ArgumentError, DataError
from unrolled.tasks.uses.forecast.fitted import SeriesEncoders
from unrolled.tasks.uses.forecast.session import start_time

if TYPE_CHECKING:
    from unrolled.tasks.core.fitted import Fitted

_KEYS = ("values", "name", "start", "known", "static")


def given_series(model: Fitted, given: Any, start: str | None) -> Iterator[Series]:
    """The series of one input.

    Args:
        given: a path, a `Series` or several, an array (T,) or (T, series), or a mapping with `values`.
        start: the time of an array's first value.

    Raises:
        ArgumentError: it is none of these.
        DataError, StorageError: a table can't be read.
    """
    encoders: SeriesEncoders = model.encoders
    if isinstance(given, Series):
        yield given
    elif isinstance(given, (str, Path)):
        findings = Findings()
        yield from table_series(model, Path(given), findings)
        findings.log("unrolled data check forecast DATA shows all")
    elif isinstance(given, Sequence) and given and all(isinstance(one, Series) for one in given):
        yield from given
    elif isinstance(given, Mapping):
        yield _of_mapping(encoders, given, start)
    else:
        array = _numbers(given)
        if array.ndim == 1:
            yield _of_mapping(encoders, {"values": array}, start)
            return
        if array.ndim != 2:
            raise ArgumentError(f"input: expected (T,) or (T, series), found shape {array.shape}")
        several = encoders.names if array.shape[1] == len(encoders.names) else map(str, range(1, array.shape[1] + 1))
        for name, column in zip(several, array.T, strict=True):
            yield _of_mapping(encoders, {"values": column, "name": name}, start)


def table_series(
    model: Fitted, table: Path | Source, findings: Findings, *, encoding: str | None = None, longest: int | None = None
) -> list[Series]:
    """The series of a table, read as those that the model was trained on.

    Args:
        encoding: instead of the one in training.
        findings, longest: as of `read_series`.

    Raises:
        DataError, StorageError, LimitError: as `read_series`.
    """
    fields = SeriesOptions.model_fields
    chosen = {k: v for k, v in model.config.options.items() if k in fields}
    options = SeriesOptions(**{**chosen, **({} if encoding is None else {"encoding": encoding})})
    return read_series((table,), options, findings, frequency=_frequency(model.encoders), longest=longest)


def _frequency(encoders: SeriesEncoders) -> Any:
    """That of the model, for tables whose few rows could tell another; a table without times has none."""
    return None if encoders.unit == "step" else encoders.frequency


def _of_mapping(encoders: SeriesEncoders, given: Mapping[str, Any], start: str | None) -> Series:
    unknown = [key for key in given if key not in _KEYS]
    if unknown or "values" not in given:
        raise ArgumentError(f"input: expected a mapping of {', '.join(_KEYS)}, found {', '.join(map(str, given))}")
    values = _numbers(given["values"])
    name = str(given.get("name", encoders.names[0] if len(encoders.names) == 1 else "series"))
    known = np.asarray(given.get("known", np.zeros((len(values), 0))), np.float64)
    if known.ndim != 2 or known.shape[1] != len(encoders.known) or len(known) < len(values):
        names = ", ".join(encoders.known) or "no covariates"
        raise ArgumentError(
            f"known: the model reads {names}; expected shape (T={len(values)} + H, {len(encoders.known)}), "
            f"found {known.shape}"
        )
    begin = start_time(encoders, given.get("start", start))
    steps = len(known)
    times = np.concatenate([[begin], encoders.frequency.after(begin, steps - 1)]) if steps else np.zeros(0)
    static = {str(k): str(v) for k, v in dict(given.get("static", {})).items()}
    return as_series(
        values, name, times=times.astype(np.int64), frequency=encoders.frequency, known=known, static=static
    )


def _numbers(given: Any) -> np.ndarray[Any, np.dtype[np.float64]]:
    """An array of numbers.

    Raises:
        ArgumentError: it is none.
    """
    try:
        array = np.asarray(given, np.float64)
    except (TypeError, ValueError) as error:
        raise ArgumentError(f"input: the task 'forecast' reads paths and arrays of numbers: {error}") from error
    if array.ndim == 0:
        raise ArgumentError(f"input: the task 'forecast' reads paths and arrays of numbers, found {given!r}")
    if not array.size:
        raise DataError("input: a series without values")
    return array
