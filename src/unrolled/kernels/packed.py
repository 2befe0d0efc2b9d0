"""The compiled module: whether it is here, which instruction set it uses, and weights packed for it."""

from __future__ import annotations

import functools
import importlib
import weakref
from types import ModuleType
from typing import Any, NamedTuple

import torch
import torch.utils.dlpack
from torch import Tensor
from torch.nn import Parameter

from unrolled.cells import Cell, GRUCell, LSTMCell, Params, RNNCell
from unrolled.errors import ArgumentError, EngineError

_KINDS = {"rnn": 0, "lstm": 1, "gru": 2}
_NONLINEARITIES = {"tanh": 0, "relu": 1, "sigmoid": 2}
#: the order in which the compiled module takes a direction's parameters
PARAMETERS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr", "weight_peephole")


@functools.cache
def load() -> tuple[ModuleType | None, str]:
    """The compiled module, or None and why it is absent."""
    try:
        _native = importlib.import_module("unrolled._native")
    except ImportError as error:
        return None, f"the native engine was not built when unrolled was installed ({error})"
    try:
        _native.variant()
    except ValueError as error:
        raise ArgumentError(str(error)) from None
    _native.use_torch(
        Tensor,
        Parameter,
        torch.float32,
        torch.float64,
        torch.int64,
        torch.utils.dlpack.from_dlpack,
        torch.get_num_threads,
    )
    return _native, ""


def compiled() -> Any:
    """The compiled module.

    Raises:
        EngineError: if it is absent; `NativeEngine.unavailable` tells beforehand.
    """
    module, reason = load()
    if module is None:
        raise EngineError(f"engine 'native': {reason}")
    return module


def cpu_variants() -> list[str]:
    """The instruction sets that this build and machine have in common, narrowest first; empty if it was not built."""
    module, _ = load()
    return [] if module is None else list(module.variants())


def cpu_variant() -> str | None:
    """The instruction set in use: the widest, or what the variable UNROLLED_CPU or `use_cpu_variant` asked for."""
    module, _ = load()
    return None if module is None else str(module.variant())


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


def single_thread_reason() -> str | None:
    """Why the engine keeps to the calling thread whatever `torch.get_num_threads` says, or None."""
    module, reason = load()
    return reason if module is None else (str(module.why_single()) or None)


def spec(cell: Cell, input_size: int, hidden_size: int, narrow: bool = False) -> Any:
    """The compiled module's description of a cell and its sizes; `narrow` for weights packed as bfloat16."""
    return compiled().Spec(
        _KINDS[cell.name],
        _NONLINEARITIES[cell.nonlinearity] if isinstance(cell, RNNCell) else 0,
        isinstance(cell, LSTMCell) and cell.coupled,
        isinstance(cell, LSTMCell) and cell.peephole,
        not isinstance(cell, GRUCell) or cell.reset_after,
        narrow,
        input_size,
        hidden_size,
        cell.state_sizes(hidden_size)[0],
    )


class PackedWeights(NamedTuple):
    """Packed weights, and what they were packed from."""

    cell: Cell
    refs: tuple[weakref.ref[Tensor], ...]
    versions: tuple[int, ...]
    packed: Any

    def fits(self, cell: Cell, params: Params) -> bool:
        """Whether those are still the same tensors with the same contents.

        torch counts the writes to a tensor, but for those through `.data`; for these, a sample of every tensor's
        elements is compared.
        """
        if (self.cell is not cell and self.cell != cell) or len(params) != len(self.refs):
            return False
        for ref, version, tensor in zip(self.refs, self.versions, params.values(), strict=True):
            if ref() is not tensor or tensor._version != version:
                return False
        return bool(self.packed.matches(addresses(params)))


#: packed weights by the identity of their weight_ih and whether they are narrow, dropped when that tensor dies
packed_weights: dict[tuple[int, bool], PackedWeights] = {}


def addresses(tensors: Params) -> tuple[int, ...]:
    """The addresses of parameters in the compiled module's order, 0 for those that are absent."""
    return tuple(tensors[name].data_ptr() if name in tensors else 0 for name in PARAMETERS)


def pack(cell: Cell, params: Params, narrow: bool = False) -> Any:
    """A packed copy of one direction's parameters, its matrices as bfloat16 if `narrow`."""
    weight = params["weight_ih"]
    solid = {name: tensor.detach().contiguous() for name, tensor in params.items()}
    return compiled().Packed(
        spec(cell, weight.shape[1], weight.shape[0] // cell.num_gates, narrow),
        weight.dtype is torch.float64,
        addresses(solid),
        torch.get_num_threads(),
    )


def cached(cell: Cell, params: Params, narrow: bool = False) -> PackedWeights:
    """A packed copy made once for the same parameters, until one of them changes."""
    weight = params["weight_ih"]
    key = (id(weight), narrow)
    entry = packed_weights.get(key)
    if entry is not None and entry.fits(cell, params):
        return entry
    # inference tensors count no versions, so that what is packed from them can't be trusted a second time
    lasting = all(t.is_contiguous() and not t.is_inference() for t in params.values())
    versions = tuple(t._version for t in params.values()) if lasting else ()
    packed = pack(cell, params, narrow)
    refs = tuple(weakref.ref(t, functools.partial(_forget, key) if t is weight else None) for t in params.values())
    entry = PackedWeights(cell, refs, versions, packed)
    if lasting:
        packed_weights[key] = entry
    return entry


def forget(params: Params) -> None:
    """Drop the packed copies of these parameters."""
    for narrow in (False, True):
        packed_weights.pop((id(params["weight_ih"]), narrow), None)


def _forget(key: tuple[int, bool], _: weakref.ref[Tensor]) -> None:
    packed_weights.pop(key, None)
