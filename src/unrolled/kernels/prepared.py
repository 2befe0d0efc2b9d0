"""A stack of layers made ready once: packed weights and everything that a call would else look up again.

What `Prepared.step` and `infer` of the compiled module check at each call is what may have changed since: that the
layer's parameters are still the same objects, written to as often as then, and that 12 elements of each still have
the same bits (for writes through `.data`, which torch does not count); and that x and the state are plain tensors of
the right dtype and shape. Where anything is otherwise they return None, and the caller goes the long way, which finds
out what is wrong, or prepares anew.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.nn import Parameter

from unrolled.cells import Cell
from unrolled.kernels import dispatch
from unrolled.kernels.dispatch import check_engine_name, forced_engine
from unrolled.kernels.native import NativeEngine, lacks
from unrolled.kernels.packed import PARAMETERS, cached, compiled

_DTYPES = (torch.float32, torch.float64)
#: the names of each block's parameters in the layer, by the cell's own
Names = Sequence[dict[str, str]]


def prepare(
    cell: Cell,
    parameters: dict[str, Any],
    names: Names,
    directions: int,
    *,
    batch_first: bool = False,
    residual: bool = False,
    starts_at_zero: bool = True,
    narrow: bool = False,
    engine: str = "auto",
) -> Any | None:
    """The compiled module's `Prepared` of a layer, or None where the native engine can't serve it or must not.

    Args:
        cell: the recurrence.
        parameters: the layer's own dictionary of parameters, which is looked into again at each call.
        names: for each layer and direction the names in `parameters`, by the cell's names.
        directions: D.
        batch_first: whether x and output of `infer` are (B, T, ·).
        residual: whether a layer's input is added to its output; `infer` then serves nothing.
        starts_at_zero: whether no state means zeros.
        narrow: whether the weights are kept as bfloat16.
        engine: what the layer insists on; the variable UNROLLED_ENGINE counts as it is now.
    """
    if not serves(cell, parameters, names, engine):
        return None
    blocks = [{own: parameters[name] for own, name in block.items()} for block in names]
    tensors = [p for block in blocks for p in block.values()]
    if narrow and tensors[0].dtype is not torch.float32:
        return None
    packed = [cached(cell, block, narrow=narrow).packed for block in blocks]
    watched = [
        (full, parameters[full], index, PARAMETERS.index(own))
        for index, block in enumerate(names)
        for own, full in block.items()
    ]
    return compiled().Prepared(packed, parameters, watched, (batch_first, residual, starts_at_zero), directions)


def serves(cell: Cell, parameters: dict[str, Any], names: Names, engine: str) -> bool:
    """Whether the native engine may serve a layer at all; arguments as of `prepare`."""
    native = dispatch.engines().get("native")
    wanted = (
        engine if engine != "auto" else check_engine_name(os.environ.get("UNROLLED_ENGINE", "auto"), "UNROLLED_ENGINE")
    )
    if wanted not in ("auto", "native") or not isinstance(native, NativeEngine):
        return False
    if native.unavailable() is not None or lacks(cell) is not None:
        return False
    if not all(name in parameters for block in names for name in block.values()):
        return False
    tensors = [parameters[name] for block in names for name in block.values()]
    return bool(tensors) and all(_is_lasting(t, tensors[0].dtype) for t in tensors)


def may_use() -> bool:
    """Whether what was prepared may be used here: no other engine is forced, and nothing traces the call."""
    return forced_engine() in (None, "auto", "native") and not torch.compiler.is_compiling()


def may_infer() -> bool:
    """Likewise for whole sequences: no graph is made, and neither autocast nor forward mode are in progress."""
    return (
        not torch.is_grad_enabled()
        and may_use()
        and not torch.is_autocast_enabled("cpu")
        and forward_ad._current_level < 0
    )


def _is_lasting(tensor: Any, dtype: torch.dtype) -> bool:
    """Whether a parameter can be packed, and be known to be unchanged later."""
    return (
        (type(tensor) is Parameter or type(tensor) is Tensor)
        and tensor.dtype is dtype
        and dtype in _DTYPES
        and tensor.is_cpu
        and tensor.layout is torch.strided
        and tensor.is_contiguous()
        and not tensor.is_inference()
        and not tensor.is_neg()
    )
