"""Products of bfloat16 in the native engine: against a computation by hand, on every instruction set."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import unrolled
from unrolled.cells import GRUCell, LSTMCell, RNNCell
from unrolled.kernels import Call, Direction, bfloat16_support
from unrolled.kernels.autograd import run_engine
from unrolled.kernels.native import cpu_variant, cpu_variants, use_cpu_variant

from .native_cases import ENGINE

pytestmark = pytest.mark.skipif(ENGINE.unavailable() is not None, reason="the native engine was not built")

CELLS = [
    RNNCell(),
    RNNCell(nonlinearity="relu"),
    LSTMCell(),
    LSTMCell(coupled=True),
    GRUCell(),
    GRUCell(reset_after=False),
]


@pytest.fixture(params=cpu_variants())
def isa(request):
    """Each instruction set of this machine in turn."""
    before = cpu_variant()
    use_cpu_variant(request.param)
    yield request.param
    use_cpu_variant(before)


def rounded(tensor: Tensor) -> Tensor:
    """Round to bfloat16, in the tensor's own dtype."""
    return tensor.to(torch.bfloat16).to(tensor.dtype)


class RoundedLinear(torch.autograd.Function):
    """x Wᵀ of rounded factors, in both passes."""

    @staticmethod
    def forward(ctx, x, weight):
        ctx.save_for_backward(x, weight)
        return rounded(x) @ rounded(weight).T

    @staticmethod
    def backward(ctx, grad):
        x, weight = ctx.saved_tensors
        return rounded(grad) @ rounded(weight), rounded(grad).T @ rounded(x)


def by_hand(cell, x: Tensor, state: list[Tensor], p: dict[str, Tensor]) -> tuple[Tensor, list[Tensor]]:
    """Run a cell over time in float64, with the factors of its products rounded."""
    linear, hidden = RoundedLinear.apply, p["weight_hh"].shape[1]
    outputs = []
    for x_t in x:
        h = state[0]
        of_x = linear(x_t, p["weight_ih"]) + p["bias_ih"]
        if isinstance(cell, GRUCell) and not cell.reset_after:
            r, z = (of_x[:, : 2 * hidden] + linear(h, p["weight_hh"][: 2 * hidden]) + p["bias_hh"][: 2 * hidden]).chunk(
                2, 1
            )
            r, z = r.sigmoid(), z.sigmoid()
            n = of_x[:, 2 * hidden :] + linear(r * h, p["weight_hh"][2 * hidden :]) + p["bias_hh"][2 * hidden :]
            state = [n.tanh() + z * (h - n.tanh())]
        elif isinstance(cell, GRUCell):
            of_h = linear(h, p["weight_hh"]) + p["bias_hh"]
            (x_r, x_z, x_n), (h_r, h_z, h_n) = of_x.chunk(3, 1), of_h.chunk(3, 1)
            r, z = (x_r + h_r).sigmoid(), (x_z + h_z).sigmoid()
            n = (x_n + r * h_n).tanh()
            state = [n + z * (h - n)]
        else:
            gates = of_x + linear(h, p["weight_hh"]) + p["bias_hh"]
            if isinstance(cell, RNNCell):
                state = [gates.relu() if cell.nonlinearity == "relu" else gates.tanh()]
            else:
                *i, f, g, o = gates.chunk(cell.num_gates, 1)
                f, g, o = f.sigmoid(), g.tanh(), o.sigmoid()
                c = f * state[1] + (i[0].sigmoid() if i else 1 - f) * g
                state = [o * c.tanh(), c]
        outputs.append(state[0])
    return torch.stack(outputs), state


def draw(cell, time: int, batch: int, inputs: int, hidden: int) -> tuple[Tensor, list[Tensor], dict[str, Tensor]]:
    torch.manual_seed(3)
    x = torch.randn(time, batch, inputs)
    state = [0.5 * torch.randn(batch, hidden) for _ in cell.state_names]
    shapes = cell.parameter_shapes(inputs, hidden, True)
    return x, state, {name: torch.randn(shape) / hidden**0.5 for name, shape in shapes.items()}


def everything(run, x: Tensor, state: list[Tensor], params: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return results, and the gradients of a loss over all of them."""
    leaves = [t.clone().requires_grad_() for t in (x, *state, *params.values())]
    names = ["x", *(f"state {k}" for k in range(len(state))), *params]
    output, final = run(leaves[0], leaves[1 : 1 + len(state)], dict(zip(params, leaves[1 + len(state) :], strict=True)))
    loss = sum((t * torch.linspace(-1, 1, t.numel(), dtype=t.dtype).view_as(t)).sum() for t in (output, *final))
    grads = torch.autograd.grad(loss, leaves)
    results = {"output": output.detach(), **{f"final {k}": s.detach() for k, s in enumerate(final)}}
    return results | {f"d{name}": d for name, d in zip(names, grads, strict=True)}


@pytest.mark.parametrize("sizes", [(6, 5, 7, 9), (3, 1, 16, 33), (20, 2, 5, 48), (4, 13, 3, 17)], ids=str)
@pytest.mark.parametrize("cell", CELLS, ids=repr)
def test_products_by_hand(cell, sizes, isa) -> None:
    x, state, params = draw(cell, *sizes)

    def native(x, state, params):
        result = run_engine(ENGINE, Call(cell, x, (Direction(params, tuple(state)),), products=torch.bfloat16))
        return result.output, result.states[0]

    actual = everything(native, x, state, params)
    double = {name: p.double() for name, p in params.items()}
    expected = everything(lambda x, s, p: by_hand(cell, x, s, p), x.double(), [s.double() for s in state], double)
    for name, value in expected.items():
        gap = (actual[name].double() - value).abs() / (1e-3 + value.abs().max())
        assert actual[name].dtype == torch.float32
        # where the last bit of float32 decides how a factor is rounded, some numbers differ by a bfloat16's
        assert gap.median() < 5e-6, (name, gap.median())
        assert gap.max() < 8e-3, (name, gap.max())


@pytest.mark.parametrize("cell", CELLS, ids=repr)
def test_what_autocast_computes(cell) -> None:
    torch.manual_seed(0)
    layer = unrolled.layers.Recurrent(cell, 7, 33, num_layers=2, batch_first=True).eval()
    x = torch.randn(3, 9, 7)
    dtype = torch.float32 if isinstance(cell, GRUCell) else torch.bfloat16
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        output, final = layer(x)
        state, stream, steps, streamed = None, layer.stream(3), [], []
        for t in range(9):
            y, state = layer.step(x[:, t], state)
            steps.append(y)
            streamed.append(stream.step(x[:, t]))
    assert output.dtype == dtype
    # whole = step by step = stream, bit for bit
    assert torch.equal(torch.stack(steps, 1), output)
    assert torch.equal(torch.stack(streamed, 1), output)
    for whole, last in zip(*((s if isinstance(s, tuple) else (s,)) for s in (final, state)), strict=True):
        assert last.dtype == torch.float32
        assert torch.equal(last.to(whole.dtype), whole)
    # biases and sums keep their precision: only factors are rounded
    assert (output.float() - layer(x)[0]).abs().max() < 0.03


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
def test_dtypes_are_torchs(kind) -> None:
    ours, theirs = getattr(unrolled, kind)(5, 7), getattr(torch.nn, kind)(5, 7)
    theirs.load_state_dict(ours.state_dict())
    for dtype in (torch.float32, torch.bfloat16):
        x = torch.randn(4, 3, 5).to(dtype)
        with torch.autocast("cpu", torch.bfloat16):
            results = [layer(x) for layer in (ours, theirs)]
        (output, final), (expected, reference) = results
        assert output.dtype == expected.dtype
        flat, like = ([*s] if isinstance(s, tuple) else [s] for s in (final, reference))
        assert [s.dtype for s in flat] == [s.dtype for s in like]
        assert (output.float() - expected.float()).abs().max() < 0.03


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
def test_a_module_of_bfloat16(kind) -> None:
    torch.manual_seed(0)
    layer = getattr(unrolled, kind)(5, 20, num_layers=2).bfloat16()
    assert layer.engine.name == "native"
    x = torch.randn(6, 3, 5, dtype=torch.bfloat16, requires_grad=True)
    lengths = torch.tensor([6, 2, 0])
    output, _ = layer(x, lengths=lengths)
    assert output.dtype == torch.bfloat16
    output.float().square().sum().backward()
    assert all(p.grad.dtype == torch.bfloat16 for p in [x, *layer.parameters()])
    wide = getattr(unrolled, kind)(5, 20, num_layers=2)
    wide.load_state_dict(layer.state_dict())
    torch.testing.assert_close(output.float(), wide(x.detach().float(), lengths=lengths)[0], atol=0.02, rtol=0.02)
    # the packed copy of weights follows a write that torch does not count
    with torch.no_grad():
        before = layer(x)[0]
        layer.weight_ih_l0.data[0] += 1
        assert not torch.equal(layer(x)[0], before)


def test_another_engine_rounds_as_torch_does() -> None:
    layer, x = unrolled.LSTM(5, 7), torch.randn(6, 3, 5)
    with torch.autocast("cpu", torch.bfloat16):
        native = layer(x)[0]
        for name in ("torch", "scan"):
            with unrolled.use_engine(name):
                output = layer(x)[0]
            assert output.dtype == torch.bfloat16
            torch.testing.assert_close(output.float(), native.float(), atol=0.02, rtol=0.02)
            output.float().sum().backward()
            assert layer.weight_hh_l0.grad.dtype == torch.float32


def test_whether_products_are_fast(isa) -> None:
    is_fast, reason = bfloat16_support()
    assert is_fast == (isa == "avx512bf16")
    assert isa in reason
