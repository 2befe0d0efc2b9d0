"""One step of a cell in ONNX's elementary operators, for what its recurrent nodes can't say.

The equations are those of `unrolled.cells`, with layer norm, projection and zoneout. Letters: B batch, H hidden, P
width of h, G gates.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from unrolled import cells
from unrolled.cells.maths import NORM_EPS
from unrolled.export.onnx.graph import Graph
from unrolled.export.onnx.writing.builder import Builder
from unrolled.layers import Recurrent

Params = Mapping[str, Tensor]


def project(graph: Builder, cell: cells.Cell, params: Params, x: str) -> str:
    """Add W_ih x + b_ih for all steps, (T, B, I) → (T, B, G·H), layer-normalised where the cell is."""
    return _affine(graph, x, params["weight_ih"], params.get("norm_ih"), params.get("bias_ih"))


def body(outer: Builder, layer: Recurrent, params: Params, ragged: bool) -> Graph:
    """Return the graph of one step: states, the gates' input and whether the step is valid in; states and h out."""
    graph, cell, like = outer.inner("step"), layer.cell, params["weight_ih"]
    names, sizes = cell.state_names, cell.state_sizes(layer.hidden_size)
    previous = [graph.input(f"{n}_prev", like.dtype, ("batch", size)) for n, size in zip(names, sizes, strict=True)]
    gates = graph.input("gates", like.dtype, ("batch", like.shape[0]))
    if isinstance(cell, cells.LSTMCell):
        proposed = _lstm(graph, cell, params, gates, *previous)
    elif isinstance(cell, cells.GRUCell):
        proposed = [_gru(graph, cell, params, gates, *previous)]
    else:
        proposed = [_rnn(graph, cell, params, gates, *previous)]
    settled = [
        _mixed(graph, old, new, keep, like) for old, new, keep in zip(previous, proposed, layer.zoneout, strict=True)
    ]
    output = settled[0]
    if ragged:
        valid = graph.input("valid", torch.bool, ("batch", 1))
        settled = [graph.node("Where", valid, new, old) for old, new in zip(previous, settled, strict=True)]
        output = graph.node("Where", valid, output, graph.constant(like.new_zeros(()), "zero"))
    for name, value, size in zip(names, settled, sizes, strict=True):
        graph.output(f"{name}_next", value, like.dtype, ("batch", size))
    graph.output("y", output, like.dtype, ("batch", sizes[0]))
    return graph.graph("step")


def _affine(graph: Builder, x: str, weight: Tensor, norm: Tensor | None, bias: Tensor | None) -> str:
    """Add W x + b, or LN(W x) ⊙ norm + b."""
    if norm is None:
        return graph.linear(x, weight, bias)
    return _normalised(graph, graph.linear(x, weight), norm, bias)


def _normalised(graph: Builder, x: str, scale: Tensor, bias: Tensor | None) -> str:
    names = [graph.constant(tensor, "norm") for tensor in (scale, bias) if tensor is not None]
    return graph.node("LayerNormalization", x, *names, axis=-1, epsilon=NORM_EPS)


def _recur(graph: Builder, params: Params, h: str, rows: slice = slice(None)) -> str:
    """Add W_hh h + b_hh of the gates in `rows`."""
    own = {n: params[n][rows] for n in ("weight_hh", "norm_hh", "bias_hh") if n in params}
    return _affine(graph, h, own["weight_hh"], own.get("norm_hh"), own.get("bias_hh"))


def _mixed(graph: Builder, old: str, new: str, keep: float, like: Tensor) -> str:
    """Add keep · old + (1 − keep) · new, what zoneout is in evaluation."""
    if not keep:
        return new
    shares = [
        graph.node("Mul", x, graph.constant(like.new_tensor(p), "share")) for x, p in ((old, keep), (new, 1 - keep))
    ]
    return graph.node("Add", *shares)


def _complement(graph: Builder, x: str, like: Tensor) -> str:
    return graph.node("Sub", graph.constant(like.new_ones(()), "one"), x)


def _rnn(graph: Builder, cell: cells.Cell, params: Params, gates: str, h: str) -> str:
    activation = cell.activations["h"].title()
    return graph.node(activation, graph.node("Add", gates, _recur(graph, params, h)))


def _gru(graph: Builder, cell: cells.GRUCell, params: Params, gates: str, h: str) -> str:
    size = params["weight_hh"].shape[1]
    x_r, x_z, x_n = graph.nodes("Split", 3, gates, axis=-1)
    if cell.reset_after:
        h_r, h_z, h_n = graph.nodes("Split", 3, _recur(graph, params, h), axis=-1)
    else:
        h_r, h_z = graph.nodes("Split", 2, _recur(graph, params, h, slice(0, 2 * size)), axis=-1)
    r, z = (graph.node("Sigmoid", graph.node("Add", *pair)) for pair in ((x_r, h_r), (x_z, h_z)))
    if cell.reset_after:
        recurrent = graph.node("Mul", r, h_n)
    else:
        recurrent = _recur(graph, params, graph.node("Mul", r, h), slice(2 * size, None))
    n = graph.node("Tanh", graph.node("Add", x_n, recurrent))
    return graph.node("Add", n, graph.node("Mul", z, graph.node("Sub", h, n)))


def _lstm(graph: Builder, cell: cells.LSTMCell, params: Params, gates: str, h: str, c: str) -> Sequence[str]:
    summed = graph.nodes("Split", cell.num_gates, graph.node("Add", gates, _recur(graph, params, h)), axis=-1)
    seen = list(params["weight_peephole"].chunk(cell.num_gates - 1)) if cell.peephole else []

    def gate(x: str, peephole: Tensor | None, state: str) -> str:
        if peephole is not None:
            x = graph.node("Add", x, graph.node("Mul", graph.constant(peephole, "peephole"), state))
        return graph.node("Sigmoid", x)

    f = gate(summed[-3], seen[-2] if seen else None, c)
    i = _complement(graph, f, params["weight_hh"]) if cell.coupled else gate(summed[0], seen[0] if seen else None, c)
    written = graph.node("Mul", i, graph.node("Tanh", summed[-2]))
    c = graph.node("Add", graph.node("Mul", f, c), written)
    o = gate(summed[-1], seen[-1] if seen else None, c)
    read = _normalised(graph, c, params["norm_c"], params["norm_c_bias"]) if cell.layer_norm else c
    h = graph.node("Mul", o, graph.node("Tanh", read))
    return (graph.linear(h, params["weight_hr"]) if cell.proj_size else h), c
