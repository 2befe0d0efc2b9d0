"""The checks of an engine: for every cell that it serves, the same results and gradients as the scan."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from unrolled.cells import Cell, variants
from unrolled.errors import ArgumentError
from unrolled.kernels import Call, Engine, Prepared, Result, Stack, StackState, engines
from unrolled.kernels.autograd import run_engine, run_scan
from unrolled.testing.calls import CallProblem, Serve, draw_call, variety, with_documents
from unrolled.testing.cells import SIZES
from unrolled.testing.compare import (
    Check,
    ConformanceError,
    require,
    require_all_close,
    require_close,
    require_same,
    run_checks,
    tolerance,
)
from unrolled.testing.conditions import poisoned, strided, threads, unchanged


def check_engine(
    engine: str | Engine,
    *,
    cells: Iterable[Cell] | None = None,
    dtypes: Sequence[torch.dtype] = (torch.float32, torch.float64, torch.bfloat16),
    skip: Collection[str] = (),
) -> list[str]:
    """Check that an engine keeps the contract of the scan, for every cell that it does not refuse.

    >>> from unrolled.cells import GRUCell
    >>> from unrolled.testing import check_engine
    >>> check_engine("torch", cells=[GRUCell()])[:2]
    ['results', 'ragged']

    Args:
        engine: its name, or the engine itself.
        cells: the cells to try; None is all of the catalogue.
        dtypes: the dtypes to try.
        skip: names of checks to leave out.

    Returns:
        The names of the checks that ran, once for each cell and dtype that the engine serves.

    Raises:
        ConformanceError: naming the engine, the cell, the check, the tensor and its largest deviation; also if the
            engine serves none of the cells.
        ArgumentError: for a name that no engine of this build has.
    """
    ran: list[str] = []
    for cell in variants() if cells is None else cells:
        for dtype in dtypes:
            checks = list(engine_checks(engine, cell, dtype))
            ran += run_checks(checks, skip) if checks else []
    if not ran:
        raise ConformanceError(f"{engine} serves none of the cells it was to be checked with")
    return ran


def engine_checks(engine: str | Engine, cell: Cell, dtype: torch.dtype = torch.float32) -> Iterator[Check]:
    """Yield the checks of an engine with one cell in one dtype; none if it refuses even the plainest call.

    Raises:
        ArgumentError: for a name that no engine of this build has.
    """
    chosen = _engine(engine)
    if chosen.unavailable() is not None or chosen.refuses(draw_call(cell).to(dtype).call) is not None:
        return
    subject = f"engine {chosen.name!r} with {cell} in {dtype}"
    for name, body in (
        ("results", _results),
        ("ragged", _ragged),
        ("padding", _padding),
        ("reset", _reset),
        ("gradients_wanted", _gradients_wanted),
        ("final_state", _final_state),
        ("sizes", _sizes),
        ("strides", _strides),
        ("inputs_unchanged", _inputs_unchanged),
        ("repeatable", _repeatable),
        ("uninitialised", _uninitialised),
        ("inference", _inference),
        ("step", _step),
        ("prepared", _prepared),
        ("double_backward", _double_backward),
        ("backward_twice", _backward_twice),
    ):
        yield Check(subject, name, partial(body, chosen, cell, dtype))


def _engine(engine: str | Engine) -> Engine:
    if isinstance(engine, Engine):
        return engine
    try:
        return engines()[engine]
    except KeyError:
        raise ArgumentError(f"engine: expected one of {', '.join(engines())}, found {engine!r}") from None


def _compare(engine: Engine, problem: CallProblem, dtype: torch.dtype, name: str) -> None:
    """Compare the engine in `dtype` with the scan in float64, from inputs rounded to `dtype`."""
    low = problem.to(dtype)
    if engine.refuses(low.call) is not None:
        return  # the dispatcher gives a refused call to another engine: slower, never different
    high = low.to(torch.float64)
    expected = high.everything(run_scan)
    witness = low if dtype != torch.float64 else low.to(torch.float32)
    plain = witness.everything(run_scan)
    # a tensor of one number may be nearly exact by luck, and float32 tells of float64 only in proportion
    factor, ulps = (8, 16) if dtype != torch.float64 else (64, 32)
    allowed = {name: tolerance(value, plain[name], dtype, factor, ulps) for name, value in expected.items()}
    try:
        require_all_close(low.everything(partial(run_engine, engine)), expected, allowed)
    except ConformanceError as error:
        raise ConformanceError(f"{error.problem} (in the problem {name!r})", error.tensor, error.deviation) from None


def _results(engine: Engine, cell: Cell, dtype: torch.dtype) -> None:
    """Outputs, final states and every gradient, over directions, biases and layouts."""
    for name, problem in variety(cell):
        _compare(engine, problem, dtype, name)


def _ragged(engine: Engine, cell: Cell, dtype: torch.dtype) -> None:
    """The same for ragged batches, unsorted, with sequences of length 0 and 1, and none as long as T."""
    for lengths in ((5, 2, 4), (1, 5, 3), (3, 0, 5), (2, 1, 4), (0, 0, 0)):
        for directions in (1, 2):
            _compare(engine, draw_call(cell, directions=directions, lengths=lengths), dtype, f"lengths {lengths}")


def _reset(engine: Engine, cell: Cell, dtype: torch.dtype) -> None:
    """Documents packed into rows, in one direction and two, ragged and not, with a reset at every step and at none."""
    reset = torch.rand(5, 3, generator=torch.Generator().manual_seed(0)) < 0.4
    for directions, lengths in ((1, None), (2, None), (2, (5, 2, 4)), (2, (3, 0, 5))):
        plain = draw_call(cell, directions=directions, lengths=lengths)
        other = draw_call(cell, directions=directions, seed=60)
        for name, begins in (("some", reset), ("all", torch.ones_like(reset)), ("no", torch.zeros_like(reset))):
            _compare(engine, with_documents(plain, begins, other), dtype, f"{name} resets, lengths {lengths}")


def _padding(engine: Engine, cell: Cell, dtype: torch.dtype) -> None:
    """NaN in the padding of x, and of the output's gradient, changes no bit; x's gradient there is exactly 0."""
    for lengths in ((5, 2, 4), (3, 0, 4)):
        clean = draw_call(cell, directions=2, lengths=lengths).to(dtype)
        if engine.refuses(clean.call) is not None:
            continue
        valid = (torch.arange(5).unsqueeze(1) < torch.tensor(lengths)).unsqueeze(-1)
        still = replace(clean, weights=(clean.weights[0] * valid, *clean.weights[1:]))
        dirty_x = clean.call.x.masked_fill(~valid, float("nan"))
        dirty = CallProblem(
            replace(clean.call, x=dirty_x),
            (clean.weights[0].masked_fill(~valid, float("nan")), *clean.weights[1:]),
        )
        expected = still.everything(partial(run_engine, engine))
        actual = _everything_by_grads(dirty, engine)
        require_same(actual, {k: expected[k] for k in actual})
        over = (~valid).expand_as(dirty_x)
        require_close("dx in the padding", actual["dx"][over], torch.zeros_like(actual["dx"][over]), 0.0)


def _everything_by_grads(problem: CallProblem, engine: Engine) -> dict[str, Tensor]:
    """Return `CallProblem.everything` with the weights given as gradients: 0 · NaN would spoil the loss."""
    leaves = [t.detach().requires_grad_() for t in problem.call.tensors]
    results = problem.results(run_engine(engine, problem.call.with_tensors(leaves)))
    grads = torch.autograd.grad(list(results.values()), leaves, problem.weights)
    return {k: v.detach() for k, v in results.items()} | {
        f"d{n}": d for n, d in zip(problem.names(), grads, strict=True)
    }


def _gradients_wanted(engine: Engine, cell: Cell, dtype: torch.dtype) -> None:
    """One gradient alone is the same as when all are asked for."""
    problem = draw_call(cell, directions=2, lengths=(5, 2, 4)).to(dtype)
    if engine.refuses(problem.call) is not None:
        return
    serve = partial(run_engine, engine)
    expected = problem.everything(serve)
    for name in problem.names():
        actual = problem.everything(serve, wanted=(name,))
        allowed = 16 * torch.finfo(dtype).eps * (1 + float(expected[f"d{name}"].abs().max()))
        require_close(f"d{name} wanted alone", actual[f"d{name}"], expected[f"d{name}"], allowed)


def _final_state(engine: Engine, cell: Cell, dtype: torch.dtype) -> None:
    """The gradient of the final states alone, and of the outputs alone."""
    for lengths in (None, (5, 2, 4)):
        problem = draw_call(cell, directions=2, lengths=lengths)
        silent = (torch.zeros_like(problem.weights[0]), *problem.weights[1:])
        _compare(engine, replace(problem, weights=silent), dtype, "final states alone")
        silent = (problem.weights[0], *(torch.zeros_like(w) for w in problem.weights[1:]))
        _compare(engine, replace(problem, weights=silent), dtype, "outputs alone")


def _sizes(engine: Engine, cell: Cell, dtype: torch.dtype) -> None:
    """One step, no sequence, and sizes at and near a vector's width."""
    for hidden in SIZES:
        try:
            cell.parameter_shapes(3, hidden)
        except ArgumentError:  # a width that the cell's own options exclude
            continue
        for time, batch, width in ((1, 1, 1), (3, 2, 5), (2, 17, 3)):
            problem = draw_call(cell, time=time, batch=batch, input_size=width, hidden_size=hidden)
            _compare(engine, problem, dtype, f"H={hidden}, T={time}, B={batch}, I={width}")
    _compare(engine, draw_call(cell, batch=0), dtype, "an empty batch")


def _strides(engine: Engine, cell: Cell, dtype: torch.dtype) -> None:
    """Tensors that are not contiguous make no difference."""
    problem = draw_call(cell, directions=2).to(dtype)
    if engine.refuses(problem.call) is not None:
        return
    odd = replace(problem, call=problem.call.with_tensors([strided(t) for t in problem.call.tensors]))
    _compare(engine, odd, dtype, "strided")
    serve = partial(run_engine, engine)
    actual, expected = odd.everything(serve), problem.everything(serve)
    for name, value in expected.items():
        allowed = 64 * torch.finfo(dtype).eps * (1 + float(value.abs().max()))
        require_close(f"{name} of strided tensors", actual[name], value, allowed)


def _inputs_unchanged(engine: Engine, cell: Cell, dtype: torch.dtype) -> None:
    """No tensor of a call is written to, nor the gradients that arrive."""
    problem = draw_call(cell, lengths=(5, 2, 4)).to(dtype)
    named = [*zip(problem.names(), problem.call.tensors, strict=True)]
    weights = [(f"gradient {i}", w) for i, w in enumerate(problem.weights)]
    with unchanged([*named, *weights]):
        _everything_by_grads(problem, engine)
        engine.infer(problem.call)


def _repeatable(engine: Engine, cell: Cell, dtype: torch.dtype) -> None:
    """The same bits twice; with another number of threads, the same within the tolerance of the dtype."""
    problem = draw_call(cell, lengths=(5, 2, 4), hidden_size=33, batch=3).to(dtype)
    serve = partial(run_engine, engine)
    expected = problem.everything(serve)
    require_same(problem.everything(serve), expected)
    with threads(2 if torch.get_num_threads() == 1 else 1):
        actual = problem.everything(serve)
    for name, value in expected.items():
        allowed = 64 * torch.finfo(dtype).eps * (1 + float(value.abs().max()))
        require_close(f"{name} with other threads", actual[name], value, allowed)


def _uninitialised(engine: Engine, cell: Cell, dtype: torch.dtype) -> None:
    """NaN in fresh memory changes no bit."""
    for directions, lengths in ((1, None), (2, (5, 2, 4))):
        problem = draw_call(cell, directions=directions, lengths=lengths, hidden_size=9).to(dtype)
        if engine.refuses(problem.call) is not None:
            continue
        expected = problem.everything(partial(run_engine, engine))
        with poisoned():
            require_same(problem.everything(partial(run_engine, engine)), expected)
            _inference_of(engine, problem, dtype)


def _inference(engine: Engine, cell: Cell, dtype: torch.dtype) -> None:
    """`infer` gives the results of `forward`, and builds no graph."""
    for directions, lengths in ((1, None), (2, (5, 2, 4))):
        problem = draw_call(cell, directions=directions, lengths=lengths).to(dtype)
        if engine.refuses(problem.call) is None:
            _inference_of(engine, problem, dtype)


def _inference_of(engine: Engine, problem: CallProblem, dtype: torch.dtype) -> None:
    expected = problem.results(engine.forward(problem.call)[0])
    for name, value in problem.results(engine.infer(problem.call)).items():
        require(not value.requires_grad, "inference built a graph", name)
        allowed = 32 * torch.finfo(dtype).eps * (1 + float(expected[name].abs().max()))
        require_close(f"{name} of inference", value, expected[name], allowed)


def _step(engine: Engine, cell: Cell, dtype: torch.dtype) -> None:
    """The engine's single step, if it has one, gives the result of a call of T=1, and does not change its inputs."""
    for batch in (1, 3):
        problem = draw_call(cell, time=1, batch=batch).to(dtype)
        call, direction = problem.call, problem.call.directions[0]
        named = [*zip(problem.names(), call.tensors, strict=True)]
        with unchanged(named), torch.no_grad():
            actual = engine.step(cell, call.x[0], direction.state, direction.params)
        if actual is None:
            return
        expected = run_scan(problem.to(torch.float64).call).states[0]
        for name, value, true in zip(cell.state_names, actual, expected, strict=True):
            require_close(
                f"state {name} of a step", value, true, 64 * torch.finfo(dtype).eps * (1 + float(true.abs().max()))
            )


def _prepared(engine: Engine, cell: Cell, dtype: torch.dtype) -> None:
    """A stack that the engine prepared gives the bits of its calls: sequences, gradients, steps and streams."""
    for lengths in (None, (5, 2, 4)):
        problem = draw_call(cell, lengths=lengths).to(dtype)
        prepared, state = _prepare(engine, problem.call)
        if prepared is None:
            return
        trained = problem.everything(partial(_run_prepared, engine))
        require_same(trained, problem.everything(partial(run_engine, engine)))
        with torch.no_grad():
            inferred = problem.results(_run_prepared(engine, problem.call))
        require_same(inferred, problem.results(engine.infer(problem.call)))
        _prepared_steps(engine, prepared, problem.call, state)


def _prepared_steps(engine: Engine, prepared: Prepared, call: Call, state: StackState) -> None:
    x, direction, stream = call.x[0], call.directions[0], prepared.stream(call.x.shape[1])
    expected = engine.step(call.cell, x, direction.state, direction.params)
    result = prepared.step(x, state)
    if expected is not None and result is not None:
        require_close("output of a prepared step", result[0], expected[0], 0.0)
    if expected is not None and stream is not None:
        require(stream.set_state(state), "a stream refuses a plain state")
        require_close("output of a prepared stream", stream.step(x, None), expected[0], 0.0)
    prepared.close()
    if stream is not None:
        require(not stream.is_current() and stream.step(x, None) is None, "a stream outlives its closed stack")


def _prepare(engine: Engine, call: Call) -> tuple[Prepared | None, StackState]:
    """Have a call of one direction prepared, and return its states as a stack of one layer takes them."""
    (direction,) = call.directions
    params = dict(direction.params)
    states = tuple(s.unsqueeze(0) for s in direction.state)
    prepared = engine.prepare(Stack(call.cell, params, [{name: name for name in params}], 1))
    return prepared, states if len(states) > 1 else states[0]


def _run_prepared(engine: Engine, call: Call) -> Result:
    prepared, state = _prepare(engine, call)
    result = None if prepared is None else prepared.run(call.x, state, call.lengths)
    if result is None:
        raise ConformanceError("a prepared stack does not serve a plain call")
    finals = result[1] if isinstance(result[1], tuple) else (result[1],)
    return Result(result[0], (tuple(s.squeeze(0) for s in finals),))


def _double_backward(engine: Engine, cell: Cell, dtype: torch.dtype) -> None:
    """The gradient of the gradient's norm equals the scan's."""
    problem = draw_call(cell, time=3, lengths=(3, 1, 2)).to(torch.float64)
    if engine.refuses(problem.call) is not None:
        return
    actual, expected = (_second(problem, serve) for serve in (partial(run_engine, engine), run_scan))
    for name, value in expected.items():
        require_close(f"second d{name}", actual[name], value, 1e-10 * (1 + float(value.abs().max())))


def _second(problem: CallProblem, serve: Serve) -> dict[str, Tensor]:
    leaves = [t.detach().requires_grad_() for t in problem.call.tensors]
    results = problem.results(serve(problem.call.with_tensors(leaves)))
    loss = sum(((w * t).sum() for w, t in zip(problem.weights, results.values(), strict=True)), torch.zeros(()))
    first = torch.autograd.grad(loss, leaves, create_graph=True)
    norm = sum(((d * d).sum() for d in first), torch.zeros(()))
    second = torch.autograd.grad(norm, leaves, allow_unused=True)
    return {n: torch.zeros_like(t) if d is None else d for n, t, d in zip(problem.names(), leaves, second, strict=True)}


def _backward_twice(engine: Engine, cell: Cell, dtype: torch.dtype) -> None:
    """A retained graph gives the same gradients again: saved tensors are not consumed."""
    problem = draw_call(cell, lengths=(5, 2, 4)).to(dtype)
    leaves = [t.detach().requires_grad_() for t in problem.call.tensors]
    results = problem.results(run_engine(engine, problem.call.with_tensors(leaves)))
    outputs = list(results.values())
    first = torch.autograd.grad(outputs, leaves, problem.weights, retain_graph=True)
    again = torch.autograd.grad(outputs, leaves, problem.weights)
    for name, a, b in zip(problem.names(), first, again, strict=True):
        require_close(f"d{name} the second time", b, a, 0.0)
