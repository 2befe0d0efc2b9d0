"""The error walking back by hand through a whole stack: what autograd finds through the same stack, step by step."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from unrolled import GRU, LRU, LSTM, RGLRU, RNN, SLSTM, SRU, IndRNN, MinGRU, MogrifierLSTM
from unrolled.errors import ArgumentError, ShapeError
from unrolled.layers.recurrent.unfolding import Unfolding, columns, recording

T, B, WIDTH, H = 6, 3, 4, 5
LENGTHS = torch.tensor([6, 2, 4])


def made(kind: type, **options: Any) -> Any:
    torch.manual_seed(4)
    return kind(WIDTH, H, dtype=torch.float64, **options).eval()


CASES = [
    (RNN, {}),
    (RNN, {"nonlinearity": "relu", "num_layers": 2, "bidirectional": True}),
    (LSTM, {"num_layers": 2}),
    (LSTM, {"num_layers": 3, "bidirectional": True, "proj_size": 2, "residual": True}),
    (LSTM, {"layer_norm": True, "peephole": True, "zoneout": 0.2}),
    (GRU, {"num_layers": 2, "batch_first": True}),
    (GRU, {"reset_after": False, "bias": False, "residual": True, "num_layers": 2}),
    (SRU, {"num_layers": 2, "bidirectional": True, "rescale": True}),
    (RGLRU, {"num_layers": 2}),
    (LRU, {"num_layers": 2, "zoneout": 0.2}),
    (SLSTM, {"num_layers": 2}),
    (MogrifierLSTM, {"num_layers": 2, "proj_size": 3}),
]


@pytest.mark.parametrize("kind, options", CASES)
@pytest.mark.parametrize("lengths", [None, LENGTHS])
def test_gradients_are_those_of_autograd(kind: type, options: dict[str, Any], lengths: Tensor | None) -> None:
    layer = made(kind, **options)
    x = torch.randn(T, B, WIDTH, dtype=torch.float64)
    given = (x.transpose(0, 1).contiguous() if layer.batch_first else x).requires_grad_()
    output, _ = layer(given, lengths=lengths)
    weights = torch.randn_like(output)
    loss = (output * weights).sum()
    expected = torch.autograd.grad(loss, [given, *layer.parameters()])

    found = Unfolding.of(layer, given.detach(), lengths=lengths)
    time_first = weights.transpose(0, 1) if layer.batch_first else weights
    torch.testing.assert_close(found.output, (output.transpose(0, 1) if layer.batch_first else output).detach())
    flows, dx = found.backward(time_first, shares=True)
    assert [flow.name for flow in flows] == found.names
    torch.testing.assert_close(dx.transpose(0, 1) if layer.batch_first else dx, expected[0])
    named = dict(zip([name for name, _ in layer.named_parameters()], expected[1:], strict=True))
    for flow in flows:
        for name, grad in flow.dparams.items():
            torch.testing.assert_close(grad, named[f"{name}_{flow.name}"], msg=f"{flow.name} {name}")


def test_the_errors_are_the_gradients_of_every_state() -> None:
    layer = made(LSTM)
    x = torch.randn(T, B, WIDTH, dtype=torch.float64)
    params = layer.parameter_blocks()[0]
    states: list[tuple[Tensor, ...]] = []
    state = layer.cell.initial_state(B, H, x)
    for t in range(T):
        state = layer.cell.step(layer.cell.project_input(x[t], params), state, params)
        state = tuple(s.clone() for s in state)
        states.append(state)
    loss = states[3][0].pow(2).sum() + states[5][0].sin().sum()
    flat = [s for pair in states for s in pair]
    expected = torch.autograd.grad(loss, flat, allow_unused=True)
    doutput = torch.zeros(T, B, H, dtype=torch.float64)
    doutput[3], doutput[5] = 2 * states[3][0].detach(), states[5][0].detach().cos()
    [flow], _ = Unfolding.of(layer, x).backward(doutput)
    for t in range(T):
        torch.testing.assert_close(flow.errors["h"][t], expected[2 * t])


def test_a_two_step_example_worked_by_hand() -> None:
    """h_t = tanh(w h_{t-1} + u x_t), L = h_2: dL/dh_2 = 1, dL/dh_1 = (1 − h_2²) w, dw = (1 − h_2²) h_1 + …"""
    layer = RNN(1, 1, bias=False, dtype=torch.float64)
    u, w = 0.5, 0.8
    with torch.no_grad():
        layer.weight_ih_l0.fill_(u)
        layer.weight_hh_l0.fill_(w)
    x = torch.tensor([1.0, 2.0], dtype=torch.float64).view(2, 1, 1)
    h1 = torch.tensor(u).double().tanh()
    h2 = (w * h1 + 2 * u).tanh()
    d2 = 1 - h2**2
    d1 = d2 * w * (1 - h1**2)
    doutput = torch.tensor([0.0, 1.0], dtype=torch.float64).view(2, 1, 1)
    [flow], _ = Unfolding.of(layer, x).backward(doutput, shares=True)
    torch.testing.assert_close(flow.errors["h"].flatten(), torch.stack([d2 * w, torch.ones_like(d2)]))
    torch.testing.assert_close(flow.dparams["weight_hh"].flatten(), (d2 * h1).view(1))
    torch.testing.assert_close(flow.dparams["weight_ih"].flatten(), (d2 * 2 + d1 * 1).view(1))
    torch.testing.assert_close(flow.shares["weight_ih"], torch.stack([d1, d2 * 2]))
    torch.testing.assert_close(flow.shares["weight_hh"], torch.stack([0 * d1, d2 * h1]))


@pytest.mark.parametrize("kind", [RNN, LSTM, GRU, MinGRU, SRU, RGLRU, LRU, IndRNN, SLSTM, MogrifierLSTM])
@pytest.mark.parametrize("width", [WIDTH, H])
def test_each_steps_share_is_the_gradient_of_weights_that_are_its_own(kind: type, width: int) -> None:
    """The norm of a step's share against autograd through a copy of every parameter for each step."""
    torch.manual_seed(4)
    options = {"layer_norm": True} if kind in (RNN, LSTM, GRU) else {}
    layer: Any = kind(width, H, dtype=torch.float64, **options).eval()
    x, weights = torch.randn(T, B, width, dtype=torch.float64), torch.randn(T, B, H, dtype=torch.float64)
    cell, params = layer.cell, layer.parameter_blocks()[0]
    copies = [{n: p.detach().clone().requires_grad_() for n, p in params.items()} for _ in range(T)]
    state, loss = cell.initial_state(B, H, x), x.new_zeros(())
    for t in range(T):
        state = cell.step(cell.project_input(x[t], copies[t]), state, copies[t])
        loss = loss + (state[0] * weights[t]).sum()
    loss.backward()
    [flow], _ = Unfolding.of(layer, x).backward(weights, shares=True)
    assert set(flow.shares) == set(params)
    for name, found in flow.shares.items():
        expected = [torch.zeros(()) if c[name].grad is None else c[name].grad.norm() for c in copies]
        torch.testing.assert_close(found, torch.stack(expected).to(found.dtype), rtol=1e-9, atol=1e-12)


def test_a_linear_network_has_the_norms_of_the_closed_form() -> None:
    """Where every ReLU is open, ∂h_T/∂h_{T−k} = W^k; with W a rotation times ρ the error's norm is ρ^k exactly."""
    rho, angle = 0.7, 0.05
    layer = RNN(2, 2, nonlinearity="relu", bias=True, dtype=torch.float64)
    cos, sin = torch.cos(torch.tensor(angle)).double(), torch.sin(torch.tensor(angle)).double()
    with torch.no_grad():
        layer.weight_hh_l0.copy_(rho * torch.stack([torch.stack([cos, -sin]), torch.stack([sin, cos])]))
        layer.weight_ih_l0.zero_()
        layer.bias_ih_l0.fill_(10.0)
        layer.bias_hh_l0.zero_()
    x = torch.zeros(12, 1, 2, dtype=torch.float64)
    doutput = torch.zeros(12, 1, 2, dtype=torch.float64)
    doutput[-1, 0, 0] = 1
    [flow], _ = Unfolding.of(layer, x).backward(doutput)
    norms = flow.errors["h"].norm(dim=-1).flatten().flip(0)
    torch.testing.assert_close(norms, rho ** torch.arange(12, dtype=torch.float64))


def test_recording_notes_each_pass_whatever_the_engine() -> None:
    network = torch.nn.Sequential(GRU(WIDTH, H), torch.nn.Identity())
    x = torch.randn(T, B, WIDTH)
    with recording(network, retain=True) as calls:
        output, _ = network[0](x, torch.randn(1, B, H), lengths=LENGTHS)
    output.sum().backward()
    [call] = calls
    assert (call.name, call.layer) == ("0", network[0])
    torch.testing.assert_close(call.x, x)
    assert call.state.shape == (1, B, H)
    assert call.lengths is LENGTHS
    torch.testing.assert_close(call.output.grad, torch.ones(T, B, H))
    network[0](x)
    assert len(calls) == 1


def test_what_can_not_be_laid_open_is_named() -> None:
    with pytest.raises(ArgumentError, match="there is no recurrent layer in it"), recording(torch.nn.Linear(2, 2)):
        pass
    with pytest.raises(ShapeError, match="doutput: expected shape"):
        Unfolding.of(made(GRU), torch.randn(T, B, WIDTH, dtype=torch.float64)).backward(torch.zeros(T, B, H + 1))


def test_columns_of_a_state() -> None:
    h = torch.arange(6.0).view(1, 3, 2)
    assert columns((h, h), torch.tensor([2]))[1].tolist() == [[[4, 5]]]
    assert columns(None, torch.tensor([2])) is None
