"""Layers and networks as ONNX files: dynamic batch and length, and every state an input and an output."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from unrolled.export.onnx.files import write
from unrolled.export.onnx.writing.attention import add_decoding, add_encoding
from unrolled.export.onnx.writing.builder import Builder
from unrolled.export.onnx.writing.networks import add_network
from unrolled.export.onnx.writing.stacks import add_stack, lengths_of
from unrolled.export.onnx.writing.states import state_inputs, state_outputs
from unrolled.layers import Recurrent
from unrolled.networks import ManyToManyNetwork, OneToManyNetwork


def to_onnx(
    module: nn.Module, path: str | Path, *, lengths: bool = True, properties: Mapping[str, str] | None = None
) -> tuple[Path, ...]:
    """Write a recurrent layer or a network as an ONNX file.

    Batch and length are dynamic. Inputs are named `x` and, of a ragged batch, `lengths` ((B,) int64); the states that
    are carried from one call to the next are `NAME_in` and `NAME_out` (`h_in`, `c_in`, …), so that a long sequence
    can be run in chunks: feed zeros, or what `NAME_start` yields where there is such an output, then what came out.
    A layer's outputs are `output`, a network's `logits`. RNN, GRU and LSTM become ONNX's own nodes; projections,
    layer norm and zoneout, which those can't say, become a Scan of elementary operators. As in evaluation, there is no
    dropout. A network that writes becomes two files: one reads, and leaves what the other, a step of the decoder,
    begins with.

    Args:
        module: an RNN, GRU or LSTM of ours with any of its options, or a network of them.
        path: the file; an older one of that name is whole until the new one is. A decoder is `NAME.decoder.onnx`
            beside `NAME.onnx`.
        lengths: whether the file takes lengths. Without them every sequence is as long as x.
        properties: texts to be kept in the file, by name, for whoever runs it.

    Returns:
        The files.

    Raises:
        ArgumentError: for a module, or a part of one, that has no such form, naming it.
        StorageError: the file can't be written.
        MissingDependencyError: onnx is not installed: the extra `onnx` brings it.
    """
    path = Path(path)
    adds: list[Callable[[Builder, Any, bool], None]] = [add_network]
    if isinstance(module, Recurrent):
        adds = [_add_layer]
    elif isinstance(module, (ManyToManyNetwork, OneToManyNetwork)):
        adds = [add_encoding, add_decoding]
    graphs = []
    for add in adds:
        graph = Builder()
        with torch.no_grad():
            add(graph, module, lengths)
        graphs.append(graph.graph(type(module).__name__))
    paths = (path, path.with_suffix(".decoder.onnx"))[: len(graphs)]
    for own, graph_of in zip(paths, graphs, strict=True):
        write(graph_of, own, properties or {})
    return paths


def _add_layer(graph: Builder, layer: Recurrent, ragged: bool) -> None:
    like = layer.parameter_blocks()[0]["weight_ih"]
    order = ("batch", "time") if layer.batch_first else ("time", "batch")
    x = graph.input("x", like.dtype, (*order, layer.input_size))
    if layer.batch_first:
        x = graph.node("Transpose", x, perm=[1, 0, 2])
    known = lengths_of(graph, graph.input("lengths", torch.int64, ("batch",)), x) if ragged else None
    y, finals = add_stack(graph, layer, x, state_inputs(graph, layer), known)
    if layer.batch_first:
        y = graph.node("Transpose", y, perm=[1, 0, 2])
    graph.output("output", y, like.dtype, (*order, layer.output_size))
    state_outputs(graph, layer, finals)
