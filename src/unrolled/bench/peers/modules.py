"""What is alike for everything that is a torch module called as torch.nn's recurrent layers are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from unrolled.bench.peers.base import Way
from unrolled.bench.problem import Answer, Problem, gradients, named


def as_state(problem: Problem, layers: bool) -> Any:
    """Where a step starts: h or (h, c), each (B, H), or with a dimension of layers (1, B, H)."""
    parts = tuple(s.unsqueeze(0) if layers else s for s in problem.state)
    return parts if len(parts) > 1 else parts[0]


def inference(name: str, module: Callable[..., Any], *arguments: Any) -> Way:
    """A call without a graph; the module returns output and final state."""

    def run() -> Any:
        with torch.no_grad():
            return module(*arguments)

    return Way(name, run, lambda result: named(*result))


def training(name: str, layer: nn.Module, called: Callable[..., Any], problem: Problem) -> Way:
    """Forward and backward, to the input and every parameter, and dropping the gradients before.

    Args:
        name: of the way.
        layer: whose parameters they are.
        called: the layer itself, or what calls it.
        problem: x and doutput.
    """
    x = problem.x.clone().requires_grad_()

    def run() -> Any:
        x.grad = None
        layer.zero_grad(set_to_none=True)
        output, final = called(x)
        output.backward(problem.doutput)
        return output, final

    def answer(result: Any) -> Answer:
        return named(*result) | gradients(layer, x)

    return Way(name, run, answer)
