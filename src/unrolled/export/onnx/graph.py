"""A graph of operators as plain data: what files are read into and written from, without the library `onnx`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar, Union

import torch
from torch import Tensor

from unrolled.errors import ModelError

#: what an attribute of a node can hold
Attribute = Union[int, float, str, Tensor, "Graph", Sequence[int], Sequence[float], Sequence[str]]
T = TypeVar("T")

#: the types of ONNX's tensors by their numbers in files; strings and complex numbers are not read
DTYPES: dict[int, torch.dtype] = {
    1: torch.float32,
    2: torch.uint8,
    3: torch.int8,
    4: torch.int32,
    5: torch.int16,
    6: torch.int32,
    7: torch.int64,
    9: torch.bool,
    10: torch.float16,
    11: torch.float64,
    12: torch.int64,
    13: torch.int64,
    16: torch.bfloat16,
}
#: the same by dtype, where the unsigned ones stand for what torch computes them as
NUMBERS = {dtype: number for number, dtype in DTYPES.items() if number not in (4, 12, 13)}


@dataclass(frozen=True)
class GraphNode:
    """One operator of a graph.

    Attributes:
        op: the operator, after its domain where that is not ONNX's own.
        name: what errors call it; the file's name for it, or its operator and number.
        inputs: names of values; "" is an optional input that is left out.
        outputs: names of values; "" is an output that nobody wants.
        attributes: by name.
        opset: the version of the operators that the file was written for.
    """

    op: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Attribute] = field(default_factory=dict)
    opset: int = 22

    def get(self, name: str, default: T) -> T:
        """Return an attribute of the default's type, or the default.

        Raises:
            ModelError: the file has another type there.
        """
        value = self.attributes.get(name, default)
        if default is not None and not _alike(value, default):
            raise self.error(f"attribute {name!r} is {value!r}, which is no {type(default).__name__}")
        return value  # type: ignore[return-value]

    def error(self, message: str) -> ModelError:
        """Return an error that names the node and its operator."""
        return ModelError(f"node {self.name!r} (operator {self.op}, opset {self.opset}): {message}")


def _alike(value: object, default: object) -> bool:
    if isinstance(default, float):
        return isinstance(value, (int, float))
    return isinstance(value, (list, tuple) if isinstance(default, (list, tuple)) else type(default))


@dataclass(frozen=True)
class Value:
    """An input or output of a graph: its name, dtype and shape, where a dimension is a number, a name or unknown."""

    name: str
    dtype: torch.dtype = torch.float32
    shape: tuple[int | str | None, ...] | None = None


@dataclass(frozen=True)
class Graph:
    """Nodes in an order in which they can be run, the constants they use, and what goes in and out.

    Attributes:
        inputs: in the file's order; some of them may have a default among `constants`.
        outputs: in the file's order.
        nodes: each after those whose outputs it reads.
        constants: values by name.
        name: of the file, or of the node that holds it.
    """

    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    nodes: tuple[GraphNode, ...]
    constants: Mapping[str, Tensor] = field(default_factory=dict)
    name: str = "graph"
