"""Random problems for an engine: a call, and a loss that depends on every result.

Letters: T time, B batch, I input, H hidden.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from unrolled.cells import Cell
from unrolled.kernels import Call, Direction, Result
from unrolled.testing.samples import Sample, draw

Serve = Callable[[Call], Result]


@dataclass(frozen=True)
class CallProblem:
    """A call, and the weights of a loss over outputs and final states: output first, then each direction's states."""

    call: Call
    weights: tuple[Tensor, ...]

    def to(self, dtype: torch.dtype) -> CallProblem:
        """Return the same problem in another dtype."""
        return CallProblem(
            self.call.with_tensors([t.to(dtype) for t in self.call.tensors]), tuple(w.to(dtype) for w in self.weights)
        )

    def names(self) -> list[str]:
        """Return the names of `call.tensors`, in their order."""
        names = ["x"]
        for direction in self.call.directions:
            side = " (reverse)" if direction.reverse else ""
            names += [f"state {n}{side}" for n in self.call.cell.state_names]
            names += [f"start {n}{side}" for n in self.call.cell.state_names if direction.start is not None]
            names += [f"{n}{side}" for n in direction.params]
        return names

    def results(self, result: Result) -> dict[str, Tensor]:
        """Return outputs and final states by name."""
        states = {
            f"final state {n} of direction {d}": s
            for d, state in enumerate(result.states)
            for n, s in zip(self.call.cell.state_names, state, strict=True)
        }
        return {"output": result.output, **states}

    def everything(self, serve: Serve, wanted: Collection[str] | None = None) -> dict[str, Tensor]:
        """Return results, and the gradients of the tensors called `wanted` (None: all), as `serve` computes them."""
        names = self.names()
        leaves = [
            t.detach().requires_grad_(wanted is None or n in wanted)
            for n, t in zip(names, self.call.tensors, strict=True)
        ]
        results = self.results(serve(self.call.with_tensors(leaves)))
        loss = sum(((w * t).sum() for w, t in zip(self.weights, results.values(), strict=True)), torch.zeros(()))
        asked = [(n, t) for n, t in zip(names, leaves, strict=True) if t.requires_grad]
        grads = torch.autograd.grad(loss, [t for _, t in asked], allow_unused=True)
        by_name = {f"d{n}": torch.zeros_like(t) if d is None else d for (n, t), d in zip(asked, grads, strict=True)}
        return {k: v.detach() for k, v in results.items()} | by_name


def draw_call(
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
) -> CallProblem:
    """Draw a random call in float64."""
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
    return CallProblem(call, (torch.cat([s.weights[0] for s in samples], -1), *weights))


def with_documents(problem: CallProblem, reset: Tensor, other: CallProblem) -> CallProblem:
    """Return a problem whose rows hold documents, each of which starts from the states of another problem."""
    pairs = zip(problem.call.directions, other.call.directions, strict=True)
    directions = tuple(replace(d, start=o.state) for d, o in pairs)
    return replace(problem, call=replace(problem.call, directions=directions, reset=reset))


def variety(cell: Cell) -> Iterator[tuple[str, CallProblem]]:
    yield "plain", draw_call(cell)
    yield "without bias", draw_call(cell, bias=False, seed=10)
    yield "two directions", draw_call(cell, directions=2, seed=20)
    yield "one sequence", draw_call(cell, batch=1, time=9, seed=30)
    reverse = draw_call(cell, seed=40)
    flipped = tuple(replace(d, reverse=True) for d in reverse.call.directions)
    yield "reversed only", replace(reverse, call=replace(reverse.call, directions=flipped))
    laid_out = draw_call(cell, seed=50)
    yield "batch first", replace(laid_out, call=replace(laid_out.call, batch_first=True))
