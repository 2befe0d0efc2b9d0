"""The table of operators, and running one of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from unrolled.export.onnx.graph import GraphNode

Result = Tensor | Sequence[Tensor | None]
Function = Callable[..., Result]


class Operator(NamedTuple):
    """A function of a node and its inputs, and the attributes that it takes notice of."""

    function: Function
    attributes: frozenset[str]


OPERATORS: dict[str, Operator] = {}


def operator(*names: str, attributes: str = "") -> Callable[[Function], Function]:
    """Enter a function in the table under some names, with the attributes that it reads, separated by spaces."""

    def enter(function: Function) -> Function:
        for name in names:
            OPERATORS[name] = Operator(function, frozenset(attributes.split()))
        return function

    return enter


def run(node: GraphNode, inputs: Sequence[Tensor | None]) -> tuple[Tensor | None, ...]:
    """Return the outputs of a node.

    Raises:
        ModelError: torch refuses these inputs; the message has torch's own.
    """
    devices = {x.device for x in inputs if x is not None and x.device.type != "cpu"}
    if devices:
        # shapes and indices are computed on the CPU, and meet what they belong to here
        device = next(iter(devices))
        inputs = [x if x is None else x.to(device) for x in inputs]
    try:
        result = OPERATORS[node.op].function(node, *inputs)
    except (RuntimeError, IndexError, TypeError, ValueError) as error:
        shapes = ", ".join("none" if x is None else f"{tuple(x.shape)} {x.dtype}" for x in inputs)
        raise node.error(f"{str(error).splitlines()[0]} (inputs: {shapes})") from error
    return (result,) if isinstance(result, torch.Tensor) else tuple(result)


def numbers(node: GraphNode, name: str, given: Tensor | None, default: list[int] | None = None) -> list[int] | None:
    """Return the integers that older operators have as an attribute and newer ones as an input."""
    if given is not None:
        return [int(n) for n in given.flatten().tolist()]
    return list(node.get(name, [0])) if name in node.attributes else default
