"""The layers pass every check of a layer, by each engine and beside torch.nn's."""

from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import pytest
import torch

import unrolled
from unrolled.cells import CELLS, Cell
from unrolled.layers import layer_kind
from unrolled.testing import Check, check_cell, layer_checks


@dataclass(frozen=True)
class MinimalGatedUnit(Cell):
    """A cell as a user writes it, with `step` alone. Source: Zhou et al. 2016, arXiv 1603.09420."""

    name: ClassVar[str] = "mgu"

    @property
    def num_gates(self) -> int:
        return 2

    def state_sizes(self, hidden_size: int) -> tuple[int, ...]:
        return (hidden_size,)

    def parameter_shapes(self, input_size: int, hidden_size: int, bias: bool = True) -> dict[str, tuple[int, ...]]:
        shapes = {"weight_ih": (2 * hidden_size, input_size), "weight_hh": (2 * hidden_size, hidden_size)}
        return shapes | ({"bias_ih": (2 * hidden_size,)} if bias else {})

    def step(self, x_gates, state, params, mask=None):
        (h,) = state
        x_f, x_n = x_gates.chunk(2, -1)
        w_f, w_n = params["weight_hh"].chunk(2)
        f = torch.sigmoid(x_f + h @ w_f.T)
        return ((1 - f) * h + f * torch.tanh(x_n + (f * h) @ w_n.T),)


def walk() -> list[Check]:
    checks: list[Check] = []
    for make, like in ((unrolled.RNN, torch.nn.RNN), (unrolled.LSTM, torch.nn.LSTM), (unrolled.GRU, torch.nn.GRU)):
        for engine in ("auto", "scan"):
            checks += layer_checks(partial(make, engine=engine), like=like)
    checks += layer_checks(partial(unrolled.RNN, nonlinearity="relu"), like=partial(torch.nn.RNN, nonlinearity="relu"))
    everything = {"residual": True, "learn_initial_state": True, "zoneout": (0.2, 0.1)}
    checks += layer_checks(partial(unrolled.LSTM, peephole=True, coupled=True, layer_norm=True, **everything))
    checks += layer_checks(partial(unrolled.LSTM, proj_size=3, peephole=True))
    checks += layer_checks(partial(unrolled.GRU, reset_after=False, layer_norm=True))
    checks += layer_checks(partial(unrolled.Recurrent, MinimalGatedUnit()))
    for name in sorted(CELLS.keys() - {"rnn", "lstm", "gru"}):
        checks += layer_checks(layer_kind(name).layer)
    checks += layer_checks(partial(unrolled.SRU, rescale=True, residual=True, learn_initial_state=True, zoneout=0.2))
    checks += layer_checks(partial(unrolled.LRU, learn_initial_state=True, zoneout=(0.1, 0.2, 0.2)))
    checks += layer_checks(partial(unrolled.SLSTM, num_heads=2, forget_gate_by="exp", zoneout=(0.1, 0, 0, 0)))
    mogrified = partial(unrolled.MogrifierLSTM, rounds=3, rank=2, proj_size=3, peephole=True, layer_norm=True)
    checks += layer_checks(mogrified)
    return checks


@pytest.mark.parametrize("check", walk(), ids=lambda check: check.name)
def test_layer(check: Check) -> None:
    check()


def test_a_cell_of_ones_own_passes_the_checks_of_cells() -> None:
    ran = check_cell(MinimalGatedUnit())
    assert "gradcheck" in ran
    assert "step_backward" not in ran
    assert "mask" not in ran


def test_trace_equals_forward() -> None:
    torch.manual_seed(0)
    layer = unrolled.LSTM(2, 4, num_layers=2, bidirectional=True, zoneout=0.3, residual=True).eval()
    x, lengths = torch.randn(5, 3, 2), torch.tensor([5, 0, 3])
    traces = layer.trace(x, lengths=lengths)
    assert len(traces) == 4
    assert set(traces[0]) == {"h_prev", "c_prev", "i", "f", "g", "o", "c", "tanh_c", "h"}
    for trace in traces:
        assert trace["i"].shape == (5, 3, 4)
        assert trace["c"][3:, 2].abs().max() == 0
    # without zoneout the trace's h is the output itself
    plain = unrolled.GRU(2, 4, bidirectional=True)
    h = torch.cat([trace["h"] for trace in plain.trace(x, lengths=lengths)], -1)
    torch.testing.assert_close(h, plain(x, lengths=lengths)[0], rtol=0, atol=1e-6)
