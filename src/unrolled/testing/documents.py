"""Documents packed into the rows of a batch by `reset`: each must give exactly what it gives alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from unrolled.cells import Cell
from unrolled.layers.recurrent.state import tensors_of
from unrolled.testing.compare import require_close
from unrolled.testing.problems import Problem
from unrolled.testing.refusals import RESET_REFUSALS, require_refusal
from unrolled.testing.samples import RESETS, Sample, tolerances, with_documents

LENGTHS = (4, 3, 4)
#: two results of the same float64 computation in another order
CLOSE = 1e-11


def _documents() -> Iterator[tuple[int, int, int, int]]:
    """Yield row, begin, end, and the row's own end of every document, as RESETS and LENGTHS have them."""
    for row, steps in enumerate(LENGTHS):
        begins = [0, *(t for t in range(1, steps) if RESETS[t, row])]
        for begin, end in zip(begins, [*begins[1:], steps], strict=True):
            yield row, begin, end, steps


def cell_reset(cell: Cell, make: Callable[..., Sample]) -> None:
    """Documents in the rows of a batch equal each document alone, results and gradients, in both directions."""
    for reverse in (False, True):
        packed = replace(with_documents(make(lengths=LENGTHS), make(seed=1)), reverse=reverse)
        actual = packed.by_autograd()
        allowed = tolerances(packed, actual, torch.float64)
        total = {name: torch.zeros_like(d) for name, d in actual.items() if name.startswith("d") and name != "dx"}
        for row, begin, end, steps in _documents():
            is_given = end == steps if reverse else not RESETS[begin, row]
            is_last = begin == 0 if reverse else end == steps
            alone = _alone(packed, row, slice(begin, end), is_given, is_last).by_autograd()
            pick = slice(row, row + 1)
            for name in ("output", "dx"):
                require_close(f"{name} of a document", actual[name][begin:end, pick], alone[name], allowed[name])
            for state in cell.state_names:
                total[f"d{'state' if is_given else 'start'} {state}"][pick] += alone[f"dstate {state}"]
                if is_last:
                    final = f"final state {state}"
                    require_close(f"{final} of a document", actual[final][pick], alone[final], allowed[final])
            for name in packed.params:
                total[f"d{name}"] += alone[f"d{name}"]
        for name, value in total.items():
            require_close(f"{name} summed over documents", actual[name], value, allowed[name])


def _alone(sample: Sample, row: int, steps: slice, is_given: bool, is_last: bool) -> Sample:
    """Return one document alone; the loss sees its final states if they are those of its row."""
    pick = slice(row, row + 1)
    finals = tuple(w[pick] * is_last for w in sample.weights[1:])
    return replace(
        sample,
        x=sample.x[steps, pick],
        state=tuple(s[pick] for s in (sample.state if is_given else sample.start or ())),
        weights=(sample.weights[0][steps, pick], *finals),
        lengths=None,
        reset=None,
        start=None,
    )


def layer_reset(make: Callable[..., Problem]) -> None:
    """The same for a stack from its own initial states; steps with resets equal the sequence; bad ones are refused."""
    for options in ({"num_layers": 2}, {"num_layers": 2, "bidirectional": True, "batch_first": True}):
        case = make(lengths=LENGTHS, **options)
        swap: Callable[[Tensor], Tensor] = _swap if case.layer.batch_first else _same
        x = case.x.detach().requires_grad_()
        tensors = [x, *case.parameters.values()]
        output, final = case.layer(swap(x), lengths=case.lengths, reset=swap(RESETS))
        grads = torch.autograd.grad((case.weights[0] * swap(output)).sum(), tensors, allow_unused=True)
        total = [torch.zeros_like(t) for t in tensors]
        for row, begin, end, steps in _documents():
            alone, own_final = case.layer(swap(x[begin:end, [row]]))
            require_close("output of a document", swap(output)[begin:end, [row]], swap(alone), CLOSE)
            for k, (a, b) in enumerate(zip(tensors_of(final), tensors_of(own_final), strict=True)):
                directions = case.layer.num_directions
                for side in [0] * (end == steps) + [1] * (begin == 0 and directions == 2):
                    require_close(f"final state {k} of a row", a[side::directions, [row]], b[side::directions], CLOSE)
            loss = (case.weights[0][begin:end, [row]] * swap(alone)).sum()
            for sum_, d in zip(total, torch.autograd.grad(loss, tensors, allow_unused=True), strict=True):
                sum_ += 0 if d is None else d
        for name, d, value in zip(["x", *case.parameters], grads, total, strict=True):
            require_close(f"d{name} summed over documents", value * 0 if d is None else d, value, CLOSE)
    if hasattr(case.layer, "step"):
        _steps(make)
    case = make()
    for refusal in RESET_REFUSALS:
        require_refusal(refusal, (case.layer, case.x))


def _steps(make: Callable[..., Problem]) -> None:
    case = make(num_layers=2)
    expected, final = case.layer(case.x, case.state, reset=RESETS)
    state: Any = case.state
    stream = case.layer.stream(3, case.state)
    for t in range(4):
        output, state = case.layer.step(case.x[t], state, reset=RESETS[t])
        require_close(f"output of step {t} with a reset", output, expected[t], CLOSE)
        streamed = stream.step(case.x[t], reset=RESETS[t])
        require_close(f"output of a stream's step {t} with a reset", streamed, expected[t], CLOSE)
    for k, (a, b, c) in enumerate(zip(tensors_of(state), tensors_of(stream.state), tensors_of(final), strict=True)):
        require_close(f"final state {k} of steps with resets", a, c, CLOSE)
        require_close(f"final state {k} of a stream with resets", b, c, CLOSE)
    single, _ = case.layer.step(case.x[0, 0], None, reset=torch.tensor(True))
    require_close("output of one stream with a reset", single, case.layer.step(case.x[0, 0])[0], CLOSE)


def _swap(tensor: Tensor) -> Tensor:
    return tensor.transpose(0, 1)


def _same(tensor: Tensor) -> Tensor:
    return tensor
