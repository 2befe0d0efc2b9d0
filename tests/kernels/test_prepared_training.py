"""Prepared training: the dispatcher's bits, and the dispatcher wherever something is unusual."""

from __future__ import annotations

from contextlib import nullcontext

import pytest
import torch
from torch.utils.checkpoint import checkpoint

import unrolled
from unrolled.cells import GRUCell, LSTMCell, RNNCell, variants
from unrolled.errors import ShapeError
from unrolled.kernels import native
from unrolled.layers import Recurrent

from .paths import by_dispatcher, counted

pytestmark = pytest.mark.skipif(native.NativeEngine().unavailable() is not None, reason="the engine was not built")

SERVED = [cell for cell in variants() if type(cell) in (RNNCell, LSTMCell, GRUCell) and not cell.layer_norm]
CELLS = [RNNCell(), LSTMCell(), GRUCell()]


def _layer(cell, *args, **options):
    torch.manual_seed(5)
    return Recurrent(cell, *args, **options)


def _states(layer, batch: int):
    sizes, count = layer.cell.state_sizes(layer.hidden_size), layer.num_layers * layer.num_directions
    made = tuple(torch.randn(count, batch, s, requires_grad=True) for s in sizes)
    return made if len(made) > 1 else made[0]


def _tuple(state):
    return state if isinstance(state, tuple) else (state,)


def _everything(layer, x, state=None, lengths=None, only_output: bool = False):
    """Outputs, final states and every gradient."""
    x = x.clone().requires_grad_()
    layer.zero_grad()
    given = () if state is None else _tuple(state)
    for s in given:
        s.grad = None
    output, final = layer(x, state, lengths)
    loss = (output * torch.arange(output.numel()).reshape(output.shape).cos()).sum()
    if not only_output:
        loss = loss + sum((s * s).sum() * (i + 1) for i, s in enumerate(_tuple(final)))
    loss.backward()
    return [output, *_tuple(final), x.grad, *(s.grad for s in given), *(p.grad for p in layer.parameters())]


def _same(found, expected) -> bool:
    return len(found) == len(expected) and all(
        (a is None and b is None) or torch.equal(a, b) for a, b in zip(found, expected, strict=True)
    )


@pytest.mark.parametrize("ragged", [False, True], ids=["dense", "ragged"])
@pytest.mark.parametrize(
    "options",
    [{}, {"bidirectional": True, "batch_first": True}, {"bias": False, "dtype": torch.float64}],
    ids=["plain", "both", "double"],
)
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("cell", SERVED, ids=repr)
def test_the_dispatchers_bits(cell, layers: int, options, ragged: bool) -> None:
    layer = _layer(cell, 5, 9, layers, **options)
    x = torch.randn((4, 6, 5) if layer.batch_first else (6, 4, 5), dtype=options.get("dtype"))
    lengths = torch.tensor([6, 0, 3, 5]) if ragged else None
    with counted() as dispatched:
        results = _everything(layer, x, None, lengths)
    assert dispatched == []
    with by_dispatcher(), counted() as dispatched:
        assert _same(results, _everything(layer, x, None, lengths))
    assert dispatched == ["run"] * layers


@pytest.mark.parametrize("only_output", [False, True], ids=["all", "output"])
@pytest.mark.parametrize("options", [{}, {"num_layers": 2, "bidirectional": True}], ids=["plain", "deep"])
@pytest.mark.parametrize("cell", CELLS, ids=repr)
def test_states_that_are_given(cell, options, only_output: bool) -> None:
    layer = _layer(cell, 3, 4, **options)
    x, state = torch.randn(5, 2, 3), _states(layer, 2)
    with counted() as dispatched:
        results = _everything(layer, x, state, only_output=only_output)
    assert dispatched == []
    with by_dispatcher():
        assert _same(results, _everything(layer, x, state, only_output=only_output))


@pytest.mark.parametrize("cell", CELLS, ids=repr)
def test_one_long_sequence_shared_by_two_threads(cell) -> None:
    layer, x, before = _layer(cell, 70, 100), torch.randn(130, 1, 70), torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        with by_dispatcher():
            expected = _everything(layer, x)
        torch.set_num_threads(2)
        # whether the helper comes, and when, is chance
        assert all(_same(_everything(layer, x), expected) for _ in range(20))
    finally:
        torch.set_num_threads(before)


def test_only_what_is_wanted_gets_a_gradient() -> None:
    layer, x = _layer(LSTMCell(), 3, 4), torch.randn(5, 2, 3)
    layer.weight_hh_l0.requires_grad_(False)
    results = _everything(layer, x)
    assert layer.weight_hh_l0.grad is None
    with by_dispatcher():
        assert _same(results, _everything(layer, x))
    # the state alone
    layer.requires_grad_(False)
    state = (torch.zeros(1, 2, 4, requires_grad=True), torch.zeros(1, 2, 4))
    assert torch.autograd.grad(layer(x, state)[0].sum(), state[0])[0].abs().sum() > 0


@pytest.mark.parametrize("layers", [1, 3])
def test_a_frozen_layer_makes_no_graph_and_is_served_all_the_same(layers: int) -> None:
    layer, x = _layer(LSTMCell(), 3, 4, layers).requires_grad_(False), torch.randn(5, 2, 3)
    with counted() as dispatched:
        output, _ = layer(x)
    assert dispatched == []
    assert not output.requires_grad
    with by_dispatcher():
        assert torch.equal(layer(x)[0], output)
    # rounded weights are for calls without gradients
    full = output
    layer.weights_dtype = torch.bfloat16
    assert torch.equal(layer(x)[0], full)
    # a later layer alone
    layer.weights_dtype = None
    getattr(layer, f"weight_hh_l{layers - 1}").requires_grad_()
    results = _everything(layer, x)
    with by_dispatcher():
        assert _same(results, _everything(layer, x))


def test_a_final_state_alone() -> None:
    layer = _layer(GRUCell(), 3, 4, batch_first=True)
    x, lengths = torch.randn(2, 5, 3), torch.tensor([5, 2])
    (gradient,) = torch.autograd.grad(layer(x, lengths=lengths)[1].sum(), layer.weight_ih_l0)
    with by_dispatcher():
        assert torch.equal(gradient, *torch.autograd.grad(layer(x, lengths=lengths)[1].sum(), layer.weight_ih_l0))


@pytest.mark.parametrize("frozen", [False, True], ids=["all", "one direction frozen"])
@pytest.mark.parametrize("options", [{}, {"bidirectional": True, "batch_first": True}], ids=["plain", "both"])
@pytest.mark.parametrize("cell", CELLS, ids=repr)
def test_a_second_derivative(cell, options, frozen: bool) -> None:
    layer = _layer(cell, 2, 3, **options)
    if frozen and options:
        for name, parameter in layer.named_parameters():
            parameter.requires_grad_(not name.endswith("_reverse"))
    x, state = torch.randn(3, 3, 2), _states(layer, 3)

    def second(given):
        leaf = x.clone().requires_grad_()
        output, _ = layer(leaf, given)
        (first,) = torch.autograd.grad((output**3).sum(), leaf, create_graph=True)
        return torch.autograd.grad((first**2).sum(), [leaf, layer.weight_hh_l0])

    for given in (None, state):
        prepared = second(given)
        with unrolled.use_engine("scan"):
            expected = second(given)
        with by_dispatcher():
            dispatched = second(given)
        for a, b, c in zip(prepared, dispatched, expected, strict=True):
            torch.testing.assert_close(a, c)
            torch.testing.assert_close(b, c)


@pytest.mark.parametrize("options", [{}, {"bidirectional": True, "batch_first": True}], ids=["plain", "both"])
def test_gradients_in_unusual_memory(options) -> None:
    layer = _layer(LSTMCell(), 3, 4, **options)
    x, state = torch.randn(5, 2, 3, requires_grad=True), _states(layer, 5 if options else 2)
    output, (h_n, c_n) = layer(x, state)
    arriving = [torch.randn_like(output), torch.randn_like(h_n), torch.randn_like(c_n)]
    leaves = [x, *state, *layer.parameters()]
    expected = torch.autograd.grad((output, h_n, c_n), leaves, arriving, retain_graph=True)
    negative = torch._neg_view(-arriving[0])
    gradients = torch.autograd.grad((output, h_n, c_n), leaves, [negative, *arriving[1:]], retain_graph=True)
    assert all(torch.equal(a, b) for a, b in zip(gradients, expected, strict=True))
    # none for one of the states, and a stride of 0
    ones = [torch.ones_like(output), arriving[1], torch.zeros_like(c_n)]
    expected = torch.autograd.grad((output, h_n, c_n), leaves, ones, retain_graph=True)
    gradients = torch.autograd.grad((output, h_n), leaves, [torch.ones(()).expand_as(output), arriving[1]])
    assert all(torch.equal(a, b) for a, b in zip(gradients, expected, strict=True))


@pytest.mark.parametrize("dispatched", [False, True], ids=["prepared", "dispatched"])
@pytest.mark.parametrize("cell", CELLS, ids=repr)
def test_gradients_in_batches_are_the_scans(cell, dispatched: bool) -> None:
    layer, x = _layer(cell, 3, 4), torch.randn(5, 2, 3)

    def jacobian(vectorize: bool) -> torch.Tensor:
        return torch.autograd.functional.jacobian(lambda x: layer(x)[0], x, vectorize=vectorize)

    with by_dispatcher() if dispatched else nullcontext():
        torch.testing.assert_close(jacobian(True), jacobian(False))


@pytest.mark.parametrize("options", [{}, {"num_layers": 2, "dropout": 0.5}], ids=["plain", "dropout"])
@pytest.mark.parametrize("cell", CELLS, ids=repr)
def test_checkpoints(cell, options) -> None:
    # from the first training call on, and after one without gradients
    layer, x = _layer(cell, 3, 4, **options), torch.randn(5, 2, 3)

    def gradients(call):
        torch.manual_seed(7)
        leaf = x.clone().requires_grad_()
        output, _ = call(leaf)
        return torch.autograd.grad(output.cos().sum(), [leaf, *layer.parameters()])

    for _ in range(2):
        recomputed = gradients(lambda leaf: checkpoint(layer, leaf, use_reentrant=False))
        assert all(torch.equal(a, b) for a, b in zip(recomputed, gradients(layer), strict=True))
        with torch.no_grad():
            layer(x)


def test_an_optimiser_step_counts_at_the_next_call() -> None:
    prepared, dispatched = _layer(LSTMCell(), 3, 4), _layer(LSTMCell(), 3, 4)
    x = torch.randn(5, 2, 3)
    for layer in (prepared, dispatched):
        optimiser = torch.optim.SGD(layer.parameters(), 0.1)
        for _ in range(3):
            with by_dispatcher() if layer is dispatched else nullcontext():
                _everything(layer, x)
            optimiser.step()
        layer.weight_hh_l0.data[0, 0] += 1
    results = _everything(prepared, x)
    with by_dispatcher():
        assert _same(results, _everything(dispatched, x))


def test_a_write_between_the_passes_is_an_error() -> None:
    layer = _layer(GRUCell(), 3, 4)
    output, _ = layer(torch.randn(5, 2, 3))
    with torch.no_grad():
        layer.weight_hh_l0 += 1
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        output.sum().backward()


def test_bad_input_is_named_by_the_dispatcher() -> None:
    layer = _layer(LSTMCell(), 3, 4)
    with pytest.raises(ShapeError, match="input"):
        layer(torch.zeros(5, 2, 4))
    with pytest.raises(ShapeError, match=r"hx\[h\]"):
        layer(torch.zeros(5, 2, 3), (torch.zeros(1, 3, 4), torch.zeros(1, 2, 4)))
    with pytest.raises(unrolled.errors.ArgumentError, match="lengths"):
        layer(torch.zeros(5, 2, 3), lengths=torch.tensor([6, 1]))
    # another layout is no mistake
    x = torch.randn(2, 5, 3).transpose(0, 1)
    assert torch.equal(layer(x)[0], layer(x.contiguous())[0])
    assert torch.equal(layer(x[:, 0])[0], layer(x)[0][:, 0])
