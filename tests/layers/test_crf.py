"""The CRF against the sum over all sequences, its hand-made gradient against autograd, and what it refuses."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
import torch
from torch import Tensor

from unrolled.errors import ArgumentError, DTypeError, ShapeError
from unrolled.layers.outputs import crf as module
from unrolled.layers.outputs.crf import CRF, posterior

BETWEEN = [[True, True, False], [True, True, True], [False, True, True]]
BEGINS, ENDS = [True, False, True], [True, True, False]


def chain(constrained: bool = True, labels: int = 3, scale: float = 1.0) -> CRF:
    torch.manual_seed(5)
    made = CRF(labels, BETWEEN, BEGINS, ENDS) if constrained else CRF(labels)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.normal_().mul_(scale)
    return made.double()


def score(crf: CRF, emissions: Tensor, labels: tuple[int, ...]) -> float:
    """s(y) of one sequence, −∞ if it is forbidden."""
    transitions, start, end = (part.detach() for part in crf.scores())
    total = float(start[labels[0]] + end[labels[-1]]) + sum(float(emissions[t, k]) for t, k in enumerate(labels))
    return total + sum(float(transitions[a, b]) for a, b in itertools.pairwise(labels))


def probabilities(crf: CRF, emissions: Tensor) -> dict[tuple[int, ...], float]:
    """p(y) of every sequence of an unpadded row (T, K)."""
    scores = {y: score(crf, emissions, y) for y in itertools.product(range(crf.labels), repeat=len(emissions))}
    most = max(scores.values())
    total = sum(math.exp(s - most) for s in scores.values())
    return {y: math.exp(s - most) / total for y, s in scores.items()}


@pytest.mark.parametrize("constrained", [True, False])
@pytest.mark.parametrize("far", [200.0, -1.0], ids=["scaled", "in log space"])
def test_losses_are_those_of_all_sequences(constrained: bool, far: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_FAR", far)
    crf = chain(constrained)
    emissions, lengths = torch.randn(5, 4, 3, dtype=torch.float64), torch.tensor([5, 3, 1, 4])
    targets = torch.tensor([[0, 1, 2, 1, 0], [0, 1, 1, 9, 9], [0, 9, 9, 9, 9], [2, 2, 1, 0, 9]]).t()
    losses = crf(emissions, targets, lengths).detach()
    for b, length in enumerate(lengths.tolist()):
        expected = probabilities(crf, emissions[:length, b])
        assert float(losses[b]) == pytest.approx(-math.log(expected[tuple(targets[:length, b].tolist())]), rel=1e-9)
        assert sum(expected.values()) == pytest.approx(1)


def test_marginals_and_segments_are_those_of_all_sequences() -> None:
    crf = chain()
    emissions, lengths = torch.randn(4, 3, 3, dtype=torch.float64), torch.tensor([4, 2, 1])
    found = crf.posterior(emissions, lengths)
    for b, length in enumerate(lengths.tolist()):
        expected = probabilities(crf, emissions[:length, b])
        for t, k in itertools.product(range(length), range(3)):
            p = sum(q for y, q in expected.items() if y[t] == k)
            assert float(found.marginals[t, b, k]) == pytest.approx(p, abs=1e-12)
        for begin, count in ((0, 2), (1, 2), (1, 3), (0, 1)):
            if begin + count <= length:
                for labels in itertools.product(range(3), repeat=count):
                    p = sum(q for y, q in expected.items() if y[begin : begin + count] == labels)
                    assert found.of_segment(b, begin, labels) == pytest.approx(p, abs=1e-12)
    assert float(found.marginals[1:, 2].abs().sum()) == 0


def test_without_a_chain_the_posterior_is_the_softmax() -> None:
    emissions, nothing = torch.randn(3, 2, 4), torch.zeros(4, dtype=torch.float64)
    valid = torch.ones(3, 2, dtype=torch.bool)
    found = posterior(emissions, valid, torch.tensor([3, 3]), torch.zeros(4, 4).double(), nothing, nothing)
    assert torch.allclose(found.marginals, emissions.double().softmax(2))
    expected = found.marginals[0, 1, 2] * found.marginals[1, 1, 0]
    assert found.of_segment(1, 0, [2, 0]) == pytest.approx(float(expected))


@pytest.mark.parametrize("constrained", [True, False])
def test_gradients(constrained: bool) -> None:
    crf = chain(constrained)
    targets = torch.tensor([[0, 1, 1], [0, 1, 0], [0, 0, 0]]).t()
    lengths = torch.tensor([3, 2, 0])
    emissions = torch.randn(3, 3, 3, dtype=torch.float64, requires_grad=True)
    names = [name for name, _ in crf.named_parameters()]

    def losses(emissions: Tensor, *parameters: Tensor) -> Tensor:
        given = dict(zip(names, parameters, strict=True))
        found: Tensor = torch.func.functional_call(crf, given, (emissions, targets, lengths))
        return found

    arguments = (emissions, *(p.detach().clone().requires_grad_() for p in crf.parameters()))
    assert torch.autograd.gradcheck(losses, arguments)
    if constrained:
        assert torch.autograd.gradgradcheck(losses, arguments)


def test_the_two_ways_of_summing_agree_and_far_scores_take_the_slow_one(monkeypatch: pytest.MonkeyPatch) -> None:
    crf = chain(constrained=False)
    emissions = torch.randn(20, 3, 3) * 10
    fast = crf.log_normaliser(emissions)
    monkeypatch.setattr(module, "_FAR", -1.0)
    assert torch.allclose(fast, crf.log_normaliser(emissions), rtol=1e-12)
    monkeypatch.undo()
    crf = chain()
    # a label whose probability no double can hold is the only way to the last one
    emissions = torch.tensor([[[0.0, 0.0, -2000.0]], [[0.0, -3000.0, 0.0]], [[0.0, -500.0, 5000.0]]])
    emissions.requires_grad_()
    total = crf.log_normaliser(emissions)
    total.sum().backward()
    assert total.isfinite().all()
    assert emissions.grad is not None
    assert emissions.grad.isfinite().all()


def test_padding_is_never_read_and_has_no_gradient() -> None:
    crf = chain()
    lengths = torch.tensor([5, 2, 0])
    emissions = torch.randn(5, 3, 3)
    for b, length in enumerate(lengths):
        emissions[length:, b] = math.nan
    emissions.requires_grad_()
    targets = torch.zeros(5, 3, dtype=torch.int64)
    losses = crf(emissions, targets, lengths)
    losses.sum().backward()
    assert losses.isfinite().all()
    assert losses.dtype == torch.float64
    assert emissions.grad is not None
    for b, length in enumerate(lengths):
        assert emissions.grad[length:, b].eq(0).all()
        alone = crf(emissions[:length, b : b + 1], targets[:length, b : b + 1]).detach()
        assert float(alone.sum()) == pytest.approx(losses[b].item(), rel=1e-12)


def test_sequences_of_no_steps_cost_nothing() -> None:
    crf = chain()
    losses = crf(torch.randn(0, 2, 3), torch.zeros(0, 2, dtype=torch.int64))
    losses.sum().backward()
    assert losses.tolist() == [0, 0]
    assert crf.log_normaliser(torch.randn(0, 2, 3)).tolist() == [0, 0]
    assert crf(torch.randn(3, 1, 3), torch.zeros(3, 1, dtype=torch.int64), torch.tensor([0])).tolist() == [0]
    assert crf.posterior(torch.randn(0, 1, 3)).marginals.shape == (0, 1, 3)


def test_certain_targets_cost_nothing() -> None:
    emissions = torch.zeros(3, 1, 2)
    emissions[:, :, 1] = 50
    assert chain(False, labels=2)(emissions, torch.ones(3, 1, dtype=torch.int64)).item() < 1e-9


LONG = torch.zeros(3, 2, dtype=torch.int64)


@pytest.mark.parametrize(
    "arguments, error, says",
    [
        ((torch.randn(3, 2, 4), LONG), ShapeError, r"emissions: expected shape \(T, B, K=3\)"),
        ((torch.zeros(3, 2, 3, dtype=torch.int64), LONG), DTypeError, "emissions: expected floating point"),
        ((torch.randn(3, 2, 3), LONG[:2]), ShapeError, "targets"),
        ((torch.randn(3, 2, 3), LONG.float()), DTypeError, "targets: expected integers"),
        ((torch.randn(3, 2, 3), LONG + 3), ArgumentError, r"targets\[0, 0\]: expected a label from 0 to below K=3"),
        ((torch.randn(3, 2, 3), LONG, torch.tensor([4, 1])), ArgumentError, r"lengths\[0\]: expected 0 to T=3"),
        (
            (torch.randn(3, 1, 3), torch.tensor([[0], [2], [1]])),
            ArgumentError,
            r"label 0 before 2 is forbidden \(sequence 0, step 1\)",
        ),
        ((torch.randn(1, 1, 3), torch.tensor([[1]])), ArgumentError, "label 1 must not begin"),
        ((torch.randn(1, 1, 3), torch.tensor([[2]])), ArgumentError, "label 2 must not end"),
    ],
)
def test_what_does_not_fit_is_refused(arguments: tuple[Any, ...], error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        chain()(*arguments)


def test_constraints_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ShapeError, match="between"):
        CRF(3, [[True]])
    with pytest.raises(ArgumentError, match="labels: expected at least 1"):
        CRF(0)
