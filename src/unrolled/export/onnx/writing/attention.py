"""Networks that write: what is read as one graph, and a step of the decoder as another.

The first leaves the decoder's states and its memory under the names by which the second reads them. Letters: S steps of
the source, or positions of a grid; B batch, M width of the memory, Q of a query, A of a key.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from unrolled.errors import ArgumentError
from unrolled.export.onnx.writing.builder import Builder
from unrolled.export.onnx.writing.encoders import add_grid, item_shape
from unrolled.export.onnx.writing.inputs import Reading
from unrolled.export.onnx.writing.outputs import add_output
from unrolled.export.onnx.writing.stacks import add_stack
from unrolled.export.onnx.writing.states import add_zeros, dtype_of, state_inputs, state_shapes
from unrolled.layers import AdditiveAttention, Attention, DotAttention, GeneralAttention, ImageEncoder, Recurrent
from unrolled.networks import AttentionDecoder, ManyToManyNetwork, OneToManyNetwork


def add_encoding(graph: Builder, network: ManyToManyNetwork | OneToManyNetwork, ragged: bool) -> None:
    """Add the part that reads: the decoder's first states, its memory, and the attributes where there are any.

    Raises:
        ArgumentError: naming the part that has no such form.
    """
    decoder, dtype = network.decoder, dtype_of(network)
    valid = None
    if isinstance(network, ManyToManyNetwork):
        encoder = network.encoder
        reading = Reading(graph, ragged=ragged, carried=False, dtype=dtype)
        x = reading.add(network.source)
        memory, finals = add_stack(graph, encoder, x, add_zeros(graph, encoder, x), reading.lengths)
        # the last layer's: what each direction knows after its last step
        last = graph.node("Slice", finals[0], graph.whole(-encoder.num_directions), graph.whole(2**31))
        summary = graph.node("Reshape", graph.node("Transpose", last, perm=[1, 0, 2]), graph.whole(0, -1))
        values = graph.node("Transpose", memory, perm=[1, 0, 2])
        if reading.lengths is not None:
            valid = graph.node(
                "Squeeze", graph.node("Transpose", reading.lengths.valid, perm=[1, 0, 2]), graph.whole(2)
            )
    else:
        is_image = isinstance(network.inputs, ImageEncoder)
        lead: tuple[int | str, ...] = ("batch",) if is_image else ("batch", "steps")
        values = add_grid(graph, network.inputs, graph.input("x", dtype, (*lead, *item_shape(network.inputs))))
        summary = graph.node("ReduceMean", values, axes=[1], keepdims=0)
        if network.attributes is not None:
            attributes = graph.linear(summary, network.attributes.weight, network.attributes.bias)
            graph.output("attributes", attributes, dtype, ("batch", network.attributes.out_features))
            summary = graph.node("Concat", summary, graph.node("Sigmoid", attributes), axis=-1)
    states = graph.node("Tanh", graph.linear(summary, network.bridge.weight, network.bridge.bias))
    _add_states(graph, decoder, states, dtype)
    width = decoder.attention.memory_size
    graph.output("memory", values, dtype, ("batch", "steps", width))
    graph.output("keys", _keys(graph, decoder.attention, values), dtype, ("batch", "steps", _key_size(decoder)))
    if ragged:
        if valid is None:
            here = graph.node("Shape", values, start=0, end=2)
            valid = graph.node("Expand", graph.constant(torch.tensor(True), "valid"), here)
        graph.output("valid", valid, torch.bool, ("batch", "steps"))


def add_decoding(graph: Builder, network: ManyToManyNetwork | OneToManyNetwork, ragged: bool) -> None:
    """Add a step of the decoder: tokens (B,) and states in; logits, attention weights and states out.

    Raises:
        ArgumentError: naming the part that has no such form.
    """
    decoder, dtype = network.decoder, dtype_of(network)
    tokens = graph.input("x", torch.int64, ("batch",))
    embedded = graph.node("Gather", graph.constant(decoder.embedding.weight, "embedding"), tokens)
    hidden = state_inputs(graph, decoder.hidden)
    upper = [] if decoder.upper is None else state_inputs(graph, decoder.upper, "upper_")
    read = embedded
    if decoder.input_feeding:
        read = graph.node("Concat", embedded, graph.input("feed_in", dtype, ("batch", decoder.output_size)), axis=-1)
    memory = graph.input("memory", dtype, ("batch", "steps", decoder.attention.memory_size))
    keys = graph.input("keys", dtype, ("batch", "steps", _key_size(decoder)))
    valid = graph.input("valid", torch.bool, ("batch", "steps")) if ragged else None
    h, hidden = _step(graph, decoder.hidden, read, hidden)
    context, weights = _attended(graph, decoder.attention, h, memory, keys, valid)
    top = h
    if decoder.upper is not None:
        top, upper = _step(graph, decoder.upper, graph.node("Concat", h, context, axis=-1), upper)
    joined = graph.node("Concat", top, context, embedded, axis=-1)
    readout = graph.node("Tanh", graph.linear(joined, decoder.readout.weight, decoder.readout.bias))
    logits = add_output(graph, network.output, readout)
    graph.output("logits", logits, dtype, ("batch", network.vocabulary_size))
    graph.output("attention", weights, dtype, ("batch", "steps"))
    _output_states(graph, decoder, (*hidden, *upper), dtype)
    if decoder.input_feeding:
        graph.output("feed_out", readout, dtype, ("batch", decoder.output_size))


def _stacks(decoder: AttentionDecoder) -> list[tuple[str, Recurrent]]:
    return [("", decoder.hidden), *([] if decoder.upper is None else [("upper_", decoder.upper)])]


def _add_states(graph: Builder, decoder: AttentionDecoder, states: str, dtype: torch.dtype) -> None:
    """Add the outputs of the decoder's first states, of states (B, ·) side by side."""
    first, made = 0, []
    batch = graph.node("Shape", states, start=0, end=1)
    for _, stack in _stacks(decoder):
        for name, shape in state_shapes(stack):
            layers, size = stack.num_layers, int(shape[2])
            if name not in stack.cell.free_states:
                dims = graph.node("Concat", graph.whole(layers), batch, graph.whole(size), axis=0)
                made.append(graph.node("Expand", graph.constant(torch.zeros((), dtype=dtype), "zero"), dims))
                continue
            end = first + layers * size
            own = graph.node("Slice", states, graph.whole(first), graph.whole(end), graph.whole(-1))
            own = graph.node("Reshape", own, graph.whole(-1, layers, size))
            made.append(graph.node("Transpose", own, perm=[1, 0, 2]))
            first = end
    _output_states(graph, decoder, made, dtype)
    if decoder.input_feeding:
        dims = graph.node("Concat", batch, graph.whole(decoder.output_size), axis=0)
        zeros = graph.node("Expand", graph.constant(torch.zeros((), dtype=dtype), "zero"), dims)
        graph.output("feed_out", zeros, dtype, ("batch", decoder.output_size))


def _output_states(graph: Builder, decoder: AttentionDecoder, values: Sequence[str], dtype: torch.dtype) -> None:
    names = [(prefix + name, shape) for prefix, stack in _stacks(decoder) for name, shape in state_shapes(stack)]
    for (name, shape), value in zip(names, values, strict=True):
        graph.output(f"{name}_out", value, dtype, shape)


def _step(graph: Builder, stack: Recurrent, x: str, state: Sequence[str]) -> tuple[str, list[str]]:
    """Add one step of a stack over x (B, I)."""
    y, finals = add_stack(graph, stack, graph.node("Unsqueeze", x, graph.whole(0)), state, None)
    return graph.node("Squeeze", y, graph.whole(0)), finals


def _key_size(decoder: AttentionDecoder) -> int:
    attention = decoder.attention
    return attention.size if isinstance(attention, AdditiveAttention) else attention.query_size


def _keys(graph: Builder, attention: Attention, values: str) -> str:
    """Add what queries are compared with, of values (B, S, M)."""
    if isinstance(attention, (AdditiveAttention, GeneralAttention)):
        bias: Tensor | None = attention.key.bias
        return graph.linear(values, attention.key.weight, bias)
    if isinstance(attention, DotAttention):
        return values
    raise ArgumentError(f"attention: a {type(attention).__name__} has no ONNX form")


def _attended(
    graph: Builder, attention: Attention, query: str, memory: str, keys: str, valid: str | None
) -> tuple[str, str]:
    """Add a look into the memory: query (B, Q) → context (B, M) and weights (B, S)."""
    if isinstance(attention, AdditiveAttention):
        asked = graph.node("Unsqueeze", graph.linear(query, attention.query.weight), graph.whole(1))
        compared = graph.node("Tanh", graph.node("Add", asked, keys))
        scores = graph.node("Squeeze", graph.linear(compared, attention.score.weight), graph.whole(2))
    else:
        scores = graph.node("MatMul", keys, graph.node("Unsqueeze", query, graph.whole(2)))
        scores = graph.node("Squeeze", scores, graph.whole(2))
    if valid is None:
        weights = graph.node("Softmax", scores, axis=-1)
    else:
        like = attention_dtype(attention, torch.float32)
        lowest, zero = (torch.tensor(value, dtype=like) for value in (torch.finfo(like).min, 0.0))
        masked = graph.node("Where", valid, scores, graph.constant(lowest, "lowest"))
        weights = graph.node("Where", valid, graph.node("Softmax", masked, axis=-1), graph.constant(zero, "zero"))
    context = graph.node("MatMul", graph.node("Unsqueeze", weights, graph.whole(1)), memory)
    return graph.node("Squeeze", context, graph.whole(1)), weights


def attention_dtype(attention: Attention, default: torch.dtype) -> torch.dtype:
    """Return the dtype of an attention's parameters; the default of one that has none."""
    return next((parameter.dtype for parameter in attention.parameters()), default)
