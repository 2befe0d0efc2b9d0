"""Pooling over ragged lengths, held against each sequence alone; streams against the whole."""

import pytest
import torch

from unrolled.errors import ArgumentError, ShapeError
from unrolled.layers import AttentionPooling, JoinedPooling, LastState, MaxPooling, MeanPooling, make_pooling

KINDS = ["last", "mean", "max", "attention", "max+mean+last", "attention+max"]


def ragged(lengths: list[int], width: int = 6, fill: float = torch.nan) -> torch.Tensor:
    h = torch.full((max(lengths), len(lengths), width), fill)
    for row, length in enumerate(lengths):
        h[:length, row] = torch.randn(length, width)
    return h


@pytest.mark.parametrize("directions", [1, 2])
@pytest.mark.parametrize("kind", KINDS)
def test_a_ragged_batch_is_each_sequence_alone(kind: str, directions: int) -> None:
    torch.manual_seed(1)
    lengths = [3, 5, 1]
    layer, h = make_pooling(kind, 6, directions), ragged(lengths)
    pooled = layer(h, torch.tensor(lengths))
    assert pooled.shape == (3, layer.output_size)
    for row, length in enumerate(lengths):
        assert torch.allclose(pooled[row], layer(h[:length, row : row + 1])[0], atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_padding_gets_no_gradient_and_never_leaks(kind: str) -> None:
    torch.manual_seed(1)
    layer, h = make_pooling(kind, 6), ragged([2, 4]).requires_grad_()
    layer(h, torch.tensor([2, 4])).pow(2).sum().backward()
    assert h.grad is not None
    assert h.grad[2:, 0].abs().max() == 0
    assert torch.isfinite(h.grad).all()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in layer.parameters())


@pytest.mark.parametrize("kind", KINDS)
def test_gradients(kind: str) -> None:
    torch.manual_seed(1)
    layer = make_pooling(kind, 3).double()
    h = torch.randn(4, 2, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: layer(x, torch.tensor([4, 2])), (h,))


@pytest.mark.parametrize("kind", KINDS)
def test_no_step_yields_zeros(kind: str) -> None:
    layer = make_pooling(kind, 6)
    pooled = layer(ragged([0, 2]), torch.tensor([0, 2]))
    assert pooled[0].abs().max() == 0
    assert pooled[1].abs().max() > 0


@pytest.mark.parametrize("kind", KINDS)
def test_step_by_step_is_every_beginning(kind: str) -> None:
    torch.manual_seed(1)
    layer, h = make_pooling(kind, 6), 30 * torch.randn(7, 2, 6)
    carried = layer.start(h[0])
    for t in range(7):
        pooled, carried = layer.step(h[t], carried)
        assert torch.allclose(pooled, layer(h[: t + 1]), atol=1e-5)


def test_values_by_hand() -> None:
    h = torch.tensor([[[1.0, 2.0]], [[3.0, -4.0]], [[100.0, 100.0]]])
    lengths = torch.tensor([2])
    assert LastState(2)(h, lengths).tolist() == [[3.0, -4.0]]
    assert LastState(2, 2)(h, lengths).tolist() == [[3.0, 2.0]]
    assert MeanPooling(2)(h, lengths).tolist() == [[2.0, -1.0]]
    assert MaxPooling(2)(h, lengths).tolist() == [[3.0, 2.0]]
    attention = AttentionPooling(2, 1)
    with torch.no_grad():
        attention.key.weight.copy_(torch.tensor([[1.0, 0.0]]))
        attention.key.bias.zero_()
        attention.score.weight.fill_(2.0)
    scores = torch.tensor([1.0, 3.0]).tanh() * 2
    expected = scores.softmax(0)
    assert attention.weights(h, lengths)[:, 0].tolist() == pytest.approx([*expected.tolist(), 0.0])
    assert attention(h, lengths)[0, 0].item() == pytest.approx(expected[0].item() + 3 * expected[1].item())


def test_bad_arguments() -> None:
    with pytest.raises(ArgumentError, match="pooling: expected last, mean, max, attention, or several with"):
        make_pooling("median", 4)
    with pytest.raises(ShapeError, match=r"h: expected shape \(T, B, W=4\), found \(2, 4\)"):
        MeanPooling(4)(torch.zeros(2, 4))
    with pytest.raises(ArgumentError, match="directions: expected 1, or 2 for an even size, found 2 for size 3"):
        LastState(3, 2)
    with pytest.raises(ArgumentError, match="can't be streamed"):
        LastState(4, 2).step(torch.zeros(1, 4), ())
    with pytest.raises(ArgumentError, match=r"parts: expected one width, found \[2, 3\]"):
        JoinedPooling([MeanPooling(2), MaxPooling(3)])
    with pytest.raises(ArgumentError, match=r"lengths\[0\]: expected 0 to T=2, found 3"):
        MeanPooling(1)(torch.zeros(2, 1, 1), torch.tensor([3]))
