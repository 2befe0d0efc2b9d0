"""Series as a classifier reads them: a file holds several, and a variation is a series as it might have been as well.

T steps, F features.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from unrolled.data import Arrays, Findings
from unrolled.data.series.labelled import LabelledSeriesOptions, read_labelled_series
from unrolled.settings import Settings
from unrolled.tasks.core.fitted import AnyFitted
from unrolled.tasks.inputs.series.arrays import Decoded
from unrolled.tasks.inputs.series.encode import RowsInput
from unrolled.tasks.inputs.series.noise import warped
from unrolled.tasks.inputs.series.options import RowLayerOptions

#: places at which the linear baseline looks
PLACES = 16


class SeriesInput(RowsInput):
    """Series: files that hold several, an array (T, F), or (T,) of one dimension."""

    options: ClassVar[type[Settings]] = RowLayerOptions
    differences: ClassVar[bool] = True
    features_are: ClassVar[str] = "each dimension at 16 places, its mean and spread, and the spread of its steps"

    def array(self, value: ArrayLike, *, single: bool = False) -> NDArray[np.float32]:
        """Return rows (T, F); those of one dimension may be (T,)."""
        array = np.asarray(value)
        if self.width == 1 and array.ndim <= 1:
            array = array.reshape(-1, 1)
        return super().array(array, single=single)

    def each(self, model: AnyFitted, value: object, options: Settings) -> Iterator[Decoded]:
        """Yield the series of a file; an array is one."""
        if not isinstance(value, (str, Path)):
            yield self.given(value)
            return
        reading = LabelledSeriesOptions.of(model.options).model_copy(update={"features": self.columns})
        series = read_labelled_series([Path(value)], Findings(), reading, known=model.output.labels, width=self.width)
        for n, each in enumerate(series, 1):
            name = each.name or (f"{Path(value).name}:{n}" if len(series) > 1 else Path(value).name)
            yield Decoded(self.array(each.values), self.rate, name)

    def features(self, examples: Sequence[Arrays]) -> NDArray[np.float32]:
        """Return each dimension at a few places, its mean and spread, and the spread of its steps, (N, F')."""
        return np.stack([_summary(example["x"]) for example in examples])

    def varied(self, example: Arrays, draw: np.random.Generator, strength: float, *, mirror: bool = False) -> Arrays:
        """Return an encoded series a little slower or faster in places, larger or smaller, with noise."""
        return {**example, "x": warped(example["x"], draw, strength)}


def _summary(x: NDArray[np.float32]) -> NDArray[np.float32]:
    places = np.linspace(0, len(x) - 1, PLACES)
    at_places = [np.interp(places, np.arange(len(x)), column) for column in x.T]
    steps = np.diff(x, axis=0, prepend=x[:1])
    return np.concatenate([*at_places, x.mean(0), x.std(0), steps.std(0)]).astype(np.float32)
