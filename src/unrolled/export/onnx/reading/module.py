"""An ONNX graph as a torch module: recurrent nodes as layers of ours, the rest by plain torch."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import cast

from torch import Tensor, nn

from unrolled.errors import ArgumentError, DTypeError
from unrolled.export.onnx.files import read
from unrolled.export.onnx.graph import Graph, GraphNode
from unrolled.export.onnx.reading.execution import check, execute, fold, free_names
from unrolled.export.onnx.reading.recurrent import RECURRENT, WEIGHTS, RecurrentNode


def from_onnx(source: str | Path | bytes) -> OnnxModule:
    """Read an ONNX file as a module.

    RNN, GRU and LSTM nodes become layers of ours: all directions, activations, clipping, peepholes, input_forget,
    linear_before_reset, layouts, initial states and sequence lengths, of every version of the operators. Operators that
    commonly stand around them run in plain torch.

    Args:
        source: the file's path, or its bytes.

    Returns:
        A module in evaluation mode, called with the graph's inputs as tensors in their order, which returns the graph's
        output, or a tuple of its outputs in their order. Its parameters are frozen; `requires_grad_()` trains them.

    Raises:
        StorageError: the file can't be read.
        ModelError: it is no ONNX file, or has something that is not supported, naming node, operator and attribute.
        MissingDependencyError: onnx is not installed: the extra `onnx` brings it.
    """
    return OnnxModule(read(source)).eval()


class OnnxModule(nn.Module):
    """A graph of ONNX operators that can be called.

    Nodes whose inputs are constants are computed once, here. A graph's inputs that have a default value may be left out
    of a call, all together; where they are given, everything that depends on them is computed at that call.

    Attributes:
        inputs: the names of the graph's inputs, in the order in which a call takes them.
        required: those without a default.
        outputs: the names of its outputs, in the order in which a call returns them.
        recurrent: the layers, by the names of their nodes.
    """

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        self._graph = graph
        self.inputs = tuple(value.name for value in graph.inputs)
        self.required = tuple(name for name in self.inputs if name not in graph.constants)
        self.outputs = tuple(value.name for value in graph.outputs)
        check(graph)
        known, self._nodes = fold(graph)
        self.recurrent = nn.ModuleDict()
        self._layers: dict[tuple[str, ...], str] = {}
        used = set(self.outputs)
        for node in self._nodes:
            weights = [name for k, name in enumerate(node.inputs) if k in WEIGHTS and name]
            is_layer = node.op in RECURRENT and all(name in known for name in weights)
            if is_layer:
                key = _key(node, self.recurrent)
                places = [node.inputs[k] if k < len(node.inputs) else "" for k in WEIGHTS]
                self.recurrent[key] = RecurrentNode(node, [known[name] if name else None for name in places])
                self._layers[node.outputs] = key
            used |= free_names(node) - set(weights if is_layer else ())
        # parameters go by number, since the names of values may hold what names of parameters can't
        self._constants: dict[str, str | Tensor] = {}
        for name in sorted(used & set(known)):
            tensor = known[name]
            self._constants[name] = tensor
            if tensor.is_floating_point() and tensor.dim():
                self._constants[name] = own = f"constant_{len(self._constants)}"
                self.register_parameter(own, nn.Parameter(tensor, requires_grad=False))

    def forward(self, *inputs: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Return the graph's outputs.

        Args:
            inputs: the graph's, in their order: all of them, or those without a default.

        Raises:
            ArgumentError, DTypeError: for other inputs.
            ModelError: a node can't be run on them, naming it.
        """
        if len(inputs) == len(self.inputs) > len(self.required):
            result: Tensor | tuple[Tensor, ...] = self._without_defaults(*inputs)
            return result
        if len(inputs) != len(self.required):
            defaults = [name for name in self.inputs if name not in self.required]
            more = f", or these and {', '.join(defaults)}" if defaults else ""
            names = ", ".join(self.required)
            raise ArgumentError(f"inputs: expected {len(self.required)} ({names}){more}; found {len(inputs)}")
        for name, tensor in zip(self.required, inputs, strict=True):
            if not isinstance(tensor, Tensor):
                raise DTypeError(f"input {name}: expected a Tensor, found {type(tensor).__name__}")
        values: dict[str, Tensor | None] = dict(zip(self.required, inputs, strict=True))
        for name, kept in self._constants.items():
            values[name] = kept if isinstance(kept, Tensor) else self.get_parameter(kept)
        execute(self._nodes, values, {outputs: self.recurrent[key] for outputs, key in self._layers.items()})
        outputs = tuple(cast(Tensor, values[name]) for name in self.outputs)
        return outputs if len(outputs) > 1 else outputs[0]

    @cached_property
    def _without_defaults(self) -> OnnxModule:
        """The same graph where nothing that is an input has a value beforehand."""
        constants = {name: tensor for name, tensor in self._graph.constants.items() if name not in self.inputs}
        return OnnxModule(replace(self._graph, constants=constants))


def _key(node: GraphNode, taken: nn.ModuleDict) -> str:
    """Return a name for a node's layer that a module can have and no other layer has."""
    key = node.name.replace(".", "_")
    return key if key not in taken else f"{key}_{len(taken)}"
