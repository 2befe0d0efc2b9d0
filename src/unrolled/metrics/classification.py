"""One label for each example: accuracy, F1, confusion, and the calibration of probabilities.

N examples, K classes. Gold and predicted are class numbers (N,), 0 to K − 1; probabilities are (N, K).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from unrolled.errors import ArgumentError, ShapeError
from unrolled.types import Json

#: bins of confidence for the calibration error (Guo et al. 2017)
BINS = 15
#: the range of temperatures in `fit_temperature`
_COLDEST, _HOTTEST = 0.25, 10.0


class ClassScore(NamedTuple):
    """How well one class is separated from the others.

    Attributes:
        precision: the share of predictions of the class that are right; 0 without predictions.
        recall: the share of examples of the class that are predicted; 0 without examples.
        f1: their harmonic mean; 0 if either is 0.
        support: the number of examples of the class.
    """

    precision: float
    recall: float
    f1: float
    support: int


def classification_metrics(log_probs: ArrayLike, gold: ArrayLike, labels: Sequence[str]) -> Json:
    """Return all of the metrics below.

    Args:
        log_probs: (N, K), ln p of each class.
        gold: (N,).
        labels: the names of the K classes.

    Returns:
        `loss` (nats an example), `accuracy`, `macro_f1`, `ece`, `examples`, `classes` (precision, recall, F1 and
        support by name) and `confusion` (a row for each gold class, a column for each predicted one, in the order of
        `classes`).

    Raises:
        ShapeError, ArgumentError: the arrays do not match.
    """
    scores = np.asarray(log_probs, dtype=np.float64)
    if scores.ndim != 2 or scores.shape[1] != len(labels):
        raise ShapeError("log_probs", f"(N, K={len(labels)})", scores.shape)
    right = _numbers("gold", gold, len(labels))
    if len(right) != len(scores) or not len(right):
        raise ShapeError("gold", f"(N={len(scores)},), at least one", right.shape)
    matrix = confusion_matrix(right, scores.argmax(1), len(labels))
    return {
        "loss": float(-scores[np.arange(len(right)), right].mean()),
        "accuracy": float(np.trace(matrix) / len(right)),
        "macro_f1": macro_f1(matrix),
        "ece": calibration_error(np.exp(scores), right),
        "examples": len(right),
        "classes": {label: score._asdict() for label, score in zip(labels, class_scores(matrix), strict=True)},
        "confusion": matrix.tolist(),
    }


def accuracy(gold: ArrayLike, predicted: ArrayLike) -> float:
    """Return the share of examples with the right class.

    >>> accuracy([0, 1, 1, 2], [0, 1, 2, 2])
    0.75
    """
    right, guess = np.asarray(gold), np.asarray(predicted)
    if right.shape != guess.shape or not right.size:
        raise ShapeError("predicted", f"{right.shape} as gold, at least one", guess.shape)
    return float((right == guess).mean())


def confusion_matrix(gold: ArrayLike, predicted: ArrayLike, classes: int) -> NDArray[np.int64]:
    """Return how often each class was predicted as each: (K, K), gold by predicted.

    >>> confusion_matrix([0, 1, 1], [0, 0, 1], 2).tolist()
    [[1, 0], [1, 1]]
    """
    right, guess = _numbers("gold", gold, classes), _numbers("predicted", predicted, classes)
    if right.shape != guess.shape:
        raise ShapeError("predicted", f"{right.shape}, as gold", guess.shape)
    return np.bincount(right * classes + guess, minlength=classes * classes).reshape(classes, classes)


def class_scores(confusion: NDArray[np.int64]) -> list[ClassScore]:
    """Return precision, recall and F1 of each class, from the confusion matrix."""
    scores = []
    for k, hits in enumerate(np.diag(confusion).tolist()):
        predicted, support = int(confusion[:, k].sum()), int(confusion[k].sum())
        f1 = 2 * hits / (predicted + support) if predicted + support else 0.0
        scores.append(
            ClassScore(hits / predicted if predicted else 0.0, hits / support if support else 0.0, f1, support)
        )
    return scores


def macro_f1(confusion: NDArray[np.int64]) -> float:
    """Return the mean F1 of the classes that occur, in gold or as predicted; rare classes count as much as others."""
    occurs = (confusion.sum(0) + confusion.sum(1)) > 0
    return float(np.mean([score.f1 for score, counts in zip(class_scores(confusion), occurs, strict=True) if counts]))


def calibration_error(probabilities: ArrayLike, gold: ArrayLike, bins: int = BINS) -> float:
    """Return the expected calibration error: the mean gap between the confidence in predictions and their accuracy.

        ECE = Σ_b |bin b| / N · |accuracy of b − mean confidence of b|,    bins of equal width over the confidence

    Source: Naeini et al. 2015; Guo et al. 2017, arXiv 1706.04599, equation 3.
    """
    probs = np.asarray(probabilities, dtype=np.float64)
    right = _numbers("gold", gold, probs.shape[1] if probs.ndim == 2 else 0)
    if probs.ndim != 2 or len(probs) != len(right) or not len(right):
        raise ShapeError("probabilities", f"(N={len(right)}, K), at least one", probs.shape)
    confidence, hit = probs.max(1), probs.argmax(1) == right
    # (a, b]: a confidence of exactly 1 belongs to the last bin
    number = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    gap = np.bincount(number, hit - confidence, minlength=bins)
    return float(np.abs(gap).sum() / len(right))


def fit_temperature(log_probs: ArrayLike, gold: ArrayLike) -> float:
    """Return the T that makes softmax(logits / T) most probable: above 1 for an overconfident model.

    It changes no prediction, only its confidence. It is found to 4 digits, between 0.25 (a few examples, all right,
    would give 0) and 10.

    Args:
        log_probs: (N, K), logits or ln p, of examples outside the training data.
        gold: (N,).

    Source: temperature scaling, Guo et al. 2017, arXiv 1706.04599, section 4.2.
    """
    scores = np.asarray(log_probs, dtype=np.float64)
    right = _numbers("gold", gold, scores.shape[1] if scores.ndim == 2 else 0)
    if scores.ndim != 2 or len(scores) != len(right) or not len(right):
        raise ShapeError("log_probs", f"(N={len(right)}, K), at least one", scores.shape)
    rows = np.arange(len(right))

    def cost(inverse: float) -> float:
        scaled = scores * inverse
        top = scaled.max(1)
        total = top + np.log(np.exp(scaled - top[:, None]).sum(1))
        return float((total - scaled[rows, right]).mean())

    # the cost is convex in 1/T, so a golden-section search finds the minimum
    low, high = 1 / _HOTTEST, 1 / _COLDEST
    golden = (5**0.5 - 1) / 2
    a, b = high - golden * (high - low), low + golden * (high - low)
    at_a, at_b = cost(a), cost(b)
    while high - low > 1e-5 * low:
        if at_a <= at_b:
            high, b, at_b = b, a, at_a
            a = high - golden * (high - low)
            at_a = cost(a)
        else:
            low, a, at_a = a, b, at_b
            b = low + golden * (high - low)
            at_b = cost(b)
    return float(round(2 / (low + high), 6))


def _numbers(name: str, given: ArrayLike, classes: int) -> NDArray[np.int64]:
    array = np.asarray(given)
    if array.ndim != 1:
        raise ShapeError(name, "(N,)", array.shape)
    if array.size and not (np.issubdtype(array.dtype, np.integer) and 0 <= array.min() <= array.max() < classes):
        raise ArgumentError(
            f"{name}: expected class numbers from 0 to {classes - 1}, found {array.min()} to {array.max()}"
        )
    return array.astype(np.int64)
