"""Long recordings in pieces for training, which overlap: steps at the border of one lie inside the next."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from unrolled.data.core.examples import Arrays, ExampleStore
from unrolled.errors import ArgumentError


class Pieces(Sequence[Arrays]):
    """Examples cut along time into pieces of at most 1½ windows, half a window apart; a shorter example is one piece.

    A piece is longer than a window, so that whoever batches it can draw where in it the window lies.

    Args:
        store: the examples; all their parts are cut along their first axis.
        part: the part whose length is the example's.
        window: steps.

    Raises:
        ArgumentError: a window below 2.
    """

    def __init__(self, store: ExampleStore, part: str, window: int) -> None:
        if window < 2:
            raise ArgumentError(f"window: expected at least 2 steps, found {window}")
        self._store, self.longest = store, window + window // 2
        self._places: list[tuple[int, int, int]] = []
        for n, length in enumerate(store.sizes(part).tolist()):
            last = max(0, length - self.longest)
            # the pieces' ends meet the recording's, so that its last steps are seen as often as others
            starts = sorted({*range(0, last + 1, window // 2), last})
            self._places += [(n, start, min(start + self.longest, length)) for start in starts]

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, index: int) -> Arrays:  # type: ignore[override]
        n, start, end = self._places[index]
        return {name: array[start:end] for name, array in self._store[n].items()}

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Steps of each piece, (N,)."""
        return np.array([end - start for _, start, end in self._places], dtype=np.int64)


def drawn_window(example: Arrays, part: str, window: int, draw: np.random.Generator) -> Arrays:
    """Return a random window of a piece; an example that is no longer than that is returned whole."""
    length = len(example[part])
    if length <= window:
        return example
    start = int(draw.integers(0, length - window + 1))
    return {name: array[start : start + window] for name, array in example.items()}
