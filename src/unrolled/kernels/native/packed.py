"""Packed weights, kept for as long as the parameters they were packed from stay as they are."""

from __future__ import annotations

import functools
import weakref
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import Parameter

from unrolled.cells import Cell, Params
from unrolled.errors import ArgumentError
from unrolled.kernels.native import elementwise
from unrolled.kernels.native.binding import NativePacked, Products, addresses, compiled, cpu_variants, load, spec

#: the types that the engine computes in, and then also that which it rounds factors to
DTYPES = (torch.float32, torch.float64)
NARROW = torch.bfloat16


def is_lasting(tensor: Tensor, dtype: torch.dtype) -> bool:
    """Return whether a parameter can be packed, and later be known to be unchanged."""
    return (
        type(tensor) in (Parameter, Tensor)
        and tensor.dtype is dtype
        and dtype in DTYPES
        and tensor.is_cpu
        and tensor.layout is torch.strided
        and tensor.is_contiguous()
        and not tensor.is_inference()
        and not tensor.is_neg()
    )


class PackedWeights(NamedTuple):
    """The packed weights of one direction, and what they were packed from."""

    cell: Cell
    refs: tuple[weakref.ref[Tensor], ...]
    versions: tuple[int, ...]
    packed: NativePacked
    digest: int

    def fits(self, cell: Cell, params: Params) -> bool:
        """Return whether those are still the same tensors with the same contents.

        torch counts the writes to a tensor, except those through `.data` and the like; for these, every bit counts.
        """
        if (self.cell is not cell and self.cell != cell) or len(params) != len(self.refs):
            return False
        for ref, version, tensor in zip(self.refs, self.versions, params.values(), strict=True):
            if ref() is not tensor or tensor._version != version:
                return False
        return _digest(cell, params, self.packed) == self.digest


#: packed weights by the identity of their weight_ih and their products, dropped when that tensor dies
packed_weights: dict[tuple[int, Products], PackedWeights] = {}


def _digest(cell: Cell, params: Params, packed: NativePacked) -> int:
    """Return a number made of every bit of the parameters."""
    read = elementwise.addresses if elementwise.is_elementwise(cell) else addresses
    return packed.digest(read(params), params["weight_ih"].element_size())


def pack(cell: Cell, params: Params, products: Products = Products.WHOLE) -> NativePacked:
    """Pack a copy of one direction's parameters for products of that kind."""
    if elementwise.is_elementwise(cell):
        return elementwise.pack(cell, params)
    weight = params["weight_ih"]
    solid = {name: widened(tensor.detach()).contiguous() for name, tensor in params.items()}
    return compiled().Packed(
        spec(cell, weight.shape[1], weight.shape[0] // cell.num_gates, products),
        weight.dtype is torch.float64,
        addresses(solid),
        torch.get_num_threads(),
    )


def widened(tensor: Tensor) -> Tensor:
    """Return a tensor of bfloat16 as float32, and others as they are."""
    return tensor.float() if tensor.dtype is NARROW else tensor


def cached(cell: Cell, params: Params, products: Products = Products.WHOLE) -> PackedWeights:
    """Return a packed copy, made once for the same parameters until one of them changes."""
    weight = params["weight_ih"]
    key = (id(weight), products)
    entry = packed_weights.get(key)
    if entry is not None and entry.fits(cell, params):
        return entry
    # inference tensors count no versions, so that what is packed from them can't be trusted a second time
    lasting = all(t.is_contiguous() and not t.is_inference() for t in params.values())
    versions = tuple(t._version for t in params.values()) if lasting else ()
    packed = pack(cell, params, products)
    digest = _digest(cell, params, packed) if lasting else 0
    refs = tuple(weakref.ref(t, functools.partial(_forget, key) if t is weight else None) for t in params.values())
    entry = PackedWeights(cell, refs, versions, packed, digest)
    if lasting:
        packed_weights[key] = entry
    return entry


def forget(params: Params) -> None:
    """Drop the packed copies of these parameters."""
    for products in Products:
        packed_weights.pop((id(params["weight_ih"]), products), None)


def _forget(key: tuple[int, Products], _: weakref.ref[Tensor]) -> None:
    packed_weights.pop(key, None)


def use_cpu_variant(name: str) -> None:
    """Use another instruction set from now on; for tests and measurements.

    Raises:
        ArgumentError: naming those that there are.
    """
    module, reason = load()
    if module is None:
        raise ArgumentError(f"cpu variant {name!r}: {reason}")
    if not module.use_variant(name):
        raise ArgumentError(f"cpu variant: expected one of {', '.join(cpu_variants())}, found {name!r}")
    packed_weights.clear()
