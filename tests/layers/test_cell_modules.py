"""RNNCell, LSTMCell and GRUCell beside torch.nn's: values, gradients to second order, state_dicts, errors."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor, nn

import unrolled
from unrolled.errors import ArgumentError, DTypeError, ShapeError

PAIRS: dict[str, tuple[Callable[..., nn.Module], Callable[..., nn.Module]]] = {
    "rnn_tanh": (unrolled.RNNCell, nn.RNNCell),
    "rnn_relu": (partial(unrolled.RNNCell, nonlinearity="relu"), partial(nn.RNNCell, nonlinearity="relu")),
    "lstm": (unrolled.LSTMCell, nn.LSTMCell),
    "gru": (unrolled.GRUCell, nn.GRUCell),
}


def pair(kind: str, *, bias: bool = True, dtype: torch.dtype = torch.float64) -> tuple[nn.Module, nn.Module]:
    ours, theirs = PAIRS[kind]
    torch.manual_seed(3)
    cell = ours(4, 7, bias=bias, dtype=dtype)
    torch.manual_seed(3)
    return cell, theirs(4, 7, bias=bias, dtype=dtype)


def parts(state: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return state if isinstance(state, tuple) else (state,)


def state_like(kind: str, *shape: int, dtype: torch.dtype = torch.float64) -> Tensor | tuple[Tensor, ...]:
    states = tuple(torch.randn(*shape, dtype=dtype, requires_grad=True) for _ in range(2 if kind == "lstm" else 1))
    return states if len(states) > 1 else states[0]


@pytest.mark.parametrize("kind", PAIRS)
@pytest.mark.parametrize("bias", [True, False])
def test_parameters_are_torchs_by_name_shape_and_seed(kind: str, bias: bool) -> None:
    cell, like = pair(kind, bias=bias)
    assert list(cell.state_dict()) == list(like.state_dict())
    for own, other in zip(cell.parameters(), like.parameters(), strict=True):
        assert torch.equal(own, other)
    like.load_state_dict(cell.state_dict())
    assert (cell.bias_ih is None) == (not bias)


@pytest.mark.parametrize("kind", PAIRS)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("batch", [(), (1,), (5,)], ids=["unbatched", "one", "five"])
@pytest.mark.parametrize("engine", ["auto", "scan"])
def test_values_and_gradients_are_torchs(kind: str, bias: bool, batch: tuple[int, ...], engine: str) -> None:
    cell, like = pair(kind, bias=bias)
    cell.engine = engine
    x, state = torch.randn(*batch, 4, dtype=torch.float64, requires_grad=True), state_like(kind, *batch, 7)
    weights = [torch.randn(*batch, 7, dtype=torch.float64) for _ in parts(state)]
    for given in (state, None):
        gradients = []
        # twice, since the second call goes the short way
        for module in (cell, cell, like):
            result = parts(module(x, given))
            wanted = [x, *module.parameters(), *(parts(given) if given is not None else ())]
            loss = sum((w * s).sum() for w, s in zip(weights, result, strict=True))
            gradients.append([*result, *torch.autograd.grad(loss, wanted)])
        for own in gradients[:2]:
            torch.testing.assert_close(own, gradients[2], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("kind", PAIRS)
def test_steps_without_a_graph_follow_the_weights(kind: str) -> None:
    cell, like = pair(kind, dtype=torch.float32)
    x = torch.randn(3, 4)
    with torch.no_grad():
        for _ in range(2):
            state, other = None, None
            for _ in range(4):
                state, other = cell(x, state), like(x, other)
            torch.testing.assert_close(state, other, rtol=1e-5, atol=1e-6)
            for module in (cell, like):
                module.weight_hh.mul_(0.5)


@pytest.mark.parametrize("kind", ["rnn_tanh", "lstm", "gru"])
def test_double_backward(kind: str) -> None:
    cell, _ = pair(kind)
    x, state = torch.randn(2, 4, dtype=torch.float64, requires_grad=True), state_like(kind, 2, 7)
    cell(x, state)

    def step(x: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        return parts(cell(x, state if len(state) > 1 else state[0]))

    assert torch.autograd.gradgradcheck(step, (x, *parts(state)))


def test_a_loop_of_steps_is_the_layer() -> None:
    torch.manual_seed(0)
    layer = unrolled.LSTM(4, 7)
    cell = unrolled.LSTMCell(4, 7)
    cell.load_state_dict({name.removesuffix("_l0"): p for name, p in layer.state_dict().items()})
    x, state = torch.randn(5, 3, 4), None
    for t in range(5):
        state = cell(x[t], state)
    output, (h, c) = layer(x)
    torch.testing.assert_close(state, (h[0], c[0]))
    torch.testing.assert_close(state[0], output[-1])


def test_what_torch_lacks() -> None:
    torch.manual_seed(0)
    cell = unrolled.GRUCell(2, 3, reset_after=False)
    x, h = torch.randn(1, 2), torch.randn(1, 3)
    x_r, x_z, x_n = (x @ cell.weight_ih.T + cell.bias_ih).chunk(3, -1)
    w_r, w_z, w_n = cell.weight_hh.chunk(3)
    b_r, b_z, b_n = cell.bias_hh.chunk(3)
    r, z = torch.sigmoid(x_r + h @ w_r.T + b_r), torch.sigmoid(x_z + h @ w_z.T + b_z)
    n = torch.tanh(x_n + (r * h) @ w_n.T + b_n)
    torch.testing.assert_close(cell(x, h), (1 - z) * n + z * h)
    assert unrolled.LSTMCell(2, 3, peephole=True).weight_peephole.shape == (9,)


@pytest.mark.parametrize("kind", PAIRS)
def test_autocast_gives_torchs_dtype(kind: str) -> None:
    cell, like = pair(kind, dtype=torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        own, other = parts(cell(torch.randn(2, 4))), parts(like(torch.randn(2, 4)))
    assert [s.dtype for s in own] == [s.dtype for s in other]


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: unrolled.LSTMCell(4, 0), ArgumentError, "hidden_size: expected an integer of at least 1, found 0"),
        (lambda: unrolled.RNNCell(4, 3, nonlinearity="sin"), ArgumentError, "nonlinearity: expected one of tanh"),
        (lambda: unrolled.GRUCell(4, 3, engine="cuda"), ArgumentError, "engine: expected one of"),
        (lambda: unrolled.GRUCell(4, 3)(torch.zeros(2, 5)), ShapeError, "input: expected shape (B, I=4)"),
        (lambda: unrolled.GRUCell(4, 3)(torch.zeros(1, 2, 4)), ShapeError, "input: expected shape (B, I=4)"),
        (lambda: unrolled.GRUCell(4, 3)(torch.zeros(2, 4), torch.zeros(1, 3)), ShapeError, "hx: expected shape"),
        (lambda: unrolled.GRUCell(4, 3)(torch.zeros(4), torch.zeros(1, 3)), ShapeError, "as input is one sequence"),
        (lambda: unrolled.LSTMCell(4, 3)(torch.zeros(2, 4), torch.zeros(2, 3)), ArgumentError, "a tuple (h, c)"),
        (lambda: unrolled.LSTMCell(4, 3)(torch.zeros(2, 4).double()), DTypeError, "input: expected dtype"),
        (lambda: unrolled.LSTMCell(4, 3)([1.0, 2.0]), DTypeError, "input: expected a Tensor, found list"),
    ],
)
def test_errors(make: Callable[[], object], error: type[Exception], message: str) -> None:
    with pytest.raises(error) as caught:
        make()
    assert message in str(caught.value)
