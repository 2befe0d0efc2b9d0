"""Networks as nodes of a graph: input layer, recurrent stack, pooling, output layer.

Time comes first here. Letters: T time, B batch, I input, W width of what is pooled, K output classes.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from unrolled.errors import ArgumentError
from unrolled.export.onnx.writing.builder import Builder
from unrolled.export.onnx.writing.poolings import add_pooling
from unrolled.export.onnx.writing.stacks import Lengths, add_stack, lengths_of
from unrolled.layers import AdaptiveOutput, Embedding, Frames, LinearOutput, Recurrent
from unrolled.networks import FeedForward, ManyToOneNetwork, OneToOneNetwork, SyncedNetwork

NETWORKS = "Recurrent layers, SyncedNetwork, TaggingNetwork, ManyToOneNetwork and OneToOneNetwork"


def add_network(graph: Builder, network: nn.Module, ragged: bool) -> None:
    """Add a whole network with its inputs and outputs.

    Raises:
        ArgumentError: naming the network or the part that has no such form.
    """
    if isinstance(network, OneToOneNetwork):
        vectors = add_inputs(graph, network.inputs, ("batch",))
        logits = add_output(graph, network.output, _feed_forward(graph, network.hidden, vectors))
        graph.output("logits", logits, _dtype(network), ("batch", network.classes))
        return
    if not isinstance(network, (SyncedNetwork, ManyToOneNetwork)):
        raise ArgumentError(f"module: a {type(network).__name__} has no ONNX form yet; these have one: {NETWORKS}")
    vectors = add_inputs(graph, network.inputs, ("time", "batch"))
    lengths = lengths_of(graph, graph.input("lengths", torch.int64, ("batch",)), vectors) if ragged else None
    y, finals = add_stack(graph, network.hidden, vectors, state_inputs(graph, network.hidden), lengths)
    if isinstance(network, SyncedNetwork):
        logits = add_output(graph, network.output, y)
        graph.output("logits", logits, _dtype(network), ("time", "batch", network.vocabulary_size))
    else:
        logits = add_output(graph, network.output, _pooled(graph, network, y, lengths))
        graph.output("logits", logits, _dtype(network), ("batch", network.classes))
    state_outputs(graph, network.hidden, finals)


def _pooled(graph: Builder, network: ManyToOneNetwork, y: str, lengths: Lengths | None) -> str:
    if network.beside is not None:
        raise ArgumentError(
            f"beside: a {type(network.beside).__name__} has no ONNX form; export a network without it, and add its "
            f"votes to the logits yourself"
        )
    return add_pooling(graph, network.pooling, y, lengths, carried=network.is_causal, dtype=_dtype(network))


def state_inputs(graph: Builder, layer: Recurrent) -> list[str]:
    """Add the inputs of a stack's states, `h_in` and `c_in`, each (L·D, B, size)."""
    return [graph.input(f"{name}_in", _dtype(layer), shape) for name, shape in _states(layer)]


def state_outputs(graph: Builder, layer: Recurrent, finals: Sequence[str]) -> None:
    """Add the outputs of a stack's states, and of those that it begins with where they were learned."""
    for (name, shape), value in zip(_states(layer), finals, strict=True):
        graph.output(f"{name}_out", value, _dtype(layer), shape)
    for name, shape in _states(layer) if layer.learn_initial_state else ():
        initial = graph.constant(layer.get_parameter(f"initial_{name}"), "initial")
        graph.output(f"{name}_start", initial, _dtype(layer), (shape[0], 1, shape[2]))


def _states(layer: Recurrent) -> list[tuple[str, tuple[int | str, ...]]]:
    count, sizes = layer.num_layers * layer.num_directions, layer.cell.state_sizes(layer.hidden_size)
    return [(name, (count, "batch", size)) for name, size in zip(layer.cell.state_names, sizes, strict=True)]


def _dtype(module: nn.Module) -> torch.dtype:
    return next(module.parameters()).dtype


def add_inputs(graph: Builder, layer: nn.Module, dims: tuple[str, ...]) -> str:
    """Add an input layer and its input `x`: tokens (T, B) int64, or frames (T, B, features); returns (T, B, I).

    Raises:
        ArgumentError: for an input layer that has no such form.
    """
    if isinstance(layer, Embedding):
        tokens = graph.input("x", torch.int64, dims)
        return graph.node("Gather", graph.constant(layer.weight, "embedding"), tokens)
    if isinstance(layer, Frames):
        x = graph.input("x", layer.mean.dtype, (*dims, layer.features))
        centred = graph.node("Sub", x, graph.constant(layer.mean, "mean"))
        return _linear(graph, layer.linear, graph.node("Div", centred, graph.constant(layer.std, "std")))
    raise ArgumentError(f"inputs: a {type(layer).__name__} has no ONNX form yet; Embedding and Frames have one")


def add_output(graph: Builder, layer: nn.Module, h: str) -> str:
    """Add an output layer over h (…, H); returns logits (…, K).

    Raises:
        ArgumentError: for an output layer that has no such form.
    """
    if isinstance(layer, LinearOutput):
        return graph.linear(_linear(graph, layer.bridge, h), layer.weight, layer.bias, "output")
    if isinstance(layer, AdaptiveOutput):
        return _adaptive(graph, layer.softmax, h)
    if isinstance(layer, nn.Linear):
        return _linear(graph, layer, h)
    raise ArgumentError(f"output: a {type(layer).__name__} has no ONNX form; LinearOutput and AdaptiveOutput have one")


def _adaptive(graph: Builder, softmax: nn.AdaptiveLogSoftmaxWithLoss, h: str) -> str:
    """Add the log-probabilities of all classes: the head's, and for each cluster its own beside those inside it."""
    head = graph.node("LogSoftmax", _linear(graph, softmax.head, h), axis=-1)
    short = softmax.shortlist_size
    parts = [_columns(graph, head, 0, short)]
    for index, tail in enumerate(softmax.tail):
        inside = h
        for layer in tail if isinstance(tail, nn.Sequential) else ():
            inside = _linear(graph, layer, inside)
        cluster = _columns(graph, head, short + index, short + index + 1)
        parts.append(graph.node("Add", cluster, graph.node("LogSoftmax", inside, axis=-1)))
    return graph.node("Concat", *parts, axis=-1)


def _columns(graph: Builder, x: str, first: int, last: int) -> str:
    return graph.node("Slice", x, graph.whole(first), graph.whole(last), graph.whole(-1))


def _feed_forward(graph: Builder, hidden: FeedForward, x: str) -> str:
    for layer in hidden.layers:
        x = graph.node("Relu", x) if isinstance(layer, nn.ReLU) else _linear(graph, layer, x)
    return x


def _linear(graph: Builder, layer: nn.Module, x: str) -> str:
    """Add a linear layer; what passes its input through in evaluation is left out."""
    if isinstance(layer, (nn.Identity, nn.Dropout)):
        return x
    if not isinstance(layer, nn.Linear):
        raise ArgumentError(f"module: expected a linear layer, found a {type(layer).__name__}, which has no ONNX form")
    bias: Tensor | None = layer.bias
    return graph.linear(x, layer.weight, bias)
