"""Classification metrics, held against scikit-learn and cases worked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from unrolled.errors import ArgumentError, ShapeError
from unrolled.metrics.classification import (
    accuracy,
    calibration_error,
    class_scores,
    classification_metrics,
    confusion_matrix,
    fit_temperature,
    macro_f1,
)


def drawn(n: int, classes: int, seed: int, empty: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Log-probabilities and gold classes, of which `empty` never occurs in either."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(n, classes)) * 2
    gold = rng.integers(classes, size=n)
    if empty is not None:
        logits[:, empty] = -30
        gold[gold == empty] = 0
    return logits - np.log(np.exp(logits).sum(1, keepdims=True)), gold


@pytest.mark.parametrize(("n", "classes", "empty"), [(200, 5, None), (50, 2, None), (80, 4, 2), (3, 6, 1)])
def test_as_scikit_learn_has_it(n: int, classes: int, empty: int | None) -> None:
    sklearn = pytest.importorskip("sklearn.metrics")
    log_probs, gold = drawn(n, classes, 7, empty)
    labels = [f"c{k}" for k in range(classes)]
    found = log_probs.argmax(1)
    metrics = classification_metrics(log_probs, gold, labels)
    numbers = list(range(classes))
    assert metrics["accuracy"] == pytest.approx(sklearn.accuracy_score(gold, found))
    assert metrics["macro_f1"] == pytest.approx(sklearn.f1_score(gold, found, average="macro"))
    assert metrics["loss"] == pytest.approx(sklearn.log_loss(gold, np.exp(log_probs), labels=numbers))
    assert metrics["confusion"] == sklearn.confusion_matrix(gold, found, labels=numbers).tolist()
    assert metrics["examples"] == n
    expected = sklearn.precision_recall_fscore_support(gold, found, labels=numbers, zero_division=0)
    for k, label in enumerate(labels):
        mine = metrics["classes"][label]
        assert [mine[x] for x in ("precision", "recall", "f1", "support")] == pytest.approx([e[k] for e in expected])


def test_by_hand() -> None:
    matrix = confusion_matrix([0, 0, 0, 1, 1, 2], [0, 0, 1, 1, 0, 0], 4)
    assert matrix.tolist() == [[2, 1, 0, 0], [1, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]]
    scores = class_scores(matrix)
    assert scores[0] == (0.5, 2 / 3, 4 / 7, 3)
    assert scores[1] == (0.5, 0.5, 0.5, 2)
    assert scores[2] == (0.0, 0.0, 0.0, 1)
    assert scores[3] == (0.0, 0.0, 0.0, 0)
    # the fourth occurs nowhere, and does not count
    assert macro_f1(matrix) == pytest.approx((4 / 7 + 0.5 + 0) / 3)
    assert accuracy([0, 0, 0, 1, 1, 2], [0, 0, 1, 1, 0, 0]) == 0.5


def test_calibration_by_hand() -> None:
    # bins of width 1/2: (0, .5] and (.5, 1]; confidences .5 (right), .6 (wrong), 1 (right), .8 (right)
    probs = [[0.5, 0.5], [0.6, 0.4], [0.0, 1.0], [0.2, 0.8]]
    gold = [0, 1, 1, 1]
    assert calibration_error(probs, gold, bins=2) == pytest.approx(1 / 4 * 0.5 + 3 / 4 * abs(2 / 3 - 0.8))
    assert calibration_error([[1.0, 0.0]], [0]) == 0
    assert calibration_error([[1.0, 0.0]], [1]) == 1


def test_calibration_as_a_loop_over_bins() -> None:
    log_probs, gold = drawn(500, 3, 1)
    probs = np.exp(log_probs)
    expected = 0.0
    for k in range(15):
        inside = (probs.max(1) > k / 15) & (probs.max(1) <= (k + 1) / 15)
        if inside.any():
            hits = (probs.argmax(1) == gold)[inside].mean()
            expected += inside.mean() * abs(hits - probs.max(1)[inside].mean())
    assert calibration_error(probs, gold) == pytest.approx(expected)


@pytest.mark.parametrize("temperature", [0.4, 1.0, 3.0])
def test_a_temperature_is_found_again(temperature: float) -> None:
    rng = np.random.default_rng(3)
    logits = rng.normal(size=(20_000, 3)) * 2
    probs = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    gold = (probs.cumsum(1) < rng.random((20_000, 1))).sum(1)
    assert fit_temperature(logits * temperature, gold) == pytest.approx(temperature, rel=0.03)


def test_the_temperature_is_the_best_there_is() -> None:
    log_probs, _ = drawn(60, 4, 5)
    gold = (log_probs + np.random.default_rng(0).normal(size=(60, 4)) * 2).argmax(1)
    best = fit_temperature(log_probs, gold)

    def cost(t: float) -> float:
        scaled = log_probs / t
        return float((np.log(np.exp(scaled).sum(1)) - scaled[np.arange(60), gold]).mean())

    assert 0.5 < best < 5
    assert cost(best) < min(cost(best * 1.01), cost(best * 0.99))
    # all wrong, and sure of it: as unsure as is possible
    assert fit_temperature([[5.0, 0.0], [5.0, 0.0]], [1, 1]) == pytest.approx(10, rel=1e-3)
    assert fit_temperature([[5.0, 0.0], [5.0, 0.0]], [0, 0]) == pytest.approx(0.25, rel=1e-3)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ShapeError, match=r"log_probs: expected shape \(N, K=2\), found \(1, 3\)"):
        classification_metrics([[0.1, 0.2, 0.3]], [0], ["a", "b"])
    with pytest.raises(ShapeError, match=r"gold: expected shape \(N=1,\), at least one, found \(2,\)"):
        classification_metrics([[0.1, 0.2]], [0, 1], ["a", "b"])
    with pytest.raises(ArgumentError, match="gold: expected class numbers from 0 to 1, found -1 to 1"):
        confusion_matrix([1, -1], [0, 0], 2)
    with pytest.raises(ShapeError, match="predicted"):
        accuracy([1, 2], [1])
