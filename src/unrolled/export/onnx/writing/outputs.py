"""Output layers as nodes of a graph: from h to logits. K output classes."""

from __future__ import annotations

from torch import nn

from unrolled.errors import ArgumentError
from unrolled.export.onnx.writing.builder import Builder
from unrolled.export.onnx.writing.encoders import add_linear
from unrolled.layers import AdaptiveOutput, LinearOutput


def add_output(graph: Builder, layer: nn.Module, h: str) -> str:
    """Add an output layer over h (…, H); returns logits (…, K).

    Raises:
        ArgumentError: for an output layer that has no such form.
    """
    if isinstance(layer, LinearOutput):
        return graph.linear(add_linear(graph, layer.bridge, h), layer.weight, layer.bias, "output")
    if isinstance(layer, AdaptiveOutput):
        return _adaptive(graph, layer.softmax, h)
    if isinstance(layer, nn.Linear):
        return add_linear(graph, layer, h)
    raise ArgumentError(f"output: a {type(layer).__name__} has no ONNX form; LinearOutput and AdaptiveOutput have one")


def _adaptive(graph: Builder, softmax: nn.AdaptiveLogSoftmaxWithLoss, h: str) -> str:
    """Add the log-probabilities of all classes: the head's, and for each cluster its own beside those inside it."""
    head = graph.node("LogSoftmax", add_linear(graph, softmax.head, h), axis=-1)
    short = softmax.shortlist_size
    parts = [_columns(graph, head, 0, short)]
    for index, tail in enumerate(softmax.tail):
        inside = h
        for layer in tail if isinstance(tail, nn.Sequential) else ():
            inside = add_linear(graph, layer, inside)
        cluster = _columns(graph, head, short + index, short + index + 1)
        parts.append(graph.node("Add", cluster, graph.node("LogSoftmax", inside, axis=-1)))
    return graph.node("Concat", *parts, axis=-1)


def _columns(graph: Builder, x: str, first: int, last: int) -> str:
    return graph.node("Slice", x, graph.whole(first), graph.whole(last), graph.whole(-1))
