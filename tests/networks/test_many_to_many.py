"""Encoder, attention and decoder: teacher forcing equals steps, batches equal rows, padding is never read."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from unrolled.decoding import beam_search, read
from unrolled.errors import ArgumentError, ShapeError
from unrolled.layers import GRU, LRU, LSTM, SLSTM, SRU, STACKS, Embedding, LinearOutput, make_attention
from unrolled.networks import AttentionDecoder, ManyToManyNetwork

V, E, H, M = 11, 6, 8, 8
FORMS: dict[str, dict[str, Any]] = {
    "plain": {},
    "fed": {"feeding": True},
    "upper": {"upper": 1},
    "fed deep": {"feeding": True, "layers": 2},
    "upper deep": {"upper": 2, "cell": LSTM},
    "fed lstm": {"feeding": True, "cell": LSTM, "attention": "general", "layers": 2},
    "dot": {"cell": LSTM, "attention": "dot"},
}


def made(
    feeding: bool = False,
    layers: int = 1,
    upper: int = 0,
    cell: Any = GRU,
    attention: str = "additive",
    dropout: float = 0.0,
) -> ManyToManyNetwork:
    torch.manual_seed(0)
    source, target = Embedding(V, E, dropout=dropout), Embedding(V, E, dropout=dropout)
    encoder = cell(E, M // 2, bidirectional=True)
    hidden = cell(2 * E if feeding else E, H, layers)
    above = cell(H + M, H, upper) if upper else None
    decoder = AttentionDecoder(
        target, hidden, make_attention(attention, H, M), upper=above, input_feeding=feeding, dropout=dropout
    )
    output = LinearOutput(E, V, tied=target.weight)
    return ManyToManyNetwork(source, encoder, decoder, output, dropout=dropout, smoothing=0.1).double()


@pytest.fixture(params=FORMS)
def network(request: pytest.FixtureRequest) -> ManyToManyNetwork:
    return made(**FORMS[request.param]).eval()


SOURCE_LENGTHS, TARGET_LENGTHS = torch.tensor([5, 2, 4]), torch.tensor([3, 4, 1])


def drawn() -> tuple[torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(1)
    return torch.randint(V, (5, 3), generator=draw), torch.randint(V, (4, 3), generator=draw)


def test_teacher_forcing_equals_steps(network: ManyToManyNetwork) -> None:
    source, target = drawn()
    logits = network(source, SOURCE_LENGTHS, target)
    _, weights = network.features(source, SOURCE_LENGTHS, target)
    decoding = network.decoding(source, SOURCE_LENGTHS)
    state = decoding.start(3)
    attended = torch.zeros(3, 5).double()
    for t, tokens in enumerate(target):
        found, state = decoding.step(tokens, state)
        torch.testing.assert_close(found, logits[t])
        attended = attended + weights[t]
        torch.testing.assert_close(state.attended, attended)
    assert decoding.vocabulary_size == V


def test_a_batch_equals_its_rows(network: ManyToManyNetwork) -> None:
    source, target = drawn()
    together = network(source, SOURCE_LENGTHS, target, TARGET_LENGTHS)
    for b, (s, t) in enumerate(zip(SOURCE_LENGTHS, TARGET_LENGTHS, strict=True)):
        alone = network(source[:s, b : b + 1], None, target[:t, b : b + 1])
        torch.testing.assert_close(together[:t, b : b + 1], alone)


def test_what_pads_is_never_read(network: ManyToManyNetwork) -> None:
    source, target = drawn()
    other, expected = source.clone(), drawn()[1]
    other[2:, 1] = 7
    first = network.loss(source, SOURCE_LENGTHS, target, TARGET_LENGTHS, expected)
    for b, t in enumerate(TARGET_LENGTHS):
        target, expected = target.clone(), expected.clone()
        target[t:, b], expected[t:, b] = 9, 3
    second = network.loss(other, SOURCE_LENGTHS, target, TARGET_LENGTHS, expected)
    assert first[2] == second[2] == 8
    torch.testing.assert_close(first[0], second[0])
    assert torch.equal(first[1], second[1])


def test_the_loss_is_that_of_all_logits(network: ManyToManyNetwork) -> None:
    source, target = drawn()
    expected = drawn()[1]
    mean, total, count = network.loss(source, SOURCE_LENGTHS, target, TARGET_LENGTHS, expected)
    rows = torch.cat([network(source, SOURCE_LENGTHS, target)[:t, b] for b, t in enumerate(TARGET_LENGTHS)])
    wanted = torch.cat([expected[:t, b] for b, t in enumerate(TARGET_LENGTHS)])
    torch.testing.assert_close(mean, F.cross_entropy(rows, wanted, label_smoothing=0.1))
    torch.testing.assert_close(total, F.cross_entropy(rows, wanted, reduction="sum").detach())
    assert count == 8


@pytest.mark.parametrize("kind", [*STACKS.values(), partial(GRU, layer_norm=True)], ids=str)
@pytest.mark.parametrize("feeding", [False, True])
def test_any_cell_can_write(kind: Any, feeding: bool) -> None:
    """Teacher forcing equals steps, and rows do not see each other, whatever the cell makes of x and of its states."""
    network = made(feeding=feeding, layers=2, cell=kind).eval()
    test_teacher_forcing_equals_steps(network)
    test_a_batch_equals_its_rows(network)


def test_states_that_can_not_begin_anywhere_begin_with_zeros() -> None:
    for kind, free in ((SLSTM, 1), (LRU, 2), (SRU, 1), (LSTM, 2)):
        decoder = made(cell=kind, layers=2).decoder
        assert decoder.state_width == free * 2 * H
        network = made(cell=kind, layers=2).eval()
        state = network.decoding(*drawn()[:1]).start(3).hidden
        given = [bool(part.abs().sum() > 0) for part in state]
        names = network.decoder.hidden.cell.state_names
        assert [n for n, g in zip(names, given, strict=True) if g] == list(network.decoder.hidden.cell.free_states)


@pytest.mark.parametrize("form", ["plain", "fed lstm", "upper"])
def test_gradients(form: str) -> None:
    network = made(**FORMS[form])
    source, target = drawn()
    names = [name for name, _ in network.named_parameters()]
    parameters = [p.detach().clone().requires_grad_() for p in network.parameters()]

    def run(*parameters: torch.Tensor) -> torch.Tensor:
        own = dict(zip(names, parameters, strict=True))
        found: torch.Tensor = torch.func.functional_call(network, own, (source, SOURCE_LENGTHS, target))
        return found[:, :, :3].sum((0, 1)) + found[-1].square().sum()

    assert torch.autograd.gradcheck(run, parameters, fast_mode=True)


def test_selected_rows_go_on_as_they_were(network: ManyToManyNetwork) -> None:
    source, target = drawn()
    decoding = network.decoding(source, SOURCE_LENGTHS)
    _, state = decoding.step(target[0], decoding.start(3))
    rows = torch.tensor([2, 0, 0, 1])
    expected, _ = decoding.step(target[1], state)
    found, _ = decoding.step(target[1][rows], decoding.select(state, rows))
    torch.testing.assert_close(found, expected[rows])


def test_beams_over_several_sources_equal_one_by_one(network: ManyToManyNetwork) -> None:
    source, _ = drawn()
    start = torch.zeros(3, 1, dtype=torch.int64)

    def search(source: torch.Tensor, lengths: torch.Tensor, start: torch.Tensor) -> Any:
        decoding = network.decoding(source, lengths)
        logits, state = read(decoding, start, decoding.start(len(start)))
        return beam_search(decoding, state, logits, beam_size=3, max_tokens=5, end_ids=(0,), n_best=2)

    together = search(source, SOURCE_LENGTHS, start)
    for b, n in enumerate(SOURCE_LENGTHS):
        (alone,) = search(source[:n, b : b + 1], SOURCE_LENGTHS[b : b + 1], start[:1])
        assert [h.tokens for h in alone] == [h.tokens for h in together[b]]
        assert [h.log_prob for h in alone] == pytest.approx([h.log_prob for h in together[b]], abs=1e-9)


def test_scores_are_the_networks_own(network: ManyToManyNetwork) -> None:
    source, _ = drawn()
    decoding = network.decoding(source[:, :1])
    logits, state = decoding.step(torch.tensor([0]), decoding.start(1))
    (found,) = beam_search(decoding, state, logits, beam_size=4, max_tokens=4, end_ids=(0,), n_best=4)
    for hypothesis in found:
        written = torch.tensor([0, *hypothesis.tokens[:-1]]).unsqueeze(1)
        log_probs = network(source[:, :1], None, written).log_softmax(-1)[:, 0]
        expected = sum(log_probs[t, token].item() for t, token in enumerate(hypothesis.tokens))
        assert hypothesis.log_prob == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("form", ["plain", "fed", "upper"])
def test_dropout_is_drawn_while_training_alone(form: str) -> None:
    network = made(**FORMS[form], dropout=0.4)
    source, target = drawn()
    torch.manual_seed(0)
    one, two = (network(source, SOURCE_LENGTHS, target) for _ in range(2))
    assert not torch.equal(one, two)
    network.eval()
    one, two = (network(source, SOURCE_LENGTHS, target) for _ in range(2))
    assert torch.equal(one, two)


def test_layers_that_do_not_fit_are_named() -> None:
    target, attention = Embedding(V, E), make_attention("general", H, M)
    with pytest.raises(ArgumentError, match=r"hidden: expected input_size=12, batch_first=False and one direction"):
        AttentionDecoder(target, GRU(E, H), attention, input_feeding=True)
    with pytest.raises(ArgumentError, match="hidden: expected input_size=6"):
        AttentionDecoder(target, GRU(E, H // 2, bidirectional=True), attention)
    with pytest.raises(ArgumentError, match="attention: query_size 8, hidden yields 7"):
        AttentionDecoder(target, GRU(E, 7), attention)
    with pytest.raises(ArgumentError, match="upper: expected input_size=16"):
        AttentionDecoder(target, GRU(E, H), attention, upper=GRU(H, H))
    with pytest.raises(ArgumentError, match="upper: not possible with input_feeding"):
        AttentionDecoder(target, GRU(2 * E, H), attention, upper=GRU(H + M, H), input_feeding=True)
    with pytest.raises(ArgumentError, match=r"dropout: expected 0 to below 1, found 1"):
        AttentionDecoder(target, GRU(E, H), attention, dropout=1)
    decoder = AttentionDecoder(target, GRU(E, H), attention)
    output = LinearOutput(E, V)
    with pytest.raises(ArgumentError, match="encoder: expected input_size=6"):
        ManyToManyNetwork(target, GRU(7, M), decoder, output)
    with pytest.raises(ArgumentError, match="its attention reads vectors of 8, the encoder yields 5"):
        ManyToManyNetwork(target, GRU(E, 5), decoder, output)
    network = ManyToManyNetwork(target, GRU(E, M), decoder, output).eval()
    with pytest.raises(ShapeError, match=r"batch_size: expected shape \(B=3,\), one row per source, found \(2,\)"):
        network.decoding(drawn()[0]).start(2)
