"""The native engine against the scan: every cell it serves, odd sizes, ragged batches, masks, every instruction set."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from unrolled.cells import GRUCell, LSTMCell, RNNCell, variants
from unrolled.errors import ArgumentError
from unrolled.kernels import Call, Direction
from unrolled.kernels.native import cpu_variant, cpu_variants, use_cpu_variant
from unrolled.scan import Masks

from .native_cases import ENGINE, assert_keeps_contract, flat, problem, solve

pytestmark = pytest.mark.skipif(ENGINE.unavailable() is not None, reason="the native engine was not built")

SERVED = [cell for cell in variants() if type(cell) in (RNNCell, LSTMCell, GRUCell) and not cell.layer_norm]
PLAIN = [RNNCell(), LSTMCell(), GRUCell()]


@pytest.fixture(params=cpu_variants())
def isa(request):
    """Each instruction set of this machine in turn."""
    before = cpu_variant()
    use_cpu_variant(request.param)
    yield request.param
    use_cpu_variant(before)


@pytest.fixture
def threads():
    """Sets the thread count, and puts it back."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.fixture
def poison(monkeypatch):
    """Every tensor made without contents is full of NaN."""
    for name in ("empty", "empty_like"):
        real = getattr(torch, name)
        monkeypatch.setattr(torch, name, lambda *a, real=real, **k: _poisoned(real(*a, **k)))
    new = torch.Tensor.new_empty
    monkeypatch.setattr(torch.Tensor, "new_empty", lambda *a, **k: _poisoned(new(*a, **k)))


def _poisoned(tensor):
    return tensor.fill_(float("nan")) if tensor.dtype.is_floating_point else tensor


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("cell", SERVED, ids=repr)
def test_equals_the_scan(cell, dtype, isa, poison) -> None:
    for hidden, batch, time in ((9, 3, 5), (17, 7, 4)):
        for directions, bias, ragged, masks in (
            (1, True, False, False),
            (2, False, True, False),
            (2, True, True, True),
            (1, True, False, True),
        ):
            call = problem(
                cell,
                hidden=hidden,
                batch=batch,
                time=time,
                directions=directions,
                bias=bias,
                ragged=ragged,
                masks=masks,
                dtype=dtype,
            )
            assert_keeps_contract(call)


@pytest.mark.parametrize("hidden", [1, 7, 8, 33, 70])
@pytest.mark.parametrize("cell", [*PLAIN, GRUCell(reset_after=False)], ids=repr)
def test_odd_sizes(cell, hidden: int, isa, poison) -> None:
    for batch, time, inputs in itertools.product((0, 1, 2, 6, 32), (1, 5), (1, 5)):
        assert_keeps_contract(problem(cell, hidden=hidden, batch=batch, time=time, inputs=inputs, directions=2))


@settings(max_examples=60, deadline=None)
@given(
    cell=st.sampled_from([c for c in SERVED if not (isinstance(c, LSTMCell) and c.proj_size)]),
    sizes=st.tuples(st.integers(1, 40), st.integers(0, 14), st.integers(1, 30), st.integers(1, 40)),
    options=st.tuples(st.booleans(), st.booleans(), st.booleans(), st.booleans(), st.booleans()),
    seed=st.integers(0, 1000),
)
def test_any_shape(cell, sizes, options, seed) -> None:
    time, batch, inputs, hidden = sizes
    both, bias, ragged, masks, batch_first = options
    call = problem(
        cell,
        time=time,
        batch=batch,
        inputs=inputs,
        hidden=hidden,
        directions=2 if both else 1,
        bias=bias,
        ragged=ragged,
        masks=masks,
        batch_first=batch_first,
        seed=seed,
    )
    assert_keeps_contract(call)


@pytest.mark.parametrize("cell", PLAIN, ids=repr)
def test_long_sequences_are_no_further_from_float64_than_torch(cell) -> None:
    assert_keeps_contract(problem(cell, time=400, batch=2, hidden=24))


@pytest.mark.parametrize("cell", [LSTMCell(), GRUCell()], ids=repr)
def test_zoneout_in_evaluation(cell, isa) -> None:
    call = problem(cell, ragged=True, batch=6)
    rates = tuple(0.1 + 0.2 * k for k in range(len(cell.state_names)))
    sides = tuple(replace(d, masks=Masks(None, rates)) for d in call.directions)
    assert_keeps_contract(replace(call, directions=sides))


@pytest.mark.parametrize("cell", SERVED, ids=repr)
def test_padding_is_never_read_and_gets_no_gradient(cell) -> None:
    call = problem(cell, batch=8, time=6, ragged=True, directions=2)
    found = solve(call, native=True)
    assert all(bool(t.isfinite().all()) for t in found)
    dx = found[len(flat(ENGINE.infer(call)))]
    for b, n in enumerate(call.lengths.tolist()):
        assert float(dx[n:, b].abs().sum()) == 0.0
        assert float(found[0][n:, b].abs().sum()) == 0.0


@pytest.mark.parametrize("cell", PLAIN, ids=repr)
def test_nan_stays_nan_and_keeps_to_its_row(cell, isa) -> None:
    call = problem(cell, batch=7, hidden=20)
    x = call.x.detach().clone()
    x[2, 3, 1] = float("nan")
    found = ENGINE.infer(replace(call, x=x)).output
    clean = ENGINE.infer(call).output
    assert bool(found[2:, 3].isnan().all())
    others = [b for b in range(7) if b != 3]
    assert torch.equal(found[:, others], clean[:, others])


@pytest.mark.parametrize("cell", SERVED, ids=repr)
def test_a_row_has_the_same_bits_in_any_company(cell, isa) -> None:
    call = problem(cell, batch=13, hidden=21, time=4)
    whole = ENGINE.infer(call)
    for rows in ([0], [3, 4], list(range(5, 12))):
        sides = tuple(replace(d, state=tuple(s[rows] for s in d.state)) for d in call.directions)
        part = ENGINE.infer(replace(call, x=call.x[:, rows], directions=sides))
        assert torch.equal(part.output, whole.output[:, rows])


@pytest.mark.parametrize("cell", SERVED, ids=repr)
def test_steps_are_the_sequence_bit_for_bit(cell, isa) -> None:
    call = problem(cell, batch=3, hidden=21, time=6)
    whole = ENGINE.infer(call)
    (side,) = call.directions
    state = side.state
    for t in range(6):
        state = ENGINE.step(cell, call.x[t].detach(), tuple(s.detach() for s in state), side.params)
        assert torch.equal(state[0], whole.output[t])
    assert all(torch.equal(a, b) for a, b in zip(state, whole.states[0], strict=True))


@pytest.mark.parametrize("cell", PLAIN, ids=repr)
def test_the_thread_count_changes_no_bit(cell, threads) -> None:
    for ragged in (False, True):
        call = problem(cell, time=30, batch=13, hidden=70, inputs=40, directions=2, ragged=ragged)
        results = []
        for count in (1, 2, 3, 4):
            threads(count)
            results.append(solve(call, native=True))
        for other in results[1:]:
            assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


def test_strides_of_every_kind() -> None:
    call = problem(LSTMCell(), time=6, batch=4, inputs=8)
    plain = solve(call, native=True)
    for x in (
        call.x.detach().transpose(0, 1).contiguous().transpose(0, 1),
        torch.stack([call.x.detach(), call.x.detach()], -1)[..., 0],
        torch.cat([call.x.detach(), call.x.detach()], -1)[..., :8],
    ):
        other = solve(replace(call, x=x.requires_grad_()), native=True)
        assert all(torch.equal(a, b) for a, b in zip(plain, other, strict=True))
    expanded = replace(call, x=call.x.detach()[:1].expand(6, 4, 8).requires_grad_())
    assert_keeps_contract(expanded)


def test_batch_first_lays_the_output_out_by_sequence() -> None:
    result = ENGINE.infer(problem(GRUCell(), directions=2, batch_first=True))
    assert result.output.transpose(0, 1).is_contiguous()


def test_inputs_are_not_written_to() -> None:
    call = problem(LSTMCell(), ragged=True, directions=2)
    before = [t.detach().clone() for t in call.tensors]
    solve(call, native=True)
    assert all(torch.equal(a.nan_to_num(), b.detach().nan_to_num()) for a, b in zip(before, call.tensors, strict=True))


@pytest.mark.parametrize(("cell", "units"), [(LSTMCell(), 6), (GRUCell(), 6), (RNNCell(), 2)], ids=repr)
def test_saved_memory_keeps_the_budget(cell, units: int) -> None:
    call = problem(cell, time=20, batch=4, hidden=32, inputs=32)
    _, saved = ENGINE.forward(call)
    assert sum(t.numel() for t in saved.tensors) <= units * 20 * 4 * 32


def test_what_it_refuses_and_why() -> None:
    call = problem(LSTMCell())
    reasons = {
        "layer norm": problem(LSTMCell(layer_norm=True)),
        "does not truncate": replace(call, truncate=2),
        "computes in float32, float64 and bfloat16": replace(call, x=call.x.half()),
        "a state or parameter is torch.float32 where x is torch.float64": replace(call, x=call.x.double()),
        "on meta": replace(call, x=call.x.to("meta")),
        "state h does not have the shape": replace(call, x=call.x[:, :2]),
        "weight_ih does not have the shape": replace(call, x=call.x[:, :, :2]),
        "a _Odd, and the native engine reads plain tensors": replace(call, x=call.x.as_subclass(_Odd)),
    }
    for reason, refused in reasons.items():
        assert reason in str(ENGINE.refuses(refused)), reason


class _Odd(torch.Tensor):
    pass


def test_an_unknown_instruction_set() -> None:
    with pytest.raises(ArgumentError, match=r"cpu variant: expected one of baseline, .*found 'mmx'"):
        use_cpu_variant("mmx")


def test_a_step_refuses_what_it_cannot_read() -> None:
    call = problem(GRUCell())
    (side,) = call.directions
    state, x = tuple(s.detach() for s in side.state), call.x[0].detach()
    assert ENGINE.step(GRUCell(layer_norm=True), x, state, side.params) is None
    assert ENGINE.step(GRUCell(), x.double(), state, side.params) is None
    assert ENGINE.step(GRUCell(), x[:, :2], state, side.params) is None
    assert ENGINE.step(GRUCell(), x[:2], state, side.params) is None
    assert ENGINE.step(GRUCell(), x.to("meta"), state, side.params) is None


def test_directions_of_any_order() -> None:
    call = problem(GRUCell(), directions=2, ragged=True)
    first, second = call.directions
    assert_keeps_contract(replace(call, directions=(replace(first, reverse=True),)))
    assert_keeps_contract(replace(call, directions=(second, first)))
    assert isinstance(call, Call)
    assert isinstance(first, Direction)
