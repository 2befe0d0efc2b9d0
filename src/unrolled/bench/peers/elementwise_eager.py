"""Elementwise cells in plain torch: the gates of all steps at once, then a loop over time that autograd follows."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from unrolled.bench.peers.base import Way
from unrolled.bench.problem import Answer, Problem, named
from unrolled.cells import CELLS, LinearCell, State


def by_loop(problem: Problem) -> list[Way]:
    """Return the way: of a sequence, of its training, or of a step."""
    case, cell, lengths = problem.case, CELLS[problem.case.cell](), problem.lengths
    weights = {name: w.clone().requires_grad_(case.mode == "training") for name, w in problem.weights.items()}
    x = problem.x.clone().requires_grad_(case.mode == "training")

    def run() -> tuple[Tensor, State]:
        gates = cell.project_input(x, weights)
        if case.mode == "step":
            new = cell.step(gates, problem.state, weights)
            return new[0], new
        state, outputs = cell.initial_state(case.batch, case.hidden, x), []
        linear = cell.coefficients(gates, weights)[:2] if isinstance(cell, LinearCell) else None
        for t in range(case.time):
            if linear is None:
                new = cell.step(gates[t], state, weights)
            else:
                new = (torch.addcmul(linear[1][t], linear[0][t], state[0]),)
            if lengths is not None:
                runs = (t < lengths).unsqueeze(1)
                new = tuple(torch.where(runs, n, o) for n, o in zip(new, state, strict=True))
            state = new
            outputs.append(state[0])
        return torch.stack(outputs), state

    def infer() -> Any:
        with torch.no_grad():
            return run()

    def train() -> Any:
        output, final = run()
        return output, final, torch.autograd.grad(output, [x, *weights.values()], problem.doutput)

    def trained(result: Any) -> Answer:
        output, final, grads = result
        return named(output, final) | {f"d{name}": d for name, d in zip(("x", *weights), grads, strict=True)}

    if case.mode == "training":
        return [Way("loop", train, trained)]
    return [Way("loop", infer, lambda result: named(*result))]
