"""Operators that make, move, join and pick elements without computing with them."""

from __future__ import annotations

import torch
from torch import Tensor

from unrolled.errors import ArgumentError
from unrolled.export.onnx.graph import DTYPES, GraphNode
from unrolled.export.onnx.reading.operators.table import numbers, operator


@operator("Constant", attributes="value value_float value_floats value_int value_ints")
def _constant(node: GraphNode) -> Tensor:
    for name, value in node.attributes.items():
        if isinstance(value, Tensor):
            return value
        if name.startswith("value_"):
            return torch.tensor(value, dtype=torch.float32 if "float" in name else torch.int64)
    raise node.error("it has no value")


@operator("ConstantOfShape", attributes="value")
def _constant_of_shape(node: GraphNode, shape: Tensor) -> Tensor:
    value = node.get("value", torch.zeros(1))
    return torch.full([int(n) for n in shape.tolist()], value.item(), dtype=value.dtype)


@operator("ConstantFill", attributes="value dtype shape extra_shape input_as_shape")
def _constant_fill(node: GraphNode, given: Tensor | None = None) -> Tensor:
    """A fill of what is now ConstantOfShape; it was never more than experimental."""
    if given is None:
        shape = list(node.get("shape", [0]))
    else:
        shape = given.tolist() if node.get("input_as_shape", 0) else list(given.shape)
    shape += list(node.get("extra_shape", [0])) if "extra_shape" in node.attributes else []
    return torch.full([int(n) for n in shape], node.get("value", 0.0), dtype=DTYPES[node.get("dtype", 1)])


@operator("Shape", attributes="start end")
def _shape(node: GraphNode, x: Tensor) -> Tensor:
    end = node.get("end", x.dim())
    return torch.tensor(x.shape[node.get("start", 0) : end], dtype=torch.int64)


@operator("Size")
def _size(node: GraphNode, x: Tensor) -> Tensor:
    return torch.tensor(x.numel(), dtype=torch.int64)


@operator("Range")
def _range(node: GraphNode, start: Tensor, limit: Tensor, delta: Tensor) -> Tensor:
    return torch.arange(start.item(), limit.item(), delta.item(), dtype=start.dtype, device=start.device)


@operator("EyeLike", attributes="dtype k")
def _eye_like(node: GraphNode, x: Tensor) -> Tensor:
    dtype = DTYPES[node.get("dtype", 1)] if "dtype" in node.attributes else x.dtype
    offset = node.get("k", 0)
    rows = torch.arange(x.shape[0], device=x.device).unsqueeze(1)
    return (torch.arange(x.shape[1], device=x.device) - rows == offset).to(dtype)


@operator("Reshape", attributes="shape allowzero consumed_inputs")
def _reshape(node: GraphNode, x: Tensor, given: Tensor | None = None) -> Tensor:
    shape = numbers(node, "shape", given) or []
    if not node.get("allowzero", 0):
        shape = [x.shape[axis] if size == 0 else size for axis, size in enumerate(shape)]
    return x.reshape(shape)


@operator("Flatten", attributes="axis")
def _flatten(node: GraphNode, x: Tensor) -> Tensor:
    axis = node.get("axis", 1)
    rows = int(torch.tensor(x.shape[: axis if axis >= 0 else axis + x.dim()]).prod())
    return x.reshape(rows, x.numel() // max(rows, 1))


@operator("Transpose", attributes="perm")
def _transpose(node: GraphNode, x: Tensor) -> Tensor:
    return x.permute(list(node.get("perm", [0])) if "perm" in node.attributes else list(reversed(range(x.dim()))))


@operator("Squeeze", attributes="axes")
def _squeeze(node: GraphNode, x: Tensor, given: Tensor | None = None) -> Tensor:
    axes = numbers(node, "axes", given)
    if axes is None:
        return x.squeeze()
    wide = [axis for axis in axes if x.shape[axis] != 1]
    if wide:
        raise ArgumentError(f"axis {wide[0]} has {x.shape[wide[0]]} elements and can't be squeezed away")
    return x.squeeze(tuple(axes))


@operator("Unsqueeze", attributes="axes")
def _unsqueeze(node: GraphNode, x: Tensor, given: Tensor | None = None) -> Tensor:
    axes = numbers(node, "axes", given) or []
    rank = x.dim() + len(axes)
    for axis in sorted(axis % rank for axis in axes):
        x = x.unsqueeze(axis)
    return x


@operator("Concat", attributes="axis")
def _concat(node: GraphNode, *inputs: Tensor) -> Tensor:
    return torch.cat(inputs, node.get("axis", 1))


@operator("Split", attributes="axis split num_outputs")
def _split(node: GraphNode, x: Tensor, given: Tensor | None = None) -> tuple[Tensor, ...]:
    axis = node.get("axis", 0)
    sizes = numbers(node, "split", given)
    if sizes is None:
        count = node.get("num_outputs", len(node.outputs))
        share = -(-x.shape[axis] // count)
        sizes = [share] * (count - 1) + [x.shape[axis] - share * (count - 1)]
    return x.split(sizes, axis)


@operator("Slice", attributes="axes starts ends")
def _slice(
    node: GraphNode,
    x: Tensor,
    starts: Tensor | None = None,
    ends: Tensor | None = None,
    axes: Tensor | None = None,
    steps: Tensor | None = None,
) -> Tensor:
    first, last = numbers(node, "starts", starts) or [], numbers(node, "ends", ends) or []
    along = numbers(node, "axes", axes, list(range(len(first)))) or []
    by = numbers(node, "steps", steps, [1] * len(first)) or []
    for start, end, axis, step in zip(first, last, along, by, strict=True):
        size = x.shape[axis]
        if step > 0:
            # Python's own rules for what lies beyond the ends
            picked = slice(start, end, step).indices(size)
        else:
            picked = slice(start, None if end < -size else end, step).indices(size)
        x = (
            x.index_select(axis, torch.arange(*picked, device=x.device))
            if step != 1
            else x.narrow(axis, picked[0], max(picked[1] - picked[0], 0))
        )
    return x


@operator("Gather", attributes="axis")
def _gather(node: GraphNode, x: Tensor, indices: Tensor) -> Tensor:
    axis = node.get("axis", 0) % x.dim()
    size = x.shape[axis]
    flat = indices.reshape(-1).long()
    if flat.numel() and (int(flat.min()) < -size or int(flat.max()) >= size):
        raise IndexError(f"an index is beyond the {size} elements of axis {axis}")
    picked = x.index_select(axis, torch.where(flat < 0, flat + size, flat))
    return picked.reshape((*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :]))


@operator("GatherElements", attributes="axis")
def _gather_elements(node: GraphNode, x: Tensor, indices: Tensor) -> Tensor:
    axis = node.get("axis", 0)
    return x.gather(axis, torch.where(indices < 0, indices + x.shape[axis], indices).long())


@operator("GatherND", attributes="batch_dims")
def _gather_nd(node: GraphNode, x: Tensor, indices: Tensor) -> Tensor:
    if node.get("batch_dims", 0):
        raise node.error("attribute 'batch_dims' is not 0, which is not supported")
    return x[tuple(indices.long().unbind(-1))]


@operator("Expand")
def _expand(node: GraphNode, x: Tensor, shape: Tensor) -> Tensor:
    sizes = torch.broadcast_shapes(x.shape, [int(n) for n in shape.tolist()])
    return x.expand(sizes)


@operator("Tile")
def _tile(node: GraphNode, x: Tensor, repeats: Tensor) -> Tensor:
    return x.repeat([int(n) for n in repeats.tolist()])


@operator("Pad", attributes="mode pads paddings value")
def _pad(
    node: GraphNode, x: Tensor, pads: Tensor | None = None, value: Tensor | None = None, axes: Tensor | None = None
) -> Tensor:
    if node.get("mode", "constant") != "constant":
        raise node.error(f"attribute 'mode' is {node.get('mode', '')!r}; only constant is supported")
    sizes = numbers(node, "pads" if "pads" in node.attributes else "paddings", pads) or []
    along = numbers(node, "axes", axes, list(range(x.dim()))) or []
    by_axis = {axis % x.dim(): (sizes[k], sizes[k + len(along)]) for k, axis in enumerate(along)}
    flat = [size for axis in reversed(range(x.dim())) for size in by_axis.get(axis, (0, 0))]
    fill = node.get("value", 0.0) if value is None else value.item()
    return torch.nn.functional.pad(x, flat, value=fill)


@operator("ReverseSequence", attributes="batch_axis time_axis")
def _reverse_sequence(node: GraphNode, x: Tensor, lengths: Tensor) -> Tensor:
    moved = x.movedim((node.get("time_axis", 0), node.get("batch_axis", 1)), (0, 1))
    steps = torch.arange(moved.shape[0], device=x.device).unsqueeze(1)
    order = torch.where(steps < lengths, lengths - 1 - steps, steps)
    reversed_ = moved[order, torch.arange(moved.shape[1], device=x.device)]
    return reversed_.movedim((0, 1), (node.get("time_axis", 0), node.get("batch_axis", 1)))


@operator("OneHot", attributes="axis")
def _one_hot(node: GraphNode, indices: Tensor, depth: Tensor, values: Tensor) -> Tensor:
    count = int(depth.item())
    hot = (indices.long() % count).unsqueeze(-1) == torch.arange(count, device=indices.device)
    return torch.where(hot, values[1], values[0]).movedim(-1, node.get("axis", -1))


@operator("NonZero")
def _non_zero(node: GraphNode, x: Tensor) -> Tensor:
    return x.nonzero().T


@operator("Trilu", attributes="upper")
def _trilu(node: GraphNode, x: Tensor, k: Tensor | None = None) -> Tensor:
    diagonal = 0 if k is None else int(k)
    return torch.triu(x, diagonal) if node.get("upper", 1) else torch.tril(x, diagonal)
