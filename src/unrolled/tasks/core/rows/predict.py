"""Predictions for the rows of tables, one row in and one row out, in order and in bounded memory."""

from __future__ import annotations

import itertools
import os
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from unrolled.data.core.files import Source
from unrolled.data.core.frames import is_frame
from unrolled.data.core.memory import RowTable, as_places, row_table
from unrolled.data.core.tables import Table
from unrolled.errors import ArgumentError, DataError, UnrolledError
from unrolled.tasks.core.contract import AnyInput, AnyUse
from unrolled.tasks.core.fitted import AnyFitted
from unrolled.tasks.core.results import Result
from unrolled.tasks.core.rows.columns import tables_for
from unrolled.tasks.core.values import Lists, RowInput, in_lists
from unrolled.types import Json

#: stands before the names of the columns that predictions add to rows
PREDICTED = "predicted_"


class RowPrediction(NamedTuple):
    """A prediction, and the rows of a table that its input was read from."""

    prediction: Result
    of: RowInput

    def written(self) -> Iterator[tuple[int, Json]]:
        """Yield rows with what was predicted beside them, each with its line; or rows that come after all others.

        Raises:
            DataError: the prediction is not for each of the rows.
        """
        rows = self.of.rows
        cells = self.prediction.beside_steps(len(rows)) if self.of.by_step else [self.prediction.beside()]
        if not rows:
            yield from ((0, row) for row in cells)
            return
        if len(cells) != len(rows):
            raise DataError(f"{len(cells)} predictions for {len(rows)} rows", rows[0].path, rows[0].line)
        for row, added in zip(rows, cells, strict=True):
            yield row.line, {**row, **{f"{PREDICTED}{name}": cell for name, cell in added.items()}}


def written_rows(source: AnyInput, predictions: Iterable[RowPrediction]) -> Iterator[Json]:
    """Yield the rows of one table with what was predicted beside them, in the table's order."""
    rows = (row for prediction in predictions for row in prediction.written())
    # of several recordings in one table the rows may alternate
    ordered = sorted(rows, key=lambda row: row[0]) if source.whole_tables else rows
    return (row for _, row in ordered)


def written_alone(predictions: Iterable[Result]) -> Iterator[Json]:
    """Yield a row for each prediction for an input of no table: what names the input, and what was predicted."""
    for prediction in predictions:
        names = prediction.as_json()
        shown = {name: names[name] for name in names if name in prediction.names()}
        yield {**shown, **{f"{PREDICTED}{name}": cell for name, cell in prediction.beside().items()}}


def opened(
    model: AnyFitted, source: AnyInput, data: Any, column: str | None, reading: Mapping[str, object]
) -> list[Table]:
    """Return the tables that somebody hands over: a file, rows or a data frame.

    Raises:
        ArgumentError, StorageError, DataError, MissingDependencyError: as `tables_for` and `as_places`.
    """
    is_paths = isinstance(data, (str, os.PathLike, Source))
    if not is_paths and not source.whole_tables and (is_frame(data) or isinstance(data, Iterable)):
        rows, data = rows_in(source, data)
        if rows:
            return [row_table(data)]
    return [table for place in as_places(data) for table in tables_for(model, source, place, column, reading)]


def predicted_rows(
    use: AnyUse, model: AnyFitted, table: Table, column: str | None, options: Mapping[str, object]
) -> Iterator[RowPrediction]:
    """Yield the prediction for each input that a table holds.

    Args:
        use, model: whose predictions.
        table: as it was opened.
        column: the one to read; None for that of the training data.
        options: of `predict`.

    Raises:
        ArgumentError: an option is unknown or out of range, or an input has several predictions.
        DataError: a row can't be read or predicted for; naming file and line.
    """
    source: AnyInput = model.input
    size = 1 if isinstance(table, RowTable) and table.live else source.side_by_side
    waiting: deque[RowInput] = deque()

    def lists() -> Iterator[list[object]]:
        for some in in_lists(source.of_table(model, table, column), size):
            waiting.extend(some)
            yield [item.value for item in some]

    predictions = use.predict(model, Lists(lists()), **options)
    while True:
        try:
            prediction = next(predictions, None)
        except UnrolledError as error:
            raise _placed(use, model, waiting, options, error) from error
        if prediction is None:
            return
        if not waiting:
            raise ArgumentError("several predictions for a row of a table, which can have one")
        yield RowPrediction(prediction, waiting.popleft())


def _placed(
    use: AnyUse, model: AnyFitted, waiting: Iterable[RowInput], options: Mapping[str, object], error: UnrolledError
) -> UnrolledError:
    """The error about a list of inputs as one about the row that it is about."""
    for item in waiting:
        row = item.rows[0] if item.rows else None
        try:
            list(use.predict(model, [item.value], **options))
        except UnrolledError as own:
            is_placed = row is None or (isinstance(own, DataError) and str(own.path) == row.path)
            return own if row is None or is_placed else DataError(str(own), row.path, row.line)
    return error


def as_texts(data: Any) -> Any:
    """Return a column of a data frame, or an array of texts, as a list; anything else as it is."""
    if is_frame(data) or isinstance(data, (str, bytes)):
        return data
    as_list = next((getattr(data, name) for name in ("tolist", "to_list", "to_pylist") if hasattr(data, name)), None)
    return data if as_list is None else as_list()


def rows_in(source: AnyInput, data: Any) -> tuple[bool, Any]:
    """Return whether what is handed to `predict` are rows of a table, and the same from its beginning.

    A mapping is a row unless it has a key by which an input is given.
    """
    if is_frame(data):
        return True, data
    if isinstance(data, (list, tuple)):
        first: Sequence[object] = data[:1]
    else:
        items = iter(data)
        first = list(itertools.islice(items, 1))
        data = itertools.chain(first, items)
    return bool(first) and isinstance(first[0], Mapping) and not any(key in first[0] for key in source.keys), data
