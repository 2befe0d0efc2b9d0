"""Words to vectors: what each part adds, that spelling is read once and in full, and that padding is never read."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from unrolled.errors import ArgumentError, ShapeError
from unrolled.layers.inputs.words import Spelling, WordBatch, Words


def batch(spellings: list[list[int]], at: list[list[int]]) -> WordBatch:
    """Words of shape 1, whose number is that of their spelling and 3."""
    longest = max(map(len, spellings))
    table = torch.tensor([s + [0] * (longest - len(s)) for s in spellings]).t()
    numbers = torch.tensor(at)
    lengths = torch.tensor([len(s) for s in spellings])
    return WordBatch(numbers + 3, torch.ones_like(numbers), torch.zeros_like(numbers), numbers, table, lengths)


BATCH = batch([[3, 4, 5], [6], [4, 4]], [[0, 1], [2, 0]])


@pytest.mark.parametrize("kind", ["lstm", "cnn"])
def test_a_spelling_does_not_depend_on_its_neighbours(kind: Any) -> None:
    torch.manual_seed(0)
    spelling = Spelling(9, 4, 5, kind=kind)
    together = spelling(BATCH.characters, BATCH.character_lengths)
    assert together.shape == (3, spelling.output_size)
    assert spelling.output_size == {"lstm": 10, "cnn": 15}[kind]
    for n, length in enumerate(BATCH.character_lengths.tolist()):
        alone = spelling(BATCH.characters[:length, n : n + 1], torch.tensor([length]))
        assert torch.allclose(alone[0], together[n], atol=1e-6)
    # every character counts
    for at in range(3):
        other = BATCH.characters.clone()
        other[at, 0] = 8
        assert not torch.allclose(spelling(other, BATCH.character_lengths)[0], together[0], atol=1e-4)
        assert torch.allclose(spelling(other, BATCH.character_lengths)[1], together[1], atol=1e-6)


@pytest.mark.parametrize("kind", ["lstm", "cnn"])
def test_gradients_reach_everything_but_the_padding(kind: Any) -> None:
    torch.manual_seed(0)
    words = Words(9, 3, 4, 2, spelling=Spelling(9, 4, 5, kind=kind), vectors=np.ones((2, 2), dtype=np.float32))
    words(BATCH).square().sum().backward()
    for name, parameter in words.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name
        if name.endswith("embedding.weight") or name in ("words.weight", "shapes.weight"):
            assert parameter.grad[0].eq(0).all(), name
    assert "vectors" not in words.state_dict()


def test_the_parts_stand_side_by_side() -> None:
    torch.manual_seed(0)
    vectors = np.array([[0, 0], [7, 8]], dtype=np.float32)
    words = Words(9, 3, 4, 2, spelling=Spelling(9, 4, 5), vectors=vectors)
    given = BATCH._replace(vectors=torch.tensor([[1, 0], [0, 0]]))
    x = words(given)
    assert x.shape == (2, 2, words.output_size)
    assert words.output_size == 3 + 10 + 2 + 2
    assert words.words is not None
    assert torch.equal(x[..., :3], words.words.weight[given.words])
    assert x[0, 0, -2:].tolist() == [7, 8]
    assert x[1, 1, -2:].tolist() == [0, 0]
    # the same word at two places
    assert torch.equal(x[0, 0, 3:13], x[1, 1, 3:13])
    assert Words(9, 3, 4, 0)(BATCH).shape == (2, 2, 3)
    # a stream has one row, and no time
    step = WordBatch(*(part[0] for part in given[:4]), given.characters, given.character_lengths)
    assert torch.allclose(words(step), x[0])


def test_dropout_takes_the_same_units_at_every_step() -> None:
    torch.manual_seed(0)
    words = Words(9, 20, 4, 0, dropout=0.5)
    x, whole = words(BATCH), words.eval()(BATCH)
    ratio: Tensor = x / whole
    assert torch.equal(ratio[0], ratio[1])
    assert sorted(set(ratio.flatten().tolist())) == pytest.approx([0, 2])


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ShapeError, match="shapes"):
        Words(9, 3, 4, 2)(BATCH._replace(shapes=torch.ones(1, 2, dtype=torch.int64)))
    with pytest.raises(ArgumentError, match="found none of them"):
        Words(9, 0, 4, 0)
    with pytest.raises(ArgumentError, match="dropout"):
        Words(9, 3, 4, 2, dropout=1.0)
    with pytest.raises(ArgumentError, match="widths"):
        Spelling(9, 4, 5, kind="cnn", widths=())
