"""A graph that grows node by node: what writing an ONNX file begins with."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from unrolled.export.onnx.files import OPSET
from unrolled.export.onnx.graph import Attribute, Graph, GraphNode, Value


class Builder:
    """Nodes, constants, inputs and outputs so far.

    Values are names, and each is yielded once. A graph inside a node reads the values around it by their names.

    Args:
        prefix: what the names of this graph's own values begin with, so that they are none of the graph's around it.
    """

    def __init__(self, prefix: str = "") -> None:
        self._prefix, self._count = prefix, 0
        self._nodes: list[GraphNode] = []
        self._constants: dict[str, Tensor] = {}
        self._inputs: list[Value] = []
        self._outputs: list[Value] = []
        self._named: dict[str, str] = {}

    def node(self, op: str, *inputs: str, **attributes: Attribute) -> str:
        """Add a node of one output, and return its name."""
        return self.nodes(op, 1, *inputs, **attributes)[0]

    def nodes(self, op: str, count: int, *inputs: str, **attributes: Attribute) -> tuple[str, ...]:
        """Add a node of `count` outputs, and return their names."""
        name = self._fresh(op.lower())
        outputs = (name,) if count == 1 else tuple(f"{name}_{k}" for k in range(count))
        self._nodes.append(GraphNode(op, name, inputs, outputs, attributes, OPSET))
        return outputs

    def constant(self, tensor: Tensor, name: str = "constant") -> str:
        """Add a constant, and return its name, which begins with `name`."""
        own = self._fresh(name)
        self._constants[own] = tensor.detach()
        return own

    def whole(self, *numbers: int) -> str:
        """Return the name of a constant vector of int64; equal ones are one constant."""
        key = ",".join(map(str, numbers))
        if key not in self._named:
            self._named[key] = self.constant(torch.tensor(numbers, dtype=torch.int64), "whole")
        return self._named[key]

    def input(self, name: str, dtype: torch.dtype, shape: Sequence[int | str | None]) -> str:
        """Add an input, and return its name."""
        self._inputs.append(Value(name, dtype, tuple(shape)))
        return name

    def output(self, name: str, value: str, dtype: torch.dtype, shape: Sequence[int | str | None]) -> None:
        """Make a value an output under a name of its own."""
        self._nodes.append(GraphNode("Identity", f"{self._prefix}as_{name}", (value,), (name,), {}, OPSET))
        self._outputs.append(Value(name, dtype, tuple(shape)))

    def graph(self, name: str) -> Graph:
        """Return what was built, without what no output depends on."""
        wanted, nodes = {value.name for value in self._outputs}, []
        for node in reversed(self._nodes):
            if wanted.intersection(node.outputs):
                nodes.append(node)
                wanted |= _read_by(node)
        constants = {name: tensor for name, tensor in self._constants.items() if name in wanted}
        return Graph(tuple(self._inputs), tuple(self._outputs), tuple(reversed(nodes)), constants, name)

    def inner(self, name: str) -> Builder:
        """Return a builder of a graph that stands inside a node of this one."""
        return Builder(f"{self._fresh(name)}.")

    def linear(self, x: str, weight: Tensor, bias: Tensor | None = None, name: str = "weight") -> str:
        """Add W x + b of x (…, I), for W (O, I)."""
        y = self.node("MatMul", x, self.constant(weight.detach().T.contiguous(), name))
        return y if bias is None else self.node("Add", y, self.constant(bias, f"{name}.bias"))

    def _fresh(self, name: str) -> str:
        self._count += 1
        return f"{self._prefix}{name}_{self._count}"


def _read_by(node: GraphNode) -> set[str]:
    """Return the values that a node reads, those that graphs inside it read among them."""
    inner = [value for value in node.attributes.values() if isinstance(value, Graph)]
    return {*node.inputs, *(name for graph in inner for part in graph.nodes for name in _read_by(part))}
