"""Networks as nodes of a graph: input layer, recurrent stack, pooling, output layer.

Time comes first here. Letters: T time, B batch, I input, W width of what is pooled, K output classes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from unrolled.errors import ArgumentError
from unrolled.export.onnx.writing.builder import Builder
from unrolled.export.onnx.writing.encoders import add_encoder, add_linear, item_shape
from unrolled.export.onnx.writing.forecasts import add_autoregressive, add_direct
from unrolled.export.onnx.writing.inputs import Reading
from unrolled.export.onnx.writing.outputs import add_output
from unrolled.export.onnx.writing.poolings import add_pooling
from unrolled.export.onnx.writing.stacks import add_stack
from unrolled.export.onnx.writing.states import dtype_of, state_inputs, state_outputs
from unrolled.export.onnx.writing.votes import add_votes
from unrolled.layers import Embedding
from unrolled.networks import (
    AutoregressiveForecaster,
    DirectForecaster,
    FeedForward,
    ManyToOneNetwork,
    OneToOneNetwork,
    SyncedNetwork,
    TaggingNetwork,
)


def add_network(graph: Builder, network: nn.Module, ragged: bool) -> None:
    """Add a whole network with its inputs and outputs.

    Raises:
        ArgumentError: naming the network or the part that has no such form.
    """
    for kind, add in _SHAPES.items():
        if isinstance(network, kind):
            add(graph, network, ragged)
            return
    raise ArgumentError(f"module: a {type(network).__name__} has no ONNX form; these have one: {', '.join(KNOWN)}")


def _one_to_one(graph: Builder, network: OneToOneNetwork, ragged: bool) -> None:
    dtype = dtype_of(network)
    if isinstance(network.inputs, Embedding):
        tokens = graph.input("x", torch.int64, ("batch",))
        vectors = graph.node("Gather", graph.constant(network.inputs.weight, "embedding"), tokens)
    else:
        x = graph.input("x", dtype, ("batch", *item_shape(network.inputs)))
        vectors = add_encoder(graph, network.inputs, x)
    logits = add_output(graph, network.output, _feed_forward(graph, network.hidden, vectors))
    graph.output("logits", logits, dtype, ("batch", network.classes))


def _synced(graph: Builder, network: SyncedNetwork, ragged: bool) -> None:
    y, finals, reading = _hidden(graph, network, ragged, carried=not network.hidden.bidirectional)
    logits = add_output(graph, network.output, y)
    graph.output("logits", logits, reading.dtype, (reading.time, "batch", network.vocabulary_size))
    reading.finish()
    state_outputs(graph, network.hidden, finals)
    if isinstance(network, TaggingNetwork) and network.chained:
        labels = network.vocabulary_size
        for name, scores in zip(("transitions", "begins", "ends"), network.chain_scores(), strict=True):
            shape = (labels,) * scores.dim()
            graph.output(name, graph.constant(scores, name), scores.dtype, shape)


def _many_to_one(graph: Builder, network: ManyToOneNetwork, ragged: bool) -> None:
    y, finals, reading = _hidden(graph, network, ragged, carried=network.is_causal)
    pooled = add_pooling(graph, network.pooling, y, reading.lengths, carried=network.is_causal, dtype=reading.dtype)
    logits = add_output(graph, network.output, pooled)
    if network.beside is not None:
        logits = graph.node("Add", logits, add_votes(reading, network.beside))
    graph.output("logits", logits, reading.dtype, ("batch", network.classes))
    reading.finish()
    state_outputs(graph, network.hidden, finals)


def _hidden(
    graph: Builder, network: SyncedNetwork | ManyToOneNetwork, ragged: bool, *, carried: bool
) -> tuple[str, list[str], Reading]:
    """Add input layer and stack; returns the stack's outputs (T, B, D·P) and its states after the last step."""
    reading = Reading(graph, ragged=ragged, carried=carried, dtype=dtype_of(network))
    steps = reading.add(network.inputs)
    y, finals = add_stack(graph, network.hidden, steps, state_inputs(graph, network.hidden), reading.lengths)
    return y, finals, reading


def _feed_forward(graph: Builder, hidden: FeedForward, x: str) -> str:
    for layer in hidden.layers:
        x = graph.node("Relu", x) if isinstance(layer, nn.ReLU) else add_linear(graph, layer, x)
    return x


_SHAPES: dict[type[nn.Module], Callable[[Builder, Any, bool], None]] = {
    SyncedNetwork: _synced,
    ManyToOneNetwork: _many_to_one,
    OneToOneNetwork: _one_to_one,
    DirectForecaster: add_direct,
    AutoregressiveForecaster: add_autoregressive,
}
#: the names of what has a form
KNOWN = ("recurrent layers", *(kind.__name__ for kind in _SHAPES), "ManyToManyNetwork", "OneToManyNetwork")
