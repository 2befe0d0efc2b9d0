"""Layers of ours made of Flax's trees and back, beside the equations, and beside Flax itself where it is installed."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import unrolled
from unrolled.errors import ArgumentError
from unrolled.export import from_flax, to_flax


def random(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


def dense(inputs: int, outputs: int, bias: bool) -> dict[str, np.ndarray]:
    return {"kernel": random(inputs, outputs)} | ({"bias": random(outputs)} if bias else {})


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def test_the_equations_of_linens_lstm() -> None:
    tree = {f"i{g}": dense(2, 3, False) for g in "ifgo"} | {f"h{g}": dense(3, 3, True) for g in "ifgo"}
    x, h, c = random(4, 2), np.zeros(3, np.float32), np.zeros(3, np.float32)
    for x_t in x:
        i, f, g, o = (
            x_t @ tree[f"i{k}"]["kernel"] + h @ tree[f"h{k}"]["kernel"] + tree[f"h{k}"]["bias"] for k in "ifgo"
        )
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
    layer = from_flax({"params": {"cell": tree}})
    _, (h_n, c_n) = layer(torch.from_numpy(x).unsqueeze(0))
    np.testing.assert_allclose(h_n[0, 0].detach().numpy(), h, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(c_n[0, 0].detach().numpy(), c, rtol=1e-5, atol=1e-6)


def test_the_equations_of_linens_gru_and_simple_cell() -> None:
    tree = {f"i{g}": dense(2, 3, True) for g in "rzn"} | {f"h{g}": dense(3, 3, g == "n") for g in "rzn"}
    x, h = random(4, 2), np.zeros(3, np.float32)
    for x_t in x:
        x_r, x_z, x_n = (x_t @ tree[f"i{k}"]["kernel"] + tree[f"i{k}"]["bias"] for k in "rzn")
        h_r, h_z, h_n = (h @ tree[f"h{k}"]["kernel"] for k in "rzn")
        r, z = sigmoid(x_r + h_r), sigmoid(x_z + h_z)
        h = (1 - z) * np.tanh(x_n + r * (h_n + tree["hn"]["bias"])) + z * h
    result = from_flax(tree)(torch.from_numpy(x).unsqueeze(0))[1]
    np.testing.assert_allclose(result[0, 0].detach().numpy(), h, rtol=1e-5, atol=1e-6)
    simple = {"i": dense(2, 3, True), "h": dense(3, 3, False)}
    h = np.zeros(3, np.float32)
    for x_t in x:
        h = np.tanh(x_t @ simple["i"]["kernel"] + simple["i"]["bias"] + h @ simple["h"]["kernel"])
    result = from_flax(simple)(torch.from_numpy(x).unsqueeze(0))[1]
    np.testing.assert_allclose(result[0, 0].detach().numpy(), h, rtol=1e-5, atol=1e-6)


STACKS: dict[str, Callable[..., unrolled.Recurrent]] = {"rnn": unrolled.RNN, "lstm": unrolled.LSTM, "gru": unrolled.GRU}


@pytest.mark.parametrize("kind", STACKS)
@pytest.mark.parametrize("style", ["linen", "nnx"])
@pytest.mark.parametrize(
    "options", [{}, {"bias": False}, {"bidirectional": True, "num_layers": 2}], ids=["plain", "no bias", "stack"]
)
def test_there_and_back(kind: str, style: Any, options: dict[str, Any]) -> None:
    torch.manual_seed(0)
    layer = STACKS[kind](3, 4, batch_first=True, **options).eval()
    if kind == "gru" and style == "nnx":
        for name, parameter in layer.named_parameters():
            if name.startswith("bias_hh"):
                parameter.data[8:] = 0
    x = torch.randn(2, 5, 3)
    expected = layer(x)[0]
    trees = to_flax(layer, style)
    assert len(trees) == layer.num_layers
    for tree in trees:
        x = from_flax(tree)(x)[0]
    torch.testing.assert_close(x, expected)


@pytest.fixture(scope="module")
def flax() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        library = pytest.importorskip("flax")
        library.linen, library.nnx, library.jax = (pytest.importorskip(n) for n in ("flax.linen", "flax.nnx", "jax"))
    return library


CELLS = {"lstm": "LSTMCell", "gru": "GRUCell", "rnn": "SimpleCell"}


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("kind", CELLS)
@pytest.mark.parametrize("bidirectional", [False, True], ids=["one", "two"])
def test_linen_itself(flax: Any, kind: str, bidirectional: bool) -> None:
    linen, jax = flax.linen, flax.jax
    cells = [getattr(linen, CELLS[kind])(4, bias_init=linen.initializers.normal()) for _ in range(2)]
    net = linen.Bidirectional(*(linen.RNN(c) for c in cells)) if bidirectional else linen.RNN(cells[0])
    x = random(2, 5, 3)
    params = net.init(jax.random.key(0), x)
    layer = from_flax(params)
    np.testing.assert_allclose(
        layer(torch.from_numpy(x))[0].detach().numpy(), net.apply(params, x), rtol=1e-4, atol=1e-5
    )
    made = STACKS[kind](3, 4, bidirectional=bidirectional, batch_first=True)
    (tree,) = to_flax(made)
    result = net.apply({"params": tree if bidirectional else {"cell": tree}}, x)
    np.testing.assert_allclose(made(torch.from_numpy(x))[0].detach().numpy(), result, rtol=1e-4, atol=1e-5)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("name", [*CELLS.values(), "OptimizedLSTMCell"])
def test_nnx_itself(flax: Any, name: str) -> None:
    nnx, x = flax.nnx, random(2, 5, 3)
    bias = flax.jax.nn.initializers.normal()
    cell = getattr(nnx, name)(3, 4, bias_init=bias, rngs=nnx.Rngs(0))
    net = nnx.RNN(cell, rngs=nnx.Rngs(1))
    for tree in (nnx.state(net, nnx.Param), nnx.state(cell, nnx.Param).to_pure_dict()):
        layer = from_flax(tree)
        np.testing.assert_allclose(layer(torch.from_numpy(x))[0].detach().numpy(), net(x), rtol=1e-4, atol=1e-5)
    if name == "OptimizedLSTMCell":
        return
    made = STACKS[next(kind for kind, own in CELLS.items() if own == name)](3, 4, batch_first=True)
    if name == "GRUCell":
        made.bias_hh_l0.data[8:] = 0
    nnx.update(cell, to_flax(made, "nnx")[0])
    np.testing.assert_allclose(made(torch.from_numpy(x))[0].detach().numpy(), net(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"kernel": random(2, 3)}, "expected the tree of an LSTMCell, GRUCell or SimpleCell, found kernel"),
        ({g: dense(3, 3, True) for g in ("if", "hf", "in", "hn")}, "found hf, hn, if, in"),
        ({"i": dense(2, 3, True), "h": dense(4, 3, False)}, "weight_ih is put together to (3, 2), expected (4, 2)"),
        ({"i": {"kernel": "text"}, "h": dense(3, 3, False)}, "i/kernel"),
        ({"i": {"scale": random(3)}, "h": dense(3, 3, False)}, "i: expected kernel and bias"),
        ({"i": {"kernel": random(3)}, "h": dense(3, 3, False)}, "i/kernel: expected two dimensions"),
        ({"cell": 3}, "found int"),
    ],
)
def test_trees_that_are_of_no_cell(params: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgumentError) as caught:
        from_flax(params)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("layer", "style", "message"),
    [
        (lambda: unrolled.LSTM(2, 3, peephole=True), "linen", "Flax's LSTM has no peephole"),
        (lambda: unrolled.RNN(2, 3, nonlinearity="relu"), "linen", "does not say that its activation is relu"),
        (lambda: unrolled.GRU(2, 3, reset_after=False), "linen", "this one has reset_after=False"),
        (lambda: unrolled.GRU(2, 3), "nnx", "nnx.GRUCell has no bias inside the reset"),
        (lambda: unrolled.GRU(2, 3), "haiku", "style: expected linen or nnx, found 'haiku'"),
    ],
)
def test_what_flax_lacks(layer: Callable[[], unrolled.Recurrent], style: Any, message: str) -> None:
    with pytest.raises(ArgumentError) as caught:
        to_flax(layer(), style)
    assert message in str(caught.value)
