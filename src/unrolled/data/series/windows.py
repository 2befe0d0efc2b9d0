"""Windows over series: what a forecaster reads and what came after it, gathered many at a time.

T length of a series, R reach (steps of the past that are read), H horizon, N windows side by side, K known covariates.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, overload

import numpy as np
from numpy.typing import NDArray

from unrolled.data.core.examples import Arrays, ExampleStore
from unrolled.errors import ArgumentError


class WindowArrays(NamedTuple):
    """N windows.

    Attributes:
        values: (R + H, N) float64, NaN where nothing is known.
        known: (R + H, N, K) float32.
        static: (N, S) float32.
        channel: (N,) which of the training series each is of, −1 for none.
        scale: (N, 2) float64, mean and standard deviation of its series, NaN where they are not known.
    """

    values: NDArray[np.float64]
    known: NDArray[np.float32]
    static: NDArray[np.float32]
    channel: NDArray[np.int64]
    scale: NDArray[np.float64]


class SeriesWindows(Sequence[Arrays]):
    """All windows of encoded series whose targets lie wholly within them, from the first step that may be a target.

    The n-th entry only says which window it is; `gather` fetches many at once. Values and covariates are in memory.

    Args:
        store: examples with the parts `values` (T,), `known` (at least T, K), `static` (S,), `channel` (1,), `scale`
            (2,) and `first` (1,), the first step that may be a target.
        context: steps of the past that must be there.
        reach: R, at least `context`; what lies before the series' beginning is NaN, and its covariates are 0.
        horizon: H.
        stride: from one window of a series to the next.

    Raises:
        ArgumentError: a size below 1.
    """

    def __init__(
        self, store: ExampleStore | Sequence[Arrays], context: int, reach: int, horizon: int, stride: int = 1
    ) -> None:
        if min(context, horizon, stride) < 1 or reach < context:
            raise ArgumentError(f"context, horizon, stride: expected at least 1, found {context}, {horizon}, {stride}")
        self.context, self.reach, self.horizon = context, reach, horizon
        examples = [store[n] for n in range(len(store))]
        lengths = np.array([len(e["values"]) for e in examples], np.int64)
        # each series stands behind R steps of nothing, so that no window begins before the array
        starts = np.concatenate([[0], np.cumsum(lengths + reach)[:-1]]) if len(examples) else np.zeros(0, np.int64)
        total = int((lengths + reach).sum())
        width = examples[0]["known"].shape[1] if examples else 0
        self._values = np.full(total, np.nan)
        self._known = np.zeros((total, width), np.float32)
        self._static = (
            np.stack([e["static"] for e in examples]).astype(np.float32) if examples else np.zeros((0, 0), np.float32)
        )
        self._channel = np.array([int(e["channel"][0]) for e in examples], np.int64)
        self._scale = np.array([e["scale"] for e in examples], np.float64).reshape(-1, 2)
        series, origins = [], []
        for n, example in enumerate(examples):
            begin, length = int(starts[n]) + reach, int(lengths[n])
            self._values[begin : begin + length] = example["values"]
            self._known[begin : begin + length] = example["known"][:length]
            at = np.arange(max(context, int(example["first"][0])), length - horizon + 1, stride, dtype=np.int64)
            at = at[_some(example["values"], at, -context, 0) & _some(example["values"], at, 0, horizon)]
            series.append(np.full(len(at), n, np.int64))
            origins.append(at)
        #: (windows,): the series of each window, and its first target
        self.series = np.concatenate(series) if series else np.zeros(0, np.int64)
        self.origins = np.concatenate(origins) if origins else np.zeros(0, np.int64)
        self._starts = starts

    def __len__(self) -> int:
        return len(self.series)

    @overload
    def __getitem__(self, index: int) -> Arrays: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Arrays]: ...

    def __getitem__(self, index: int | slice) -> Arrays | Sequence[Arrays]:
        if isinstance(index, slice):
            return [self[n] for n in range(*index.indices(len(self)))]
        if not 0 <= index < len(self):
            raise IndexError(index)
        return {"window": np.array([index], np.int64)}

    def gather(self, windows: NDArray[np.int64]) -> WindowArrays:
        """Some windows, by their numbers (N,)."""
        series = self.series[windows]
        # R steps of nothing before each series, and R steps back from the origin: they cancel
        begin = self._starts[series] + self.origins[windows]
        rows = begin + np.arange(self.reach + self.horizon, dtype=np.int64)[:, None]
        static, channel, scale = self._static[series], self._channel[series], self._scale[series]
        return WindowArrays(self._values[rows], self._known[rows], static, channel, scale)


def _some(values: NDArray[np.float64], origins: NDArray[np.int64], begin: int, end: int) -> NDArray[np.bool_]:
    """Whether any value from origin + begin to origin + end is known."""
    known = np.concatenate([[0], np.cumsum(~np.isnan(values))])
    return known[origins + end] > known[origins + begin]
