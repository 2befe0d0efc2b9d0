"""Output and loss layers against torch's, and against sums written out."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from unrolled.errors import ArgumentError, ShapeError
from unrolled.layers import AdaptiveOutput, CrossEntropy, Embedding, LinearOutput


def test_linear_output() -> None:
    layer = LinearOutput(3, 5)
    h = torch.randn(4, 2, 3)
    torch.testing.assert_close(layer(h), h @ layer.weight.T + layer.bias)
    assert layer.bias.abs().max() == 0
    assert layer.weight.abs().max() <= 3**-0.5
    assert LinearOutput(3, 5, bias=False).bias is None


def test_tied_output_is_the_embeddings_own_weight() -> None:
    embedding = Embedding(5, 3)
    layer = LinearOutput(3, 5, tied=embedding.weight)
    assert layer.weight is embedding.weight
    assert isinstance(layer.bridge, torch.nn.Identity)
    h = torch.randn(2, 3)
    torch.testing.assert_close(layer(h), h @ embedding.weight.T)
    both = torch.nn.ModuleList([embedding, layer])
    assert sum(p.numel() for p in both.parameters()) == 5 * 3 + 5
    (embedding(torch.tensor([1])).sum() + layer(h).sum()).backward()
    expected = h.sum(0).expand(5, 3) + F.one_hot(torch.tensor(1), 5).unsqueeze(1)
    torch.testing.assert_close(embedding.weight.grad, expected)


def test_tied_output_of_another_width_goes_over_a_bridge() -> None:
    embedding = Embedding(5, 3)
    layer = LinearOutput(4, 5, tied=embedding.weight)
    h = torch.randn(2, 4)
    assert layer.bridge.weight.shape == (3, 4)
    torch.testing.assert_close(layer(h), (h @ layer.bridge.weight.T) @ embedding.weight.T)
    with pytest.raises(ShapeError, match=r"tied: expected shape \(K=6, I\), found \(5, 3\)"):
        LinearOutput(4, 6, tied=embedding.weight)


def adaptive() -> tuple[AdaptiveOutput, torch.Tensor]:
    torch.manual_seed(0)
    return AdaptiveOutput(8, 20, (4, 10), div_value=2.0).double(), torch.randn(6, 3, 8, dtype=torch.float64)


def test_adaptive_output_is_a_distribution_put_together_by_hand() -> None:
    """log p(head), and log p(cluster) + log p(token | cluster) for the rest."""
    layer, h = adaptive()
    found = layer(h)
    torch.testing.assert_close(found.exp().sum(-1), torch.ones(6, 3, dtype=torch.float64))
    head = layer.softmax.head(h).log_softmax(-1)
    pieces = [head[..., :4]]
    for k, tail in enumerate(layer.softmax.tail):
        pieces.append(head[..., 4 + k : 5 + k] + tail(h).log_softmax(-1))
    torch.testing.assert_close(found, torch.cat(pieces, -1))


def test_adaptive_losses_are_those_of_the_full_log_softmax_and_of_torch() -> None:
    layer, h = adaptive()
    targets = torch.randint(0, 20, (6, 3), generator=torch.Generator().manual_seed(1))
    losses = layer.losses(h, targets)
    assert losses.shape == (6, 3)
    torch.testing.assert_close(losses, -layer(h).gather(-1, targets.unsqueeze(-1)).squeeze(-1))
    torch.testing.assert_close(losses.mean(), layer.softmax(h.view(-1, 8), targets.view(-1)).loss)
    # log-probabilities are logits: their cross entropy is the same number
    mean, total, count = CrossEntropy()(layer(h), targets)
    torch.testing.assert_close(mean, losses.mean())
    torch.testing.assert_close(total, losses.sum().detach())
    assert count == 18


@pytest.mark.parametrize("cutoffs", [(), (0, 4), (4, 4), (10, 4), (4, 20)])
def test_cutoffs_out_of_order(cutoffs: tuple[int, ...]) -> None:
    with pytest.raises(ArgumentError, match="cutoffs: expected increasing numbers from 1 to below V=20, found"):
        AdaptiveOutput(8, 20, cutoffs)


def test_cross_entropy_in_nats() -> None:
    logits = torch.tensor([[0.0, 0.0], [math.log(3.0), 0.0]])
    mean, total, count = CrossEntropy()(logits, torch.tensor([0, 0]))
    assert total.item() == pytest.approx(math.log(2) + math.log(4 / 3), rel=1e-6)
    assert mean.item() == pytest.approx(total.item() / 2, rel=1e-6)
    assert count == 2


def test_ignored_targets_count_for_nothing() -> None:
    logits, targets = torch.randn(4, 3, 7, requires_grad=True), torch.randint(0, 7, (4, 3))
    targets[1:, 2] = -100
    mean, total, count = CrossEntropy()(logits, targets)
    assert count == 9
    torch.testing.assert_close(mean, F.cross_entropy(logits.view(-1, 7), targets.view(-1)))
    assert total.item() == pytest.approx(mean.item() * 9, rel=1e-6)
    assert not total.requires_grad
    mean.backward()
    assert logits.grad[1:, 2].abs().max() == 0
    assert logits.grad[0, 2].abs().max() > 0


def test_nothing_but_ignored_targets() -> None:
    mean, total, count = CrossEntropy(ignored=0)(
        torch.randn(3, 5, requires_grad=True), torch.zeros(3, dtype=torch.int64)
    )
    assert (mean.item(), total.item(), count) == (0.0, 0.0, 0)


def test_smoothing_changes_what_is_minimised_and_not_what_is_reported() -> None:
    logits, targets = torch.randn(6, 5), torch.tensor([0, 1, -100, 3, 4, -100])
    mean, total, count = CrossEntropy(smoothing=0.1)(logits, targets)
    torch.testing.assert_close(mean, F.cross_entropy(logits, targets, label_smoothing=0.1))
    plain, expected, _ = CrossEntropy()(logits, targets)
    assert total.item() == expected.item()
    assert mean.item() != pytest.approx(plain.item(), rel=1e-3)
    assert count == 4


def test_refused() -> None:
    with pytest.raises(ArgumentError, match=r"smoothing: expected 0 to below 1, found 1\.0"):
        CrossEntropy(smoothing=1.0)
    with pytest.raises(ShapeError, match=r"targets: expected shape \(4, 3\), as logits without K, found \(3, 4\)"):
        CrossEntropy()(torch.zeros(4, 3, 7), torch.zeros(3, 4, dtype=torch.int64))
