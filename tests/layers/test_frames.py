"""Frames stacked to fewer steps, and CTC as a loss."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import pytest
import torch

from unrolled.errors import ArgumentError, ShapeError
from unrolled.layers import CTC, LSTM, FrameStack, LinearOutput, StackedFrames, ctc_steps
from unrolled.networks import SyncedNetwork


def test_frames_stand_side_by_side() -> None:
    frames = torch.arange(1.0, 6).view(5, 1, 1)
    assert FrameStack(1, 2)(frames)[:, 0].tolist() == [[1, 2], [3, 4], [5, 0]]
    assert FrameStack(1, 2, left=1)(frames)[:, 0].tolist() == [[0, 1, 2], [2, 3, 4], [4, 5, 0]]
    assert FrameStack(1, 3, left=2)(frames)[:, 0].tolist() == [[0, 0, 1, 2, 3], [2, 3, 4, 5, 0]]
    pairs = torch.tensor([[[1.0, 10.0]], [[2.0, 20.0]]])
    assert FrameStack(2, 2)(pairs).tolist() == [[[1, 10, 2, 20]]]


@pytest.mark.parametrize("stride, left", [(1, 0), (2, 0), (3, 2), (4, 4), (2, 5)])
def test_in_pieces_as_in_one(stride: int, left: int) -> None:
    torch.manual_seed(0)
    layer = StackedFrames(3, 5, stride=stride, left=left)
    layer.standardise(torch.tensor([0.5, -1.0, 0.0]), torch.tensor([2.0, 1.0, 0.0]))
    for time in (1, 5, 12, 13):
        frames = torch.randn(time, 2, 3)
        whole = layer(frames)
        assert whole.shape[0] == int(layer.output_lengths(torch.tensor(time)))
        for sizes in itertools.product((0, 1, 4), repeat=3):
            held, at, found = None, 0, []
            for size in sizes:
                steps, held = layer.push(frames[at : at + size], held)
                found.append(steps)
                at += size
            steps, held = layer.push(frames[at:], held, last=True)
            torch.testing.assert_close(torch.cat([*found, steps]), whole)
        windows, _ = layer.windows(frames, last=True)
        torch.testing.assert_close(torch.stack([layer(step) for step in windows]), whole)


def test_padding_is_never_read() -> None:
    layer = FrameStack(2, 3, left=1)
    frames, lengths = torch.randn(8, 3, 2), torch.tensor([8, 4, 0])
    dirty = frames.clone()
    for row, length in enumerate(lengths.tolist()):
        dirty[length:, row] = math.nan
    found = layer(dirty, lengths)
    assert layer.output_lengths(lengths).tolist() == [3, 2, 0]
    torch.testing.assert_close(found[:2, 1], layer(frames[:4, 1:2])[:, 0])
    torch.testing.assert_close(found[:, 0], layer(frames[:, :1])[:, 0])
    assert not found[:, 2].any()


def test_a_network_with_fewer_steps() -> None:
    torch.manual_seed(1)
    network = SyncedNetwork(
        StackedFrames(4, 6, stride=3, left=3), LSTM(6, 5, bidirectional=True), LinearOutput(10, 3)
    ).eval()
    frames, lengths = torch.randn(11, 2, 4), torch.tensor([11, 5])
    frames[5:, 1] = math.nan
    logits, _ = network(frames, None, lengths)
    assert logits.shape == (4, 2, 3)
    alone, _ = network(frames[:5, 1:], None)
    torch.testing.assert_close(logits[:2, 1:], alone)


@pytest.mark.parametrize(
    "make, error, says",
    [
        (lambda: FrameStack(0), ArgumentError, "features, stride, left: expected at least 1, 1 and 0, found 0, 3, 0"),
        (lambda: FrameStack(2, 0), ArgumentError, "found 2, 0, 0"),
        (lambda: FrameStack(2)(torch.zeros(3, 2)), ShapeError, r"frames: expected shape \(T, B, F=2\), found \(3, 2\)"),
        (lambda: StackedFrames(2, 3, dropout=1.0), ArgumentError, "dropout: expected 0 to below 1, found 1.0"),
    ],
)
def test_refused(make: Callable[[], object], error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        make()


# CTC


def brute_force(log_probs: torch.Tensor, text: list[int]) -> float:
    total = 0.0
    for path in itertools.product(range(log_probs.shape[1]), repeat=len(log_probs)):
        if [unit for unit, _ in itertools.groupby(path) if unit] == text:
            total += math.exp(sum(float(log_probs[t, k]) for t, k in enumerate(path)))
    return -math.log(total)


def test_the_loss_of_a_ragged_batch_is_the_sum_over_all_paths() -> None:
    torch.manual_seed(2)
    logits = torch.randn(5, 4, 3, dtype=torch.float64)
    lengths, texts = torch.tensor([5, 3, 4, 2]), [[1, 1], [2, 1], [], [2]]
    units = torch.full((2, 4), -7)
    for row, text in enumerate(texts):
        units[: len(text), row] = torch.tensor(text, dtype=torch.int64)
    mean, total, count = CTC()(logits, lengths, units, torch.tensor([2, 2, 0, 1]))
    expected = sum(brute_force(logits[: lengths[n], n].log_softmax(-1), text) for n, text in enumerate(texts))
    assert float(total) == pytest.approx(expected, rel=1e-6)
    # a text of no units counts as one
    assert count == 6
    assert float(mean) == pytest.approx(expected / 6, rel=1e-6)


def test_the_gradient_and_what_lies_beyond() -> None:
    torch.manual_seed(3)
    logits = torch.randn(6, 2, 4, dtype=torch.float64, requires_grad=True)
    arguments = torch.tensor([6, 3]), torch.tensor([[1, 3], [2, 0], [2, 0]]), torch.tensor([3, 1])
    assert torch.autograd.gradcheck(lambda x: CTC()(x, *arguments)[0], (logits,))
    dirty = logits.detach().clone()
    dirty[3:, 1] = math.nan
    dirty.requires_grad_()
    CTC()(dirty, *arguments)[0].backward()
    CTC()(logits, *arguments)[0].backward()
    torch.testing.assert_close(dirty.grad, logits.grad)
    assert not dirty.grad[3:, 1].any()  # type: ignore[index]


def test_no_target_at_all() -> None:
    logits = torch.randn(4, 2, 3)
    _, total, count = CTC()(logits, torch.tensor([4, 2]), torch.zeros(0, 2, dtype=torch.int64), torch.tensor([0, 0]))
    blank = logits.log_softmax(-1)[..., 0]
    assert float(total) == pytest.approx(-float(blank[:, 0].sum() + blank[:2, 1].sum()), rel=1e-5)
    assert count == 2


@pytest.mark.parametrize(
    "lengths, units, unit_lengths, says",
    [
        ([4, 2], [[1, 2], [2, 2]], [2, 2], "targets: sequence 1 needs 3 steps to spell 2 units, and has 2"),
        ([1, 4], [[1, 2], [2, 1]], [2, 2], "targets: sequence 0 needs 2 steps"),
        ([4, 4], [[1, 0], [2, 1]], [2, 2], "targets: 0 is the blank, and spells nothing"),
    ],
)
def test_what_cannot_be_spelled_is_refused(
    lengths: list[int], units: list[list[int]], unit_lengths: list[int], says: str
) -> None:
    with pytest.raises(ArgumentError, match=says):
        CTC()(torch.zeros(4, 2, 3), torch.tensor(lengths), torch.tensor(units), torch.tensor(unit_lengths))


def test_shapes_that_do_not_belong_together() -> None:
    with pytest.raises(ShapeError, match=r"targets: expected shape \(U, B=2\)"):
        CTC()(torch.zeros(4, 2, 3), torch.tensor([4, 4]), torch.ones(2, 3, dtype=torch.int64), torch.tensor([1, 1]))


def test_steps_that_a_target_needs() -> None:
    units = torch.tensor([[1, 1, 5], [1, 2, 5], [1, 2, 5]])
    assert ctc_steps(units, torch.tensor([3, 2, 0])).tolist() == [5, 2, 0]
