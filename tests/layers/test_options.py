"""What layers have beyond torch.nn's: regularisers, learned states, initial values."""

from __future__ import annotations

import math

import pytest
import torch

import unrolled
from unrolled.cells import LSTMCell
from unrolled.errors import ArgumentError, EngineError
from unrolled.scan import scan


def seeded(make, *arguments, **options):
    torch.manual_seed(0)
    return make(*arguments, **options)


def ones(layer, batch: int = 64, time: int = 5) -> torch.Tensor:
    return torch.ones(time, batch, layer.input_size)


def test_variational_dropout_between_layers_is_constant_over_time() -> None:
    """A second layer that passes its input on shows the mask: the same zeros at every step, 1/(1 − p) elsewhere."""
    layer = seeded(unrolled.RNN, 1, 8, num_layers=2, nonlinearity="relu", dropout=0.25, variational=True, bias=False)
    with torch.no_grad():
        layer.weight_ih_l0.fill_(1.0)
        layer.weight_hh_l0.zero_()
        layer.weight_ih_l1.copy_(torch.eye(8))
        layer.weight_hh_l1.zero_()
    output = layer(ones(layer))[0]
    assert output.unique().tolist() == pytest.approx([0.0, 4 / 3])
    assert torch.equal(output, output[:1].expand_as(output))
    assert (output[0] == 0).float().mean().item() == pytest.approx(0.25, abs=0.06)
    assert (output[0, 0] == 0).tolist() != (output[0, 1] == 0).tolist()
    layer.variational = False
    changing = layer(ones(layer))[0]
    assert not torch.equal(changing, changing[:1].expand_as(changing))
    layer.eval()
    assert torch.equal(layer(ones(layer))[0], torch.ones(5, 64, 8))


def test_recurrent_dropout_is_one_mask_for_all_steps() -> None:
    """relu with W = I counts steps for units whose recurrence is kept, scaled, and stays at 1 where it is dropped."""
    layer = seeded(unrolled.RNN, 1, 16, nonlinearity="relu", recurrent_dropout=0.5, bias=False)
    with torch.no_grad():
        layer.weight_ih_l0.fill_(1.0)
        layer.weight_hh_l0.copy_(torch.eye(16))
    output = layer(ones(layer, time=4))[0]
    kept = torch.tensor([1.0, 3.0, 7.0, 15.0])  # h_t = 1 + 2 h_{t-1}
    is_kept = output[-1] > 1
    assert is_kept.float().mean().item() == pytest.approx(0.5, abs=0.06)
    assert torch.equal(output, torch.where(is_kept, kept.view(4, 1, 1), torch.ones(())))
    layer.eval()
    assert layer(ones(layer, time=4))[0][-1].unique().tolist() == [4.0]


def test_weight_dropout_zeroes_entries_of_weight_hh_alone_and_anew_each_call() -> None:
    layer = seeded(unrolled.RNN, 1, 32, nonlinearity="relu", weight_dropout=0.25, bias=False)
    with torch.no_grad():
        layer.weight_ih_l0.fill_(0.0)
        layer.weight_hh_l0.copy_(torch.eye(32))
    before = layer.weight_hh_l0.detach().clone()
    x, h_0 = torch.zeros(2, 3, 1), torch.ones(1, 3, 32)
    first, second = layer(x, h_0)[0], layer(x, h_0)[0]
    scale = 4 / 3
    assert first[0].unique().tolist() == pytest.approx([0.0, scale])
    # the same matrix at both steps of a call, for all sequences; another at the next call
    torch.testing.assert_close(first[1], torch.where(first[0] > 0, torch.full((), scale**2), torch.zeros(())))
    assert torch.equal(first[0, 0], first[0, 1])
    assert not torch.equal(first, second)
    assert torch.equal(layer.weight_hh_l0, before)
    layer(x, h_0)[0].sum().backward()
    assert layer.weight_hh_l0.grad is not None
    layer.eval()
    assert torch.equal(layer(x, h_0)[0], torch.ones(2, 3, 32))


def test_weight_dropout_leaves_the_fast_engine_in_place() -> None:
    layer = unrolled.LSTM(2, 3, weight_dropout=0.5, engine="torch")
    assert layer(torch.zeros(4, 1, 2))[0].shape == (4, 1, 3)


def test_zoneout_while_training_keeps_units_and_in_evaluation_averages() -> None:
    layer = seeded(unrolled.RNN, 1, 64, zoneout=0.3, bias=False)
    x, h_0 = torch.ones(1, 32, 1), torch.full((1, 32, 64), 5.0)
    output = layer(x, h_0)[0]
    assert (output == 5.0).float().mean().item() == pytest.approx(0.3, abs=0.04)
    plain = unrolled.RNN(1, 64, bias=False)
    plain.load_state_dict(layer.state_dict())
    expected = plain(x, h_0)[0]
    assert torch.equal(output[output != 5.0], expected[output != 5.0])
    torch.testing.assert_close(layer.eval()(x, h_0)[0], 0.3 * 5.0 + 0.7 * expected)


def test_zoneout_of_each_state_apart() -> None:
    layer = seeded(unrolled.LSTM, 1, 64, zoneout=(0.0, 0.4))
    state = (torch.zeros(1, 32, 64), torch.full((1, 32, 64), 5.0))
    _, (h_n, c_n) = layer(torch.ones(1, 32, 1), state)
    assert (c_n == 5.0).float().mean().item() == pytest.approx(0.4, abs=0.04)
    assert (h_n == 0.0).float().mean().item() == 0.0
    with pytest.raises(ArgumentError, match="zoneout: expected one number or 2, found 3"):
        unrolled.LSTM(1, 4, zoneout=(0.1, 0.1, 0.1))


def test_residual_stacks_add_their_input_where_widths_agree() -> None:
    layer = seeded(unrolled.GRU, 4, 4, num_layers=2, residual=True)
    x, lengths = torch.randn(5, 3, 4), torch.tensor([5, 2, 0])
    first, second = layer.parameter_blocks()
    zeros = (torch.zeros(3, 4),)
    inner = scan(layer.cell, x, zeros, first, lengths=lengths).output
    valid = (torch.arange(5).unsqueeze(1) < lengths).unsqueeze(-1)
    middle = inner + x * valid
    expected = scan(layer.cell, middle, zeros, second, lengths=lengths).output + middle
    torch.testing.assert_close(layer(x, lengths=lengths)[0], expected, rtol=0, atol=1e-6)
    # of another width, the first layer has nothing to add
    wide = seeded(unrolled.GRU, 3, 4, residual=True)
    plain = seeded(unrolled.GRU, 3, 4)
    assert torch.equal(wide(x[..., :3])[0], plain(x[..., :3])[0])


def test_residual_streams_as_it_runs() -> None:
    layer = seeded(unrolled.LSTM, 4, 4, num_layers=3, residual=True).eval()
    x = torch.randn(6, 2, 4)
    state, outputs = None, []
    for t in range(6):
        output, state = layer.step(x[t], state)
        outputs.append(output)
    torch.testing.assert_close(torch.stack(outputs), layer(x)[0], rtol=0, atol=1e-6)


def test_a_learned_initial_state_starts_at_zero_learns_and_gives_way_to_a_given_one() -> None:
    layer = seeded(unrolled.LSTM, 2, 3, num_layers=2, bidirectional=True, learn_initial_state=True)
    assert layer.initial_h.shape == layer.initial_c.shape == (4, 1, 3)
    assert layer.initial_h.abs().max() == 0
    x = torch.randn(4, 5, 2)
    layer(x)[0].sum().backward()
    assert layer.initial_h.grad.abs().min() > 0
    assert layer.initial_c.grad.abs().min() > 0
    with torch.no_grad():
        layer.initial_c.fill_(1.0)
    given = (torch.zeros(4, 5, 3), torch.ones(4, 5, 3))
    torch.testing.assert_close(layer(x)[0], layer(x, given)[0], rtol=0, atol=1e-6)
    assert not torch.equal(layer(x)[0], layer(x, (given[0], given[0]))[0])
    step, _ = seeded(unrolled.GRU, 2, 3, learn_initial_state=True).eval().step(torch.zeros(2, 2))
    assert step.shape == (2, 3)


def test_the_forget_gates_bias() -> None:
    layer = unrolled.LSTM(2, 3, forget_bias=1.0)
    assert (layer.bias_ih_l0 + layer.bias_hh_l0)[3:6].tolist() == [1.0, 1.0, 1.0]
    coupled = unrolled.LSTM(2, 3, coupled=True, forget_bias=2.0)
    assert (coupled.bias_ih_l0 + coupled.bias_hh_l0)[:3].tolist() == [2.0, 2.0, 2.0]
    with pytest.raises(ArgumentError, match="forget_bias: a gru cell has no forget gate"):
        unrolled.GRU(2, 3, forget_bias=1.0)
    with pytest.raises(ArgumentError, match="forget_bias: needs bias=True"):
        unrolled.LSTM(2, 3, bias=False, forget_bias=1.0)


def test_chrono_biases() -> None:
    """Gates that keep begin at ln u, u ~ U(1, T − 1), and the LSTM's input gate at the opposite."""
    layer = unrolled.LSTM(2, 500, chrono=100)
    i, f = (layer.bias_ih_l0 + layer.bias_hh_l0).detach()[:1000].split(500)
    assert torch.equal(i, -f)
    u = f.exp()
    assert 1 <= float(u.min()) < 3
    assert 96 < float(u.max()) <= 99
    assert float(u.mean()) == pytest.approx(50, abs=5)
    gru = unrolled.GRU(2, 4, chrono=10)
    assert float((gru.bias_ih_l0 + gru.bias_hh_l0).detach()[4:8].min()) >= 0
    coupled = unrolled.LSTM(2, 4, coupled=True, chrono=10)
    assert float((coupled.bias_ih_l0 + coupled.bias_hh_l0).detach()[:4].min()) >= 0
    for options, message in (
        ({"chrono": 2}, "chrono: expected an integer of at least 3 steps, found 2"),
        ({"chrono": 9, "forget_bias": 1.0}, "chrono: does not go with forget_bias"),
        ({"chrono": 9, "bias": False}, "chrono: needs bias=True"),
    ):
        with pytest.raises(ArgumentError, match=message):
            unrolled.LSTM(2, 3, **options)
    with pytest.raises(ArgumentError, match="chrono: a rnn cell has no gate that keeps its state"):
        unrolled.RNN(2, 3, chrono=9)


def test_orthogonal_and_identity_initial_values() -> None:
    layer = unrolled.LSTM(3, 4, num_layers=2, initialisation="orthogonal")
    for gate in layer.weight_hh_l1.split(4):
        torch.testing.assert_close(gate @ gate.T, torch.eye(4), rtol=0, atol=1e-5)
    assert layer.bias_ih_l0.abs().max() == 0
    assert layer.weight_ih_l0.abs().max() <= math.sqrt(6 / (3 + 4))
    identity = unrolled.RNN(3, 4, nonlinearity="relu", initialisation="identity")
    assert torch.equal(identity.weight_hh_l0, torch.eye(4))
    with pytest.raises(
        ArgumentError, match="initialisation: expected one of uniform, orthogonal, identity, found 'he'"
    ):
        unrolled.RNN(3, 4, initialisation="he")


def test_layer_norm_starts_as_ones_and_uniform_values_keep_their_bound() -> None:
    layer = unrolled.LSTM(3, 16, layer_norm=True, peephole=True)
    for name in ("norm_ih_l0", "norm_hh_l0", "norm_c_l0"):
        assert layer.get_parameter(name).unique().tolist() == [1.0]
    assert layer.norm_c_bias_l0.abs().max() == 0
    assert 0 < layer.weight_peephole_l0.abs().max() <= 0.25
    assert layer.weight_hh_l0.abs().max() <= 0.25


def test_truncation_changes_gradients_and_no_value() -> None:
    x = torch.randn(6, 1, 2, requires_grad=True)
    whole, cut = seeded(unrolled.GRU, 2, 3), seeded(unrolled.GRU, 2, 3, truncate=2)
    assert cut.engine.name in ("scan", "native")
    torch.testing.assert_close(cut(x)[0], whole(x)[0], rtol=0, atol=1e-6)
    (dx,) = torch.autograd.grad(cut(x)[0][5].sum(), x)
    assert [bool(d.abs().sum() > 0) for d in dx] == [False] * 4 + [True] * 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dropout": -0.1}, "dropout: expected a probability from 0 to 1, found -0.1"),
        ({"dropout": True}, "dropout: expected a probability from 0 to 1, found True"),
        ({"recurrent_dropout": 1.0}, "recurrent_dropout: expected a probability"),
        ({"weight_dropout": float("nan")}, "weight_dropout: expected a probability .* found nan"),
        ({"zoneout": 1.5}, "zoneout of h: expected a probability .* found 1.5"),
        ({"zoneout": (0.1, -1.0)}, "zoneout of c: expected a probability .* found -1.0"),
        ({"truncate": 0}, "truncate: expected at least 1 step, found 0"),
        ({"truncate": 2.5}, "truncate: expected at least 1 step, a whole number, found 2.5"),
        ({"num_layers": True}, "num_layers: expected an integer of at least 1, found True"),
        ({"proj_size": 3}, "proj_size: expected less than hidden_size=3, found 3"),
    ],
)
def test_options_out_of_range(options: dict, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        unrolled.LSTM(2, 3, **options)


def test_streaming_refuses_what_it_can_not_do() -> None:
    with pytest.raises(ArgumentError, match="step: a bidirectional layer reads the future and can't be streamed"):
        unrolled.LSTM(2, 3, bidirectional=True).step(torch.zeros(1, 2))
    layer = unrolled.LSTM(2, 3, zoneout=0.1)
    with pytest.raises(ArgumentError, match=r"step: dropout and zoneout are for training .* call eval\(\) first"):
        layer.step(torch.zeros(1, 2))
    assert layer.eval().step(torch.zeros(1, 2))[0].shape == (1, 3)


def test_recurrent_dropout_of_a_cell_without_a_mask() -> None:
    class Maskless(LSTMCell):
        name = "maskless"
        accepts_mask = False

    with pytest.raises(ArgumentError, match="recurrent_dropout: the step of cell 'maskless' takes no mask"):
        unrolled.Recurrent(Maskless(), 2, 3, recurrent_dropout=0.1)


def test_regularisers_are_reproducible_by_seed() -> None:
    options = {"dropout": 0.3, "recurrent_dropout": 0.3, "zoneout": 0.1, "weight_dropout": 0.2, "variational": True}
    layer, x = seeded(unrolled.GRU, 2, 5, num_layers=2, **options), torch.randn(4, 3, 2)
    torch.manual_seed(5)
    first = layer(x)[0]
    torch.manual_seed(5)
    assert torch.equal(layer(x)[0], first)
    assert not torch.equal(layer(x)[0], first)


def test_a_parametrized_weight_is_what_runs() -> None:
    layer = seeded(unrolled.GRU, 2, 3)
    torch.nn.utils.parametrizations.orthogonal(layer, "weight_ih_l0")
    x = torch.randn(4, 1, 2)
    plain = unrolled.GRU(2, 3)
    plain.load_state_dict({n: getattr(layer, n) for n in ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")})
    torch.testing.assert_close(layer(x)[0], plain(x)[0], rtol=0, atol=1e-6)
    torch.testing.assert_close(layer.step(x[0])[0], plain.step(x[0])[0], rtol=0, atol=1e-6)


def test_a_forced_engine_and_zoneout() -> None:
    layer = unrolled.LSTM(2, 3, zoneout=0.1, engine="torch")
    with pytest.raises(EngineError, match="torch has no recurrent dropout or zoneout"):
        layer(torch.zeros(4, 1, 2))


def test_what_is_printed() -> None:
    layer = unrolled.GRU(2, 3, num_layers=2, bias=False, batch_first=True, dropout=0.1, zoneout=0.2)
    assert repr(layer) == (
        "GRU(GRUCell(layer_norm=False, reset_after=True), 2, 3, num_layers=2, bias=False, batch_first=True, "
        "dropout=0.1, zoneout=(0.2,))"
    )
