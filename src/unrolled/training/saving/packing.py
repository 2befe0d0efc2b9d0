"""Splits nested Python values with tensors into JSON and a flat table of tensors, and joins them again, without pickle.

{"h": (tensor, None)}   ⇄   {"h": {"$tuple": [{"$tensor": "h.0"}, null]}}   and   {"h.0": tensor}
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

#: a value that a checkpoint can hold
Nest: TypeAlias = (
    "Tensor | NDArray[Any] | bool | int | float | str | Mapping[Any, Nest] | list[Nest] | tuple[Nest, ...] | None"
)


def pack(tree: Nest) -> tuple[Any, dict[str, Tensor]]:
    """Split a nested value into JSON and tensors. A tensor that occurs twice (tied weights) is stored once.

    Args:
        tree: dicts, lists and tuples of tensors, arrays, numbers, strings, booleans and None.

    Returns:
        The JSON value, and the tensors on the CPU under dotted paths.

    Raises:
        TypeError: it holds something else; the message says where.
    """
    tensors: dict[str, Tensor] = {}
    names: dict[tuple[Any, ...], str] = {}

    def walk(value: Nest, path: str) -> Any:
        if isinstance(value, Tensor):
            # Keys that contain dots could give two values the same path.
            while path in tensors:
                path += "'"
            # Empty tensors have no address to tell them apart.
            memory = (value.data_ptr(), value.device, value.dtype, value.shape, value.stride())
            name = names.setdefault(memory, path) if value.numel() else path
            if name == path:
                tensors[path] = value.detach().to("cpu").contiguous()
            return {"$tensor": name}
        if isinstance(value, np.ndarray):
            return {"$array": walk(torch.from_numpy(np.ascontiguousarray(value)), path)}
        if value is None or isinstance(value, (bool, int, str)):
            return value
        if isinstance(value, float):
            return value if math.isfinite(value) else {"$float": repr(value)}
        if isinstance(value, Mapping):
            if all(isinstance(key, str) and not key.startswith("$") for key in value):
                return {key: walk(item, f"{path}.{key}".lstrip(".")) for key, item in value.items()}
            return {"$items": [[key, walk(item, f"{path}.{key}".lstrip("."))] for key, item in value.items()]}
        if isinstance(value, (list, tuple)):
            items = [walk(item, f"{path}.{index}".lstrip(".")) for index, item in enumerate(value)]
            return items if isinstance(value, list) else {"$tuple": items}
        raise TypeError(
            f"{path}: a {type(value).__name__} can't be saved; tensors, numbers, strings and nests of them can"
        )

    return walk(tree, ""), tensors


def unpack(tree: Any, tensors: Mapping[str, Tensor]) -> Any:
    """Join what `pack` has split.

    Raises:
        KeyError: a tensor is missing.
    """
    if isinstance(tree, list):
        return [unpack(item, tensors) for item in tree]
    if not isinstance(tree, dict):
        return tree
    if "$tensor" in tree:
        return tensors[tree["$tensor"]]
    if "$array" in tree:
        return unpack(tree["$array"], tensors).numpy()
    if "$float" in tree:
        return float(tree["$float"])
    if "$tuple" in tree:
        return tuple(unpack(item, tensors) for item in tree["$tuple"])
    if "$items" in tree:
        return {key: unpack(item, tensors) for key, item in tree["$items"]}
    return {key: unpack(item, tensors) for key, item in tree.items()}


def move(tree: Any, device: torch.device) -> Any:
    """Return the same nest with its tensors copied to a device.

    The copy also aligns them: tensors read from a file may begin at any address, for which vectorised kernels can round
    differently.
    """
    if isinstance(tree, Tensor):
        return tree.clone() if tree.device == device else tree.to(device)
    if isinstance(tree, Mapping):
        return {key: move(item, device) for key, item in tree.items()}
    if isinstance(tree, (list, tuple)):
        return type(tree)(move(item, device) for item in tree)
    return tree


def columns(tree: Any, part: int, parts: int) -> Any:
    """Return the same nest with one of so many parts of each tensor (·, B, …): its columns B·part/parts and on."""
    if isinstance(tree, Tensor):
        begin, end = (tree.shape[1] * n // parts for n in (part, part + 1))
        return tree[:, begin:end]
    if isinstance(tree, Mapping):
        return {key: columns(item, part, parts) for key, item in tree.items()}
    if isinstance(tree, (list, tuple)):
        return type(tree)(columns(item, part, parts) for item in tree)
    return tree


def joined_columns(trees: Sequence[Any]) -> Any:
    """Return one nest from the parts that `columns` gave."""
    first = trees[0]
    if isinstance(first, Tensor):
        return torch.cat(list(trees), 1)
    if isinstance(first, Mapping):
        return {key: joined_columns([tree[key] for tree in trees]) for key in first}
    if isinstance(first, (list, tuple)):
        return type(first)(map(joined_columns, zip(*trees, strict=True)))
    return first


def tensors_in(tree: Nest) -> list[Tensor]:
    """Return all tensors in a nest, in order."""
    if isinstance(tree, Tensor):
        return [tree]
    if isinstance(tree, Mapping):
        return [tensor for item in tree.values() for tensor in tensors_in(item)]
    if isinstance(tree, (list, tuple)):
        return [tensor for item in tree for tensor in tensors_in(item)]
    return []
