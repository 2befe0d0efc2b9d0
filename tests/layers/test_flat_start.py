"""A flat start for CTC, against alignments written out by hand."""

from __future__ import annotations

import pytest
import torch

from unrolled.errors import ArgumentError, ShapeError
from unrolled.layers.outputs.flat_start import FlatStart, even_alignment


def test_an_even_alignment_by_hand() -> None:
    targets = torch.tensor([[3, 4, 0, 5], [3, 5, 0, 6], [4, 0, 0, 7]])
    lengths, counts = torch.tensor([8, 4, 3, 4]), torch.tensor([3, 2, 0, 3])
    # six steps for three units; all of the sequence, as two units want more than the one step of the span; none
    spans = torch.tensor([[1, 7], [2, 3], [0, 2], [0, 9]])
    found = even_alignment(lengths, targets, counts, spans, 8)
    assert found[:, 0].tolist() == [0, 3, 3, 3, 3, 4, 4, 0]
    assert found[:, 1].tolist() == [4, 4, 5, 5, -1, -1, -1, -1]
    assert found[:, 2].tolist() == [0, 0, 0, -1, -1, -1, -1, -1]
    # an end beyond the sequence is its end
    assert found[:, 3].tolist() == [5, 5, 6, 7, -1, -1, -1, -1]


def test_a_flat_start_is_the_cross_entropy_of_the_even_alignment() -> None:
    torch.manual_seed(1)
    logits = torch.randn(4, 2, 5, dtype=torch.float64, requires_grad=True)
    lengths, targets, counts = torch.tensor([4, 2]), torch.tensor([[1, 3], [2, 0]]), torch.tensor([2, 1])
    mean, total, count = FlatStart(smoothing=0.0)(logits, lengths, targets, counts, torch.tensor([[1, 4], [0, 2]]))
    log_probs = logits.log_softmax(-1)
    # blank, then ⌊2·0/3⌋, ⌊2·1/3⌋ and ⌊2·2/3⌋ of the units 1, 2; and twice the only unit 3
    wanted = -sum(log_probs[t, b, k] for t, b, k in ((0, 0, 0), (1, 0, 1), (2, 0, 1), (3, 0, 2), (0, 1, 3), (1, 1, 3)))
    assert count == 6
    torch.testing.assert_close(total, wanted.detach())
    torch.testing.assert_close(mean * 6, wanted)
    mean.backward()
    assert not logits.grad[2:, 1].any()


def test_a_flat_start_refuses_what_does_not_fit() -> None:
    logits, lengths, targets, counts = torch.zeros(4, 1, 3), torch.tensor([4]), torch.tensor([[1]]), torch.tensor([1])
    with pytest.raises(ShapeError, match=r"spans: expected shape \(B=1, 2\)"):
        FlatStart()(logits, lengths, targets, counts, torch.zeros(1, 3, dtype=torch.int64))
    with pytest.raises(ShapeError, match="targets"):
        FlatStart()(torch.zeros(4, 2, 3), lengths, targets, counts, torch.tensor([[0, 4]]))
    with pytest.raises(ArgumentError, match="smoothing: expected 0 to below 1, found 1"):
        FlatStart(smoothing=1)
