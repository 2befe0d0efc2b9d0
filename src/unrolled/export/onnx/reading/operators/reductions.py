"""Operators that make one number of many, along some axes."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from unrolled.export.onnx.graph import GraphNode
from unrolled.export.onnx.reading.operators.table import numbers, operator


def _product(x: Tensor, axes: list[int], keep: bool) -> Tensor:
    for axis in sorted((axis % x.dim() for axis in axes), reverse=True):
        x = x.prod(axis, keep)
    return x


_REDUCTIONS: dict[str, Callable[[Tensor, list[int], bool], Tensor]] = {
    "ReduceSum": lambda x, axes, keep: x.sum(axes, keep, dtype=x.dtype),
    "ReduceMean": lambda x, axes, keep: x.mean(axes, keep),
    "ReduceMax": lambda x, axes, keep: x.amax(axes, keep),
    "ReduceMin": lambda x, axes, keep: x.amin(axes, keep),
    "ReduceProd": _product,
    "ReduceL1": lambda x, axes, keep: x.abs().sum(axes, keep),
    "ReduceL2": lambda x, axes, keep: (x * x).sum(axes, keep).sqrt(),
    "ReduceSumSquare": lambda x, axes, keep: (x * x).sum(axes, keep),
    "ReduceLogSumExp": lambda x, axes, keep: x.logsumexp(axes, keep),
}


@operator(*_REDUCTIONS, attributes="axes keepdims noop_with_empty_axes")
def _reduce(node: GraphNode, x: Tensor, given: Tensor | None = None) -> Tensor:
    axes = numbers(node, "axes", given)
    if not axes:
        if node.get("noop_with_empty_axes", 0):
            return x
        axes = list(range(x.dim()))
    return _REDUCTIONS[node.op](x, axes, bool(node.get("keepdims", 1)))


@operator("ArgMax", "ArgMin", attributes="axis keepdims select_last_index")
def _arg(node: GraphNode, x: Tensor) -> Tensor:
    axis, keep = node.get("axis", 0), bool(node.get("keepdims", 1))
    last = bool(node.get("select_last_index", 0))
    # torch does not promise which of several equal elements it names
    best = x.amax(axis, True) if node.op == "ArgMax" else x.amin(axis, True)
    where = (x == best).to(torch.uint8)
    index = (where.flip(axis) if last else where).argmax(axis, keep)
    return x.shape[axis] - 1 - index if last else index


@operator("TopK", attributes="axis k largest sorted")
def _top_k(node: GraphNode, x: Tensor, k: Tensor | None = None) -> tuple[Tensor, Tensor]:
    count = node.get("k", 1) if k is None else int(k)
    axis, largest = node.get("axis", -1), bool(node.get("largest", 1))
    # stable, so that of equal elements the first is taken
    values, order = x.sort(dim=axis, descending=largest, stable=True)
    return values.narrow(axis, 0, count), order.narrow(axis, 0, count)


@operator("CumSum", attributes="exclusive reverse")
def _cumulative_sum(node: GraphNode, x: Tensor, axis: Tensor) -> Tensor:
    along, backwards = int(axis), bool(node.get("reverse", 0))
    x = x.flip(along) if backwards else x
    total = x.cumsum(along, dtype=x.dtype)
    total = total - x if node.get("exclusive", 0) else total
    return total.flip(along) if backwards else total
