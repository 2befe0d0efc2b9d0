"""The compiled module `unrolled._native`: what it offers, whether it is here, and the instruction set it uses.

The protocols describe what native/binding in the sources defines. Whatever takes an address checks nothing; the caller
does, and keeps the tensor alive. Whatever takes a tensor checks it, and returns None if it is not a plain contiguous
one on the CPU of the right type and shape.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Sequence
from enum import IntEnum
from typing import Literal, Protocol, cast

import torch
import torch.utils.dlpack
from torch import Tensor
from torch.nn import Parameter

from unrolled.cells import Cell, GRUCell, LSTMCell, Params, RNNCell
from unrolled.errors import ArgumentError, EngineError
from unrolled.kernels.prepared import PreparedStream, StackResult

#: address and strides, in elements, of a (T, B, ·) tensor
Strided = tuple[int, int, int]
#: the addresses of a direction's parameters in the order of PARAMETERS, 0 for those that are absent
Addresses = tuple[int, ...]
#: the order in which the compiled module takes a direction's parameters
PARAMETERS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr", "weight_peephole")

_KINDS = {"rnn": 0, "lstm": 1, "gru": 2}
_NONLINEARITIES = {"tanh": 0, "relu": 1, "sigmoid": 2}


class Products(IntEnum):
    """The factors of products, as the compiled module has them: rounded to bfloat16 are none, weights, or all."""

    WHOLE = 0
    NARROW_WEIGHTS = 1
    NARROW = 2


class NativeSpec(Protocol):
    """A cell and its sizes."""


class NativeMasks(Protocol):
    """The regularisers of one direction."""


class NativeLayout(Protocol):
    """Where the sequences of a batch are."""


class NativeForward(Protocol):
    """One direction of a forward pass."""


class NativeBackward(Protocol):
    """One direction of a backward pass."""


class NativePacked(Protocol):
    """A packed copy of one direction's weights, of a cell with W_hh or without."""

    bytes: int

    def digest(self, addresses: Addresses, size: int) -> int:
        """Return a number made of every bit of the parameters there, of so many bytes an element."""


class NativeRecurrence(Protocol):
    """An elementwise cell and its sizes."""


class NativeElementwiseForward(Protocol):
    """One direction of a forward pass of an elementwise cell."""


class NativeElementwiseBackward(Protocol):
    """One direction of a backward pass of an elementwise cell."""


class NativeStack(Protocol):
    """The packed weights of a stack; every call checks that they are still the stack's."""

    def is_current(self) -> bool:
        """Return whether the parameters are the same objects with the same bits."""

    def expire(self) -> None:
        """Make it stale for good, with its streams."""

    def infer(self, x: object, state: object, lengths: object) -> StackResult | None:
        """Run the stack over a batch of sequences."""

    def step(self, x: object, state: object) -> StackResult | None:
        """Take one step."""


class NativeLayer(Protocol):
    """One layer, all directions, in training: parameters are read and packed at each call."""

    def forward(
        self, x: object, state: tuple[object, ...], lengths: object, parameters: tuple[Tensor | None, ...]
    ) -> tuple[Tensor, ...] | Literal[False] | None:
        """Return output, final states (D, B, ·) and what is kept; False if nothing requires a gradient."""

    def backward(
        self,
        x: Tensor,
        state: Sequence[Tensor],
        lengths: Tensor | None,
        parameters: Sequence[Tensor],
        output: Tensor,
        kept: Sequence[Tensor],
        doutput: Tensor,
        dstates: tuple[Tensor | None, ...],
        needed: Sequence[bool],
    ) -> tuple[Tensor | None, ...] | None:
        """Return the gradients of x, the states given and the parameters."""


class NativeModule(Protocol):
    """The functions and classes of the module."""

    def Spec(
        self,
        kind: int,
        nonlinearity: int,
        coupled: bool,
        peephole: bool,
        reset_after: bool,
        products: Products,
        input_size: int,
        hidden_size: int,
        output_size: int,
    ) -> NativeSpec: ...
    def Layout(self, time: int, batch: int, lengths: int, documents: int, count: int) -> NativeLayout: ...
    def Masks(self, addresses: tuple[int, int, int], rate_h: float, rate_c: float) -> NativeMasks: ...
    def Packed(self, spec: NativeSpec, is_double: bool, addresses: Addresses, threads: int) -> NativePacked: ...
    def PackedStack(
        self,
        packed: list[NativePacked],
        digests: list[int],
        parameters: object,
        watched: list[tuple[str, Tensor, int, int]],
        flags: tuple[bool, bool, bool],
        directions: int,
    ) -> NativeStack: ...
    def Stream(self, packed: NativeStack, batch: int) -> PreparedStream: ...
    def step_many(self, streams: Sequence[PreparedStream], x: object, out: object) -> Tensor | None: ...
    def TrainingLayer(
        self, spec: NativeSpec, is_double: bool, directions: int, batch_first: bool, slots: list[int]
    ) -> NativeLayer: ...
    def ForwardDirection(
        self, packed: NativePacked, reverse: bool, addresses: tuple[int, ...], masks: NativeMasks
    ) -> NativeForward: ...
    def BackwardDirection(
        self,
        reverse: bool,
        parameters: Addresses,
        gradients: Addresses,
        addresses: tuple[int, ...],
        masks: NativeMasks,
    ) -> NativeBackward: ...
    def forward(
        self,
        directions: list[NativeForward],
        layout: NativeLayout,
        x: Strided,
        out: Strided,
        threads: int,
    ) -> None: ...
    def backward(
        self,
        spec: NativeSpec,
        is_double: bool,
        directions: list[NativeBackward],
        layout: NativeLayout,
        x: Strided,
        out: Strided,
        dout: Strided,
        dx: Strided,
        threads: int,
    ) -> None: ...
    def ElementwiseSpec(
        self, kind: int, carries_input: bool, highway_scale: float, input_size: int, hidden_size: int
    ) -> NativeRecurrence: ...
    def ElementwisePacked(
        self, spec: NativeRecurrence, is_double: bool, addresses: Addresses, biased: int
    ) -> NativePacked: ...
    def ElementwiseForward(
        self,
        packed: NativePacked,
        reverse: bool,
        constants: Strided,
        initial: tuple[int, int, int],
        final: tuple[int, int, int],
        kept: tuple[int, int],
    ) -> NativeElementwiseForward: ...
    def ElementwiseBackward(
        self,
        reverse: bool,
        weights: tuple[int, int],
        constants: Strided,
        initial: tuple[int, int, int],
        dfinal: tuple[int, int, int],
        dinitial: tuple[int, int, int],
        kept: tuple[int, int],
        scratch: tuple[int, ...],
        gradients: tuple[int, ...],
    ) -> NativeElementwiseBackward: ...
    def elementwise_forward(
        self,
        directions: list[NativeElementwiseForward],
        layout: NativeLayout,
        x: Strided,
        out: Strided,
        threads: int,
    ) -> None: ...
    def elementwise_backward(
        self,
        spec: NativeRecurrence,
        is_double: bool,
        directions: list[NativeElementwiseBackward],
        layout: NativeLayout,
        x: Strided,
        out: Strided,
        dout: Strided,
        dx: Strided,
        threads: int,
    ) -> None: ...
    def multiply_adds(self, factor: int, rounds: int, threads: int) -> int: ...
    def read(self, address: int, size: int, rounds: int, threads: int) -> None: ...
    def use_torch(self, *objects: object) -> None: ...
    def variants(self) -> list[str]: ...
    def variant(self) -> str: ...
    def use_variant(self, name: str) -> bool: ...
    def why_single(self) -> str: ...


@functools.cache
def load() -> tuple[NativeModule | None, str]:
    """Return the compiled module, or None and why it is absent."""
    try:
        module = cast(NativeModule, importlib.import_module("unrolled._native"))
    except ImportError as error:
        return None, f"the native engine was not built when unrolled was installed ({error})"
    try:
        module.variant()
    except ValueError as error:
        raise ArgumentError(str(error)) from None
    module.use_torch(
        Tensor,
        Parameter,
        torch.float32,
        torch.float64,
        torch.int64,
        torch.utils.dlpack.from_dlpack,
        torch.get_num_threads,
    )
    return module, ""


def compiled() -> NativeModule:
    """Return the compiled module.

    Raises:
        EngineError: it is absent; `NativeEngine.unavailable` tells beforehand.
    """
    module, reason = load()
    if module is None:
        raise EngineError(f"engine 'native': {reason}")
    return module


def cpu_variants() -> list[str]:
    """Return the instruction sets of this build that this machine has, narrowest first; none without a build."""
    module, _ = load()
    return [] if module is None else list(module.variants())


def cpu_variant() -> str | None:
    """Return the instruction set in use: the widest, or the choice of UNROLLED_CPU or `use_cpu_variant`."""
    module, _ = load()
    return None if module is None else module.variant()


def single_thread_reason() -> str | None:
    """Return why the engine keeps to the calling thread whatever `torch.get_num_threads` says, or None."""
    module, reason = load()
    return reason if module is None else (module.why_single() or None)


def addresses(tensors: Params) -> Addresses:
    """Return the addresses of parameters in the compiled module's order, 0 for those that are absent."""
    return tuple(tensors[name].data_ptr() if name in tensors else 0 for name in PARAMETERS)


def spec(cell: Cell, input_size: int, hidden_size: int, products: Products = Products.WHOLE) -> NativeSpec:
    """Return the compiled module's description of a cell, its sizes and its products."""
    return compiled().Spec(
        _KINDS[cell.name],
        _NONLINEARITIES[cell.nonlinearity] if isinstance(cell, RNNCell) else 0,
        isinstance(cell, LSTMCell) and cell.coupled,
        isinstance(cell, LSTMCell) and cell.peephole,
        not isinstance(cell, GRUCell) or cell.reset_after,
        products,
        input_size,
        hidden_size,
        cell.state_sizes(hidden_size)[0],
    )
