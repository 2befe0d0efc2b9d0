"""Layers under torch.compile and torch.export: whole graphs, any batch and length, the eager values."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import unrolled
from unrolled.cells import GRUCell, IndRNNCell, LRUCell, LSTMCell, MogrifierLSTMCell, RNNCell, SRUCell
from unrolled.layers import Recurrent

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")

CELLS = [
    RNNCell(),
    LSTMCell(),
    GRUCell(),
    LSTMCell(peephole=True, proj_size=3),
    SRUCell(),
    LRUCell(),
    MogrifierLSTMCell(),
]
OPTIONS = {
    "plain": {},
    "deep": {"num_layers": 2, "bidirectional": True, "batch_first": True},
    "residual": {"num_layers": 2, "residual": True, "learn_initial_state": True},
}


@pytest.fixture(autouse=True)
def _no_graphs_of_other_tests():
    torch.compiler.reset()


def _layer(cell, **options):
    torch.manual_seed(5)
    return Recurrent(cell, 4, 4, **options)


def _gradients(call, layer, x, **given):
    layer.zero_grad()
    leaf = x.clone().requires_grad_()
    output, final = call(leaf, **given)
    states = final if isinstance(final, tuple) else (final,)
    loss = output.cos().sum() + sum((s * s).sum() for s in states)
    loss.backward()
    return [output, *states, leaf.grad, *(p.grad.clone() for p in layer.parameters())]


def _assert_close(actual, expected) -> None:
    for a, b in zip(actual, expected, strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("cell", CELLS, ids=repr)
def test_one_graph_for_any_batch_and_length(cell, options) -> None:
    layer = _layer(cell, **options)
    compiled = torch.compile(layer, backend="aot_eager", fullgraph=True, dynamic=True)
    for shape in ((5, 3), (7, 2), (3, 6)):
        x = torch.randn(*shape, 4)
        _assert_close(_gradients(compiled, layer, x), _gradients(layer, layer, x))
        with torch.no_grad():
            torch.testing.assert_close(compiled(x), layer(x))


@pytest.mark.parametrize("cell", CELLS[1:6], ids=repr)
def test_ragged_batches(cell) -> None:
    layer = _layer(cell, bidirectional=True)
    compiled = torch.compile(layer, backend="aot_eager", fullgraph=True)
    for lengths in ([5, 1, 3], [2, 0, 2]):
        x, given = torch.randn(5, 3, 4), torch.tensor(lengths)
        _assert_close(_gradients(compiled, layer, x, lengths=given), _gradients(layer, layer, x, lengths=given))
    with (
        torch.no_grad(),
        pytest.raises(unrolled.errors.ArgumentError, match=r"lengths\[1\]: expected 0 to T=5, found 9"),
    ):
        compiled(torch.randn(5, 3, 4), lengths=torch.tensor([5, 9, 3]))


@pytest.mark.parametrize("cell", [LSTMCell(), IndRNNCell()], ids=repr)
@pytest.mark.parametrize("zoneout", [0.0, 0.1])
def test_regularisers(cell, zoneout: float) -> None:
    layer = _layer(cell, num_layers=2, dropout=0.5, recurrent_dropout=0.3, zoneout=zoneout)
    compiled, x = torch.compile(layer, backend="aot_eager", fullgraph=True), torch.randn(5, 3, 4)
    torch.manual_seed(1)
    actual = _gradients(compiled, layer, x)
    torch.manual_seed(1)
    _assert_close(actual, _gradients(layer, layer, x))
    layer.eval()
    torch.testing.assert_close(compiled(x), layer(x))


@pytest.mark.parametrize("engine", ["native", "torch", "scan"])
def test_the_engine_that_is_insisted_on(engine: str) -> None:
    if engine == "native" and unrolled.kernels.native.NativeEngine().unavailable() is not None:
        pytest.skip("the engine was not built")
    layer, x = _layer(GRUCell(), engine=engine), torch.randn(5, 3, 4)
    compiled = torch.compile(layer, backend="aot_eager", fullgraph=True)
    _assert_close(_gradients(compiled, layer, x), _gradients(layer, layer, x))


@pytest.mark.parametrize("kind", ["RNNCell", "LSTMCell", "GRUCell"])
def test_cells(kind: str) -> None:
    cell = getattr(unrolled, kind)(4, 4)
    compiled, x = torch.compile(cell, backend="aot_eager", fullgraph=True), torch.randn(3, 4)
    for gradients in (True, False):
        with torch.set_grad_enabled(gradients):
            torch.testing.assert_close(compiled(x, compiled(x)), cell(x, cell(x)))


def test_calls_of_either_kind_in_turn() -> None:
    layer, x = _layer(LSTMCell()), torch.randn(5, 3, 4)
    compiled = torch.compile(layer, backend="aot_eager", fullgraph=True)
    with torch.no_grad():
        for _ in range(3):
            torch.testing.assert_close(compiled(x), layer(x))
            layer.weight_hh_l0.data[1, 2] += 1


def test_a_second_derivative_of_an_eager_graph() -> None:
    layer, x = _layer(GRUCell()), torch.randn(3, 2, 4)

    def second(call):
        leaf = x.clone().requires_grad_()
        (first,) = torch.autograd.grad((call(leaf)[0] ** 3).sum(), leaf, create_graph=True)
        return torch.autograd.grad((first**2).sum(), [leaf, layer.weight_hh_l0])

    _assert_close(second(torch.compile(layer, backend="eager", fullgraph=True)), second(layer))


def test_a_model_trains_as_it_does_without() -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.out = nn.Linear(3, 4), nn.Linear(4, 2)
            self.rnn = unrolled.LSTM(4, 4, batch_first=True)

        def forward(self, x):
            return self.out(self.rnn(self.embed(x))[0])

    losses = []
    for backend in (None, "inductor"):
        torch.manual_seed(0)
        model, x = Model(), torch.randn(3, 5, 3)
        call = model if backend is None else torch.compile(model, backend=backend, fullgraph=True)
        optimiser = torch.optim.Adam(model.parameters(), 0.05)
        for _ in range(4):
            optimiser.zero_grad()
            loss = (call(x) - 1).square().mean()
            loss.backward()
            optimiser.step()
            losses.append(loss.detach())
    _assert_close(losses[:4], losses[4:])


@pytest.mark.parametrize("cell", CELLS, ids=repr)
def test_an_exported_program_has_any_batch_and_length(cell) -> None:
    layer = _layer(cell, num_layers=2, batch_first=True).eval()
    batch, time = torch.export.Dim("batch", min=1), torch.export.Dim("time", min=2)
    program = torch.export.export(layer, (torch.randn(2, 5, 4),), dynamic_shapes={"input": {0: batch, 1: time}})
    for shape in ((2, 5), (3, 9), (7, 2)):
        x = torch.randn(*shape, 4)
        torch.testing.assert_close(program.module()(x), layer(x))
