"""Rows of numbers, one at each step, from a table or an array.

T steps, F features.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import Field

from unrolled.data import Arrays, Example, Findings
from unrolled.data.core.tables import Table
from unrolled.data.steps.recordings import Recording
from unrolled.data.steps.tables import recordings_of
from unrolled.errors import ArgumentError, DataError, ShapeError
from unrolled.layers import InputLayer
from unrolled.settings import Settings
from unrolled.tasks.core.fitted import AnyFitted
from unrolled.tasks.core.values import Progress, RowInput
from unrolled.tasks.inputs.series.arrays import Decoded, StepsInput
from unrolled.tasks.inputs.series.layer import DroppedFrames, StepsNetwork
from unrolled.tasks.inputs.series.options import RowLayerOptions, RowsOptions, StepsOptions
from unrolled.tasks.inputs.series.stream import ArrayStream
from unrolled.types import Json


class SavedRows(Settings):
    """series.json."""

    width: Annotated[int, Field(ge=1, le=1 << 20)]
    columns: tuple[str, ...] = ()
    rate: Annotated[float, Field(gt=0)] | None = None
    by_recording: bool = False


class RowsInput(StepsInput):
    """Rows of features: a path of a table or a .npy file, an array (T, F).

    Args:
        width: F.
        columns: names of the features, if they have any.
        rate: steps a second of the first training recording, if it is known.
        by_recording: whether features are standardised by each recording's own mean and spread, so that it makes no
            difference who is measured or how large they are; nothing of the kind can be streamed.
    """

    whole_tables: ClassVar[bool] = True
    options: ClassVar[type[Settings]] = RowsOptions
    Saved: ClassVar[type[Settings]] = SavedRows

    def __init__(
        self, width: int, columns: Sequence[str] = (), rate: float | None = None, by_recording: bool = False
    ) -> None:
        super().__init__(rate)
        self.width, self.columns, self.by_recording = width, tuple(columns), by_recording

    @classmethod
    def fit(cls, examples: Sequence[Example], options: Settings, progress: Progress) -> RowsInput:
        """Take the columns of the first recording, and check that the others have them."""
        first = examples[0].given
        columns, rate = (first.columns, first.rate) if isinstance(first, Recording) else ((), None)
        width = _array_of(examples[0]).shape[-1]
        for example in examples:
            check_features(example, columns, width)
        return cls(width, columns, rate, RowLayerOptions.of(options).standardise == "recording")

    def array(self, value: ArrayLike, *, single: bool = False) -> NDArray[np.float32]:
        """Return rows (T, F)."""
        array = np.asarray(value)
        if single and array.ndim == 1:
            array = array[None]
        if array.ndim != 2 or array.shape[1] != self.width:
            raise ShapeError("steps", f"(T, F={self.width})", array.shape)
        if array.dtype.kind not in "fiub":
            raise ArgumentError(f"steps: expected numbers, found {array.dtype}")
        array = np.ascontiguousarray(array, dtype=np.float32)
        if not np.isfinite(array).all():
            raise ArgumentError(f"steps: step {int(np.argwhere(~np.isfinite(array))[0][0])} is not finite")
        return array

    def of_table(self, model: AnyFitted, table: Table, column: str | None) -> Iterator[RowInput]:
        """Yield the recordings of a table, whose rows are their steps."""
        reading = StepsOptions.of(model.options).reading(features=self.columns)
        rows = {row.line: row for row in table.rows()}
        for recording in recordings_of(table, reading, Findings(), labelled=False):
            lines = [] if recording.lines is None else recording.lines.tolist()
            yield RowInput(self.decoded(recording), [rows[line] for line in lines], by_step=True)

    def decoded(self, recording: Recording) -> Decoded:
        """Return a recording's rows."""
        if recording.features is None:
            raise DataError("frames, and the model reads features", recording.path, recording.line)
        check_features(recording, self.columns, self.width)
        x = np.ascontiguousarray(recording.features, dtype=np.float32)
        if not np.isfinite(x).all():
            raise DataError(f"step {int(np.argwhere(~np.isfinite(x))[0][0])} has no finite features", recording.path)
        if not len(x):
            raise DataError("no step in this recording", recording.path, recording.line)
        return Decoded(x, recording.rate, recording.name)

    def to_json(self, given: Decoded) -> Json:
        """Return the rows, four digits of each number."""
        return {"features": [[float(f"{value:.4g}") for value in row] for row in given.x]}

    def encode(self, given: Decoded, options: Settings | None = None) -> Arrays:
        """Return `x` (T, F), standardised where each recording is by itself."""
        arrays = super().encode(given, options)
        return {"x": by_itself(arrays["x"])} if self.by_recording else arrays

    def step_layer(self, network: Mapping[str, Any], times: int = 1) -> InputLayer:
        """Return a layer that standardises a row."""
        return DroppedFrames(self.width * times, StepsNetwork.picked(network).input_dropout)

    def stream(self, model: AnyFitted) -> ArrayStream:
        """Return what turns rows into steps as they come."""
        if self.by_recording:
            raise ArgumentError(
                "this model standardises each recording as a whole and can't be streamed; train one with --standardise "
                "training"
            )
        return super().stream(model)


def by_itself(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return features (T, F) with mean 0 and standard deviation 1 over these steps; one that never varies is 0."""
    spread = x.std(axis=0, dtype=np.float64)
    standard = (x - x.mean(axis=0, dtype=np.float64)) / np.where(spread > 0, spread, 1)
    return standard.astype(np.float32)


def check_features(example: Example, columns: Sequence[str], width: int) -> None:
    """Check that an example has the features that are wanted.

    Raises:
        DataError: it has others.
    """
    given, place = example.given, (example.path or None, example.line)
    if isinstance(given, Recording) and columns and given.columns and given.columns != tuple(columns):
        missing = [name for name in columns if name not in given.columns]
        what = f"no column {missing[0]!r}" if missing else "the columns of features in another order"
        raise DataError(f"{what}; expected {', '.join(columns)}", *place)
    own = _array_of(example).shape[1]
    if own != width:
        raise DataError(f"{own} features, and {width} are wanted", place[0])


def _array_of(example: Example) -> NDArray[Any]:
    """Return the rows of an example, whose input is a recording or an array.

    Raises:
        DataError: it has none.
    """
    given = example.given
    if isinstance(given, Recording):
        given = given.features
    if given is None:
        raise DataError("frames, and features are wanted", example.path or None)
    array = np.asarray(given)
    if array.ndim != 2:
        raise DataError(f"expected rows of features (T, F), found an array {array.shape}", example.path or None)
    return array
