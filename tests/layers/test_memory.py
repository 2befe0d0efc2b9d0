"""Training in bounded memory: the gradients of pieces are those of the whole."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import unrolled
from unrolled.cells import GRUCell, LSTMCell, RNNCell, SLSTMCell
from unrolled.errors import ArgumentError
from unrolled.kernels.native import NativeEngine
from unrolled.kernels.recompute import fitting_lengths
from unrolled.layers import Recurrent

native = pytest.mark.skipif(NativeEngine().unavailable() is not None, reason="the native engine was not built")


def _results(layer: Recurrent, x: Tensor, memory: str | int | None, **given: Tensor) -> dict[str, Tensor]:
    """Outputs, final states and all gradients, with the same random numbers each time."""
    layer.memory = memory
    torch.manual_seed(4)
    leaf = x.clone().requires_grad_()
    output, final = layer(leaf, **given)
    states = final if isinstance(final, tuple) else (final,)
    loss = (output * output.detach().cos()).sum() + sum((s * s).sum() for s in states)
    names = ["x", *(name for name, _ in layer.named_parameters())]
    grads = torch.autograd.grad(loss, [leaf, *layer.parameters()])
    results = {"output": output.detach(), **{f"final {k}": s.detach() for k, s in enumerate(states)}}
    return results | {f"d{name}": d for name, d in zip(names, grads, strict=True)}


def _draw(steps: int) -> tuple[Tensor, dict[str, Tensor]]:
    generator = torch.Generator().manual_seed(5)
    x = torch.randn(steps, 3, 4, generator=generator, dtype=torch.float64)
    reset = torch.rand(steps, 3, generator=generator) < 0.1
    return x, {"lengths": torch.tensor([steps, steps // 2, 0]), "reset": reset}


def _least_memory(layer: Recurrent, x: Tensor, **given: Tensor) -> int:
    """The bytes that the refusals ask for, until there is none."""
    memory = 1
    for _ in range(2 * layer.num_layers):
        layer.memory = memory
        try:
            layer(x, **given)
        except ArgumentError as error:
            memory = int(str(error).split("at least ")[1].split()[0])
    return memory


@pytest.mark.parametrize("memory", ["sqrt", "least"])
@pytest.mark.parametrize("engine", ["native", "scan"])
@pytest.mark.parametrize(
    ("cell", "options"),
    [
        (LSTMCell(), {"learn_initial_state": True}),
        (LSTMCell(peephole=True, proj_size=3), {"residual": True}),
        (GRUCell(), {"recurrent_dropout": 0.2, "zoneout": 0.2}),
        (GRUCell(reset_after=False), {"weight_dropout": 0.2}),
        (RNNCell(), {}),
        (LSTMCell(layer_norm=True), {}),
        (SLSTMCell(), {"dropout": 0.2}),
    ],
    ids=str,
)
def test_gradients_are_those_of_the_whole(cell, options, engine: str, memory) -> None:
    torch.manual_seed(0)
    is_served = NativeEngine.lacks(cell, torch.float64) is None and NativeEngine().unavailable() is None
    layer = Recurrent(cell, 4, 6, 2, bidirectional=True, dtype=torch.float64, **options)
    if engine == "native" and not is_served:
        pytest.skip(f"the native engine has no {cell}")
    layer.engine = engine
    x, given = _draw(37)
    expected = _results(layer, x, None, **given)
    memory = _least_memory(layer, x, **given) if memory == "least" else memory
    actual = _results(layer, x, memory, **given)
    for name, value in expected.items():
        torch.testing.assert_close(actual[name], value, rtol=1e-11, atol=1e-11, msg=lambda m, n=name: f"{n}: {m}")


@native
@pytest.mark.parametrize("kind", [unrolled.RNN, unrolled.LSTM, unrolled.GRU])
@pytest.mark.parametrize("batch", [1, 5])
def test_in_the_native_engine_only_sums_over_steps_differ_in_rounding(kind, batch: int) -> None:
    torch.manual_seed(0)
    layer, x = kind(4, 21), torch.randn(50, batch, 4)
    expected, actual = _results(layer, x, None), _results(layer, x, "sqrt")
    for name, value in expected.items():
        if name == "dx" or not name.startswith("d"):
            assert torch.equal(actual[name], value), name
        else:
            torch.testing.assert_close(actual[name], value)


@pytest.mark.parametrize("reverse", [False, True])
def test_truncation_cuts_where_it_does_in_the_whole(reverse: bool) -> None:
    torch.manual_seed(0)
    layer = unrolled.GRU(4, 5, truncate=3, bidirectional=reverse, dtype=torch.float64)
    x, given = _draw(23)
    expected, actual = _results(layer, x, None, **given), _results(layer, x, "sqrt", **given)
    for name, value in expected.items():
        torch.testing.assert_close(actual[name], value, rtol=1e-11, atol=1e-11)


def test_a_second_derivative_and_a_graph_kept() -> None:
    torch.manual_seed(0)
    layer, x = unrolled.LSTM(3, 4, memory="sqrt", dtype=torch.float64), torch.randn(9, 2, 3, dtype=torch.float64)
    seconds = []
    for memory in ("sqrt", None):
        layer.memory = memory
        leaf = x.clone().requires_grad_()
        output, _ = layer(leaf)
        (first,) = torch.autograd.grad(output.square().sum(), leaf, create_graph=True)
        seconds.append(torch.autograd.grad(first.square().sum(), leaf)[0])
    torch.testing.assert_close(*seconds)
    output, _ = layer(leaf)
    once = torch.autograd.grad(output.sum(), leaf, retain_graph=True)[0]
    assert torch.equal(torch.autograd.grad(output.sum(), leaf)[0], once)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_a_compiled_layer_keeps_no_more() -> None:
    torch.compiler.reset()
    torch.manual_seed(0)
    layer = unrolled.GRU(4, 5, memory="sqrt")
    compiled = torch.compile(layer, backend="aot_eager", fullgraph=True)
    x, results = torch.randn(20, 2, 4), []
    for call in (compiled, layer):
        layer.zero_grad()
        call(x)[0].square().sum().backward()
        results.append([p.grad.clone() for p in layer.parameters()])
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b)


def test_what_pieces_keep_fits() -> None:
    for time, step, state in ((10_000, 60, 20), (1_000_000, 30_000, 2_000), (7, 100, 100), (1_000, 10, 1_000)):
        for memory in (time * step, time * step // 2, time * step // 50, 40 * (step + state)):
            try:
                lengths = fitting_lengths(time, step, state, memory)
            except ArgumentError as error:
                least = int(str(error).split("at least ")[1].split()[0])
                assert least > memory
                fitting_lengths(time, step, state, least)
                continue
            wholes = [time, *lengths]
            borders = sum(-(-whole // part) * state for whole, part in zip(wholes, lengths, strict=False))
            assert borders + wholes[-1] * step <= memory


def test_bad_memory_is_refused() -> None:
    for memory in ("log", 0, -5, 2.5, True):
        with pytest.raises(ArgumentError, match=r'memory: expected None, "sqrt" or a number of bytes, found'):
            unrolled.LSTM(2, 3, memory=memory)
    with pytest.raises(ArgumentError, match="memory: 10 bytes are too few for T=50, at least"):
        unrolled.LSTM(2, 3, memory=10)(torch.randn(50, 1, 2))
