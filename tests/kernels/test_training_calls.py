"""Training calls that were made ready: the long way's bits, and the long way wherever something is unusual."""

from __future__ import annotations

import copy

import pytest
import torch

import unrolled
from unrolled.cells import GRUCell, LSTMCell, RNNCell, variants
from unrolled.errors import ShapeError
from unrolled.kernels import native
from unrolled.layers import Recurrent

pytestmark = pytest.mark.skipif(native.NativeEngine().unavailable() is not None, reason="the engine was not built")

SERVED = [cell for cell in variants() if type(cell) in (RNNCell, LSTMCell, GRUCell) and not cell.layer_norm]
CELLS = [RNNCell(), LSTMCell(), GRUCell()]


def _layer(cell, *args, ready: bool = True, **options):
    torch.manual_seed(5)
    layer = Recurrent(cell, *args, **options)
    if ready:
        _make_ready(layer)
    else:
        layer.__dict__["_trainer"] = False
    return layer


def _make_ready(layer) -> None:
    """The first call goes the long way."""
    layer(torch.zeros(1, 1, layer.input_size, dtype=layer.weight_ih_l0.dtype))
    assert layer._trainer


def _count(monkeypatch) -> list[int]:
    """How many backward passes went the long way."""
    calls: list[int] = []
    whole = native.NativeEngine.backward
    monkeypatch.setattr(native.NativeEngine, "backward", lambda *args: calls.append(1) or whole(*args))
    return calls


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
def test_the_same_bits_as_the_long_way(cell, layers: int, options, ragged: bool, monkeypatch) -> None:
    ready = _layer(cell, 5, 9, layers, **options)
    long_way = _layer(cell, 5, 9, layers, ready=False, **options)
    x = torch.randn((4, 6, 5) if ready.batch_first else (6, 4, 5), dtype=options.get("dtype"))
    lengths = torch.tensor([6, 0, 3, 5]) if ragged else None
    calls = _count(monkeypatch)
    found = _everything(ready, x, None, lengths)
    assert calls == []
    assert _same(found, _everything(long_way, x, None, lengths))
    assert len(calls) == layers


@pytest.mark.parametrize("only_output", [False, True], ids=["all", "output"])
@pytest.mark.parametrize("options", [{}, {"num_layers": 2, "bidirectional": True}], ids=["plain", "deep"])
@pytest.mark.parametrize("cell", CELLS, ids=repr)
def test_states_that_are_given(cell, options, only_output: bool, monkeypatch) -> None:
    ready, long_way = _layer(cell, 3, 4, **options), _layer(cell, 3, 4, ready=False, **options)
    x, state = torch.randn(5, 2, 3), _states(ready, 2)
    calls = _count(monkeypatch)
    found = _everything(ready, x, state, only_output=only_output)
    assert calls == []
    assert _same(found, _everything(long_way, x, state, only_output=only_output))


@pytest.mark.parametrize("cell", CELLS, ids=repr)
def test_one_long_sequence_shared_by_two_threads(cell) -> None:
    ready, long_way = _layer(cell, 70, 100), _layer(cell, 70, 100, ready=False)
    x, before = torch.randn(130, 1, 70), torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        expected = _everything(long_way, x)
        torch.set_num_threads(2)
        # whether the helper comes, and when, is chance
        assert all(_same(_everything(ready, x), expected) for _ in range(20))
    finally:
        torch.set_num_threads(before)


def test_only_what_is_wanted_gets_a_gradient() -> None:
    ready, long_way = _layer(LSTMCell(), 3, 4), _layer(LSTMCell(), 3, 4, ready=False)
    for layer in (ready, long_way):
        layer.weight_hh_l0.requires_grad_(False)
    x = torch.randn(5, 2, 3)
    found = _everything(ready, x)
    assert ready.weight_hh_l0.grad is None
    assert _same(found, _everything(long_way, x))
    # nothing at all: then no graph is made
    ready.requires_grad_(False)
    output, _ = ready(x)
    assert not output.requires_grad
    # the state alone
    state = (torch.zeros(1, 2, 4, requires_grad=True), torch.zeros(1, 2, 4))
    assert torch.autograd.grad(ready(x, state)[0].sum(), state[0])[0].abs().sum() > 0


def test_a_final_state_alone() -> None:
    ready, long_way = _layer(GRUCell(), 3, 4, batch_first=True), _layer(GRUCell(), 3, 4, ready=False, batch_first=True)
    x, lengths = torch.randn(2, 5, 3), torch.tensor([5, 2])
    found = [torch.autograd.grad(layer(x, lengths=lengths)[1].sum(), layer.weight_ih_l0) for layer in (ready, long_way)]
    assert torch.equal(found[0][0], found[1][0])


@pytest.mark.parametrize("options", [{}, {"bidirectional": True, "batch_first": True}], ids=["plain", "both"])
@pytest.mark.parametrize("cell", CELLS, ids=repr)
def test_a_second_derivative(cell, options) -> None:
    ready, long_way = _layer(cell, 2, 3, **options), _layer(cell, 2, 3, ready=False, **options)
    x, state = torch.randn(3, 3, 2), _states(ready, 3)
    found = []
    for layer in (ready, long_way):
        for given in (None, state):
            leaf = x.clone().requires_grad_()
            output, _ = layer(leaf, given)
            (first,) = torch.autograd.grad((output**3).sum(), leaf, create_graph=True)
            found.append(torch.autograd.grad((first**2).sum(), [leaf, layer.weight_hh_l0]))
    for mine, theirs in zip(found[:2], found[2:], strict=True):
        for a, b in zip(mine, theirs, strict=True):
            torch.testing.assert_close(a, b)


@pytest.mark.parametrize("options", [{}, {"bidirectional": True, "batch_first": True}], ids=["plain", "both"])
def test_gradients_that_only_the_long_way_can_read(options, monkeypatch) -> None:
    layer = _layer(LSTMCell(), 3, 4, **options)
    x, state = torch.randn(5, 2, 3, requires_grad=True), _states(layer, 5 if options else 2)
    output, (h_n, c_n) = layer(x, state)
    arriving = [torch.randn_like(output), torch.randn_like(h_n), torch.randn_like(c_n)]
    leaves = [x, *state, *layer.parameters()]
    expected = torch.autograd.grad((output, h_n, c_n), leaves, arriving, retain_graph=True)
    calls = _count(monkeypatch)
    negative = torch._neg_view(-arriving[0])
    found = torch.autograd.grad((output, h_n, c_n), leaves, [negative, *arriving[1:]], retain_graph=True)
    assert calls == [1]
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
    # none for one of the states, and a stride of 0
    found = torch.autograd.grad((output, h_n), leaves, [torch.ones(()).expand_as(output), arriving[1]])
    assert calls == [1]
    assert all(torch.isfinite(g).all() for g in found)


def test_an_optimiser_step_counts_at_the_next_call() -> None:
    ready, long_way = _layer(LSTMCell(), 3, 4), _layer(LSTMCell(), 3, 4, ready=False)
    x = torch.randn(5, 2, 3)
    for layer in (ready, long_way):
        optimiser = torch.optim.SGD(layer.parameters(), 0.1)
        for _ in range(3):
            _everything(layer, x)
            optimiser.step()
    ready.weight_hh_l0.data[0, 0] += 1
    long_way.weight_hh_l0.data[0, 0] += 1
    assert _same(_everything(ready, x), _everything(long_way, x))
    assert ready._trainer


def test_a_write_between_the_passes_is_an_error() -> None:
    layer = _layer(GRUCell(), 3, 4)
    output, _ = layer(torch.randn(5, 2, 3))
    with torch.no_grad():
        layer.weight_hh_l0 += 1
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        output.sum().backward()


@pytest.mark.parametrize(
    "change",
    [
        lambda layer: layer.double(),
        lambda layer: layer.__setattr__("weight_hh_l0", torch.nn.Parameter(torch.randn(4, 4).T)),
        lambda layer: layer.weight_ih_l0.data.mul_(2),
        lambda layer: layer.__setattr__("batch_first", True),
        lambda layer: layer.__setattr__("truncate", 2),
        lambda layer: layer.load_state_dict({k: v + 1 for k, v in layer.state_dict().items()}),
        lambda layer: torch.nn.utils.parametrizations.weight_norm(layer, "weight_hh_l0"),
    ],
    ids=["double", "transposed", "data", "batch_first", "truncate", "state_dict", "parametrised"],
)
def test_a_layer_that_changes(change) -> None:
    ready, long_way = _layer(RNNCell(), 3, 4), _layer(RNNCell(), 3, 4, ready=False)
    for layer in (ready, long_way):
        torch.manual_seed(3)
        change(layer)
    x = torch.randn(5, 2, 3, dtype=next(ready.parameters()).dtype)
    first = _everything(ready, x)
    again = _everything(ready, x)
    long_way.__dict__["_trainer"] = False
    expected = _everything(long_way, x)
    assert _same(first, expected)
    assert _same(again, expected)


def test_what_looks_on_takes_the_long_way() -> None:
    layer, x = _layer(LSTMCell(), 3, 4), torch.randn(5, 2, 3)
    plain = layer(x)[0]
    params = {name: p.detach() * 2 for name, p in layer.named_parameters()}
    swapped = torch.func.functional_call(layer, params, (x,))[0]
    with torch.no_grad():
        doubled = copy.deepcopy(layer)
        for p in doubled.parameters():
            p.mul_(2)
    assert torch.equal(swapped, doubled(x)[0])
    gradients = torch.func.grad(lambda p: torch.func.functional_call(layer, p, (x,))[0].sum())(params)
    expected = torch.autograd.grad(doubled(x)[0].sum(), list(doubled.parameters()))
    for a, b in zip(gradients.values(), expected, strict=True):
        torch.testing.assert_close(a, b)
    with unrolled.use_engine("scan"):
        torch.testing.assert_close(layer(x)[0], plain)
        assert "Ready" not in layer(x)[0].grad_fn.name()
    with torch.autocast("cpu", torch.bfloat16):
        assert layer(x)[0].dtype == torch.bfloat16


def test_bad_input_is_named_by_the_long_way() -> None:
    layer = _layer(LSTMCell(), 3, 4)
    with pytest.raises(ShapeError, match="x"):
        layer(torch.zeros(5, 2, 4))
    with pytest.raises(ShapeError, match="state h"):
        layer(torch.zeros(5, 2, 3), (torch.zeros(1, 3, 4), torch.zeros(1, 2, 4)))
    with pytest.raises(unrolled.errors.ArgumentError, match="lengths"):
        layer(torch.zeros(5, 2, 3), lengths=torch.tensor([6, 1]))
    # another layout is no mistake
    x = torch.randn(2, 5, 3).transpose(0, 1)
    assert torch.equal(layer(x)[0], layer(x.contiguous())[0])
    assert torch.equal(layer(x[:, 0])[0], layer(x)[0][:, 0])
