"""Smooth label sequences: Viterbi over a model's label probabilities and the label transitions of the training data.

A network that labels every step decides each step alone. Which label follows which, and how long each lasts, is counted
on the training data; the result is the path that fits both best. It needs the whole sequence, so streams are not
smoothed.

Letters: T steps, K labels.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from unrolled.decoding.viterbi import viterbi
from unrolled.errors import ArgumentError, ShapeError

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Transitions:
    """A first-order Markov chain over labels.

    Attributes:
        initial: (K,) log-probabilities of the first label, nats.
        matrix: (K, K) log-probabilities, nats: `matrix[i, j]` of label j after label i.
    """

    initial: FloatArray
    matrix: FloatArray

    @classmethod
    def fit(cls, sequences: Iterable[NDArray[np.integer[Any]]], classes: int, smoothing: float = 0.1) -> Transitions:
        """Count the transitions of label sequences.

        Args:
            sequences: labels from 0 to below K; negative labels are unknown and not counted.
            classes: K.
            smoothing: added to every count, so that unseen transitions stay possible.
        """
        if classes < 1 or smoothing <= 0:
            raise ArgumentError(f"classes, smoothing: expected above 0, found {classes}, {smoothing}")
        first = np.full(classes, smoothing)
        counts = np.full((classes, classes), smoothing)
        for sequence in sequences:
            labels = np.asarray(sequence, dtype=np.int64)
            if len(labels) and labels[0] >= 0:
                first[labels[0]] += 1
            known = (labels[:-1] >= 0) & (labels[1:] >= 0)
            np.add.at(counts, (labels[:-1][known], labels[1:][known]), 1)
        return cls(np.log(first / first.sum()), np.log(counts / counts.sum(axis=1, keepdims=True)))

    @property
    def classes(self) -> int:
        """K."""
        return len(self.initial)


def best_path(log_probs: NDArray[np.floating[Any]], transitions: Transitions, weight: float) -> NDArray[np.int64]:
    """Return the labels y_1 … y_T that maximise Σ_t log p_t(y_t) + weight · (log π(y_1) + Σ_t log a(y_{t-1}, y_t)).

    Args:
        log_probs: (T, K) of the model, nats.
        transitions: π and a.
        weight: the weight of the chain relative to the model; 0 takes the likeliest label of each step.

    Returns:
        (T,); among equal paths the one with the first label.

    Raises:
        ShapeError: log_probs is not (T, K).
        ArgumentError: the weight is negative, or log_probs has NaN.
    """
    if log_probs.ndim != 2 or log_probs.shape[1] != transitions.classes:
        raise ShapeError("log_probs", f"(T, K={transitions.classes})", log_probs.shape)
    if not weight >= 0:
        raise ArgumentError(f"weight: expected 0 or more, found {weight}")
    if np.isnan(log_probs).any():
        raise ArgumentError("log_probs: they hold NaN; the model's weights or its input have diverged")
    if not weight:
        return log_probs.argmax(axis=1)
    chain, first = (torch.from_numpy(weight * scores) for scores in (transitions.matrix, transitions.initial))
    emissions = torch.from_numpy(np.asarray(log_probs, dtype=np.float64)).unsqueeze(1)
    [[best]] = viterbi(emissions, chain, first, torch.zeros_like(first))
    return np.array(best.labels, dtype=np.int64)
