"""Which options a layer of each cell takes, what it begins with, and what is refused."""

from __future__ import annotations

import math

import pytest
import torch

import unrolled
from unrolled.cells import CELLS, SLSTMCell
from unrolled.errors import ArgumentError
from unrolled.layers import STACKS, Recurrent, layer_kind

#: each option with a value that asks for it
ASKED = {
    "recurrent_dropout": 0.1,
    "weight_dropout": 0.1,
    "zoneout": 0.1,
    "learn_initial_state": True,
    "initialisation": "orthogonal",
    "forget_bias": 0.0,
    "chrono": 9,
}


def test_every_cell_has_a_layer_of_its_name() -> None:
    assert set(STACKS) == set(CELLS)
    for name, cell in CELLS.items():
        layer = layer_kind(name).layer(2, 4)
        assert type(layer.cell) is cell
        assert layer.cell == cell()
        assert repr(layer) == f"{type(layer).__name__}({cell()!r}, 2, 4)"
        assert getattr(unrolled, type(layer).__name__) is STACKS[name]
    with pytest.raises(ArgumentError, match=r"cell: expected one of lstm, gru, rnn, mingru, .*, found 'gpt'"):
        layer_kind("gpt")


@pytest.mark.parametrize("option", ASKED)
@pytest.mark.parametrize("name", CELLS)
def test_an_option_works_or_is_not_listed_and_refused_by_name(name: str, option: str) -> None:
    kind = layer_kind(name)
    x = torch.randn(5, 2, 3)
    if option in kind.options:
        layer = kind.layer(3, 4, num_layers=2, **{option: ASKED[option]})
        layer(x)[0].sum().backward()
        assert all(p.grad is not None for p in layer.parameters())
    else:
        with pytest.raises(ArgumentError, match=f"^{option}: .*{name}"):
            kind.layer(3, 4, **{option: ASKED[option]})


def test_options_that_any_layer_takes_and_those_of_a_cell() -> None:
    for name in CELLS:
        options = layer_kind(name).options
        assert {"num_layers", "bias", "batch_first", "dropout", "bidirectional", "residual", "truncate"} <= options
    own = {name: layer_kind(name).options - layer_kind("mingru").options - set(ASKED) for name in CELLS}
    assert own == {
        "rnn": {"nonlinearity", "layer_norm"},
        "lstm": {"peephole", "coupled", "proj_size", "layer_norm"},
        "gru": {"reset_after", "layer_norm"},
        "mingru": set(),
        "minlstm": set(),
        "sru": {"highway_bias", "rescale"},
        "rglru": set(),
        "lru": set(),
        "indrnn": {"nonlinearity"},
        "slstm": {"num_heads", "forget_gate_by"},
        "mogrifier": {"rounds", "rank", "peephole", "coupled", "proj_size", "layer_norm"},
    }


def test_states_that_belong_together_are_kept_or_learned_by_none() -> None:
    with pytest.raises(ArgumentError, match="zoneout: the states c, n, m of cell 'slstm' have a meaning only together"):
        unrolled.SLSTM(2, 4, zoneout=0.1)
    with pytest.raises(ArgumentError, match="learn_initial_state: the states c, n, m of cell 'slstm'"):
        unrolled.SLSTM(2, 4, learn_initial_state=True)
    assert unrolled.SLSTM(2, 4, zoneout=(0.1, 0, 0, 0)).zoneout == (0.1, 0, 0, 0)


def test_heads_divide_the_width() -> None:
    with pytest.raises(ArgumentError, match="num_heads: expected a divisor of hidden_size=6, found 4; choose one"):
        unrolled.SLSTM(2, 6, num_heads=4)
    assert unrolled.SLSTM(2, 6, num_heads=3).weight_hh_l0.shape == (24, 2)
    with pytest.raises(ArgumentError, match="initialisation: cell 'slstm' has no matrix from every unit to every gate"):
        unrolled.SLSTM(2, 6, num_heads=3, initialisation="orthogonal")


def test_initial_states_that_no_step_reads_are_not_learned() -> None:
    for layer, names in (
        (unrolled.SRU(2, 3, learn_initial_state=True), {"initial_c"}),
        (unrolled.LRU(2, 3, learn_initial_state=True), {"initial_s_re", "initial_s_im"}),
        (unrolled.MinGRU(2, 3, learn_initial_state=True), {"initial_h"}),
    ):
        assert {n for n, _ in layer.named_parameters() if n.startswith("initial")} == names
    layer = unrolled.SRU(2, 3, num_layers=2, learn_initial_state=True).eval()
    with torch.no_grad():
        layer.initial_c.fill_(0.5)
    x = torch.randn(4, 2, 2)
    given = (torch.randn(2, 2, 3), torch.full((2, 2, 3), 0.5))
    torch.testing.assert_close(layer(x)[0], layer(x, given)[0], rtol=0, atol=1e-6)
    y, state = layer.step(x[0])
    torch.testing.assert_close(y, layer(x[:1])[0][0], rtol=0, atol=1e-6)
    assert [s.shape for s in state] == [(2, 2, 3), (2, 2, 3)]


@pytest.mark.parametrize(("name", "block"), [("lstm", 1), ("minlstm", 0), ("sru", 0), ("slstm", 1), ("mogrifier", 1)])
def test_the_forget_gates_bias(name: str, block: int) -> None:
    layer: Recurrent = layer_kind(name).layer(2, 3, forget_bias=1.5)
    assert layer.bias_ih_l0[3 * block : 3 * block + 3].tolist() == [1.5] * 3
    # the gate that these biases belong to: the higher they are, the more is kept
    kept = []
    for bias in (-3.0, 0.0, 3.0):
        torch.manual_seed(1)
        layer = layer_kind(name).layer(2, 3, forget_bias=bias)
        kept.append(layer.trace(torch.ones(3, 1, 2))[0]["f"][-1])
    assert bool((kept[0] < kept[1]).all())
    assert bool((kept[1] < kept[2]).all())


@torch.no_grad()
def test_what_each_cell_begins_with() -> None:
    torch.manual_seed(0)
    lru = unrolled.LRU(8, 2000)
    re, im = lru.cell.eigenvalues(lru.parameter_blocks()[0])
    modulus = torch.hypot(re, im)
    assert 0.9 <= float(modulus.min()) < 0.91
    assert 0.998 < float(modulus.max()) <= 0.999
    # uniform in area: the mean of |λ|² is that of its bounds
    assert float((modulus**2).mean()) == pytest.approx((0.9**2 + 0.999**2) / 2, abs=0.005)
    torch.testing.assert_close(lru.gamma_log_l0.exp(), (1 - modulus**2).sqrt(), rtol=1e-3, atol=0)
    assert float(lru.weight_ih_l0[:4000].var()) == pytest.approx(1 / 16, rel=0.05)
    assert float(lru.weight_ih_l0[4000:].var()) == pytest.approx(1 / 8, rel=0.05)
    assert float(lru.weight_out_l0.var()) == pytest.approx(1 / 2000, rel=0.05)

    rglru = unrolled.RGLRU(8, 2000)
    slowest = torch.sigmoid(rglru.decay_l0.double()) ** 8
    assert 0.9 <= float(slowest.min()) < 0.901
    assert 0.998 < float(slowest.max()) <= 0.9991
    assert float(slowest.mean()) == pytest.approx(0.9495, abs=0.005)
    assert float(rglru.bias_ih_l0.abs().max()) == 0

    sru = unrolled.SRU(12, 500, highway_bias=-2.0)
    f, r, g, u = sru.weight_ih_l0.split(500)
    for block, variance in ((f, 1 / 24), (r, 1 / 24), (g, 1 / 12), (u, 1 / 12)):
        assert float(block.var()) == pytest.approx(variance, rel=0.07)
    assert sru.bias_ih_l0.tolist() == [0.0] * 500 + [-2.0] * 500
    assert float(sru.weight_peephole_l0.abs().max()) <= math.sqrt(1.5)

    indrnn = unrolled.IndRNN(4, 500)
    assert 0 <= float(indrnn.weight_hh_l0.min()) < 0.05
    assert 0.95 < float(indrnn.weight_hh_l0.max()) <= 1
    assert float(indrnn.weight_ih_l0.abs().max()) <= 0.5

    slstm = unrolled.SLSTM(4, 6, num_heads=2)
    assert slstm.bias_ih_l0.tolist() == [*[0.0] * 6, *(3.0, 4.5, 6.0) * 2, *[0.0] * 12]


@torch.no_grad()
def test_a_highway_keeps_the_variance_of_its_input() -> None:
    """Lei et al., section 3.2: with α a fresh stack passes x on as large as it came, without it smaller."""
    torch.manual_seed(0)
    x = torch.randn(30, 64, 96)
    sizes = {
        rescale: float(unrolled.SRU(96, 96, num_layers=6, rescale=rescale)(x)[0].var()) for rescale in (True, False)
    }
    assert 0.5 < sizes[True] < 2
    assert sizes[False] < 0.1


def test_narrow_weights_are_matrices() -> None:
    """Rounding an IndRNN's recurrent vector would move how long it remembers, and save nothing."""
    layer = unrolled.IndRNN(3, 4).eval()
    x = torch.randn(5, 2, 3)
    narrow = unrolled.IndRNN(3, 4).eval()
    narrow.load_state_dict(layer.state_dict())
    with torch.no_grad():
        narrow.weight_ih_l0.copy_(layer.weight_ih_l0.to(torch.bfloat16))
    layer.weights_dtype = torch.bfloat16
    with torch.no_grad():
        assert torch.equal(layer(x)[0], narrow(x)[0])


def test_options_of_cells_out_of_range() -> None:
    for make, message in (
        (lambda: unrolled.IndRNN(2, 3, nonlinearity="gelu"), "nonlinearity: expected one of tanh, relu, sigmoid"),
        (lambda: unrolled.SLSTM(2, 3, num_heads=0), "num_heads: expected an integer of at least 1, found 0"),
        (lambda: SLSTMCell(forget_gate_by="tanh"), "forget_gate_by: expected one of sigmoid, exp, found 'tanh'"),
        (lambda: unrolled.MogrifierLSTM(2, 3, rounds=-1), "rounds: expected an integer of at least 0, found -1"),
        (lambda: unrolled.MogrifierLSTM(2, 3, rank=1.5), "rank: expected an integer of at least 0, found 1.5"),
        (lambda: unrolled.MogrifierLSTM(2, 3, proj_size=3), "proj_size: expected less than hidden_size=3"),
        (lambda: unrolled.SRU(2, 3, highway_bias=math.nan), "highway_bias: expected a finite number, found nan"),
    ):
        with pytest.raises(ArgumentError, match=message):
            make()
    with pytest.raises(TypeError, match="peephole"):
        unrolled.MinLSTM(2, 3, peephole=True)


@pytest.mark.parametrize("name", ["mogrifier", "slstm"])
def test_the_scan_serves_them_and_says_why(name: str) -> None:
    choice = layer_kind(name).layer(2, 4).eval().engine
    assert choice.name == "scan"
    assert "the native engine has no kernel for" in choice.reason
    assert "torch has no operator for" in choice.reason
