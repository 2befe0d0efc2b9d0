"""Stacks whose layers have widths of their own: each layer is what it would be alone."""

from __future__ import annotations

import copy

import pytest
import torch

import unrolled
from unrolled.cells import CELLS
from unrolled.errors import ArgumentError, ShapeError
from unrolled.layers import STACKS
from unrolled.layers.recurrent.state import StreamState, fingerprint
from unrolled.layers.recurrent.unfolding import Unfolding

WIDTHS = (6, 4, 8)


def _parts(state):
    return state if isinstance(state, tuple) else (state,)


def _alone(layer, index: int):
    """One layer of a stack by itself."""
    first = layer.input_size if index == 0 else WIDTHS[index - 1] * layer.num_directions
    kind = STACKS[layer.cell.name]
    own = kind(first, WIDTHS[index], bidirectional=layer.bidirectional, bias=layer.bias, dtype=torch.float64)
    state = {n.replace("_l0", f"_l{index}"): n for n in own.state_dict()}
    own.load_state_dict({short: layer.state_dict()[n] for n, short in state.items()})
    return own


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("name", CELLS)
def test_layers_of_their_own_width(name: str, bidirectional: bool) -> None:
    torch.manual_seed(0)
    layer = STACKS[name](3, WIDTHS, bidirectional=bidirectional, dtype=torch.float64)
    directions = 1 + bidirectional
    assert (layer.num_layers, layer.hidden_size, layer.hidden_sizes) == (3, 8, WIDTHS)
    x, lengths = torch.randn(5, 2, 3, dtype=torch.float64), torch.tensor([5, 3])
    output, final = layer(x, lengths=lengths)
    assert output.shape == (5, 2, 8 * directions)
    expected = x
    for index, width in enumerate(WIDTHS):
        expected, own = _alone(layer, index)(expected, lengths=lengths)
        for whole, part in zip(_parts(final), _parts(own), strict=True):
            rows = whole[index * directions : (index + 1) * directions]
            torch.testing.assert_close(rows[..., : part.shape[-1]], part)
            assert rows.shape[-1] == 8
            assert width == 8 or not rows[..., width:].any()
    torch.testing.assert_close(output, expected)
    # the state continues where it was
    head, state = layer(x[:2])
    tail, _ = layer(x[2:], state)
    if not bidirectional:
        torch.testing.assert_close(torch.cat([head, tail]), layer(x)[0])


@pytest.mark.parametrize("kind", [unrolled.LSTM, unrolled.GRU, unrolled.MinGRU])
def test_steps_streams_and_saved_states(kind) -> None:
    torch.manual_seed(0)
    layer = kind(3, [6, 4], learn_initial_state=True).eval()
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.uniform_(-0.5, 0.5)
    x = torch.randn(4, 2, 3)
    expected, final = layer(x)
    state, stream = None, layer.stream(2)
    for t in range(4):
        output, state = layer.step(x[t], state)
        torch.testing.assert_close(output, expected[t])
        torch.testing.assert_close(stream.step(x[t]), expected[t])
    for a, b, c in zip(_parts(state), _parts(stream.state), _parts(final), strict=True):
        torch.testing.assert_close(a, c)
        torch.testing.assert_close(b, c)
    saved = StreamState(state, 4, fingerprint(layer)).to_bytes()
    again = StreamState.from_bytes(saved, fingerprint(layer)).tensors
    torch.testing.assert_close(layer.step(x[0], again)[0], layer.step(x[0], state)[0])
    twin = copy.deepcopy(layer)
    twin.load_state_dict(layer.state_dict())
    torch.testing.assert_close(twin(x)[0], expected)


def test_numbers_beyond_a_layers_width_are_not_read() -> None:
    torch.manual_seed(0)
    layer = unrolled.GRU(3, (4, 6))
    x, state = torch.randn(3, 2, 3), torch.randn(2, 2, 6)
    other = state.clone()
    other[0, :, 4:] = float("nan")
    assert torch.equal(layer(x, state)[0], layer(x, other)[0])
    with pytest.raises(ShapeError, match=r"hx: expected shape \(L·D=2, B=2, 6\)"):
        layer(x, state[..., :4])


def test_the_error_is_walked_back() -> None:
    torch.manual_seed(0)
    layer = unrolled.LSTM(3, (6, 4), dtype=torch.float64)
    x = torch.randn(5, 2, 3, dtype=torch.float64, requires_grad=True)
    output, (_, c_n) = layer(x)
    weights, dc = torch.randn_like(output), torch.randn_like(c_n)
    (dx,) = torch.autograd.grad((weights * output).sum() + (dc * c_n).sum(), x)
    torch.testing.assert_close(Unfolding.of(layer, x.detach()).backward(weights, dstate=(None, dc)).dx, dx)


def test_equal_widths_are_one_width() -> None:
    layer = unrolled.LSTM(3, (5, 5), 2)
    assert layer.is_even
    assert layer.hidden_size == 5
    assert repr(unrolled.LSTM(3, (5, 4))).startswith("LSTM(LSTMCell(")
    assert "3, (5, 4), num_layers=2" in repr(unrolled.LSTM(3, (5, 4)))
    layer.load_state_dict(torch.nn.LSTM(3, 5, 2).state_dict())


@pytest.mark.parametrize(
    ("hidden", "layers", "message"),
    [
        ((5, 0), 1, r"hidden_size\[1\]: expected an integer of at least 1, found 0"),
        ((5, 2.5), 1, r"hidden_size\[1\]: expected an integer of at least 1, found 2.5"),
        ((), 1, "num_layers: hidden_size has 0 widths"),
        ((5, 4), 3, "num_layers: hidden_size has 2 widths, found 3 layers; leave it out"),
    ],
)
def test_widths_that_do_not_fit(hidden, layers: int, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        unrolled.LSTM(3, hidden, layers)


def test_exports_say_that_they_lack_it(tmp_path) -> None:
    layer = unrolled.LSTM(3, (5, 4))
    with pytest.raises(ArgumentError, match=r"layer: Keras takes layers of one width, found hidden_size=\(5, 4\)"):
        unrolled.export.to_keras(layer)
