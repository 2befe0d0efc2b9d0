"""Input layers: embeddings with their two dropouts, and standardised frames."""

import pytest
import torch

from unrolled.errors import ArgumentError, DTypeError, ShapeError
from unrolled.layers import Embedding, Frames


def test_an_embedding_looks_up_rows() -> None:
    layer = Embedding(5, 3)
    tokens = torch.tensor([[1, 4], [0, 1]])
    assert torch.equal(layer(tokens), layer.weight[tokens])
    assert torch.equal(layer(tokens.int()), layer.weight[tokens])
    assert layer.output_size == 3
    layer(tokens).sum().backward()
    assert layer.weight.grad[:, 0].tolist() == [1.0, 2.0, 0.0, 0.0, 1.0]


def test_initial_vectors_have_about_unit_length() -> None:
    torch.manual_seed(0)
    assert Embedding(2000, 64).weight.norm(dim=1).mean().item() == pytest.approx(1.0, abs=0.02)


def test_the_padding_tokens_vector_is_zero_and_stays_so() -> None:
    layer = Embedding(5, 3, padding=2)
    layer(torch.tensor([2, 1])).sum().backward()
    assert layer.weight[2].abs().max() == 0
    assert layer.weight.grad[2].abs().max() == 0
    assert layer.weight.grad[1].tolist() == [1.0, 1.0, 1.0]


def test_dropout_is_one_mask_a_sequence() -> None:
    torch.manual_seed(0)
    layer = Embedding(4, 50, dropout=0.4)
    with torch.no_grad():
        layer.weight.fill_(1.0)
    vectors = layer(torch.zeros(6, 20, dtype=torch.int64))
    assert torch.equal(vectors, vectors[:1].expand_as(vectors))
    assert vectors.unique().tolist() == pytest.approx([0.0, 1 / 0.6])
    assert (vectors[0] == 0).float().mean().item() == pytest.approx(0.4, abs=0.04)
    assert layer.eval()(torch.zeros(1, 1, dtype=torch.int64)).unique().tolist() == [1.0]


def test_word_dropout_zeroes_a_token_wherever_it_stands() -> None:
    torch.manual_seed(0)
    layer = Embedding(200, 2, word_dropout=0.25)
    with torch.no_grad():
        layer.weight.fill_(1.0)
    tokens = torch.arange(200).repeat(2).view(2, 200)
    vectors = layer(tokens)
    assert torch.equal(vectors[0], vectors[1])
    assert vectors.unique().tolist() == pytest.approx([0.0, 4 / 3])
    assert torch.equal(vectors[..., 0], vectors[..., 1])
    assert (vectors == 0).float().mean().item() == pytest.approx(0.25, abs=0.08)
    assert layer.weight.unique().tolist() == [1.0]


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Embedding(0, 3), ArgumentError, "vocabulary_size, size: expected at least 1, found 0, 3"),
        (lambda: Embedding(5, 3, dropout=1.0), ArgumentError, "^dropout: expected a probability"),
        (lambda: Embedding(5, 3, word_dropout=-1), ArgumentError, "word_dropout: expected a probability"),
        (lambda: Embedding(5, 3, padding=5), ArgumentError, "padding: expected a token from 0 to below V=5, found 5"),
        (lambda: Embedding(5, 3)(torch.zeros(2)), DTypeError, "tokens: expected int64, found torch.float32"),
        (lambda: Embedding(5, 3)(torch.tensor([1, 7])), ArgumentError, "tokens: expected 0 to below V=5, found 7"),
        (lambda: Embedding(5, 3)(torch.tensor([1, -1])), ArgumentError, "tokens: expected 0 to below V=5, found -1"),
        (lambda: Frames(3)(torch.zeros(4, 2)), ShapeError, r"frames: expected shape \(…, features=3\), found \(4, 2\)"),
        (lambda: Frames(3, mean=torch.zeros(2)), ShapeError, r"mean: expected shape \(features=3,\), found \(2,\)"),
        (lambda: Frames(3, std=torch.ones(4)), ShapeError, r"std: expected shape \(features=3,\), found \(4,\)"),
    ],
)
def test_refused(make, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        make()


def test_frames_are_standardised_by_the_training_data() -> None:
    layer = Frames(2, mean=torch.tensor([1.0, -2.0]), std=torch.tensor([2.0, 0.5]))
    assert layer(torch.tensor([[3.0, -2.0]])).tolist() == [[1.0, 0.0]]
    assert layer.output_size == 2
    assert set(layer.state_dict()) == {"mean", "std"}


def test_a_feature_that_never_varies_is_no_nan() -> None:
    layer = Frames(2, mean=torch.tensor([0.0, 5.0]), std=torch.tensor([1.0, 0.0]))
    assert layer(torch.tensor([[1.0, 5.0]])).tolist() == [[1.0, 0.0]]


def test_frames_to_another_width() -> None:
    layer = Frames(2, 3, mean=torch.tensor([1.0, 1.0]), std=torch.tensor([2.0, 2.0]))
    x = torch.randn(5, 4, 2)
    expected = ((x - 1) / 2) @ layer.linear.weight.T + layer.linear.bias
    torch.testing.assert_close(layer(x), expected)
    assert layer.output_size == 3


def test_statistics_are_copied() -> None:
    mean = torch.zeros(2)
    layer = Frames(2, mean=mean)
    mean.fill_(9.0)
    assert layer.mean.tolist() == [0.0, 0.0]
