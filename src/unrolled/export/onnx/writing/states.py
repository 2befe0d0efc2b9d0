"""The states of a recurrent stack as inputs and outputs of a graph. L layers, D directions, B batch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from unrolled.export.onnx.writing.builder import Builder
from unrolled.layers import Recurrent


def state_inputs(graph: Builder, layer: Recurrent, prefix: str = "") -> list[str]:
    """Add the inputs of a stack's states, `h_in` and `c_in`, each (L·D, B, size)."""
    return [graph.input(f"{prefix}{name}_in", dtype_of(layer), shape) for name, shape in state_shapes(layer)]


def state_outputs(graph: Builder, layer: Recurrent, finals: Sequence[str], prefix: str = "") -> None:
    """Add the outputs of a stack's states, and of those that it begins with where they were learned."""
    for (name, shape), value in zip(state_shapes(layer), finals, strict=True):
        graph.output(f"{prefix}{name}_out", value, dtype_of(layer), shape)
    for name, shape in state_shapes(layer) if layer.learn_initial_state else ():
        initial = graph.constant(layer.get_parameter(f"initial_{name}"), "initial")
        graph.output(f"{prefix}{name}_start", initial, dtype_of(layer), (shape[0], 1, shape[2]))


def state_shapes(layer: Recurrent) -> list[tuple[str, tuple[int | str, ...]]]:
    """Return the names and shapes of a stack's states."""
    count, sizes = layer.num_layers * layer.num_directions, layer.cell.state_sizes(layer.hidden_size)
    return [(name, (count, "batch", size)) for name, size in zip(layer.cell.state_names, sizes, strict=True)]


def add_zeros(graph: Builder, layer: Recurrent, x: str) -> list[str]:
    """Add the states that a stack begins with over x (T, B, I): zeros, or what it has learned."""
    count, batch = layer.num_layers * layer.num_directions, graph.node("Shape", x, start=1, end=2)
    like = next(layer.parameters())
    states = []
    for name, size in zip(layer.cell.state_names, layer.cell.state_sizes(layer.hidden_size), strict=True):
        first = layer.get_parameter(f"initial_{name}") if layer.learn_initial_state else like.new_zeros(1)
        shape = graph.node("Concat", graph.whole(count), batch, graph.whole(size), axis=0)
        states.append(graph.node("Expand", graph.constant(first, f"{name}_start"), shape))
    return states


def dtype_of(module: nn.Module) -> torch.dtype:
    """Return the dtype of a module's parameters."""
    return next(module.parameters()).dtype
