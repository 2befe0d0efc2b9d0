"""Documents packed into rows by resets: where they are, and the engines that run them as sequences of their own."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from unrolled.cells import GRUCell, LSTMCell, RNNCell
from unrolled.kernels.autograd import run_engine
from unrolled.kernels.documents import Documents

from .native_cases import ENGINE, assert_keeps_contract, flat, problem, solve
from .test_native import PLAIN, SERVED, isa, poison, threads  # noqa: F401 - fixtures

native = pytest.mark.skipif(ENGINE.unavailable() is not None, reason="the native engine was not built")


def _ragged_documents():
    call = problem(RNNCell(), time=5, batch=4, documents=True)
    reset = torch.tensor([[1, 0, 0, 0, 1], [0, 0, 1, 1, 0], [0, 0, 0, 0, 0], [0, 0, 0, 0, 1]], dtype=torch.bool).T
    return replace(call, reset=reset, lengths=torch.tensor([5, 3, 0, 5]))


def test_where_documents_are() -> None:
    documents = Documents.of(_ragged_documents())
    # a reset beyond the length of a row, as row 1 has it at t = 3, is none
    rows = [[0, 0, 4], [0, 4, 1], [1, 0, 2], [1, 2, 1], [2, 0, 0], [3, 0, 4], [3, 4, 1]]
    assert documents.table.tolist() == rows
    assert documents.first.tolist() == [0, 2, 4, 5]
    assert documents.last.tolist() == [1, 3, 4, 6]
    assert documents.is_begun.tolist() == [True, False, False, False]


def test_how_documents_are_packed() -> None:
    steps, batch_sizes, order = Documents.of(_ragged_documents()).packing(4)
    assert order.tolist() == [0, 5, 2, 1, 3, 6, 4]
    assert batch_sizes.tolist() == [6, 3, 2, 2]
    # (row, t), flattened in time first: the first step of each document, longest first, then the second steps, …
    at = [(int(step) % 4, int(step) // 4) for step in steps]
    assert at[:6] == [(0, 0), (3, 0), (1, 0), (0, 4), (1, 2), (3, 4)]
    assert at[6:] == [(0, 1), (3, 1), (1, 1), (0, 2), (3, 2), (0, 3), (3, 3)]


@native
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("cell", SERVED, ids=repr)
def test_equals_the_scan(cell, dtype, isa, poison) -> None:  # noqa: F811
    for directions, ragged, masks, batch_first in (
        (1, False, False, False),
        (2, False, True, False),
        (2, True, False, True),
        (1, True, True, False),
    ):
        options = {"directions": directions, "ragged": ragged, "masks": masks, "batch_first": batch_first}
        assert_keeps_contract(problem(cell, time=7, batch=4, documents=True, dtype=dtype, **options))


@native
@pytest.mark.parametrize("cell", PLAIN, ids=repr)
def test_a_document_has_the_same_bits_alone(cell, isa) -> None:  # noqa: F811
    call = problem(cell, time=11, batch=3, hidden=21, directions=2, documents=True)
    packed = ENGINE.infer(call)
    for row, begin, length in Documents.of(call).table.tolist():
        sides = []
        for d in call.directions:
            is_given = begin + length == 11 if d.reverse else begin == 0 and not bool(call.reset[0, row])
            sides.append(replace(d, state=tuple(s[[row]] for s in (d.state if is_given else d.start)), start=None))
        x = call.x[begin : begin + length, [row]]
        alone = ENGINE.infer(replace(call, x=x, directions=tuple(sides), reset=None))
        assert torch.equal(alone.output, packed.output[begin : begin + length, [row]])


@native
@pytest.mark.parametrize("cell", PLAIN, ids=repr)
def test_the_thread_count_changes_no_bit(cell, threads) -> None:  # noqa: F811
    call = problem(cell, time=30, batch=5, hidden=70, inputs=40, directions=2, ragged=True, documents=True)
    results = []
    for count in (1, 2, 3):
        threads(count)
        results.append(solve(call, native=True))
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


@native
@pytest.mark.parametrize("cell", [LSTMCell(), GRUCell()], ids=repr)
def test_no_gradient_passes_a_reset(cell) -> None:
    call = problem(cell, time=6, batch=2, directions=1, documents=True)
    reset = torch.zeros(6, 2, dtype=torch.bool)
    reset[3, 0] = True
    call = replace(call, reset=reset)
    output = run_engine(ENGINE, call).output
    (h_0, *_), (start, *_) = call.directions[0].state, call.directions[0].start
    dx, dh, dstart = torch.autograd.grad(output[3:].sum(), [call.x, h_0, start])
    assert not dx[:3, 0].any()
    assert dx[:3, 1].any()
    assert dx[3:].any()
    assert not dh[0].any()
    assert dh[1].any()
    assert dstart[0].any()
    assert not dstart[1].any()


@native
def test_strided_inputs_and_an_empty_batch() -> None:
    call = problem(LSTMCell(), time=6, batch=4, inputs=8, documents=True)
    plain = solve(call, native=True)
    x = call.x.detach().transpose(0, 1).contiguous().transpose(0, 1).requires_grad_()
    assert all(torch.equal(a, b) for a, b in zip(plain, solve(replace(call, x=x), native=True), strict=True))
    assert [t.shape[-2] for t in flat(ENGINE.infer(problem(LSTMCell(), batch=0, documents=True)))] == [0, 0, 0]
