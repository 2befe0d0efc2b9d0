"""Viterbi against all sequences there are."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

from unrolled.decoding.viterbi import greedy_labels, viterbi
from unrolled.errors import ArgumentError, ShapeError


def problem(seed: int, time: int = 5, batch: int = 4, labels: int = 3) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    draw = torch.Generator().manual_seed(seed)
    shapes = [(time, batch, labels), (labels, labels), (labels,), (labels,)]
    emissions, transitions, start, end = (torch.randn(shape, generator=draw, dtype=torch.float64) for shape in shapes)
    transitions[0, 1], start[2], end[0] = -math.inf, -math.inf, -math.inf
    return emissions, transitions, start, end


def all_sequences(emissions: Tensor, transitions: Tensor, start: Tensor, end: Tensor) -> list[tuple[float, list[int]]]:
    """Score and labels of each sequence that is allowed, best first."""
    found = []
    for labels in itertools.product(range(emissions.shape[1]), repeat=len(emissions)):
        total = float(start[labels[0]] + end[labels[-1]])
        total += sum(float(emissions[t, k]) for t, k in enumerate(labels))
        total += sum(float(transitions[a, b]) for a, b in itertools.pairwise(labels))
        if total > -math.inf:
            found.append((total, list(labels)))
    return sorted(found, key=lambda one: (-one[0], one[1]))


@pytest.mark.parametrize("n_best", [1, 2, 7])
def test_the_best_sequences_of_all(n_best: int) -> None:
    emissions, *chain = problem(1)
    lengths = torch.tensor([5, 3, 1, 4])
    for b, found in enumerate(viterbi(emissions, *chain, lengths, n_best=n_best)):
        expected = all_sequences(emissions[: lengths[b], b], *chain)[:n_best]
        assert [one.labels for one in found] == [labels for _, labels in expected]
        assert [one.score for one in found] == pytest.approx([score for score, _ in expected], rel=1e-6)


def test_no_more_sequences_than_there_are() -> None:
    emissions, *chain = problem(2, time=2, batch=1)
    found = viterbi(emissions, *chain, n_best=1000)[0]
    assert len(found) == len(all_sequences(emissions[:, 0], *chain))
    assert len({tuple(one.labels) for one in found}) == len(found)


@pytest.mark.parametrize("n_best", [1, 3])
def test_batched_equals_one_by_one_and_padding_is_never_read(n_best: int) -> None:
    emissions, *chain = problem(3, time=7, batch=5)
    lengths = torch.tensor([7, 1, 4, 6, 2])
    for b, length in enumerate(lengths):
        emissions[length:, b] = math.nan
    together = viterbi(emissions, *chain, lengths, n_best=n_best)
    for b, length in enumerate(lengths):
        assert viterbi(emissions[:length, b : b + 1], *chain, n_best=n_best)[0] == together[b]


def test_of_equals_the_lower_labels() -> None:
    nothing = torch.zeros(3)
    found = viterbi(torch.zeros(2, 1, 3), torch.zeros(3, 3), nothing, nothing, n_best=2)[0]
    assert found[0].labels == [0, 0]
    assert viterbi(torch.zeros(2, 1, 3), torch.zeros(3, 3), nothing, nothing)[0][0].labels == [0, 0]


def test_sequences_of_no_steps() -> None:
    emissions, *chain = problem(4)
    found = viterbi(emissions, *chain, torch.tensor([0, 5, 0, 1]), n_best=2)
    assert found[0] == found[2] == [([], 0.0)]
    assert len(found[1][0].labels) == 5
    assert viterbi(emissions[:0], *chain) == [[([], 0.0)]] * 4
    assert viterbi(emissions[:, :0], *chain) == []


@pytest.mark.parametrize(
    "change, error, says",
    [
        ({"n_best": 0}, ArgumentError, "n_best: expected at least 1"),
        ({"start": torch.zeros(2)}, ShapeError, r"start: expected shape \(3,\), as there are K=3 labels"),
        ({"transitions": torch.zeros(3, 2)}, ShapeError, "transitions"),
        ({"emissions": torch.zeros(2, 3)}, ShapeError, "emissions"),
        ({"lengths": torch.tensor([1])}, ShapeError, "lengths"),
        ({"lengths": torch.tensor([1, 6, 1, 1])}, ArgumentError, "lengths: expected 0 to T=5"),
        ({"emissions": torch.full((5, 4, 3), math.nan)}, ArgumentError, "emissions: not finite"),
    ],
)
def test_what_does_not_fit_is_refused(change: dict, error: type[Exception], says: str) -> None:  # type: ignore[type-arg]
    emissions, transitions, start, end = problem(5)
    given = {"emissions": emissions, "transitions": transitions, "start": start, "end": end} | change
    with pytest.raises(error, match=says):
        viterbi(**given)  # type: ignore[arg-type]


def test_greedy_labels_look_back_but_not_ahead() -> None:
    emissions = torch.tensor([[[2.0, 1.0, 0.0]], [[0.0, 3.0, 1.0]], [[0.0, 1.0, 0.5]]])
    transitions = torch.tensor([[0.0, -math.inf, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    start = torch.zeros(3)
    assert greedy_labels(emissions, transitions, start) == [[0, 2, 1]]
    assert greedy_labels(emissions, transitions, start, torch.tensor([2])) == [[0, 2]]
    assert greedy_labels(emissions[:0], transitions, start) == [[]]
