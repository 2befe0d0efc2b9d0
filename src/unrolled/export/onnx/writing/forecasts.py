"""Forecasters as nodes of a graph.

Letters: C context, A steps before it that lags reach back to, H horizon, N windows, S segment, K known covariates, Q
outputs a step, T steps, P parameters of a distribution.
"""

from __future__ import annotations

import torch

from unrolled.export.onnx.graph import NUMBERS
from unrolled.export.onnx.writing.builder import Builder
from unrolled.export.onnx.writing.encoders import add_encoder
from unrolled.export.onnx.writing.outputs import add_output
from unrolled.export.onnx.writing.stacks import add_stack
from unrolled.export.onnx.writing.states import add_zeros, dtype_of, state_inputs, state_outputs
from unrolled.networks import AutoregressiveForecaster, DirectForecaster
from unrolled.networks.forecaster import LEAST_SCALE

BATCH = "batch"


class _Series:
    """The inputs of both forecasters, as they are added."""

    def __init__(self, graph: Builder, network: DirectForecaster | AutoregressiveForecaster) -> None:
        self.graph, self.dtype, self.who = graph, dtype_of(network), network.who

    def number(self, value: float) -> str:
        """Add a scalar."""
        return self.graph.constant(torch.tensor(value, dtype=self.dtype), "number")

    def seen(self, x: str) -> str:
        """Add where there is a value."""
        return self.graph.node("Not", self.graph.node("IsNaN", x))

    def floats(self, x: str) -> str:
        """Add a cast."""
        return self.graph.node("Cast", x, to=NUMBERS[self.dtype])

    def whose(self, windows: str) -> str | None:
        """Add the vectors of the series, (N, E), by the inputs `channel` and `static`; None where E is 0.

        Args:
            windows: N, as a vector of one number.
        """
        graph, who, vector = self.graph, self.who, None
        if not who.size:
            return None
        if who.own is not None:
            channel = graph.input("channel", torch.int64, (BATCH,))
            # a series that has none gets their mean
            vectors = torch.cat([who.own, who.own.mean(0, keepdim=True)])
            last = graph.constant(torch.tensor(len(who.own)), "mean_row")
            row = graph.node("Where", graph.node("Less", channel, graph.whole(0)), last, channel)
            vector = graph.node("Gather", graph.constant(vectors, "series"), row)
        if who.described is not None:
            static = graph.input("static", self.dtype, (BATCH, who.described.in_features))
            described = graph.linear(static, who.described.weight, who.described.bias)
            vector = described if vector is None else graph.node("Add", vector, described)
        if vector is None:
            shape = graph.node("Concat", windows, graph.whole(who.size), axis=0)
            vector = graph.node("Expand", self.number(0.0), shape)
        return vector


def add_direct(graph: Builder, network: DirectForecaster, ragged: bool) -> None:
    """Add a forecaster of all steps at once: `past` (C, N), NaN where nothing is known, to `forecast` (H, N, Q)."""
    series, dtype, width = _Series(graph, network), dtype_of(network), network.hidden.input_size
    past = graph.input("past", dtype, (network.context, BATCH))
    features = network.inputs.features // network.segment
    known_size = features - 1 - network.masked
    known = graph.input("known", dtype, (network.context + network.horizon, BATCH, known_size)) if known_size else None
    windows = graph.node("Shape", past, start=1, end=2)
    seen = series.seen(past)
    shift, scale = _window_scale(series, network, past, seen)
    # values (C, N, 1), whether they are there, and what is known of the step
    x = graph.node("Where", seen, graph.node("Div", graph.node("Sub", past, shift), scale), series.number(0.0))
    parts = [graph.node("Unsqueeze", x, graph.whole(2))]
    if network.masked:
        parts.append(graph.node("Unsqueeze", series.floats(seen), graph.whole(2)))
    if known is not None:
        parts.append(graph.node("Slice", known, graph.whole(0), graph.whole(network.context)))
    rows = parts[0] if len(parts) == 1 else graph.node("Concat", *parts, axis=-1)
    segments = _segments(series, rows, network.context, features, network.segment, front=True)
    vectors = graph.node("Relu", add_encoder(graph, network.inputs, segments))
    _, state = add_stack(graph, network.hidden, vectors, add_zeros(graph, network.hidden, vectors), None)
    queries = len(network.position)
    dims = graph.node("Concat", graph.whole(queries), windows, graph.whole(width // 2), axis=0)
    where = graph.node("Expand", graph.constant(network.position.unsqueeze(1), "position"), dims)
    vector = series.whose(windows)
    query = where
    if vector is not None:
        dims = graph.node("Concat", graph.whole(queries), windows, graph.whole(network.who.size), axis=0)
        query = graph.node("Concat", where, graph.node("Expand", vector, dims), axis=-1)
    if known is not None and network.future is not None:
        end = network.context + network.horizon
        ahead = graph.node("Slice", known, graph.whole(network.context), graph.whole(end))
        ahead = _segments(series, ahead, network.horizon, known_size, network.segment, front=False)
        query = graph.node("Add", query, graph.linear(ahead, network.future.weight, network.future.bias))
    query = graph.node("Reshape", query, graph.whole(1, -1, width))
    repeated = [graph.node("Tile", each, graph.whole(1, queries, 1)) for each in state]
    h, _ = add_stack(graph, network.hidden, query, repeated, None)
    steps = graph.node(
        "Reshape", add_output(graph, network.output, h), graph.whole(queries, -1, network.segment, network.outputs)
    )
    steps = graph.node("Transpose", steps, perm=[0, 2, 1, 3])
    dims = graph.node("Concat", graph.whole(queries * network.segment), windows, graph.whole(network.outputs), axis=0)
    steps = graph.node("Slice", graph.node("Reshape", steps, dims), graph.whole(0), graph.whole(network.horizon))
    if network.outputs > 1:
        steps = graph.nodes("TopK", 2, steps, graph.whole(network.outputs), axis=-1, largest=0, sorted=1)[0]
    spread, centre = (graph.node("Unsqueeze", each, graph.whole(1)) for each in (scale, shift))
    forecast = graph.node("Add", graph.node("Mul", steps, spread), centre)
    graph.output("forecast", forecast, dtype, (network.horizon, BATCH, network.outputs))


def _window_scale(series: _Series, network: DirectForecaster, past: str, seen: str) -> tuple[str, str]:
    """Add shift and scale of each window, (N,), from its known values; 0 and 1 of one without any."""
    graph, ones = series.graph, series.number(1.0)
    windows = graph.node("Shape", past, start=1, end=2)
    one_each = graph.node("Expand", ones, windows)
    if network.normalise == "none":
        return graph.node("Expand", series.number(0.0), windows), one_each
    values = graph.node("Where", seen, past, series.number(0.0))
    if network.normalise == "last":
        number = graph.constant(torch.arange(1, network.context + 1).unsqueeze(1), "numbers")
        places = graph.node("Mul", graph.node("Cast", seen, to=NUMBERS[torch.int64]), number)
        last = graph.node("ArgMax", places, axis=0, keepdims=1)
        return graph.node("Squeeze", graph.node("GatherElements", values, last, axis=0), graph.whole(0)), one_each
    count = graph.node("Max", graph.node("ReduceSum", series.floats(seen), graph.whole(0), keepdims=0), ones)
    mean = graph.node("Div", graph.node("ReduceSum", values, graph.whole(0), keepdims=0), count)
    off = graph.node("Where", seen, graph.node("Sub", past, mean), series.number(0.0))
    squares = graph.node("ReduceSum", graph.node("Mul", off, off), graph.whole(0), keepdims=0)
    spread = graph.node("Sqrt", graph.node("Div", squares, count))
    return mean, graph.node("Max", spread, series.number(LEAST_SCALE))


def _segments(series: _Series, x: str, steps: int, features: int, segment: int, *, front: bool) -> str:
    """Add steps (T, N, F) put together, (segments, N, S·F), filled up with zeros in front or behind."""
    graph, short = series.graph, -steps % segment
    if short:
        pads = [short, 0, 0, 0, 0, 0] if front else [0, 0, 0, short, 0, 0]
        x = graph.node("Pad", x, graph.whole(*pads), series.number(0.0))
    rows = (steps + short) // segment
    x = graph.node("Transpose", graph.node("Reshape", x, graph.whole(rows, segment, -1, features)), perm=[0, 2, 1, 3])
    return graph.node("Reshape", x, graph.whole(rows, -1, segment * features))


def add_autoregressive(graph: Builder, network: AutoregressiveForecaster, ragged: bool) -> None:
    """Add a forecaster of one step after the other: T values and those that lags reach back to, to the parameters of
    the distribution of the value after each, (T, N, P).

    Reading the past and drawing the future are the same graph: what is drawn is its next value.
    """
    series, dtype = _Series(graph, network), dtype_of(network)
    oldest = max((1, *network.lags))
    values = graph.input("values", dtype, ("window", BATCH))
    columns = (1 + len(network.lags)) * (1 + network.masked)
    known_size = network.hidden.input_size - columns - network.who.size
    known = graph.input("known", dtype, ("time", BATCH, known_size)) if known_size else None
    shift, scale = (graph.input(name, dtype, (BATCH,)) for name in ("shift", "scale"))
    seen = series.seen(values)
    x = graph.node("Where", seen, graph.node("Div", graph.node("Sub", values, shift), scale), series.number(0.0))
    there = series.floats(seen)
    # the steps that are read; lags reach back to those before them
    steps = graph.node("Sub", graph.node("Shape", values, start=0, end=1), graph.whole(oldest - 1))
    parts = []
    for lag in (1, *network.lags):
        first = graph.whole(oldest - lag)
        end = graph.node("Add", steps, first)
        for source in (x, there) if network.masked else (x,):
            parts.append(graph.node("Unsqueeze", graph.node("Slice", source, first, end), graph.whole(2)))
    if known is not None:
        parts.append(known)
    windows = graph.node("Shape", values, start=1, end=2)
    vector = series.whose(windows)
    if vector is not None:
        dims = graph.node("Concat", steps, windows, graph.whole(network.who.size), axis=0)
        parts.append(graph.node("Expand", vector, dims))
    read = parts[0] if len(parts) == 1 else graph.node("Concat", *parts, axis=-1)
    h, finals = add_stack(graph, network.hidden, read, state_inputs(graph, network.hidden), None)
    graph.output("parameters", add_output(graph, network.output, h), dtype, ("time", BATCH, network.likelihood.size))
    state_outputs(graph, network.hidden, finals)
