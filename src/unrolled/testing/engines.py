"""The checks of an engine: for every cell that it serves, the same results and gradients as the scan."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from unrolled.cells import Cell, variants
from unrolled.errors import ArgumentError
from unrolled.kernels import Call, Direction, Engine, Result, engines
from unrolled.kernels.autograd import run_engine, run_scan
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
from unrolled.testing.samples import Sample, draw

Serve = Callable[[Call], Result]


def check_engine(
    engine: str | Engine,
    *,
    cells: Iterable[Cell] | None = None,
    dtypes: Sequence[torch.dtype] = (torch.float32, torch.float64),
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
    """The checks of an engine with one cell in one dtype; none if it refuses even the plainest call of them.

    Raises:
        ArgumentError: for a name that no engine of this build has.
    """
    chosen = _engine(engine)
    if chosen.unavailable() is not None or chosen.refuses(_problem(cell).to(dtype).call) is not None:
        return
    subject = f"engine {chosen.name!r} with {cell} in {dtype}"
    for name, body in (
        ("results", _results),
        ("ragged", _ragged),
        ("padding", _padding),
        ("gradients_wanted", _gradients_wanted),
        ("final_state", _final_state),
        ("sizes", _sizes),
        ("strides", _strides),
        ("inputs_unchanged", _inputs_unchanged),
        ("repeatable", _repeatable),
        ("uninitialised", _uninitialised),
        ("inference", _inference),
        ("step", _step),
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


@dataclass(frozen=True)
class Problem:
    """A call, and the weights of a loss over outputs and final states: output first, then each direction's states."""

    call: Call
    weights: tuple[Tensor, ...]

    def to(self, dtype: torch.dtype) -> Problem:
        """The same problem in another dtype."""
        return Problem(
            self.call.with_tensors([t.to(dtype) for t in self.call.tensors]), tuple(w.to(dtype) for w in self.weights)
        )

    def names(self) -> list[str]:
        """The names of `call.tensors`, in their order."""
        found = ["x"]
        for direction in self.call.directions:
            side = " (reverse)" if direction.reverse else ""
            found += [f"state {n}{side}" for n in self.call.cell.state_names]
            found += [f"{n}{side}" for n in direction.params]
        return found

    def results(self, result: Result) -> dict[str, Tensor]:
        """Outputs and final states by name."""
        states = {
            f"final state {n} of direction {d}": s
            for d, state in enumerate(result.states)
            for n, s in zip(self.call.cell.state_names, state, strict=True)
        }
        return {"output": result.output, **states}

    def everything(self, serve: Serve, wanted: Collection[str] | None = None) -> dict[str, Tensor]:
        """Results, and the gradients of the tensors called `wanted` (None: all), as `serve` computes them."""
        names = self.names()
        leaves = [
            t.detach().requires_grad_(wanted is None or n in wanted)
            for n, t in zip(names, self.call.tensors, strict=True)
        ]
        found = self.results(serve(self.call.with_tensors(leaves)))
        loss = sum(((w * t).sum() for w, t in zip(self.weights, found.values(), strict=True)), torch.zeros(()))
        asked = [(n, t) for n, t in zip(names, leaves, strict=True) if t.requires_grad]
        grads = torch.autograd.grad(loss, [t for _, t in asked], allow_unused=True)
        by_name = {f"d{n}": torch.zeros_like(t) if d is None else d for (n, t), d in zip(asked, grads, strict=True)}
        return {k: v.detach() for k, v in found.items()} | by_name


def _problem(
    cell: Cell,
    *,
    directions: int = 1,
    lengths: Sequence[int] | None = None,
    time: int = 5,
    batch: int = 3,
    input_size: int = 3,
    hidden_size: int = 6,
    bias: bool = True,
    seed: int = 0,
) -> Problem:
    """A random call in float64."""
    sizes: dict[str, Any] = {"time": time, "batch": batch, "input_size": input_size, "hidden_size": hidden_size}
    make: Callable[..., Sample] = partial(draw, cell, bias=bias, **sizes)
    samples = [make(seed=seed + d) for d in range(directions)]
    call = Call(
        cell,
        samples[0].x,
        tuple(Direction(s.params, s.state, bool(d)) for d, s in enumerate(samples)),
        None if lengths is None else torch.tensor(lengths),
    )
    weights = [w for s in samples for w in s.weights[1:]]
    return Problem(call, (torch.cat([s.weights[0] for s in samples], -1), *weights))


def _variety(cell: Cell) -> Iterator[tuple[str, Problem]]:
    yield "plain", _problem(cell)
    yield "without bias", _problem(cell, bias=False, seed=10)
    yield "two directions", _problem(cell, directions=2, seed=20)
    yield "one sequence", _problem(cell, batch=1, time=9, seed=30)
    reverse = _problem(cell, seed=40)
    flipped = tuple(replace(d, reverse=True) for d in reverse.call.directions)
    yield "reversed only", replace(reverse, call=replace(reverse.call, directions=flipped))
    laid_out = _problem(cell, seed=50)
    yield "batch first", replace(laid_out, call=replace(laid_out.call, batch_first=True))


def _compare(engine: Engine, problem: Problem, dtype: torch.dtype, what: str) -> None:
    """The engine in `dtype` against the scan in float64, from inputs rounded to `dtype`."""
    low = problem.to(dtype)
    if engine.refuses(low.call) is not None:
        return  # the dispatcher gives what an engine refuses to another: slower, never different
    high = low.to(torch.float64)
    expected = high.everything(run_scan)
    witness = low if dtype != torch.float64 else low.to(torch.float32)
    plain = witness.everything(run_scan)
    # a tensor of one number may be nearly exact by luck, and float32 bears witness for float64 only by proportion
    factor, ulps = (8, 16) if dtype != torch.float64 else (64, 32)
    allowed = {name: tolerance(value, plain[name], dtype, factor, ulps) for name, value in expected.items()}
    try:
        require_all_close(low.everything(partial(run_engine, engine)), expected, allowed)
    except ConformanceError as error:
        raise ConformanceError(f"{error.problem} (in the problem {what!r})", error.tensor, error.deviation) from None


def _results(engine: Engine, cell: Cell, dtype: torch.dtype) -> None:
    """Outputs, final states and every gradient, over directions, biases and layouts."""
    for name, problem in _variety(cell):
        _compare(engine, problem, dtype, name)


def _ragged(engine: Engine, cell: Cell, dtype: torch.dtype) -> None:
    """The same for ragged batches, unsorted, with sequences of length 0 and 1, and none as long as T."""
    for lengths in ((5, 2, 4), (1, 5, 3), (3, 0, 5), (2, 1, 4), (0, 0, 0)):
        for directions in (1, 2):
            _compare(engine, _problem(cell, directions=directions, lengths=lengths), dtype, f"lengths {lengths}")


def _padding(engine: Engine, cell: Cell, dtype: torch.dtype) -> None:
    """NaN in the padding of x, and of the output's gradient, changes no bit; x's gradient there is exactly 0."""
    for lengths in ((5, 2, 4), (3, 0, 4)):
        clean = _problem(cell, directions=2, lengths=lengths).to(dtype)
        if engine.refuses(clean.call) is not None:
            continue
        valid = (torch.arange(5).unsqueeze(1) < torch.tensor(lengths)).unsqueeze(-1)
        still = replace(clean, weights=(clean.weights[0] * valid, *clean.weights[1:]))
        dirty_x = clean.call.x.masked_fill(~valid, float("nan"))
        dirty = Problem(
            replace(clean.call, x=dirty_x),
            (clean.weights[0].masked_fill(~valid, float("nan")), *clean.weights[1:]),
        )
        expected = still.everything(partial(run_engine, engine))
        found = _everything_by_grads(dirty, engine)
        require_same(found, {k: expected[k] for k in found})
        over = (~valid).expand_as(dirty_x)
        require_close("dx in the padding", found["dx"][over], torch.zeros_like(found["dx"][over]), 0.0)


def _everything_by_grads(problem: Problem, engine: Engine) -> dict[str, Tensor]:
    """As `Problem.everything`, with the weights handed over as gradients: 0 · NaN would spoil the loss itself."""
    leaves = [t.detach().requires_grad_() for t in problem.call.tensors]
    results = problem.results(run_engine(engine, problem.call.with_tensors(leaves)))
    grads = torch.autograd.grad(list(results.values()), leaves, problem.weights)
    return {k: v.detach() for k, v in results.items()} | {
        f"d{n}": d for n, d in zip(problem.names(), grads, strict=True)
    }


def _gradients_wanted(engine: Engine, cell: Cell, dtype: torch.dtype) -> None:
    """Asking for one gradient alone gives what asking for all does."""
    problem = _problem(cell, directions=2, lengths=(5, 2, 4)).to(dtype)
    if engine.refuses(problem.call) is not None:
        return
    serve = partial(run_engine, engine)
    expected = problem.everything(serve)
    for name in problem.names():
        found = problem.everything(serve, wanted=(name,))
        allowed = 16 * torch.finfo(dtype).eps * (1 + float(expected[f"d{name}"].abs().max()))
        require_close(f"d{name} wanted alone", found[f"d{name}"], expected[f"d{name}"], allowed)


def _final_state(engine: Engine, cell: Cell, dtype: torch.dtype) -> None:
    """The gradient of the final states alone, and of the outputs alone."""
    for lengths in (None, (5, 2, 4)):
        problem = _problem(cell, directions=2, lengths=lengths)
        silent = (torch.zeros_like(problem.weights[0]), *problem.weights[1:])
        _compare(engine, replace(problem, weights=silent), dtype, "final states alone")
        silent = (problem.weights[0], *(torch.zeros_like(w) for w in problem.weights[1:]))
        _compare(engine, replace(problem, weights=silent), dtype, "outputs alone")


def _sizes(engine: Engine, cell: Cell, dtype: torch.dtype) -> None:
    """One step, no sequence, and sizes on and beside a vector's width."""
    for hidden in SIZES:
        try:
            cell.parameter_shapes(3, hidden)
        except ArgumentError:  # a width that the cell's own options exclude
            continue
        for time, batch, width in ((1, 1, 1), (3, 2, 5), (2, 17, 3)):
            problem = _problem(cell, time=time, batch=batch, input_size=width, hidden_size=hidden)
            _compare(engine, problem, dtype, f"H={hidden}, T={time}, B={batch}, I={width}")
    _compare(engine, _problem(cell, batch=0), dtype, "an empty batch")


def _strides(engine: Engine, cell: Cell, dtype: torch.dtype) -> None:
    """Tensors that are not contiguous make no difference."""
    problem = _problem(cell, directions=2).to(dtype)
    if engine.refuses(problem.call) is not None:
        return
    odd = replace(problem, call=problem.call.with_tensors([strided(t) for t in problem.call.tensors]))
    _compare(engine, odd, dtype, "strided")
    serve = partial(run_engine, engine)
    found, expected = odd.everything(serve), problem.everything(serve)
    for name, value in expected.items():
        allowed = 64 * torch.finfo(dtype).eps * (1 + float(value.abs().max()))
        require_close(f"{name} of strided tensors", found[name], value, allowed)


def _inputs_unchanged(engine: Engine, cell: Cell, dtype: torch.dtype) -> None:
    """Nothing that was handed over is written to, gradients included."""
    problem = _problem(cell, lengths=(5, 2, 4)).to(dtype)
    named = [*zip(problem.names(), problem.call.tensors, strict=True)]
    weights = [(f"gradient {i}", w) for i, w in enumerate(problem.weights)]
    with unchanged([*named, *weights]):
        _everything_by_grads(problem, engine)
        engine.infer(problem.call)


def _repeatable(engine: Engine, cell: Cell, dtype: torch.dtype) -> None:
    """The same bits twice; with another number of threads, the same within the tolerance of the dtype."""
    problem = _problem(cell, lengths=(5, 2, 4), hidden_size=33, batch=3).to(dtype)
    serve = partial(run_engine, engine)
    expected = problem.everything(serve)
    require_same(problem.everything(serve), expected)
    with threads(2 if torch.get_num_threads() == 1 else 1):
        found = problem.everything(serve)
    for name, value in expected.items():
        allowed = 64 * torch.finfo(dtype).eps * (1 + float(value.abs().max()))
        require_close(f"{name} with other threads", found[name], value, allowed)


def _uninitialised(engine: Engine, cell: Cell, dtype: torch.dtype) -> None:
    """NaN in fresh memory changes no bit."""
    for directions, lengths in ((1, None), (2, (5, 2, 4))):
        problem = _problem(cell, directions=directions, lengths=lengths, hidden_size=9).to(dtype)
        if engine.refuses(problem.call) is not None:
            continue
        expected = problem.everything(partial(run_engine, engine))
        with poisoned():
            require_same(problem.everything(partial(run_engine, engine)), expected)
            _inference_of(engine, problem, dtype)


def _inference(engine: Engine, cell: Cell, dtype: torch.dtype) -> None:
    """`infer` gives what `forward` gives, and builds no graph."""
    for directions, lengths in ((1, None), (2, (5, 2, 4))):
        problem = _problem(cell, directions=directions, lengths=lengths).to(dtype)
        if engine.refuses(problem.call) is None:
            _inference_of(engine, problem, dtype)


def _inference_of(engine: Engine, problem: Problem, dtype: torch.dtype) -> None:
    expected = problem.results(engine.forward(problem.call)[0])
    for name, value in problem.results(engine.infer(problem.call)).items():
        require(not value.requires_grad, "inference built a graph", name)
        allowed = 32 * torch.finfo(dtype).eps * (1 + float(expected[name].abs().max()))
        require_close(f"{name} of inference", value, expected[name], allowed)


def _step(engine: Engine, cell: Cell, dtype: torch.dtype) -> None:
    """The engine's single step, where it has one, is a call of T=1, and leaves its inputs alone."""
    for batch in (1, 3):
        problem = _problem(cell, time=1, batch=batch).to(dtype)
        call, direction = problem.call, problem.call.directions[0]
        named = [*zip(problem.names(), call.tensors, strict=True)]
        with unchanged(named), torch.no_grad():
            found = engine.step(cell, call.x[0], direction.state, direction.params)
        if found is None:
            return
        expected = run_scan(problem.to(torch.float64).call).states[0]
        for name, value, true in zip(cell.state_names, found, expected, strict=True):
            require_close(
                f"state {name} of a step", value, true, 64 * torch.finfo(dtype).eps * (1 + float(true.abs().max()))
            )


def _double_backward(engine: Engine, cell: Cell, dtype: torch.dtype) -> None:
    """The gradient of the gradient's norm equals the scan's."""
    problem = _problem(cell, time=3, lengths=(3, 1, 2)).to(torch.float64)
    if engine.refuses(problem.call) is not None:
        return
    found, expected = (_second(problem, serve) for serve in (partial(run_engine, engine), run_scan))
    for name, value in expected.items():
        require_close(f"second d{name}", found[name], value, 1e-10 * (1 + float(value.abs().max())))


def _second(problem: Problem, serve: Serve) -> dict[str, Tensor]:
    leaves = [t.detach().requires_grad_() for t in problem.call.tensors]
    results = problem.results(serve(problem.call.with_tensors(leaves)))
    loss = sum(((w * t).sum() for w, t in zip(problem.weights, results.values(), strict=True)), torch.zeros(()))
    first = torch.autograd.grad(loss, leaves, create_graph=True)
    norm = sum(((d * d).sum() for d in first), torch.zeros(()))
    second = torch.autograd.grad(norm, leaves, allow_unused=True)
    return {n: torch.zeros_like(t) if d is None else d for n, t, d in zip(problem.names(), leaves, second, strict=True)}


def _backward_twice(engine: Engine, cell: Cell, dtype: torch.dtype) -> None:
    """A kept graph gives the same gradients again: what was saved is not consumed."""
    problem = _problem(cell, lengths=(5, 2, 4)).to(dtype)
    leaves = [t.detach().requires_grad_() for t in problem.call.tensors]
    results = problem.results(run_engine(engine, problem.call.with_tensors(leaves)))
    outputs = list(results.values())
    first = torch.autograd.grad(outputs, leaves, problem.weights, retain_graph=True)
    again = torch.autograd.grad(outputs, leaves, problem.weights)
    for name, a, b in zip(problem.names(), first, again, strict=True):
        require_close(f"d{name} the second time", b, a, 0.0)
