"""The native engine's elementwise recurrences against the scan: cells, odd sizes, ragged batches, extreme gates."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from unrolled.cells import ElementwiseCell, IndRNNCell, LinearCell, LRUCell, RGLRUCell, SRUCell, variants
from unrolled.kernels import choose
from unrolled.kernels.native import cpu_variant, cpu_variants, use_cpu_variant
from unrolled.scan import Masks
from unrolled.testing.conditions import threads

from .native_cases import ENGINE, assert_keeps_contract, flat, problem, solve

pytestmark = pytest.mark.skipif(ENGINE.unavailable() is not None, reason="the native engine was not built")

CELLS = [cell for cell in variants() if isinstance(cell, ElementwiseCell)]


@pytest.fixture(params=cpu_variants())
def isa(request):
    """Each instruction set of this machine in turn."""
    before = cpu_variant()
    use_cpu_variant(request.param)
    yield request.param
    use_cpu_variant(before)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("cell", CELLS, ids=repr)
def test_equals_the_scan(cell, dtype, isa) -> None:
    for hidden, inputs, batch in ((9, 3, 3), (17, 17, 7), (70, 5, 2)):
        for directions, bias, ragged, documents in (
            (1, True, False, False),
            (2, False, True, False),
            (2, True, True, True),
        ):
            call = problem(
                cell,
                hidden=hidden,
                inputs=inputs,
                batch=batch,
                directions=directions,
                bias=bias,
                ragged=ragged,
                documents=documents,
                dtype=dtype,
            )
            assert_keeps_contract(call)


@settings(max_examples=60, deadline=None)
@given(
    cell=st.sampled_from(CELLS),
    sizes=st.tuples(st.integers(1, 150), st.integers(0, 14), st.integers(1, 30), st.integers(1, 40)),
    options=st.tuples(st.booleans(), st.booleans(), st.booleans(), st.booleans(), st.booleans()),
    seed=st.integers(0, 1000),
)
def test_any_shape(cell, sizes, options, seed) -> None:
    time, batch, inputs, hidden = sizes
    both, bias, ragged, documents, batch_first = options
    call = problem(
        cell,
        time=time,
        batch=batch,
        inputs=inputs,
        hidden=hidden,
        directions=2 if both else 1,
        bias=bias,
        ragged=ragged,
        documents=documents,
        batch_first=batch_first,
        seed=seed,
    )
    assert_keeps_contract(call)


@pytest.mark.parametrize("scale", [0.01, 30.0, 300.0])
@pytest.mark.parametrize("cell", [c for c in CELLS if isinstance(c, (LinearCell, SRUCell))], ids=repr)
def test_gates_at_their_limits_over_many_steps(cell, scale: float, isa) -> None:
    """a and 1 − a reach 0 and all numbers near it; sums of logarithms would lose them."""
    call = problem(cell, time=700, batch=2, hidden=17, inputs=17)
    assert_keeps_contract(replace(call, x=(call.x.detach() * scale).requires_grad_()))


@pytest.mark.parametrize("decay", [-30.0, 30.0])
def test_an_rglru_that_forgets_all_or_nothing(decay: float, isa) -> None:
    call = problem(RGLRUCell(), time=300, hidden=20)
    for direction in call.directions:
        direction.params["decay"].data.fill_(decay)
    assert_keeps_contract(call)


@pytest.mark.parametrize("cell", CELLS, ids=repr)
def test_padding_is_never_read_and_gets_no_gradient(cell) -> None:
    call = problem(cell, batch=8, time=6, ragged=True, directions=2, hidden=9, inputs=9)
    results = solve(call, native=True)
    assert all(bool(t.isfinite().all()) for t in results)
    dx = results[len(flat(ENGINE.infer(call)))]
    for b, n in enumerate(call.lengths.tolist()):
        assert float(dx[n:, b].abs().sum()) == 0.0
        assert float(results[0][n:, b].abs().sum()) == 0.0


@pytest.mark.parametrize("cell", CELLS, ids=repr)
def test_nan_stays_nan_and_keeps_to_its_row(cell, isa) -> None:
    call = problem(cell, batch=7, hidden=20)
    x = call.x.detach().clone()
    x[2, 3, 1] = float("nan")
    spoilt, clean = ENGINE.infer(replace(call, x=x)).output, ENGINE.infer(call).output
    assert bool(spoilt[2:, 3].isnan().all())
    others = [b for b in range(7) if b != 3]
    assert torch.equal(spoilt[:, others], clean[:, others])


@pytest.mark.parametrize("cell", CELLS, ids=repr)
def test_the_same_bits_in_any_company_and_step_by_step(cell, isa) -> None:
    call = problem(cell, batch=13, hidden=70, time=4)
    whole = ENGINE.infer(call)
    for rows in ([0], [3, 4], list(range(5, 12))):
        sides = tuple(replace(d, state=tuple(s[rows] for s in d.state)) for d in call.directions)
        part = ENGINE.infer(replace(call, x=call.x[:, rows], directions=sides))
        assert torch.equal(part.output, whole.output[:, rows])
    (side,) = call.directions
    state = tuple(s.detach() for s in side.state)
    for t in range(4):
        state = ENGINE.step(cell, call.x[t].detach(), state, side.params)
        assert torch.equal(state[0], whole.output[t])
    assert all(torch.equal(a, b) for a, b in zip(state, whole.states[0], strict=True))


@pytest.mark.parametrize("cell", CELLS, ids=repr)
def test_the_thread_count_changes_no_bit(cell) -> None:
    for ragged, batch in itertools.product((False, True), (1, 3, 13)):
        call = problem(cell, time=40, batch=batch, hidden=140, inputs=40, directions=2, ragged=ragged)
        results = []
        for count in (1, 2, 3, 5):
            with threads(count):
                results.append(solve(call, native=True))
        for other in results[1:]:
            assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


@pytest.mark.parametrize("documents", [False, True])
@pytest.mark.parametrize("nonlinearity", ["tanh", "relu", "sigmoid"])
def test_recurrent_dropout_of_an_indrnn(nonlinearity: str, documents: bool, isa) -> None:
    cell = IndRNNCell(nonlinearity=nonlinearity)
    call = problem(cell, batch=4, hidden=19, ragged=True, directions=2, masks=True, documents=documents)
    sides = tuple(replace(d, masks=Masks(d.masks.recurrent)) for d in call.directions)
    assert_keeps_contract(replace(call, directions=sides))


def test_zoneout_is_left_to_the_scan() -> None:
    call = problem(SRUCell(), masks=True)
    sides = tuple(replace(d, masks=Masks(None, d.masks.zoneout)) for d in call.directions)
    assert "no zoneout for SRUCell" in str(ENGINE.refuses(replace(call, directions=sides)))
    assert choose(replace(call, directions=sides)).name == "scan"


def test_a_subclass_is_another_cell() -> None:
    class Other(LRUCell):
        pass

    assert "no kernel for" in str(ENGINE.refuses(problem(Other())))


def test_directions_of_any_order() -> None:
    call = problem(SRUCell(), directions=2, ragged=True, hidden=9, inputs=9)
    first, second = call.directions
    assert_keeps_contract(replace(call, directions=(replace(first, reverse=True),)))
    assert_keeps_contract(replace(call, directions=(second, first)))


def test_changed_weights_are_packed_anew() -> None:
    call = problem(LRUCell())
    before = ENGINE.infer(call).output
    for name in ("weight_out", "nu_log"):
        call.directions[0].params[name].data.mul_(0.5)
        after = ENGINE.infer(call).output
        assert not torch.equal(before, after)
        before = after
