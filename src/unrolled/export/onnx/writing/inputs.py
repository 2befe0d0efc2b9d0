"""Input layers as nodes of a graph: from what a network reads to x_t of its recurrent stack.

What an input layer carries from one call to the next becomes states, `x_…_in` and `x_…_out`, of which zeros start a
sequence. Letters: T time, B batch, I input, P parts of all words, U spellings, C characters, F features.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from unrolled.errors import ArgumentError
from unrolled.export.onnx.writing.builder import Builder
from unrolled.export.onnx.writing.encoders import ENCODERS, add_encoder, item_shape
from unrolled.export.onnx.writing.stacks import Lengths, add_stack, lengths_of
from unrolled.export.onnx.writing.states import add_zeros
from unrolled.layers import Embedding, ImageSteps, Spelling, StackedFrames, Words
from unrolled.layers.inputs.clips import StepEncoder
from unrolled.layers.inputs.texts import TextInputs

#: of what is read as a sequence
SEQUENCE = ("time", "batch")


class Reading:
    """An input layer as it is added.

    Args:
        graph: what to add to.
        ragged: whether the valid steps are an input, `lengths`.
        carried: whether a call goes on from the one before, where a layer looks back.
        dtype: of the network.
    """

    def __init__(self, graph: Builder, *, ragged: bool, carried: bool, dtype: torch.dtype) -> None:
        self.graph, self.ragged, self.carried, self.dtype = graph, ragged, carried, dtype
        #: of the steps that the stack reads
        self.lengths: Lengths | None = None
        #: what their dimension is called
        self.time = "time"
        self._kept: list[tuple[str, str, Sequence[int | str]]] = []
        self._named: dict[str, str] = {}

    def add(self, layer: nn.Module) -> str:
        """Add a layer with its inputs; returns the steps (T, B, I).

        Raises:
            ArgumentError: for a layer that has no such form.
        """
        for kind, read in _READERS.items():
            if isinstance(layer, kind):
                return read(self, layer)
        if isinstance(layer, tuple(ENCODERS)):
            x = self.graph.input("x", self.dtype, (*SEQUENCE, *item_shape(layer)))
            self.read_lengths(x)
            return add_encoder(self.graph, layer, x)
        raise ArgumentError(f"inputs: a {type(layer).__name__} has no ONNX form; these have one: {', '.join(KNOWN)}")

    def named(self, name: str, dims: Sequence[int | str] = SEQUENCE) -> str:
        """Return the input of integers of a name, which several layers may read."""
        if name not in self._named:
            self._named[name] = self.graph.input(name, torch.int64, dims)
        return self._named[name]

    def read_lengths(self, x: str, steps: Callable[[str], str] = lambda lengths: lengths) -> Lengths | None:
        """Add the input `lengths` (B,), and note what steps x (T, B, ·) the stack reads of it.

        Args:
            x: what the lengths are of.
            steps: from the lengths of x to those of the stack; what is not the same is the output `steps`.
        """
        if not self.ragged:
            return None
        lengths = self.graph.input("lengths", torch.int64, ("batch",))
        own = lengths_of(self.graph, lengths, x)
        shortened = steps(lengths)
        self.lengths = own if shortened == lengths else None
        self._shortened = shortened
        return own

    def shorten(self, x: str) -> None:
        """Note the steps x (T, B, I) of a layer that makes fewer of those it reads, with the output `steps`."""
        self.time = "steps"
        if self.ragged:
            self.lengths = lengths_of(self.graph, self._shortened, x)
            self.graph.output("steps", self._shortened, torch.int64, ("batch",))

    def state(self, name: str, shape: Sequence[int | str]) -> str:
        """Add a state as it comes in."""
        return self.graph.input(f"{name}_in", self.dtype, shape)

    def keep(self, name: str, value: str, shape: Sequence[int | str]) -> None:
        """Note a state as it goes out."""
        self._kept.append((f"{name}_out", value, shape))

    def finish(self) -> None:
        """Add the outputs of what is carried."""
        for name, value, shape in self._kept:
            self.graph.output(name, value, self.dtype, shape)

    def number(self, value: float) -> str:
        """Add a scalar."""
        return self.graph.constant(torch.tensor(value, dtype=self.dtype), "number")


def _tokens(reading: Reading, layer: Embedding) -> str:
    tokens = reading.named("x")
    x = reading.graph.node("Gather", reading.graph.constant(layer.weight, "embedding"), tokens)
    reading.read_lengths(x)
    return x


def _image_steps(reading: Reading, layer: ImageSteps) -> str:
    graph = reading.graph
    x = graph.input("x", reading.dtype, (*SEQUENCE, layer.output_size))
    reading.read_lengths(x)
    centred = graph.node("Sub", x, graph.constant(layer.mean, "mean"))
    return graph.node("Div", centred, graph.constant(layer.std, "std"))


def _steps(reading: Reading, layer: StepEncoder) -> str:
    """Add an encoder of each step, beside how the step differs from the one before where it reads that."""
    graph, read = reading.graph, item_shape(layer.encoder)
    item = (*read[:-1], int(read[-1]) // (2 if layer.differences else 1))
    x = graph.input("x", reading.dtype, (*SEQUENCE, *item))
    lengths = reading.read_lengths(x)
    vectors = _with_differences(reading, x, item, lengths) if layer.differences else x
    if len(item) > 1:
        shape = graph.node("Shape", vectors, start=2, end=2 + len(item))
        vectors = graph.node("Reshape", vectors, graph.node("Concat", graph.whole(-1), shape, axis=0))
    vectors = add_encoder(graph, layer.encoder, vectors)
    if len(item) > 1:
        shape = graph.node("Concat", graph.node("Shape", x, start=0, end=2), graph.whole(-1), axis=0)
        vectors = graph.node("Reshape", vectors, shape)
    return vectors if lengths is None else graph.node("Where", lengths.valid, vectors, reading.number(0.0))


def _with_differences(reading: Reading, x: str, item: Sequence[int | str], lengths: Lengths | None) -> str:
    """Add each step's difference from the one before, 0 at the first of the sequence, to its channels."""
    graph, dims = reading.graph, len(item)
    first = graph.node("Slice", x, graph.whole(0), graph.whole(1))
    earlier = first
    if reading.carried:
        shape = ("batch", *item)
        before, seen = reading.state("x_before", shape), reading.state("x_seen", ("batch", *(1 for _ in item)))
        begun = graph.node("Greater", seen, reading.number(0.0))
        at_once = graph.node("Where", begun, before, graph.node("Squeeze", first, graph.whole(0)))
        earlier = graph.node("Unsqueeze", at_once, graph.whole(0))
        if lengths is None:
            last = graph.node("Squeeze", graph.node("Slice", x, graph.whole(-1), graph.whole(2**31)), graph.whole(0))
            more = graph.node("Add", seen, reading.number(1.0))
        else:
            wide = graph.whole(*range(3, 2 + dims)) if dims > 1 else None
            forms = [graph.node("Sub", lengths.column, graph.whole(1)), lengths.empty]
            forms = [form if wide is None else graph.node("Unsqueeze", form, wide) for form in forms]
            steps = lengths.steps if wide is None else graph.node("Unsqueeze", lengths.steps, wide)
            at_end = graph.node("Where", graph.node("Equal", steps, forms[0]), x, reading.number(0.0))
            empty = graph.node("Squeeze", forms[1], graph.whole(0))
            last = graph.node("Where", empty, before, graph.node("ReduceSum", at_end, graph.whole(0), keepdims=0))
            more = graph.node("Where", empty, seen, graph.node("Add", seen, reading.number(1.0)))
        reading.keep("x_before", last, shape)
        reading.keep("x_seen", more, ("batch", *(1 for _ in item)))
    shifted = graph.node("Concat", earlier, graph.node("Slice", x, graph.whole(0), graph.whole(-1)), axis=0)
    return graph.node("Concat", x, graph.node("Sub", x, shifted), axis=-1)


def _stacked(reading: Reading, layer: StackedFrames) -> str:
    """Add frames that are stacked and mapped: a convolution over time."""
    graph, stack = reading.graph, layer.stack
    stride, left, width = stack.stride, stack.left, stack.left + stack.stride
    x = graph.input("x", reading.dtype, (*SEQUENCE, stack.features))

    def steps(lengths: str) -> str:
        return graph.node("Div", graph.node("Add", lengths, graph.whole(stride - 1)), graph.whole(stride))

    lengths = reading.read_lengths(x, steps)
    frames = add_encoder(graph, layer.frames, x)
    if lengths is not None:
        frames = graph.node("Where", lengths.valid, frames, reading.number(0.0))
    shape = (left, "batch", stack.features)
    if left and reading.carried:
        frames = graph.node("Concat", reading.state("x_frames", shape), frames, axis=0)
        reading.keep("x_frames", _last_frames(graph, frames, left, lengths), shape)
    # (B, F, T)
    padded = graph.node(
        "Conv",
        graph.node("Transpose", frames, perm=[1, 2, 0]),
        graph.constant(layer.linear.weight.view(-1, width, stack.features).permute(0, 2, 1).contiguous(), "weight"),
        *(() if layer.linear.bias is None else (graph.constant(layer.linear.bias, "bias"),)),
        pads=[0 if reading.carried else left, stride - 1],
        strides=[stride],
        kernel_shape=[width],
    )
    vectors = graph.node("Relu", graph.node("Transpose", padded, perm=[2, 0, 1]))
    reading.shorten(vectors)
    return vectors


def _last_frames(graph: Builder, frames: str, left: int, lengths: Lengths | None) -> str:
    """Add the last `left` of frames (left + T, B, F), where T are valid or as many as `lengths` says."""
    if lengths is None:
        return graph.node("Slice", frames, graph.whole(-left), graph.whole(2**31))
    places = graph.node("Add", lengths.column, graph.constant(torch.arange(left).view(-1, 1, 1), "places"))
    shape = graph.node("Concat", graph.whole(left), graph.node("Shape", frames, start=1, end=3), axis=0)
    return graph.node("GatherElements", frames, graph.node("Expand", places, shape), axis=0)


def _texts(reading: Reading, layer: TextInputs) -> str:
    graph = reading.graph
    words = reading.named("words")
    x = graph.node("Gather", graph.constant(layer.words.weight, "words"), words)
    if layer.parts is not None:
        parts = graph.node("Gather", graph.constant(layer.parts.weight, "parts"), reading.named("parts", ("parts",)))
        summed, counted = add_bags(reading, parts, layer.output_size)
        mean = graph.node("Div", summed, graph.node("Max", counted, reading.number(1.0)))
        x = graph.node("Add", x, graph.node("Reshape", mean, graph.node("Shape", x)))
    if layer.vectors is not None and layer.linear is not None:
        fixed = graph.node("Gather", graph.constant(layer.vectors, "vectors"), reading.named("vectors"))
        x = graph.node("Add", x, graph.linear(fixed, layer.linear.weight, layer.linear.bias))
    reading.read_lengths(x)
    return x


def add_bags(reading: Reading, rows: str, width: int) -> tuple[str, str]:
    """Add the sums of what the parts of each word have, rows (P, width), and how many they are.

    Returns:
        (T·B, width) and (T·B, 1), by the input `begins`.
    """
    graph = reading.graph
    begins = reading.named("begins", ("words",))
    count, many = graph.node("Shape", rows, start=0, end=1), graph.node("Shape", begins)
    # which word each part is of: as many words have begun by then, less one
    marks = graph.node("Expand", graph.whole(0), graph.node("Add", count, graph.whole(1)))
    marks = graph.node("ScatterElements", marks, begins, graph.node("Expand", graph.whole(1), many), reduction="add")
    owners = graph.node("CumSum", marks, graph.node("Squeeze", graph.whole(0)))
    owners = graph.node("Sub", graph.node("Slice", owners, graph.whole(0), count), graph.whole(1))
    owners = graph.node("Unsqueeze", owners, graph.whole(1))
    zeros = graph.node("Expand", reading.number(0.0), graph.node("Concat", many, graph.whole(width), axis=0))
    ones = graph.node("Expand", reading.number(1.0), graph.node("Concat", count, graph.whole(1), axis=0))
    none = graph.node("Expand", reading.number(0.0), graph.node("Concat", many, graph.whole(1), axis=0))
    return (
        graph.node("ScatterND", zeros, owners, rows, reduction="add"),
        graph.node("ScatterND", none, owners, ones, reduction="add"),
    )


def _words(reading: Reading, layer: Words) -> str:
    graph, parts = reading.graph, []
    if layer.words is not None:
        parts.append(graph.node("Gather", graph.constant(layer.words.weight, "words"), reading.named("words")))
    if layer.spelling is not None:
        spelled = _spelled(reading, layer.spelling)
        parts.append(graph.node("Gather", spelled, reading.named("spellings")))
    if layer.shapes is not None:
        parts.append(graph.node("Gather", graph.constant(layer.shapes.weight, "shapes"), reading.named("shapes")))
    if layer.vectors is not None:
        parts.append(graph.node("Gather", graph.constant(layer.vectors, "vectors"), reading.named("vectors")))
    x = parts[0] if len(parts) == 1 else graph.node("Concat", *parts, axis=-1)
    reading.read_lengths(x)
    return x


def _spelled(reading: Reading, layer: Spelling) -> str:
    """Add the spellings of a batch, (C, U) → (U, output_size)."""
    graph = reading.graph
    characters = reading.named("characters", ("characters", "spellings"))
    x = graph.node("Gather", graph.constant(layer.embedding.weight, "characters"), characters)
    lengths = lengths_of(graph, reading.named("character_lengths", ("spellings",)), x)
    if layer.kind == "lstm":
        finals = add_stack(graph, layer.lstm, x, add_zeros(graph, layer.lstm, x), lengths)[1]
        # (2, U, H): both directions beside each other
        sides = graph.node("Transpose", finals[0], perm=[1, 0, 2])
        return graph.node("Reshape", sides, graph.whole(0, -1))
    x = graph.node("Transpose", graph.node("Where", lengths.valid, x, reading.number(0.0)), perm=[1, 2, 0])
    largest = []
    for width, each in zip(layer.widths, layer.filters, strict=True):
        if not isinstance(each, nn.Linear):
            raise ArgumentError(f"spelling: a {type(each).__name__} has no ONNX form")
        weight = each.weight.view(len(each.weight), width, -1).permute(0, 2, 1).contiguous()
        filters = (graph.constant(weight, "filters"), graph.constant(each.bias, "bias"))
        responses = graph.node("Conv", x, *filters, pads=[width - 1, width - 1], kernel_shape=[width])
        # windows that begin before the word's end; those beyond see nothing but padding
        over = graph.node("Transpose", responses, perm=[2, 0, 1])
        reach = graph.node("Add", reading.named("character_lengths"), graph.whole(width - 1))
        valid = lengths_of(graph, reach, over).valid
        over = graph.node("Where", valid, over, reading.number(-torch.inf))
        largest.append(graph.node("ReduceMax", over, axes=[0], keepdims=0))
    return graph.node("Tanh", graph.node("Concat", *largest, axis=1))


_READERS: dict[type[nn.Module], Callable[[Reading, Any], str]] = {
    Embedding: _tokens,
    ImageSteps: _image_steps,
    StepEncoder: _steps,
    StackedFrames: _stacked,
    TextInputs: _texts,
    Words: _words,
}
#: the names of all layers that have a form
KNOWN = tuple(kind.__name__ for kind in (*_READERS, *ENCODERS))
