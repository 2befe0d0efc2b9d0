"""A recurrent stack as nodes of a graph: ONNX's own RNN, GRU and LSTM where they can say a layer, else Scan.

Time comes first here. Letters: T time, B batch, I input, H hidden, P width of h, L layers, D directions, G gates.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from unrolled import cells
from unrolled.errors import ArgumentError
from unrolled.export.onnx.graph import NUMBERS
from unrolled.export.onnx.writing.builder import Builder
from unrolled.export.onnx.writing.steps import body, project
from unrolled.export.plain import check_even
from unrolled.kernels.onnx_nodes import has_node, node_attributes, node_weights
from unrolled.layers import Recurrent


class Lengths(NamedTuple):
    """The valid steps of each sequence, in the forms that nodes want.

    Attributes:
        int32: (B,).
        column: (1, B, 1) int64.
        steps: (T, 1, 1) int64, the number of each step.
        empty: (1, B, 1), whether a sequence has no step.
        valid: (T, B, 1), whether a step is valid.
    """

    int32: str
    column: str
    steps: str
    empty: str
    valid: str


def lengths_of(graph: Builder, lengths: str, x: str) -> Lengths:
    """Add the forms of lengths (B,) int64, for x (T, B, ·)."""
    column = graph.node("Unsqueeze", lengths, graph.whole(0, 2))
    empty = graph.node("Equal", column, graph.whole(0))
    time = graph.node("Squeeze", graph.node("Shape", x, start=0, end=1))
    steps = graph.node("Range", _scalar(graph, 0), time, _scalar(graph, 1))
    steps = graph.node("Unsqueeze", steps, graph.whole(1, 2))
    int32 = graph.node("Cast", lengths, to=NUMBERS[torch.int32])
    return Lengths(int32, column, steps, empty, graph.node("Less", steps, column))


def _scalar(graph: Builder, number: int) -> str:
    return graph.node("Squeeze", graph.whole(number))


def add_stack(
    graph: Builder, layer: Recurrent, x: str, state: Sequence[str], lengths: Lengths | None
) -> tuple[str, list[str]]:
    """Add a whole stack.

    Args:
        graph: what to add to.
        layer: the stack, as in evaluation.
        x: (T, B, I).
        state: for each state of the cell, (L·D, B, size).
        lengths: the valid steps; None is T for all.

    Returns:
        The outputs (T, B, D·P), zero where a sequence is over, and the final states, shaped as `state`.

    Raises:
        ArgumentError: for a cell that is none of ours, or layers of several widths.
    """
    if type(layer.cell) not in (cells.RNNCell, cells.GRUCell, cells.LSTMCell):
        raise ArgumentError(
            f"layer: the cell {layer.cell.name!r} is none of RNNCell, GRUCell, LSTMCell, whose steps an ONNX file can "
            f"say; torch.onnx.export can trace a loop over its step"
        )
    check_even(layer, "ONNX export")
    directions, finals, width = layer.num_directions, [], layer.input_size
    for index in range(layer.num_layers):
        blocks = layer.parameter_blocks()[index * directions : (index + 1) * directions]
        own = (
            [
                graph.node("Slice", s, graph.whole(index * directions), graph.whole((index + 1) * directions))
                for s in state
            ]
            if layer.num_layers > 1
            else list(state)
        )
        add = _add_node if has_node(layer.cell) and not any(layer.zoneout) else _add_scans
        y, settled = add(graph, layer, blocks, x, own, lengths)
        if layer.residual and width == layer.output_size:
            y = graph.node(
                "Add", y, x if lengths is None else graph.node("Where", lengths.valid, x, _zero(graph, blocks))
            )
        finals.append(settled)
        x, width = y, layer.output_size
    if layer.num_layers == 1:
        return x, list(finals[0])
    return x, [graph.node("Concat", *parts, axis=0) for parts in zip(*finals, strict=True)]


def _zero(graph: Builder, blocks: Sequence[Mapping[str, Tensor]]) -> str:
    return graph.constant(blocks[0]["weight_ih"].new_zeros(()), "zero")


def _add_node(
    graph: Builder,
    layer: Recurrent,
    blocks: Sequence[Mapping[str, Tensor]],
    x: str,
    state: Sequence[str],
    lengths: Lengths | None,
) -> tuple[str, list[str]]:
    """Add a layer as one node."""
    weights = node_weights(layer.cell, blocks)
    w, r, b, p = (graph.constant(weights[key], key) if key in weights else "" for key in "WRBP")
    inputs = [x, w, r, b, "" if lengths is None else lengths.int32, *state, *([p] if p else [])]
    attributes = node_attributes(layer.cell, layer.hidden_size, len(blocks))
    y, *finals = graph.nodes(layer.cell.name.upper(), 1 + len(state), *inputs, **attributes)
    if len(blocks) == 1:
        y = graph.node("Squeeze", y, graph.whole(1))
    else:
        y = graph.node("Reshape", graph.node("Transpose", y, perm=[0, 2, 1, 3]), graph.whole(0, 0, -1))
    if lengths is not None:
        # a sequence of no step keeps its state, of which runtimes make nothing
        finals = [graph.node("Where", lengths.empty, old, new) for old, new in zip(state, finals, strict=True)]
    return y, finals


def _add_scans(
    graph: Builder,
    layer: Recurrent,
    blocks: Sequence[Mapping[str, Tensor]],
    x: str,
    state: Sequence[str],
    lengths: Lengths | None,
) -> tuple[str, list[str]]:
    """Add a layer as a Scan for each direction, whose body is the cell's own step."""
    outputs, finals = [], []
    for d, block in enumerate(blocks):
        own = [
            graph.node("Squeeze", graph.node("Slice", s, graph.whole(d), graph.whole(d + 1)), graph.whole(0))
            for s in state
        ]
        gates = project(graph, layer.cell, block, x)
        scanned = [gates] + ([] if lengths is None else [lengths.valid])
        result = graph.nodes(
            "Scan",
            len(own) + 1,
            *own,
            *scanned,
            body=body(graph, layer, block, lengths is not None),
            num_scan_inputs=len(scanned),
            scan_input_directions=[d] * len(scanned),
            scan_output_directions=[d],
        )
        outputs.append(result[-1])
        finals.append([graph.node("Unsqueeze", s, graph.whole(0)) for s in result[:-1]])
    if len(blocks) == 1:
        return outputs[0], finals[0]
    return graph.node("Concat", *outputs, axis=-1), [
        graph.node("Concat", *parts, axis=0) for parts in zip(*finals, strict=True)
    ]
