"""When a prepared stack is used: what makes it stale, who notices, and what keeps a call from it."""

from __future__ import annotations

import copy

import pytest
import torch
from torch.autograd import forward_ad

import unrolled
from unrolled.cells import GRUCell, LSTMCell, RNNCell
from unrolled.kernels import may_use_prepared, native
from unrolled.layers import Recurrent

from .paths import by_dispatcher, counted

pytestmark = pytest.mark.skipif(native.NativeEngine().unavailable() is not None, reason="the engine was not built")


def _layer(cell=None, **options):
    torch.manual_seed(5)
    return Recurrent(cell or RNNCell(), 3, 4, **options)


def _results(layer, x):
    """Output and gradients, the same without a graph, and a step."""
    output, _ = layer(x)
    gradients = torch.autograd.grad(output.sum(), list(layer.parameters()))
    with torch.no_grad():
        inferred, _ = layer(x)
    return [output, *gradients, inferred, layer.step(x[0])[0]]


CHANGES = {
    "optimiser": lambda layer: torch.optim.SGD(
        [p.__setattr__("grad", torch.ones_like(p)) or p for p in layer.parameters()], 0.1
    ).step(),
    "data": lambda layer: layer.weight_ih_l0.data.mul_(2),
    "other memory": lambda layer: layer.weight_ih_l0.__setattr__("data", torch.randn(4, 3)),
    "state_dict": lambda layer: layer.load_state_dict({k: v + 1 for k, v in layer.state_dict().items()}),
    "assigned": lambda layer: layer.load_state_dict({k: v + 1 for k, v in layer.state_dict().items()}, assign=True),
    "replaced": lambda layer: layer.__setattr__("weight_hh_l0", torch.nn.Parameter(torch.randn(4, 4))),
    "replaced in the table": lambda layer: layer._parameters.__setitem__(
        "bias_ih_l0", torch.nn.Parameter(torch.ones(4))
    ),
    "transposed": lambda layer: layer.__setattr__("weight_hh_l0", torch.nn.Parameter(torch.randn(4, 4).T)),
    "double": lambda layer: layer.double(),
    "there and back": lambda layer: layer.double().float(),
    "option": lambda layer: layer.__setattr__("truncate", 2),
    "engine": lambda layer: layer.__setattr__("engine", "scan"),
    "parametrised": lambda layer: torch.nn.utils.parametrizations.weight_norm(layer, "weight_hh_l0"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_layer_that_changes(change) -> None:
    layer, other = _layer(), _layer()
    x = torch.randn(5, 2, 3)
    _results(layer, x)
    for each in (layer, other):
        torch.manual_seed(3)
        change(each)
    x = x.to(next(layer.parameters()).dtype)
    first, again = _results(layer, x), _results(layer, x)
    with by_dispatcher():
        expected = _results(other, x)
    for results in (first, again):
        assert all(torch.equal(a, b) for a, b in zip(results, expected, strict=True))


#: writes of a single element that torch does not count
WRITES = {
    "numpy": lambda layer: layer.weight_hh_l0.detach().numpy().__setitem__((1, 2), 5),
    "data": lambda layer: layer.weight_hh_l0.data.__setitem__((2, 1), 5),
    "data of a bias": lambda layer: layer.bias_ih_l0.data.__setitem__(3, 5),
    "parameters": lambda layer: [p.data.view(-1).__setitem__(1, 5) for p in layer.parameters()],
    "state_dict": lambda layer: layer.state_dict()["weight_ih_l0"].numpy().__setitem__((3, 1), 5),
    "all_weights": lambda layer: layer.all_weights[0][1].data.__setitem__((0, 3), 5),
    "storage": lambda layer: layer.weight_ih_l0.untyped_storage().__setitem__(2, 99),
    "dlpack": lambda layer: torch.from_dlpack(layer.weight_ih_l0.detach()).data.__setitem__((1, 1), 5),
    "a copied table": lambda layer: dict(layer._parameters)["weight_ih_l0"].data.__setitem__((2, 0), 5),
    "a merged table": lambda layer: {**layer._parameters}["weight_ih_l0"].data.__setitem__((2, 1), 5),
    "get": lambda layer: layer._parameters.get("weight_ih_l0").data.__setitem__((0, 1), 5),
}
USES = {
    "sequence": lambda layer, x: layer(x)[0],
    "one step": lambda layer, x: layer(x[:1])[0],
    "step": lambda layer, x: layer.step(x[0])[0],
    "dispatched": lambda layer, x: layer(x.transpose(0, 1).contiguous().transpose(0, 1))[0],
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_a_single_element_that_was_written(write, use) -> None:
    layer, x = _layer(), torch.randn(5, 2, 3)
    with torch.no_grad():
        for _ in range(2):
            use(layer, x)
        write(layer)
        result = use(layer, x)
        assert torch.equal(result, use(copy.deepcopy(layer), x))


def test_a_stream_uses_an_element_that_was_written() -> None:
    layer, x = _layer().eval(), torch.randn(2, 3)
    stream = layer.stream(2)
    stream.step(x)
    for write in WRITES.values():
        write(layer)
        state = stream.state
        assert torch.equal(stream.step(x), copy.deepcopy(layer).step(x, state)[0])


def test_memory_that_somebody_else_keeps() -> None:
    layer, x = _layer(), torch.randn(5, 2, 3)
    array = torch.randn(4, 3).numpy()
    kept = {
        "an array": layer.weight_hh_l0.detach().numpy(),
        "a tensor": layer.bias_hh_l0.data,
        "a parameter": layer.bias_ih_l0,
    }
    layer.weight_ih_l0 = torch.nn.Parameter(torch.from_numpy(array))
    before = layer(x)[0]
    with torch.no_grad():
        for memory in (*kept.values(), array):
            layer(x)
            flat = memory.data if isinstance(memory, torch.Tensor) else memory
            flat[1] = 5
            result = layer(x)[0]
            assert not torch.equal(result, before)
            assert torch.equal(result, copy.deepcopy(layer)(x)[0])
            before = result


def test_bits_are_compared_only_while_somebody_may_write() -> None:
    layer, x = _layer(), torch.randn(5, 2, 3)
    with torch.no_grad():
        layer(x)
        assert not layer._parameters.was_read
        # whoever holds a parameter may write to it at any time
        weight = layer.weight_hh_l0
        layer(x)
        assert layer._parameters.was_read
        del weight
        layer(x)
        assert not layer._parameters.was_read


@pytest.mark.parametrize("name", ["optimiser", "data", "other memory", "assigned", "replaced", "double"])
def test_a_change_costs_no_call_the_prepared_path(name: str) -> None:
    layer, x = _layer(), torch.randn(5, 2, 3)
    _results(layer, x)
    CHANGES[name](layer)
    with counted() as dispatched:
        _results(layer, x.to(layer.weight_ih_l0.dtype))
    assert dispatched == []


def test_a_layer_that_could_not_be_prepared_is_asked_again() -> None:
    layer, x = _layer().half(), torch.randn(5, 2, 3)
    layer(x.half())
    assert layer.prepared() is None
    layer.float()
    assert layer.prepared() is not None
    # for one call other tensors stand in the place of the parameters: theirs is no lasting answer
    params = {name: p.detach().half() for name, p in _layer().named_parameters()}
    layer = _layer()
    torch.func.functional_call(layer, params, (x.half(),))
    with counted() as dispatched:
        layer(x)
    assert dispatched == []


def test_functional_calls_use_their_own_parameters() -> None:
    layer, x = _layer(LSTMCell()), torch.randn(5, 2, 3)
    _results(layer, x)
    params = {name: p.detach() * 2 for name, p in layer.named_parameters()}
    with torch.no_grad():
        doubled = copy.deepcopy(layer)
        for p in doubled.parameters():
            p.mul_(2)
    for mode in (torch.enable_grad, torch.no_grad):
        with mode():
            assert torch.equal(torch.func.functional_call(layer, params, (x,))[0], doubled(x)[0])
            assert torch.equal(layer(x)[0], _layer(LSTMCell())(x)[0])
    gradients = torch.func.grad(lambda p: torch.func.functional_call(layer, p, (x,))[0].sum())(params)
    expected = torch.autograd.grad(doubled(x)[0].sum(), list(doubled.parameters()))
    for a, b in zip(gradients.values(), expected, strict=True):
        torch.testing.assert_close(a, b)
    batched = torch.func.vmap(lambda x: layer(x)[0], in_dims=1, out_dims=1)
    with torch.no_grad():
        torch.testing.assert_close(batched(x.unsqueeze(2)).squeeze(2), layer(x)[0])


def test_what_keeps_a_call_from_the_prepared_path() -> None:
    layer, x = _layer(GRUCell()), torch.randn(5, 2, 3)
    prepared = layer.prepared()
    assert may_use_prepared(prepared)
    assert may_use_prepared(prepared, is_step=True)
    for name, allowed in (("scan", False), ("torch", False), ("native", True), ("auto", True)):
        with unrolled.use_engine(name):
            assert may_use_prepared(prepared) is allowed
            assert may_use_prepared(prepared, is_step=True) is allowed
    with torch.autocast("cpu", torch.bfloat16):
        assert not may_use_prepared(prepared)
        assert not may_use_prepared(prepared, is_step=True)
        assert layer(x)[0].dtype == torch.float32
    with forward_ad.dual_level():
        assert not may_use_prepared(prepared)
    seen: list[bool] = []
    torch.func.vmap(lambda x: seen.append(may_use_prepared(prepared)) or x)(x)
    assert seen == [False]


@pytest.mark.filterwarnings("ignore:.*torch.jit.trace.*:DeprecationWarning")
@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
@pytest.mark.parametrize("gradients", [False, True])
def test_a_traced_call_is_not_a_constant(gradients: bool) -> None:
    layer, x, other = _layer(LSTMCell()).requires_grad_(gradients), torch.randn(5, 2, 3), torch.randn(5, 2, 3)
    with torch.set_grad_enabled(gradients):
        for _ in range(2):
            layer(x)
        traced = torch.jit.trace(layer, (x,))
        torch.testing.assert_close(traced(other)[0], layer(other)[0])
        ones = torch.ones(7, 3, 3)
        torch.testing.assert_close(traced(ones)[0], layer(ones)[0])
    stepped = torch.jit.trace(lambda x: layer.requires_grad_(False).step(x)[0], (x[0],))
    torch.testing.assert_close(stepped(other[0]), layer.step(other[0])[0])


def test_use_engine_does_not_decide_what_is_prepared(monkeypatch) -> None:
    layer, x = _layer(), torch.randn(5, 2, 3)
    monkeypatch.setenv("UNROLLED_ENGINE", "torch")
    with unrolled.use_engine("native"):
        layer(x)
    assert layer.prepared() is None
    with counted() as dispatched:
        layer(x)
    assert dispatched == ["run"]
    monkeypatch.delenv("UNROLLED_ENGINE")
    with unrolled.use_engine("scan"):
        layer.engine = "auto"
        layer(x)
    with counted() as dispatched:
        layer(x)
    assert dispatched == []
