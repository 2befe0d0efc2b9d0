"""The linear baseline: a filter of finite response, fitted by least squares, that sees what the network may see.

    ŷ_t = b + Σ_l W_l x_{t + delay − l},  l = 0 … taps − 1

T steps, F features, K numbers.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from unrolled.errors import ModelError
from unrolled.tasks.core.folder.files import read_arrays, write_arrays

BASELINE = "filter.safetensors"
#: taps of a filter of one feature; of several, of all together
TAPS = 128
#: rows of the design matrix in memory at a time
_ROWS = 1 << 15
#: added to the diagonal, relative to its mean
_RIDGE = 1e-6

Array = NDArray[np.float64]


class Filter:
    """The fitted filter.

    Args:
        weight: (taps · F, K), the newest step first.
        bias: (K,).
        delay: steps ahead that it sees.
    """

    def __init__(self, weight: Array, bias: Array, delay: int) -> None:
        self.weight, self.bias, self.delay = weight, bias, delay

    @classmethod
    def fit(
        cls,
        pairs: Iterable[tuple[NDArray[np.float32], NDArray[np.float32]]],
        delay: int,
        taps: int | None = None,
    ) -> Filter:
        """Fit to inputs (T, F) and targets (T, K); with `taps_of` taps if none are named."""
        gram, cross = np.zeros((0, 0)), np.zeros((0, 0))
        for x, y in pairs:
            taps = taps or taps_of(x.shape[1], delay)
            for rows, wanted in _blocks(x.astype(np.float64), y.astype(np.float64), taps, delay):
                own = rows.T @ rows, rows.T @ wanted
                gram, cross = own if not len(gram) else (gram + own[0], cross + own[1])
        gram[np.diag_indices_from(gram)] += _RIDGE * np.trace(gram) / len(gram)
        solved: Array = np.linalg.solve(gram, cross).astype(np.float64)
        return cls(solved[:-1], solved[-1], delay)

    def answer(self, x: NDArray[np.float32]) -> Array:
        """Return the filtered input, (T, F) → (T, K)."""
        taps = len(self.weight) // x.shape[1]
        empty = np.zeros((len(x), 0))
        blocks = _blocks(x.astype(np.float64), empty, taps, self.delay)
        return np.concatenate([rows[:, :-1] @ self.weight + self.bias for rows, _ in blocks])

    def save(self, folder: Path) -> None:
        """Write filter.safetensors."""
        arrays = {"weight": self.weight, "bias": self.bias, "delay": np.array([self.delay])}
        write_arrays(folder / BASELINE, arrays)

    @classmethod
    def load(cls, folder: Path, features: int, width: int) -> Filter:
        """Read what `save` wrote.

        Raises:
            ModelError: the file is missing or damaged.
        """
        arrays = read_arrays(folder / BASELINE)
        try:
            weight, bias, delay = arrays["weight"], arrays["bias"], int(arrays["delay"][0])
        except (KeyError, IndexError) as error:
            raise ModelError(f"{folder / BASELINE}: damaged ({error}); restore it from a copy of the model") from error
        if weight.ndim != 2 or len(weight) % features or weight.shape[1:] != (width,) or bias.shape != (width,):
            raise ModelError(f"{folder / BASELINE}: made for other signals; restore it from a copy of the model")
        return cls(weight, bias, delay)

    @property
    def name(self) -> str:
        """Its name in evaluations."""
        return "a linear filter (FIR), fitted by least squares"


def taps_of(features: int, delay: int) -> int:
    """Return how many taps the filter of so many features has."""
    return max(1, TAPS // features) + delay


def _blocks(x: Array, y: Array, taps: int, delay: int) -> Iterable[tuple[Array, Array]]:
    """Yield rows of what the filter sees at each step, and of 1, (n, taps · F + 1), with the targets (n, K)."""
    padded = np.concatenate([np.zeros((taps - 1 - delay, x.shape[1])), x, np.zeros((delay, x.shape[1]))])
    windows = np.lib.stride_tricks.sliding_window_view(padded, taps, axis=0)[..., ::-1]
    for at in range(0, len(x), _ROWS):
        rows = windows[at : at + _ROWS].transpose(0, 2, 1).reshape(-1, taps * x.shape[1])
        yield np.concatenate([rows, np.ones((len(rows), 1))], 1), y[at : at + _ROWS]
