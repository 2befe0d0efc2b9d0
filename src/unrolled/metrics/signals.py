"""Errors of a predicted signal. T steps, K values."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.floating]


def signal_metrics(wanted: Sequence[Values], answered: Sequence[Values], preemphasis: float = 0.0) -> dict[str, float]:
    """Return errors over all steps of several signals, (T, K) each.

    mse, rmse, mae in the units of the signal; esr, the energy of the error over that of the signal, both after a filter
    y_t − p · y_{t−1}; snr, the same without the filter, in decibels; r2, the share of the variance that is explained.

    >>> ones = np.array([[1.0], [-1.0]])
    >>> signal_metrics([ones], [0.9 * ones])["snr"]
    20.0

    Source: esr, Wright et al. 2019, "Real-time black-box modelling with recurrent neural networks", DAFx-19.
    """
    target, answer = np.concatenate(wanted).astype(np.float64), np.concatenate(answered).astype(np.float64)
    error = target - answer
    mse, energy = float((error**2).mean()), float((target**2).mean())
    spread = float(((target - target.mean(0)) ** 2).mean())
    filtered = [
        tuple(float((emphasised(x, preemphasis) ** 2).sum()) for x in (one - other, one))
        for one, other in zip(wanted, answered, strict=True)
    ]
    noise, signal = (sum(parts) for parts in zip(*filtered, strict=True))
    return {
        "mse": mse,
        "rmse": mse**0.5,
        "mae": float(np.abs(error).mean()),
        "esr": noise / signal if signal else float("inf") if noise else 0.0,
        "snr": round(10 * float(np.log10(energy / mse)), 6) if mse and energy else float("inf") if not mse else 0.0,
        "r2": 1 - mse / spread if spread else 0.0,
    }


def emphasised(x: Values, preemphasis: float) -> Values:
    """Return x_t − p · x_{t−1}, (T, K), with nothing before the first step."""
    x = x.astype(np.float64)
    return x - preemphasis * np.concatenate([np.zeros_like(x[:1]), x[:-1]])
