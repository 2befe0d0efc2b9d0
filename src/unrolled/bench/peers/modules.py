"""Ways that torch modules share if they are called as torch.nn's recurrent layers are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from unrolled.bench.peers.base import Way
from unrolled.bench.problem import Answer, Problem, gradients, named


def as_state(problem: Problem, layers: bool) -> Any:
    """Return the state of a step: h or (h, c), each (B, H), or with a dimension of layers (1, B, H)."""
    parts = tuple(s.unsqueeze(0) if layers else s for s in problem.state)
    return parts if len(parts) > 1 else parts[0]


def inference(name: str, module: Callable[..., Any], *arguments: Any) -> Way:
    """Return a call without a graph; the module returns output and final state."""

    def run() -> Any:
        with torch.no_grad():
            return module(*arguments)

    return Way(name, run, lambda result: named(*result))


def training(name: str, layer: nn.Module, called: Callable[..., Any], problem: Problem) -> Way:
    """Return a forward and backward pass to the input and every parameter, which drops the gradients before.

    Args:
        name: of the way.
        layer: the module that has the parameters.
        called: the layer itself, or a function that calls it.
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
