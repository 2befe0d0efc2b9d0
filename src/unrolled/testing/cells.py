"""The checks of a cell: its mathematics, forwards and backwards, under the scan."""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck
from torch.autograd.gradcheck import GradcheckError

from unrolled.cells import Cell
from unrolled.errors import ArgumentError, UnrolledError
from unrolled.scan import Masks, scan
from unrolled.testing.compare import (
    Check,
    ConformanceError,
    require,
    require_all_close,
    require_close,
    require_same,
    run_checks,
)
from unrolled.testing.conditions import poisoned, strided, threads, unchanged
from unrolled.testing.documents import cell_reset
from unrolled.testing.refusals import SCAN_REFUSALS, require_refusal
from unrolled.testing.samples import Sample, draw, scenarios, tolerances

#: hidden sizes at and near the width of a vector register
SIZES = (1, 7, 8, 9, 17, 33)


def check_cell(cell: Cell, *, input_size: int = 2, hidden_size: int = 4, skip: Collection[str] = ()) -> list[str]:
    """Check everything that a cell promises, in float64 on the CPU unless a check says otherwise.

    >>> from unrolled.cells import RNNCell
    >>> from unrolled.testing import check_cell
    >>> check_cell(RNNCell())[:3]
    ['contract', 'gradcheck', 'step_backward']

    Args:
        cell: the cell; one that defines `step` only is not checked for `trace` and `step_backward`.
        input_size, hidden_size: of the problems drawn; small, since gradcheck perturbs every number.
        skip: names of checks to leave out.

    Returns:
        The names of the checks that ran.

    Raises:
        ConformanceError: naming the cell, the check, the tensor and its largest deviation.
    """
    return run_checks(cell_checks(cell, input_size=input_size, hidden_size=hidden_size), skip)


def cell_checks(cell: Cell, *, input_size: int = 2, hidden_size: int = 4) -> Iterator[Check]:
    """Yield the checks that apply to a cell; parameters as `check_cell`'s."""
    bodies: list[tuple[str, Callable[..., None]]] = [("contract", _contract), ("gradcheck", _gradcheck)]
    if cell.is_traced:
        bodies += [("step_backward", _step_backward), ("trace", _trace)]
    if cell.accepts_mask:
        bodies += [("mask", _mask)]
    bodies += [
        ("rows", _rows),
        ("ragged", _ragged),
        ("padding", _padding),
        ("reset", cell_reset),
        ("chunks", _chunks),
        ("inputs_unchanged", _inputs_unchanged),
        ("repeatable", _repeatable),
        ("strides", _strides),
        ("uninitialised", _uninitialised),
        ("sizes", _sizes),
        ("dtypes", _dtypes),
        ("double_backward", _double_backward),
        ("forward_mode", _forward_mode),
        ("bad_inputs", _bad_inputs),
    ]
    make = partial(draw, cell, input_size=input_size, hidden_size=hidden_size)
    for name, body in bodies:
        yield Check(repr(cell), name, partial(body, cell, make))


def _contract(cell: Cell, make: Callable[..., Sample]) -> None:
    """Shapes, dtypes and the frozen-object rules."""
    sample = make()
    hidden = cell.hidden_size(sample.params)
    require(hash(copy.deepcopy(cell)) == hash(cell) and copy.deepcopy(cell) == cell, "a copy is not equal to the cell")
    sizes = cell.state_sizes(hidden)
    require(
        len(sizes) == len(cell.state_names), f"state_sizes gives {len(sizes)} states, state_names {cell.state_names}"
    )
    width = sample.x.shape[-1]
    for name, shape in cell.parameter_shapes(width, hidden).items():
        found = tuple(sample.params[name].shape)
        require(found == shape, f"hidden_size makes H={hidden} of it, where its shape {found} should be {shape}", name)
    unbiased = cell.parameter_shapes(width, hidden, False)
    require(not any(n.startswith("bias") for n in unbiased), f"parameters without bias are {list(unbiased)}")
    x_gates = cell.project_input(sample.x[0], sample.params)
    require(x_gates.dim() == 2 and len(x_gates) == 3, f"expected (B=3, ·), found {tuple(x_gates.shape)}", "x_gates")
    for previous in (sample.state, cell.initial_state(3, hidden, sample.x)):
        new = cell.step(x_gates, previous, sample.params)
        require(isinstance(new, tuple) and len(new) == len(sizes), "step must return a tuple with every state")
        for name, tensor, size in zip(cell.state_names, new, sizes, strict=True):
            require(tensor.shape == (3, size), f"expected (B=3, {size}), found {tuple(tensor.shape)}", f"state {name}")
            require(tensor.dtype == torch.float64, f"expected x's float64, found {tensor.dtype}", f"state {name}")


def _gradcheck(cell: Cell, make: Callable[..., Sample]) -> None:
    """Autograd through scan against differences, for input, states and parameters, through outputs and final states."""
    sample = replace(make(time=3, batch=2, lengths=(3, 2)), reverse=False)
    leaves = sample.leaves()
    for name in leaves.named():
        # one tensor at a time, so that a failure names it
        _gradcheck_one(leaves, name)


def _gradcheck_one(leaves: Sample, name: str) -> None:
    tensors = dict(leaves.named())

    def loss(tensor: Tensor) -> Tensor:
        problem = leaves.with_tensors([tensor if k == name else t.detach() for k, t in tensors.items()])
        return problem.loss(problem.scan())

    try:
        gradcheck(loss, (tensors[name],), atol=1e-7, rtol=1e-5)
    except GradcheckError as error:
        numeric, analytic = _jacobians(loss, tensors[name])
        gap = float((numeric - analytic).abs().max())
        raise ConformanceError(
            f"autograd differs from finite differences by up to {gap:.3g}", f"d{name}", gap
        ) from error


def _jacobians(loss: Callable[[Tensor], Tensor], tensor: Tensor) -> tuple[Tensor, Tensor]:
    """Return the gradient of a scalar function by central differences, and by autograd."""
    analytic = torch.autograd.grad(loss(tensor), tensor, allow_unused=True)[0] if loss(tensor).requires_grad else None
    numeric, flat = torch.zeros(tensor.numel(), dtype=tensor.dtype), tensor.detach().reshape(-1)
    for i in range(flat.numel()):
        bump = torch.zeros_like(flat)
        bump[i] = 1e-6
        up, down = loss((flat + bump).view_as(tensor)), loss((flat - bump).view_as(tensor))
        numeric[i] = (up - down).detach() / 2e-6
    return numeric.view_as(tensor), torch.zeros_like(tensor) if analytic is None else analytic


def _step_backward(cell: Cell, make: Callable[..., Sample]) -> None:
    """`bptt`, that is `step_backward` and `project_input_backward`, against autograd through `scan`."""
    for scenario, problem in scenarios(make):
        expected = problem.by_autograd()
        try:
            require_all_close(problem.by_bptt(), expected, tolerances(problem, expected, torch.float64))
        except ConformanceError as error:
            raise ConformanceError(
                f"{error.problem} (in the problem {scenario!r})", error.tensor, error.deviation
            ) from None


def _trace(cell: Cell, make: Callable[..., Sample]) -> None:
    """`trace` returns the states of `step`, and records every new and previous state."""
    sample = make()
    x_gates = cell.project_input(sample.x[0], sample.params)
    new, record = cell.trace(x_gates, sample.state, sample.params)
    for name, old, stepped, traced in zip(
        cell.state_names, sample.state, cell.step(x_gates, sample.state, sample.params), new, strict=True
    ):
        require_close(f"state {name} of trace, against step", traced, stepped, 0.0)
        require_close(f"{name} in the trace", record.get(name), stepped, 0.0)
        require_close(f"{name}_prev in the trace", record.get(f"{name}_prev"), old, 0.0)


def _mask(cell: Cell, make: Callable[..., Sample]) -> None:
    """A mask of ones is none; a mask of zeros takes h out of every recurrent product."""
    sample = make(time=1)
    ones = torch.ones_like(sample.state[0])
    same = replace(sample, masks=Masks(recurrent=ones))
    require_same(same.results(same.scan()), sample.results(sample.scan()))
    shut = replace(sample, masks=Masks(recurrent=torch.zeros_like(ones))).by_autograd()
    if "dweight_hh" in shut:
        require_close("dweight_hh under a mask of zeros", shut["dweight_hh"], shut["dweight_hh"] * 0, 0.0)


def _alone(sample: Sample, row: int, steps: int) -> Sample:
    """Return one sequence of a batch, without padding."""
    pick = slice(row, row + 1)
    return replace(
        sample,
        x=sample.x[:steps, pick],
        state=tuple(s[pick] for s in sample.state),
        weights=(sample.weights[0][:steps, pick], *(w[pick] for w in sample.weights[1:])),
        lengths=None,
    )


def _rows(cell: Cell, make: Callable[..., Sample]) -> None:
    """No row of a batch has any effect on another: the gradient across rows is exactly 0."""
    leaves = make().leaves()
    result = leaves.scan()
    first = result.output[:, 0].sum() + sum(s[0].sum() for s in result.state)
    named = {k: t for k, t in leaves.named().items() if k == "x" or k.startswith("state ")}
    for name, d in zip(named, torch.autograd.grad(first, list(named.values()), allow_unused=True), strict=True):
        if d is not None:
            others = d[:, 1:] if name == "x" else d[1:]
            require_close(f"d{name} of other rows", others, torch.zeros_like(others), 0.0)
    sample = make()
    expected = sample.by_autograd()["output"]
    allowed = tolerances(sample, {"output": expected}, torch.float64)["output"]
    for row in range(3):
        alone = _alone(sample, row, 4)
        require_close(f"output of row {row} alone", alone.scan().output, expected[:, row : row + 1], allowed)


def _ragged(cell: Cell, make: Callable[..., Sample]) -> None:
    """A ragged batch equals each sequence alone, results and gradients, in both directions."""
    lengths = (4, 0, 2)
    for reverse in (False, True):
        batch = replace(make(lengths=lengths), reverse=reverse)
        actual = batch.by_autograd()
        allowed = tolerances(batch, actual, torch.float64)
        total = {name: torch.zeros_like(actual[f"d{name}"]) for name in batch.params}
        for row, steps in enumerate(lengths):
            pick = slice(row, row + 1)
            if steps == 0:
                for name, s in zip(cell.state_names, batch.state, strict=True):
                    require_close(f"final state {name} of length 0", actual[f"final state {name}"][pick], s[pick], 0.0)
                continue
            alone = _alone(batch, row, steps).by_autograd()
            for name in total:
                total[name] += alone[f"d{name}"]
            for name in ("output", "dx"):
                require_close(f"{name} of length {steps}", actual[name][:steps, pick], alone[name], allowed[name])
                rest = actual[name][steps:, pick]
                require_close(f"{name} beyond length {steps}", rest, torch.zeros_like(rest), 0.0)
            for state in cell.state_names:
                for name in (f"final state {state}", f"dstate {state}"):
                    require_close(f"{name} of length {steps}", actual[name][pick], alone[name], allowed[name])
        for name, value in total.items():
            require_close(f"d{name} summed over sequences", actual[f"d{name}"], value, allowed[f"d{name}"])


def _padding(cell: Cell, make: Callable[..., Sample]) -> None:
    """NaN in the padding changes no bit of any result, and its gradient is exactly 0."""
    for lengths in ((4, 0, 2), (3, 1, 2)):
        clean = make(lengths=lengths)
        x = clean.x.clone()
        for row, steps in enumerate(lengths):
            x[steps:, row] = float("nan")
        dirty = replace(clean, x=x)
        require_same(dirty.by_autograd(), clean.by_autograd())
        if cell.is_traced:
            require_same(dirty.by_bptt(), clean.by_bptt())


def _chunks(cell: Cell, make: Callable[..., Sample]) -> None:
    """Split at every t, the second part started from the first's states: equal to the whole."""
    whole = make()
    expected = whole.by_autograd()
    allowed = tolerances(whole, expected, torch.float64)
    for t in range(1, whole.x.shape[0]):
        head = scan(cell, whole.x[:t], whole.state, whole.params)
        tail = scan(cell, whole.x[t:], head.state, whole.params)
        actual = whole.results(tail) | {"output": torch.cat([head.output, tail.output])}
        require_all_close(actual, {k: expected[k] for k in actual}, allowed)


def _inputs_unchanged(cell: Cell, make: Callable[..., Sample]) -> None:
    """Neither the input nor a state nor a parameter is written to, forwards or backwards."""
    sample = make(lengths=(4, 0, 2))
    with unchanged(sample.named().items()), torch.no_grad():
        sample.scan()
    x_gates = cell.project_input(sample.x[0], sample.params)
    with unchanged([("x_gates", x_gates), *sample.named().items()]), torch.no_grad():
        cell.step(x_gates, sample.state, sample.params)
    if cell.is_traced:
        weights = {f"gradient {i}": w for i, w in enumerate(sample.weights)}
        with unchanged([*sample.named().items(), *weights.items()]):
            sample.by_bptt()


def _repeatable(cell: Cell, make: Callable[..., Sample]) -> None:
    """The same bits twice, and whatever the number of threads."""
    sample = make(lengths=(4, 0, 2), hidden_size=18)
    expected = sample.by_autograd()
    require_same(sample.by_autograd(), expected)
    with threads(2 if torch.get_num_threads() == 1 else 1):
        require_same(sample.by_autograd(), expected)


def _strides(cell: Cell, make: Callable[..., Sample]) -> None:
    """Inputs, states and parameters that are not contiguous make no difference."""
    sample = make(lengths=(4, 0, 2))
    expected = sample.by_autograd()
    allowed = tolerances(sample, expected, torch.float64)
    odd = sample.with_tensors([strided(t) for t in sample.named().values()])
    leaves = odd.with_tensors([t.requires_grad_() for t in odd.named().values()])
    named = leaves.named()
    result = leaves.scan()
    grads = torch.autograd.grad(leaves.loss(result), list(named.values()), allow_unused=True)
    gradients = {f"d{name}": d for name, d in zip(named, grads, strict=True) if d is not None}
    require_all_close({**leaves.results(result), **gradients}, {k: expected[k] for k in gradients}, allowed)


def _uninitialised(cell: Cell, make: Callable[..., Sample]) -> None:
    """Nothing is read that was not written: NaN in fresh memory changes no bit."""
    sample = make(lengths=(4, 0, 2))
    expected = sample.by_autograd()
    with poisoned():
        require_same(sample.by_autograd(), expected)
        if cell.is_traced:
            require_all_close(sample.by_bptt(), expected, tolerances(sample, expected, torch.float64))


def _sizes(cell: Cell, make: Callable[..., Sample]) -> None:
    """One step, no sequence, and hidden sizes at and near a vector's width."""
    empty = make(batch=0).by_autograd()
    require(
        empty["output"].shape[:2] == (4, 0), f"expected (T=4, B=0, P), found {tuple(empty['output'].shape)}", "output"
    )
    for name in make().params:
        require_close(f"d{name} of an empty batch", empty[f"d{name}"], torch.zeros_like(empty[f"d{name}"]), 0.0)
    for hidden in SIZES:
        try:
            cell.parameter_shapes(2, hidden)
        except ArgumentError:  # a width that the cell's own options exclude, as a projection does narrow cells
            continue
        for time, batch in ((1, 1), (3, 2)):
            sample = make(time=time, batch=batch, hidden_size=hidden)
            expected = sample.by_autograd()
            for name, value in expected.items():
                require(bool(value.isfinite().all()), f"not finite at H={hidden}, T={time}, B={batch}", name)
            if cell.is_traced:
                require_all_close(sample.by_bptt(), expected, tolerances(sample, expected, torch.float64))


def _dtypes(cell: Cell, make: Callable[..., Sample]) -> None:
    """Results have the dtype of the inputs; in float32 all are near float64, in bfloat16 the outputs roughly."""
    for dtype, bound in ((torch.float32, 1e-4), (torch.bfloat16, 0.1)):
        low = make(lengths=(4, 0, 2)).to(dtype)
        # the reference starts from the rounded values: the arithmetic is checked, not the rounding of inputs
        expected, actual = low.to(torch.float64).by_autograd(), low.by_autograd()
        for name, value in expected.items():
            require(actual[name].dtype == dtype, f"expected {dtype}, found {actual[name].dtype}", name)
            if dtype == torch.float32 or not name.startswith("d"):
                require_close(f"{name} in {dtype}", actual[name], value, bound * max(1.0, float(value.abs().max())))


def _double_backward(cell: Cell, make: Callable[..., Sample]) -> None:
    """The gradient of the gradient is right, or is refused with one of our errors."""
    leaves = make(time=3, batch=2, lengths=(3, 2)).leaves()

    def results(*tensors: Tensor) -> tuple[Tensor, ...]:
        problem = leaves.with_tensors(tensors)
        # squared, so that second derivatives arise even where the cell is linear
        return tuple(r * r for r in problem.results(problem.scan()).values())

    try:
        gradgradcheck(results, tuple(leaves.named().values()), atol=1e-5, rtol=1e-3, fast_mode=True)
    except GradcheckError as error:
        raise ConformanceError("the second derivative differs from finite differences") from error
    except (UnrolledError, NotImplementedError):
        return  # refused by name


def _forward_mode(cell: Cell, make: Callable[..., Sample]) -> None:
    """The directional derivative by torch.func.jvp is the gradient's product with the direction, or is refused."""
    sample = make(lengths=(4, 0, 2))
    named = sample.named()
    directions = tuple(t.detach().cos() for t in named.values())

    def loss(*tensors: Tensor) -> Tensor:
        problem = sample.with_tensors(tensors)
        return problem.loss(problem.scan())

    directional: Tensor
    try:
        directional = torch.func.jvp(loss, tuple(named.values()), directions)[1]
    except (UnrolledError, NotImplementedError):
        return
    gradients = sample.by_autograd()
    terms = [(gradients[f"d{name}"] * d).sum() for name, d in zip(named, directions, strict=True)]
    bound = 1e-10 * (1 + float(sum(t.abs() for t in terms)))
    require_close("directional derivative", directional, torch.stack(terms).sum(), bound)


def _bad_inputs(cell: Cell, make: Callable[..., Sample]) -> None:
    """Bad input is refused with the right error and a message that names it."""
    for refusal in SCAN_REFUSALS:
        require_refusal(refusal, make())
