"""Steps compiled by torch.compile: the scan's results, and a clear error where they can't be."""

from __future__ import annotations

import pytest
import torch

from unrolled.cells import LSTMCell
from unrolled.errors import ArgumentError, EngineError
from unrolled.kernels import compiled, engines
from unrolled.kernels.autograd import run_engine, run_scan
from unrolled.kernels.compiled import CompiledEngine
from unrolled.layers import Recurrent

from .native_cases import problem

pytestmark = [
    pytest.mark.skipif(CompiledEngine().unavailable() is not None, reason="there is no C++ compiler"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning"),
]


@pytest.fixture(autouse=True)
def _few_steps(monkeypatch):
    """Compile small blocks, which is quick, and none of other tests' graphs."""
    monkeypatch.setattr(compiled, "BLOCK", 2)
    compiled._compiled.cache_clear()
    torch.compiler.reset()


def _everything(call, serve):
    result = serve(call)
    loss = sum((t * t.detach().cos()).sum() for t in result.flat)
    return [*result.flat, *torch.autograd.grad(loss, call.tensors, allow_unused=True)]


def test_equals_the_scan() -> None:
    # two blocks and a step left over, in both directions, with everything that there can be
    call = problem(LSTMCell(layer_norm=True), time=5, directions=2, ragged=True, documents=True, dtype=torch.float64)
    actual = _everything(call, lambda given: run_engine(CompiledEngine(), given))
    for a, b in zip(actual, _everything(call, run_scan), strict=True):
        torch.testing.assert_close(a, b)


def test_a_layer_that_asks_for_it_gets_it_and_streams() -> None:
    torch.manual_seed(0)
    layer = Recurrent(LSTMCell(), 3, 4, compiled=True)
    assert layer.engine.name == "compiled"
    x = torch.randn(5, 2, 3)
    output, _ = layer(x)
    loss = output.square().sum()
    first = torch.autograd.grad(loss, layer.weight_hh_l0, retain_graph=True)[0]
    assert torch.equal(torch.autograd.grad(loss, layer.weight_hh_l0)[0], first)
    layer.engine = "scan"
    torch.testing.assert_close(output, layer(x)[0])
    layer.engine = "compiled"
    stream = layer.eval().stream(2)
    torch.testing.assert_close(torch.stack([stream.step(x_t) for x_t in x]), output)
    assert "compiled" not in engines()


def test_without_a_compiler_it_says_so(monkeypatch) -> None:
    monkeypatch.setattr(CompiledEngine, "unavailable", lambda _: "torch.compile finds no C++ compiler")
    with pytest.raises(EngineError, match="engine 'compiled' was forced by the layer's engine=, but torch"):
        Recurrent(LSTMCell(), 3, 4, compiled=True)(torch.randn(5, 2, 3))


def test_a_step_that_can_not_be_compiled_is_named() -> None:
    class Printing(LSTMCell):
        def step(self, x_gates, state, params, mask=None):
            torch._dynamo.graph_break()
            return super().step(x_gates, state, params, mask)

    with pytest.raises(EngineError, match="compile the steps of"):
        Recurrent(Printing(), 3, 4, compiled=True)(torch.randn(5, 2, 3))


def test_options_that_do_not_go_together() -> None:
    with pytest.raises(ArgumentError, match="compiled: is engine=\"compiled\", and does not go with engine='scan'"):
        Recurrent(LSTMCell(), 3, 4, compiled=True, engine="scan")
    with pytest.raises(EngineError, match="compiled steps do not truncate BPTT"):
        Recurrent(LSTMCell(), 3, 4, compiled=True, truncate=2)(torch.randn(5, 2, 3))
