"""A linear model of words beside a network as nodes of a graph. T time, B batch, K classes, P parts of all words."""

from __future__ import annotations

import torch
from torch import Tensor

from unrolled.errors import ArgumentError
from unrolled.export.onnx.writing.inputs import Reading, add_bags
from unrolled.layers.inputs.texts import WordVotes
from unrolled.networks import StreamedModule


def add_votes(reading: Reading, votes: StreamedModule) -> str:
    """Add the logits (B, K) of the words that a network reads.

    Raises:
        ArgumentError: for another module than `WordVotes`.
    """
    if not isinstance(votes, WordVotes):
        raise ArgumentError(
            f"beside: a {type(votes).__name__} has no ONNX form; export a network without it, and add its votes to the "
            f"logits yourself"
        )
    graph, classes = reading.graph, votes.classes
    said = _weighed(reading, votes.words, votes.idf_words, "words")
    if votes.pairs is not None:
        said = graph.node("Add", said, _weighed(reading, votes.pairs, votes.idf_pairs, "pairs"))
    if votes.parts is not None:
        table = graph.constant(_table(votes.parts, votes.idf_parts), "parts")
        rows = graph.node("Gather", table, reading.named("parts", ("parts",)))
        summed, _ = add_bags(reading, rows, classes + 1)
        said = graph.node("Add", said, graph.node("Reshape", summed, graph.node("Shape", said)))
    if reading.lengths is not None:
        said = graph.node("Where", reading.lengths.valid, said, reading.number(0.0))
    total = graph.node("ReduceSum", said, graph.whole(0), keepdims=0)
    if reading.carried:
        shape = ("batch", classes + 1)
        total = graph.node("Add", reading.state("votes", shape), total)
        reading.keep("votes", total, shape)
    logits, weight = graph.nodes("Split", 2, total, graph.whole(classes, 1), axis=-1)
    weight = graph.node("Sqrt", graph.node("Max", weight, reading.number(1.0)))
    return graph.node("Div", graph.node("Mul", logits, graph.constant(votes.scale, "scale")), weight)


def _table(weights: Tensor, idf: Tensor) -> Tensor:
    """Return idf w beside idf² of each entry, (N, K + 1)."""
    scale = idf.unsqueeze(-1)
    return torch.cat((weights * scale, scale.square()), -1)


def _weighed(reading: Reading, weights: Tensor, idf: Tensor, name: str) -> str:
    """Add what each word says, and with what weight, (T, B, K + 1)."""
    return reading.graph.node("Gather", reading.graph.constant(_table(weights, idf), name), reading.named(name))
