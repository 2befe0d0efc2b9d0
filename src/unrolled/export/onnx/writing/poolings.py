"""Poolings as nodes of a graph, which go on from what they carried: chunks give what the whole gives.

Zeros start every carried state. Letters: T time, B batch, W width of what is pooled.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from unrolled.errors import ArgumentError
from unrolled.export.onnx.graph import NUMBERS
from unrolled.export.onnx.writing.builder import Builder
from unrolled.export.onnx.writing.stacks import Lengths
from unrolled.layers import AttentionPooling, JoinedPooling, LastState, MaxPooling, MeanPooling, Pooling


def add_pooling(
    graph: Builder, pooling: Pooling, h: str, lengths: Lengths | None, *, carried: bool, dtype: torch.dtype
) -> str:
    """Add a pooling over h (T, B, W), which is zero where a sequence is over; returns (B, output_size).

    Args:
        graph: what to add to.
        pooling: the pooling.
        h: what is pooled.
        lengths: the valid steps; None is T for all.
        carried: whether its state is an input and an output (`pool_…_in`, `pool_…_out`), or begins anew at each call.
        dtype: of h.

    Raises:
        ArgumentError: for a pooling that has no such form.
    """
    parts = [p for p in pooling.parts if isinstance(p, Pooling)] if isinstance(pooling, JoinedPooling) else [pooling]
    made = _Poolings(graph, h, lengths, carried, dtype)
    vectors = []
    for index, part in enumerate(parts):
        made.prefix = f"pool{index}" if len(parts) > 1 else "pool"
        for kind, add in _KINDS.items():
            if isinstance(part, kind):
                vectors.append(add(made, part))
                break
        else:
            raise ArgumentError(f"pooling: a {type(part).__name__} has no ONNX form")
    made.finish()
    return vectors[0] if len(vectors) == 1 else graph.node("Concat", *vectors, axis=-1)


class _Poolings:
    """The poolings of one network, which share the count of steps."""

    def __init__(self, graph: Builder, h: str, lengths: Lengths | None, carried: bool, dtype: torch.dtype) -> None:
        self.graph, self.h, self.lengths, self.carried, self.dtype = graph, h, lengths, carried, dtype
        self.prefix = "pool"
        self._waiting: list[tuple[str, str, torch.dtype, tuple[int | str, ...]]] = []
        self._counted: tuple[str, str] | None = None

    def number(self, value: float) -> str:
        """Add a constant scalar."""
        return self.graph.constant(torch.tensor(value, dtype=self.dtype), "number")

    def state(self, name: str, width: int) -> str:
        """Add a carried state (B, W) as it comes in; zeros where nothing is carried."""
        if not self.carried:
            return self.number(0.0)
        return self.graph.input(f"{self.prefix}_{name}_in", self.dtype, ("batch", width))

    def keep(self, name: str, value: str, width: int) -> None:
        """Note a carried state as it goes out."""
        self._waiting.append((f"{self.prefix}_{name}_out", value, self.dtype, ("batch", width)))

    def steps(self) -> tuple[str, str]:
        """Add how many steps each sequence had before this call, and has after it, (B, 1)."""
        if self._counted is None:
            graph = self.graph
            if self.lengths is None:
                shape = graph.node("Shape", self.h, start=0, end=1)
                now = graph.node("Cast", shape, to=NUMBERS[self.dtype])
            else:
                now = self.over_time("ReduceSum", graph.node("Cast", self.lengths.valid, to=NUMBERS[self.dtype]))
            before = self.number(0.0)
            if self.carried:
                before = graph.input("pool_steps_in", self.dtype, ("batch", 1))
            self._counted = before, graph.node("Add", before, now)
            if self.carried:
                self._waiting.append(("pool_steps_out", self._counted[1], self.dtype, ("batch", 1)))
        return self._counted

    def is_zero(self, x: str) -> str:
        """Add whether a count is zero."""
        return self.graph.node("Equal", x, self.number(0.0))

    def blank(self, x: str, value: float) -> str:
        """Add x (T, B, ·) with a value where a sequence is over."""
        return x if self.lengths is None else self.graph.node("Where", self.lengths.valid, x, self.number(value))

    def over_time(self, op: str, x: str) -> str:
        """Add a reduction of x (T, B, ·) over time."""
        if op == "ReduceSum":
            return self.graph.node(op, x, self.graph.whole(0), keepdims=0)
        return self.graph.node(op, x, axes=[0], keepdims=0)

    def finish(self) -> None:
        """Add the outputs of what is carried."""
        for name, value, dtype, shape in self._waiting if self.carried else ():
            self.graph.output(name, value, dtype, shape)


def _last(made: _Poolings, part: LastState) -> str:
    graph, width = made.graph, part.size // part.directions
    if made.lengths is None:
        last = graph.node("Squeeze", graph.node("Slice", made.h, graph.whole(-1), graph.whole(2**31)), graph.whole(0))
    else:
        final = graph.node("Equal", made.lengths.steps, graph.node("Sub", made.lengths.column, graph.whole(1)))
        last = made.over_time("ReduceSum", graph.node("Where", final, made.h, made.number(0.0)))
    if part.directions == 2:
        # the backward direction's last step is the first
        first = graph.node("Squeeze", graph.node("Slice", made.h, graph.whole(0), graph.whole(1)), graph.whole(0))
        halves = ((last, 0, width), (first, width, 2 * width))
        own = [graph.node("Slice", x, graph.whole(a), graph.whole(b), graph.whole(-1)) for x, a, b in halves]
        return graph.node("Concat", *own, axis=-1)
    if made.carried and made.lengths is not None:
        empty = graph.node("Squeeze", made.lengths.empty, graph.whole(0))
        last = graph.node("Where", empty, made.state("last", part.size), last)
        made.keep("last", last, part.size)
    return last


def _mean(made: _Poolings, part: MeanPooling) -> str:
    graph, (_, steps) = made.graph, made.steps()
    total = graph.node("Add", made.state("sum", part.size), made.over_time("ReduceSum", made.h))
    made.keep("sum", total, part.size)
    return graph.node("Div", total, graph.node("Max", steps, made.number(1.0)))


def _max(made: _Poolings, part: MaxPooling) -> str:
    graph, (before, after) = made.graph, made.steps()
    lowest = made.number(-torch.inf)
    so_far = graph.node("Where", made.is_zero(before), lowest, made.state("max", part.size))
    highest = graph.node("Max", so_far, made.over_time("ReduceMax", made.blank(made.h, -torch.inf)))
    highest = graph.node("Where", made.is_zero(after), made.number(0.0), highest)
    made.keep("max", highest, part.size)
    return highest


def _attention(made: _Poolings, part: AttentionPooling) -> str:
    """The softmax over time goes on from the largest score so far, and the sums of e^(score − it)."""
    graph, (before, after) = made.graph, made.steps()
    lowest = torch.finfo(made.dtype).min
    keys = graph.node("Tanh", graph.linear(made.h, part.key.weight, part.key.bias))
    scores = made.blank(graph.linear(keys, part.score.weight), lowest)
    so_far = graph.node("Where", made.is_zero(before), made.number(lowest), made.state("score", 1))
    raised = graph.node("Max", so_far, made.over_time("ReduceMax", scores))
    old = graph.node("Exp", graph.node("Sub", so_far, raised))
    new = made.blank(graph.node("Exp", graph.node("Sub", scores, raised)), 0.0)
    sums = []
    for name, width, added in (("weighted", part.size, graph.node("Mul", new, made.h)), ("weight", 1, new)):
        carried = graph.node("Mul", made.state(name, width), old)
        sums.append(graph.node("Add", carried, made.over_time("ReduceSum", added)))
        made.keep(name, sums[-1], width)
    made.keep("score", raised, 1)
    return graph.node("Where", made.is_zero(after), made.number(0.0), graph.node("Div", *sums))


_KINDS: dict[type[Pooling], Callable[[_Poolings, Any], str]] = {
    LastState: _last,
    MeanPooling: _mean,
    MaxPooling: _max,
    AttentionPooling: _attention,
}
