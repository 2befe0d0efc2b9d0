"""The monitor of gradients over time: right numbers, the right verdict, said once, the same run as without it."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from unrolled import GRU, LRU, LSTM, RNN, SLSTM, SRU, IndRNN
from unrolled.layers.recurrent.unfolding import recording
from unrolled.training.gradients import flow as module
from unrolled.training.gradients.flow import FlowMonitor, norms_by_lag
from unrolled.training.gradients.verdict import CLIPPING, advice_in_place, judge


def autograd_norms(layer: Any, x: Tensor, weight: Tensor) -> list[float]:
    """‖∂L/∂s_t‖ for t from the last to the first, L = weight · h_T, s all states, every one a node of its own."""
    followed = len(layer.cell.state_names)
    params = layer.parameter_blocks()[0]
    state = layer.cell.initial_state(x.shape[1], layer.hidden_size, x)
    hs = []
    for t in range(len(x)):
        state = layer.cell.step(layer.cell.project_input(x[t], params), state, params)
        state = (*(s.clone() for s in state[:followed]), *state[followed:])
        hs.append(state[:followed])
    grads = torch.autograd.grad((hs[-1][0] * weight).sum(), [h for at in hs for h in at], allow_unused=True)
    squares = torch.tensor([0.0 if g is None else float(g.square().sum()) for g in grads], dtype=torch.float64)
    norms: list[float] = squares.view(-1, followed).sum(1).sqrt().flip(0).tolist()
    return norms


@pytest.mark.parametrize("kind", [RNN, LSTM, GRU, SRU, LRU, SLSTM])
@pytest.mark.parametrize("batch_first", [False, True])
def test_norms_are_those_of_autograd(kind: Any, batch_first: bool) -> None:
    torch.manual_seed(0)
    layer = kind(3, 7, batch_first=batch_first, dtype=torch.float64)
    x, weight = torch.randn(9, 2, 3, dtype=torch.float64), torch.randn(2, 7, dtype=torch.float64)
    with recording(layer, retain=True) as calls:
        output, _ = layer(x.transpose(0, 1) if batch_first else x)
    last = output[:, -1] if batch_first else output[-1]
    ((last * weight).sum() + output.pow(2).sum() * 0).backward()
    found = norms_by_lag(calls[0])
    assert list(found) == ["l0"]
    assert found["l0"] == pytest.approx(autograd_norms(layer, x, weight), rel=1e-9)


def test_an_output_that_is_not_fed_back_is_no_vanished_error() -> None:
    torch.manual_seed(0)
    layer = LRU(3, 8)
    with recording(layer, retain=True) as calls:
        output, _ = layer(torch.randn(40, 2, 3))
    output[-1].sum().backward()
    assert judge("l0", norms_by_lag(calls[0])["l0"], "lru").kind == "healthy"


@pytest.mark.parametrize(("cell", "gated", "matrix"), [("", 1, 1), ("rnn", 1, 1), ("gru", 0, 1), ("slstm", 0, 1)])
def test_advice_fits_the_cell(cell: str, gated: int, matrix: int) -> None:
    remedies = judge("l", [0.3**k for k in range(12)], cell).remedies
    assert sum("gated cell" in advice for advice in remedies) == gated
    assert sum("weight_hh" in advice for advice in remedies) == matrix


@pytest.mark.parametrize("cell", ["mingru", "minlstm", "sru", "rglru", "lru", "indrnn"])
def test_no_matrix_is_to_be_made_orthogonal_where_there_is_none(cell: str) -> None:
    for rate in (0.3, 3.0):
        remedies = judge("l", [rate**k for k in range(12)], cell).remedies
        assert remedies
        assert not any("weight_hh" in advice for advice in remedies)


def test_a_long_sequence_is_looked_at_from_its_end_with_the_state_that_enters_there() -> None:
    torch.manual_seed(0)
    layer = LSTM(3, 5, dtype=torch.float64)
    x, weight = torch.randn(30, 1, 3, dtype=torch.float64), torch.randn(1, 5, dtype=torch.float64)
    with recording(layer, retain=True) as calls:
        output, _ = layer(x)
    (output[-1] * weight).sum().backward()
    found = norms_by_lag(calls[0], lags=8)["l0"]
    assert len(found) == 8
    assert found == pytest.approx(autograd_norms(layer, x, weight)[:8], rel=1e-9)


def test_ragged_and_both_directions_are_told_each_from_its_own_last_step() -> None:
    torch.manual_seed(0)
    layer = GRU(3, 5, bidirectional=True, dtype=torch.float64)
    x, lengths = torch.randn(10, 3, 3, dtype=torch.float64), torch.tensor([4, 10, 2])
    with recording(layer, retain=True) as calls:
        output, _ = layer(x, lengths=lengths)
    weight = torch.randn(10, dtype=torch.float64)
    (output[9, 1] * weight).sum().backward(retain_graph=True)
    found = norms_by_lag(calls[0], sequences=1)
    assert list(found) == ["l0", "l0_reverse"]
    alone = GRU(3, 5, dtype=torch.float64)
    alone.load_state_dict({k: v for k, v in layer.state_dict().items() if not k.endswith("_reverse")})
    assert found["l0"] == pytest.approx(autograd_norms(alone, x[:, 1:2], weight[None, :5]), rel=1e-9)
    # nothing was asked of the first step, where the reversed direction ends
    assert found["l0_reverse"] == [0.0] * 10


def test_verdicts_have_evidence_and_remedies() -> None:
    verdict = judge("hidden.l0", [2.0 * 0.4**k for k in range(12)])
    assert (verdict.kind, verdict.lag) == ("vanishing", 8)
    assert verdict.rate == pytest.approx(0.4)
    assert "8 steps back is 0.000655 of that at the loss" in verdict.evidence
    assert "gated cell" in verdict.remedies[0]
    assert judge("l", [1.0, math.inf, 1.0, 1.0, 1.0]).kind == "exploding"
    assert judge("l", [1.0] * 3).kind == "unknown"
    assert judge("l", [0.0] * 9).kind == "unknown"
    # an error that comes back later has not vanished at the lag where it was small
    assert judge("l", [1, 1e-5, 1, 1e-4, 1e-5, 1e-6]).lag == 3


class Network(nn.Module):
    def __init__(self, scale: float) -> None:
        super().__init__()
        self.hidden = RNN(2, 16, initialisation="orthogonal")
        with torch.no_grad():
            self.hidden.weight_hh_l0.mul_(scale)


def looked_at(network: Any, times: int, monkeypatch: pytest.MonkeyPatch) -> tuple[FlowMonitor, list[str]]:
    monkeypatch.setattr(module, "EVERY", 1)
    monkeypatch.setattr(module, "SHARE", float("inf"))
    monitor, said = FlowMonitor(network), []
    x = torch.randn(40, 2, 2, generator=torch.Generator().manual_seed(0)) * 0.1
    for step in range(1, times + 1):
        with monitor.watching(step):
            output, _ = network.hidden(x)
        output[-1].sum().backward()
        said += monitor.observe()
    return monitor, said


def test_an_illness_is_said_once_after_three_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    monitor, said = looked_at(Network(0.5), 6, monkeypatch)
    [sentence] = said
    assert sentence.startswith("gradients over time in hidden.l0: vanishing; the error ")
    assert "Try a gated cell" in sentence
    assert monitor.report is not None
    assert monitor.report["hidden.l0"]["verdict"] == "vanishing"
    assert len(monitor.report["hidden.l0"]["norms"]) == 40
    assert looked_at(Network(0.5), 2, monkeypatch)[1] == []
    assert looked_at(Network(1.0), 6, monkeypatch)[1] == []


def test_what_was_said_is_not_said_again_after_a_resume(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    network = Network(0.5)
    monitor, _ = looked_at(network, 6, monkeypatch)
    again = FlowMonitor(network)
    again.load_state_dict(monitor.state_dict())
    assert again.state_dict() == monitor.state_dict()


def test_looks_that_would_take_too_long_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    monkeypatch.setattr(module, "EVERY", 1)
    monkeypatch.setattr(module, "SHARE", 1e-9)
    monitor, x = FlowMonitor(network := Network(0.5)), torch.randn(40, 2, 2)
    looks = 0
    for step in range(1, 6):
        with monitor.watching(step):
            output, _ = network.hidden(x)
        output[-1].sum().backward()
        monitor.observe()
        looks += monitor.report is not None
        monitor.report = None
    assert looks == 1


def test_a_network_without_recurrent_layers_is_left_alone() -> None:
    monitor = FlowMonitor(nn.Linear(2, 2))
    with monitor.watching(module.FIRST):
        pass
    assert monitor.observe() == []
    assert monitor.report is None


def test_an_encoder_of_which_only_the_final_state_is_used_is_looked_at() -> None:
    torch.manual_seed(0)
    layer = GRU(3, 5, dtype=torch.float64)
    x, weight = torch.randn(9, 2, 3, dtype=torch.float64), torch.randn(2, 5, dtype=torch.float64)
    with recording(layer, retain=True) as calls:
        _, final = layer(x)
    (final[0] * weight).sum().backward()
    assert norms_by_lag(calls[0])["l0"] == pytest.approx(autograd_norms(layer, x, weight), rel=1e-9)


def test_what_autocast_made_narrower_is_walked_back_all_the_same() -> None:
    layer = LSTM(3, 5)
    with torch.autocast("cpu", torch.bfloat16), recording(layer, retain=True) as calls:
        output, _ = layer(torch.randn(8, 2, 3).bfloat16())
        output[-1].float().sum().backward()
    assert len(norms_by_lag(calls[0])["l0"]) == 8


def test_an_error_that_fades_is_judged_by_how_far_back_it_is_needed() -> None:
    fading = [0.8**k for k in range(64)]
    verdict = judge("l", fading, "lstm", needed=10)
    assert (verdict.kind, verdict.lag, verdict.remedies) == ("healthy", 31, ())
    assert "every step has a loss of its own" in verdict.evidence
    assert judge("l", fading, "lstm").kind == "vanishing"
    assert judge("l", [0.4**k for k in range(64)], "lstm", needed=10).kind == "vanishing"


@pytest.mark.parametrize(("at_each_step", "kind"), [(True, "healthy"), (False, "vanishing")])
def test_a_loss_at_the_end_alone_needs_the_error_from_everywhere(at_each_step: bool, kind: str) -> None:
    torch.manual_seed(0)
    layer = RNN(3, 8, initialisation="orthogonal")
    with torch.no_grad():
        layer.weight_hh_l0.mul_(0.75)
    with recording(layer, retain=True) as calls:
        output, _ = layer(0.01 * torch.randn(60, 2, 3))
    (output if at_each_step else output[-1]).sum().backward()
    [(name, norms)] = norms_by_lag(calls[0]).items()
    verdict = module.verdict_on(calls[0], name, norms)
    assert (verdict.kind, verdict.lag) == (kind, 25)


@pytest.mark.parametrize(
    ("options", "advice"),
    [
        ({"forget_bias": 1.0}, "forget-gate"),
        ({"chrono": 50}, "forget-gate"),
        ({"initialisation": "orthogonal"}, "weight_hh"),
        ({"layer_norm": True}, "layer normalisation"),
    ],
)
def test_advice_never_names_what_is_in_place(options: dict[str, Any], advice: str) -> None:
    norms = [0.3**k for k in range(12)]
    for layer, expected in ((LSTM(2, 4), True), (LSTM(2, 4, **options), False)):
        remedies = judge("l", norms, "lstm", in_place=advice_in_place(layer)).remedies
        assert any(advice in remedy for remedy in remedies) is expected
    biased = judge("l", norms, "lstm", in_place=advice_in_place(LSTM(2, 4, forget_bias=-3.0))).remedies
    assert "a forget-gate bias of 1 or more" in biased
    without = judge("l", norms, "indrnn", in_place=advice_in_place(IndRNN(2, 4))).remedies
    assert not any("layer normalisation" in remedy for remedy in without), "it has no such option"
    clipped = judge("l", [3.0**k for k in range(12)], "rnn", in_place={CLIPPING}).remedies
    assert clipped
    assert not any("clipping" in remedy for remedy in clipped)
