"""Series with a label each, of one or several dimensions, long or short.

=============  =========================================================================================================
.ts, .arff     of the archives of UEA and UCR (see `unrolled.data.series.published`)
rows           a table of numbers: a series a row, its label in the first column, as UCR has it, or in the last
steps          a table with a step a row: a column that names the series, one of labels, and the others as dimensions
lists          JSON lines, Parquet or rows in memory with a column of lists, a series each, and one of labels
.npy           one series (T, F) or (T,), or several (N, T, F), for a model to predict
=============  =========================================================================================================

Missing values at the end are none of the series: UCR fills up shorter ones with them. Others are filled by a straight
line between those before and after. Of a folder that holds files called …_TRAIN and …_TEST the latter are left out,
with a warning.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from unrolled.data.core.dialect import TableOptions
from unrolled.data.core.examples import Example
from unrolled.data.core.files import Source
from unrolled.data.core.findings import Findings
from unrolled.data.core.folders import Paths, files_in, find_sources
from unrolled.data.core.rows import TableRow
from unrolled.data.core.tables import JSON_LINES, PARQUET, TABS, Table, open_tables, with_header
from unrolled.data.series.published import SeriesRow, is_published, read_published
from unrolled.errors import DataError, StorageError
from unrolled.settings import Names

#: names of columns: of labels, of the series of a row, of the time of a step
LABEL_NAMES = ("label", "class", "target", "category", "activity", "gesture", "y")
_SEQUENCES = ("series", "series_id", "seriesid", "sequence", "sequence_id", "case_id", "recording", "recording_id")
_TIMES = ("time", "t", "timestamp", "date", "step", "timestep", "time_step", "index", "dim_time")
#: names that say that a file may hold rows, and columns of numbers that a table of rows has at least
_ROWS = (".csv", *TABS, ".txt", *PARQUET, *JSON_LINES)
_FEWEST = 8
#: kinds of labels in a column of numbers at most
_MOST_KINDS = 200


class LabelledSeriesOptions(TableOptions):
    """Options by which labelled series are read; None finds out."""

    sequence_column: str | None = Field(
        default=None, description="of a table with a step a row: which series a row belongs to"
    )
    label_column: str | None = Field(default=None, description="of a table, by name or number from 1")
    features: Names = Field(
        default=(), description="of a table with a step a row: its dimensions, all others if none is named"
    )


@dataclass(frozen=True, kw_only=True)
class LabelledSeries(Example):
    """A series and its label.

    Attributes:
        values: (T, F) float64.
        label: its class; empty where a model is to tell it.
        name: what its table calls it, if it does.
        columns: the names of its dimensions, if they have any.
    """

    values: NDArray[np.float64] = field(repr=False)
    label: str
    name: str = ""
    columns: tuple[str, ...] = ()

    @property
    def given(self) -> NDArray[np.float64]:
        """The values, (T, F)."""
        return self.values

    @property
    def target(self) -> str:
        """The label."""
        return self.label

    @property
    def key(self) -> str:
        """A hash of the values."""
        data = repr(self.values.shape).encode() + self.values.tobytes()
        return hashlib.blake2b(data, digest_size=16).hexdigest()

    @property
    def labels(self) -> tuple[str, ...]:
        """The label."""
        return (self.label,)


def is_labelled_series(path: Path | Source, options: LabelledSeriesOptions | None = None) -> bool:
    """Return whether a path holds labelled series: the archives' formats, or a table of numbers with one of labels.

    Of a folder the first file decides. What can't be read is none: whoever reads it as something else says why.
    """
    options = options or LabelledSeriesOptions()
    if options.sequence_column is not None:
        return True
    try:
        if isinstance(path, Path) and path.is_dir():
            named = (s for s in files_in(path) if s.inner_name.endswith((".ts", ".arff", *_ROWS)))
            source = next(named, None)
        else:
            source = path if isinstance(path, Source) else Source(path)
        if source is None or is_published(source):
            return source is not None
        if not source.inner_name.endswith(_ROWS):
            return False
        (table,) = open_tables(source, options)
        sample = table.sample(20)
    except (DataError, StorageError):
        return False
    numbers, sequence = _numbers_in(table.columns, sample), _sequence_in(table)
    if sequence is not None and (label := table.column_like(LABEL_NAMES)) is not None:
        return numbers >= {*table.columns} - {sequence, label} - _times(table.columns)
    return _lists_in(sample) is not None or len(numbers) > max(_FEWEST, len(table.columns) - 2)


def read_labelled_series(
    paths: Paths,
    findings: Findings,
    options: LabelledSeriesOptions | None = None,
    *,
    known: Collection[str] | None = None,
    width: int | None = None,
) -> list[LabelledSeries]:
    """Return the series of some files, in order.

    Args:
        paths: files and folders.
        findings: collects series that can't be used, which are left out.
        options: how they are read; None finds out.
        known: the labels of a model that is to predict: series need none then, and columns of others are no labels.
        width: the dimensions that this model reads, F.

    Raises:
        StorageError: a path that does not exist or can't be read.
        DataError: a file without labelled series, or without a column that was named.
    """
    reader = _Reader(options or LabelledSeriesOptions(), findings, known, width)
    series = [example for source in _sources(paths, findings) for example in reader.read(source)]
    widths = {example.values.shape[1] for example in series}
    if len(widths) > 1:
        message = f"series of {min(widths)} and of {max(widths)} dimensions; read one kind at a time"
        raise DataError(message, series[0].path)
    return series


@dataclass(frozen=True)
class _Reader:
    """Reads one file after the other."""

    options: LabelledSeriesOptions
    findings: Findings
    known: Collection[str] | None
    width: int | None

    def read(self, source: Source) -> list[LabelledSeries]:
        rows, kind, columns = self._rows(source)
        series = [whole for row in rows if (whole := self._whole(source, row, columns)) is not None]
        if series:
            width, lengths = series[0].values.shape[1], {len(example.values) for example in series}
            long = f"{min(lengths)} to {max(lengths)}" if len(lengths) > 1 else str(*lengths)
            dimensions = f"{width} dimension{'s' * (width != 1)}"
            self.findings.understood.append(f"{source.name}: {kind}: {len(series)} of {dimensions}, {long} steps")
        return series

    def _rows(self, source: Source) -> tuple[Iterable[SeriesRow], str, tuple[str, ...]]:
        if self.known is not None and source.inner_name.endswith(".npy"):
            return _of_array(source, self.width), "an array of series", ()
        if is_published(source):
            rows = read_published(source, self.options, self.findings, labelled=self.known is None)
            return rows, "a file of series", ()
        options = self.options
        names = (options.sequence_column, options.label_column, *options.features)
        (table,) = open_tables(source, with_header(options, names), known=[name for name in names if name])
        sample = table.sample(1000)
        label = self._label_column(table, sample)
        lists = _lists_in(sample[:20])
        if lists is not None:
            rest = next((c for c in table.columns if c != lists), None)
            return self._of_lists(table, lists, label or rest), "lists, a series each", ()
        if options.sequence_column is not None:
            sequence: str | None = table.column(options.sequence_column)
        else:
            sequence = _sequence_in(table)
        others = [column for column in table.columns if column not in (sequence, label)]
        is_one = self.known is not None and self.width == len(_numbers_in(others, sample) - _times(others))
        if sequence is not None or is_one:
            columns = tuple(map(table.column, options.features)) or self._dimensions(others, sample)
            groups = self._of_steps(table, sequence, label, columns)
            return groups, "a table with a step a row, series", columns if table.has_header else ()
        if label is None and self.known is None:
            message = "neither its first nor its last column holds labels; name it with --label-column"
            raise DataError(message, table.name, 1)
        place = f", the label in the column {label!r}" if label is not None else ""
        return self._of_rows(table, label), f"a table with a series a row{place}", ()

    def _label_column(self, table: Table, sample: Sequence[TableRow]) -> str | None:
        """Return the column of labels: the one that is named so, or the first or last one with few recurring values."""
        if self.options.label_column is not None:
            return table.column(self.options.label_column)
        named = table.column_like(LABEL_NAMES)
        if named is not None:
            return named
        kinds = {column: {_word(row.get(column)) for row in sample} for column in (table.columns[0], table.columns[-1])}
        most = min(_MOST_KINDS, max(2, len(sample) // 2))
        if self.known is not None:
            known = set(self.known)
            return next((column for column, values in kinds.items() if values <= known), None)
        fits = [column for column, values in kinds.items() if 1 < len(values) <= most]
        return min(fits, key=lambda column: len(kinds[column])) if fits else None

    def _dimensions(self, columns: Sequence[str], sample: Sequence[TableRow]) -> tuple[str, ...]:
        numbers = _numbers_in(columns, sample) - _times(columns)
        return tuple(column for column in columns if column in numbers)

    def _of_rows(self, table: Table, label: str | None) -> Iterator[SeriesRow]:
        columns = [column for column in table.columns if column != label]
        for row in table.rows(self.findings):
            try:
                values = _numbers_of(row, columns)
            except DataError as error:
                self.findings.caught(error, "no number")
                continue
            yield SeriesRow(values[:, None], _word(row.get(label)) if label is not None else "", row.line)

    def _of_lists(self, table: Table, lists: str, label: str | None) -> Iterator[SeriesRow]:
        for row in table.rows(self.findings):
            try:
                values = np.array(row.get(lists), dtype=np.float64)
                if values.ndim not in (1, 2):
                    raise ValueError(f"an array {values.shape}")
            except (TypeError, ValueError) as error:
                message = f"column {lists!r}: expected a list of numbers, or of lists of as many each ({error})"
                self.findings.error("no number", message, row.path, row.line)
                continue
            word = _word(row.get(label)) if label is not None else ""
            yield SeriesRow(values.reshape(len(values), -1), word, row.line)

    def _of_steps(
        self, table: Table, sequence: str | None, label: str | None, columns: tuple[str, ...]
    ) -> Iterator[SeriesRow]:
        if label is None and self.known is None:
            message = f"which column holds the labels? {table.described()}; name it with --label-column"
            raise DataError(message, table.name)
        groups: dict[str, list[TableRow]] = {}
        for row in table.rows(self.findings):
            groups.setdefault("" if sequence is None else str(row.get(sequence)), []).append(row)
        for name, rows in groups.items():
            first = rows[0]
            labels = set() if label is None else {_word(row.get(label)) for row in rows} - {""}
            try:
                if len(labels) > 1:
                    raise DataError(f"series {name!r} has {len(labels)} labels; each has one", first.path, first.line)
                values = np.array([_numbers_of(row, columns) for row in rows])
            except DataError as error:
                self.findings.caught(error, "unusable series")
                continue
            yield SeriesRow(values, labels.pop() if labels else "", first.line, name)

    def _whole(self, source: Source, row: SeriesRow, columns: tuple[str, ...]) -> LabelledSeries | None:
        """Return a series without missing values; None, and a finding, if it can't be used."""
        is_missing = np.isnan(row.values)
        there = np.flatnonzero(~is_missing.all(1))
        message = ""
        if not len(there):
            message = "a series without a value"
        elif is_missing.all(0).any():
            message = f"dimension {int(np.flatnonzero(is_missing.all(0))[0]) + 1} has no value in this series"
        elif not row.label and self.known is None:
            message = "a series without a label"
        if message:
            self.findings.error("unusable series", message, source.name, row.line)
            return None
        values = row.values[: there[-1] + 1]
        if np.isnan(values).any():
            count = int(np.isnan(values).sum())
            message = f"{count} missing values are filled from those before and after them"
            self.findings.warning("missing values", message, source.name, row.line)
            values = _filled(values)
        place = {"path": source.name, "line": row.line}
        return LabelledSeries(**place, values=values, label=row.label, name=row.name, columns=columns)  # type: ignore[arg-type]


def _sources(paths: Paths, findings: Findings) -> list[Source]:
    sources = find_sources(paths, binary=(*PARQUET, ".npy"))
    listed = [source for source in sources if source.listed]
    tests = [source for source in listed if "_test." in source.inner_name]
    if tests and any("_train." in source.inner_name for source in listed):
        for source in tests:
            message = "is left out beside the training data; name it to evaluate a model with it"
            findings.warning("test data", message, source.name)
        sources = [source for source in sources if source not in tests]
    published = {s.inner_name.rpartition(".")[0] for s in sources if s.listed and s.inner_name.endswith(".ts")}
    # the archives publish each set in several formats
    others = (".arff", *_ROWS)
    return [
        s for s in sources
        if not (s.listed and s.inner_name.endswith(others) and s.inner_name.rpartition(".")[0] in published)
        and not (s.listed and not s.inner_name.endswith((".ts", *others)))
    ]  # fmt: skip


def _of_array(source: Source, width: int | None) -> Iterator[SeriesRow]:
    try:
        array = np.load(source.path, allow_pickle=False).astype(np.float64)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"not a usable .npy file of numbers: {error}", source.name) from error
    if array.ndim == 1:
        array = array[:, None]
    if array.ndim not in (2, 3) or (width is not None and array.shape[-1] != width):
        raise DataError(f"expected an array (T, F={width}) or (N, T, F={width}), found {array.shape}", source.name)
    for number, values in enumerate(array if array.ndim == 3 else array[None], 1):
        yield SeriesRow(values, "", number)


def _lists_in(sample: Sequence[TableRow]) -> str | None:
    """Return the first column whose cells are lists of numbers, or of lists."""

    def is_series(cell: object) -> bool:
        return isinstance(cell, list) and bool(cell) and isinstance(cell[0], (int, float, list))

    columns = sample[0] if sample else ()
    return next((column for column in columns if all(is_series(row.get(column)) for row in sample)), None)


def _sequence_in(table: Table) -> str | None:
    return table.column_like(_SEQUENCES)


def _times(columns: Sequence[str]) -> set[str]:
    return {column for column in columns if column.strip().lower() in _TIMES}


def _numbers_in(columns: Sequence[str], sample: Sequence[TableRow]) -> set[str]:
    """Return the columns that hold numbers in all rows."""

    def is_number(row: TableRow, column: str) -> bool:
        try:
            row.number(column)
        except (DataError, KeyError):
            return False
        return True

    return {column for column in columns if all(is_number(row, column) for row in sample)}


def _numbers_of(row: TableRow, columns: Sequence[str]) -> NDArray[np.float64]:
    try:
        return np.array([row.number(column) for column in columns])
    except KeyError as error:
        raise DataError(row.without(str(error.args[0])), row.path, row.line) from None


def _filled(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return values (T, F) whose gaps are straight lines; before the first and after the last they stay the same."""
    steps, filled = np.arange(len(values)), values.copy()
    for column in filled.T:
        known = np.flatnonzero(~np.isnan(column))
        column[:] = np.interp(steps, known, column[known])
    return filled


def _word(value: object) -> str:
    """A label; numbers that are whole are written so, as archives write 1.0000000e+00 for 1."""
    text = "" if value is None else str(value).strip()
    try:
        number = float(text)
    except ValueError:
        return text
    return str(int(number)) if number.is_integer() else text
