"""One-to-many: teacher forcing equals step by step, rows are their inputs', and layers fit each other."""

from __future__ import annotations

import pytest
import torch

from unrolled.errors import ArgumentError
from unrolled.layers import GRU, LSTM, RNN, Embedding, Frames, ImageEncoder, LinearOutput, make_attention
from unrolled.networks import AttentionDecoder, OneToManyNetwork


def network(cell: type = LSTM, attention: str = "general", attributes: int = 4, **options: float) -> OneToManyNetwork:
    torch.manual_seed(0)
    inputs = ImageEncoder(1, (4, 6))
    hidden = cell(5, 6, 2)
    decoder = AttentionDecoder(Embedding(9, 5), hidden, make_attention(attention, 6, 6))
    made = OneToManyNetwork(inputs, decoder, LinearOutput(5, 9), attributes=attributes, **options)  # type: ignore[arg-type]
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return made.eval()


IMAGES = torch.randint(0, 256, (3, 8, 8, 1), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
TOKENS = torch.randint(1, 9, (5, 3), generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("cell", [LSTM, GRU, RNN])
@pytest.mark.parametrize("attention", ["general", "additive", "dot"])
def test_teacher_forcing_equals_step_by_step(cell: type, attention: str) -> None:
    model = network(cell, attention)
    logits, _ = model(IMAGES, TOKENS)
    stepper = model.decoding(IMAGES)
    state = stepper.start(3)
    for t in range(5):
        step, state = stepper.step(TOKENS[t], state)
        assert torch.allclose(step, logits[t], atol=1e-5)
    assert stepper.vocabulary_size == 9


def test_several_sequences_share_one_look_at_their_input() -> None:
    model = network()
    rows = torch.tensor([2, 0, 2])
    logits, attributes = model(IMAGES, TOKENS, torch.tensor([5, 2, 4]), rows)
    alone, _ = model(IMAGES[rows], TOKENS)
    assert torch.allclose(logits[:, 0], alone[:, 0], atol=1e-5)
    assert torch.allclose(logits[:2, 1], alone[:2, 1], atol=1e-5)
    assert attributes is not None
    assert attributes.shape == (3, 4)


def test_attention_sums_to_one_and_depends_on_the_image() -> None:
    model = network()
    with torch.no_grad():
        weights = model.attention(IMAGES, TOKENS)
    assert weights.shape == (5, 3, 16)
    assert torch.allclose(weights.sum(-1), torch.ones(5, 3))
    assert not torch.allclose(weights[:, 0], weights[:, 1], atol=1e-3)


def test_without_attributes_and_over_features() -> None:
    torch.manual_seed(0)
    decoder = AttentionDecoder(Embedding(9, 5), GRU(5, 6), make_attention("general", 6, 7))
    model = OneToManyNetwork(Frames(10, 7), decoder, LinearOutput(5, 9)).eval()
    logits, attributes = model(torch.randn(3, 4, 10), TOKENS)
    assert logits.shape == (5, 3, 9)
    assert attributes is None


def test_gradients_reach_every_parameter() -> None:
    model = network(dropout=0.1).train()
    logits, attributes = model(IMAGES, TOKENS)
    (logits.logsumexp(-1).sum() + logits[..., 1].sum() + attributes.square().sum()).backward()
    missing = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().max() > 0]
    assert missing == []


def test_layers_that_do_not_fit_are_refused() -> None:
    decoder = AttentionDecoder(Embedding(9, 5), GRU(5, 6), make_attention("general", 6, 7))
    with pytest.raises(ArgumentError, match="reads vectors of 7, inputs yields 6"):
        OneToManyNetwork(ImageEncoder(1, (4, 6)), decoder, LinearOutput(5, 9))
    with pytest.raises(ArgumentError, match="attributes, dropout"):
        OneToManyNetwork(ImageEncoder(1, (4, 7)), decoder, LinearOutput(5, 9), attributes=-1)
