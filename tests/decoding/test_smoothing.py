"""Viterbi over label probabilities: exhaustive search, counted chains, bad input."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from unrolled.decoding.smoothing import Transitions, best_path
from unrolled.errors import ArgumentError, ShapeError


@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0, 4.0])
@pytest.mark.parametrize("steps", [1, 2, 5])
def test_the_best_of_all_paths(weight: float, steps: int) -> None:
    draw = np.random.default_rng(steps)
    chain = Transitions.fit([draw.integers(0, 3, 20) for _ in range(3)], 3)
    for _ in range(20):
        log_probs = np.log(draw.dirichlet(np.ones(3), steps))

        def score(path: tuple[int, ...], log_probs: np.ndarray = log_probs) -> float:
            own = sum(log_probs[t, k] for t, k in enumerate(path))
            links = sum(chain.matrix[i, j] for i, j in itertools.pairwise(path))
            return own + weight * (chain.initial[path[0]] + links)

        best = max(itertools.product(range(3), repeat=steps), key=score)
        assert tuple(best_path(log_probs, chain, weight)) == best


def test_transitions_are_counted() -> None:
    chain = Transitions.fit([np.array([0, 0, 1]), np.array([1, 1]), np.array([], dtype=int)], 2, smoothing=1.0)
    assert np.exp(chain.initial).tolist() == pytest.approx([2 / 4, 2 / 4])
    assert np.exp(chain.matrix[0]).tolist() == pytest.approx([2 / 4, 2 / 4])
    assert np.exp(chain.matrix[1]).tolist() == pytest.approx([1 / 3, 2 / 3])


def test_unknown_labels_say_nothing() -> None:
    chain = Transitions.fit([np.array([-100, 0, -100, 1, 1])], 2, smoothing=1.0)
    assert np.exp(chain.initial).tolist() == pytest.approx([1 / 2, 1 / 2])
    assert np.exp(chain.matrix).tolist() == [pytest.approx([1 / 2, 1 / 2]), pytest.approx([1 / 3, 2 / 3])]


def test_a_flicker_is_smoothed_away() -> None:
    chain = Transitions.fit([np.repeat([0, 1], 20)], 2)
    log_probs = np.log([[0.9, 0.1], [0.45, 0.55], [0.9, 0.1], [0.1, 0.9], [0.1, 0.9], [0.1, 0.9]])
    assert best_path(log_probs, chain, 0.0).tolist() == [0, 1, 0, 1, 1, 1]
    assert best_path(log_probs, chain, 1.0).tolist() == [0, 0, 0, 1, 1, 1]


def test_an_impossible_label_is_never_taken() -> None:
    chain = Transitions.fit([np.array([0, 0, 0, 1])], 2)
    log_probs = np.array([[-math.inf, 0.0]] * 3)
    assert best_path(log_probs, chain, 5.0).tolist() == [1, 1, 1]


def test_nothing_in_nothing_out() -> None:
    assert best_path(np.empty((0, 2)), Transitions.fit([], 2), 1.0).tolist() == []


@pytest.mark.parametrize(
    "log_probs, weight, error, says",
    [
        (np.zeros((3, 4)), 1.0, ShapeError, r"log_probs: expected shape \(T, K=2\), found \(3, 4\)"),
        (np.zeros((3, 2)), -1.0, ArgumentError, "weight: expected 0 or more, found -1"),
        (np.full((3, 2), np.nan), 1.0, ArgumentError, "log_probs: they hold NaN"),
    ],
)
def test_refused(log_probs: np.ndarray, weight: float, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        best_path(log_probs, Transitions.fit([], 2), weight)


def test_a_chain_of_nothing() -> None:
    with pytest.raises(ArgumentError, match="classes, smoothing: expected above 0, found 0"):
        Transitions.fit([], 0)
