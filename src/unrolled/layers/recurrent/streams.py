"""Streams in progress: a layer and the states they carry, stepped alone or many at once.

Letters: L layers, B streams, I input, H hidden, P width of h (the projection, else H).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, cast

import torch
from torch import Tensor
from torch.compiler import is_compiling

from unrolled.errors import ArgumentError, DTypeError, ShapeError, UnrolledError
from unrolled.kernels import Prepared, PreparedStream, StackState, may_use_prepared
from unrolled.layers.recurrent.arguments import LayerState
from unrolled.scan import check_reset


class StreamableLayer(Protocol):
    """The part of a layer that a stream uses; `Recurrent` has it."""

    input_size: int
    output_size: int

    def step(self, x: Tensor, state: LayerState = None) -> tuple[Tensor, StackState]:
        """Take one step, (B, I) → (B, P) and the new state."""

    def stream_state(self, batch_size: int, state: LayerState) -> StackState:
        """Return a state to begin with."""

    def restarted(self, state: LayerState, reset: Tensor) -> StackState:
        """Return a state in which some streams begin anew."""

    def prepared(self) -> Prepared | None:
        """Return what the engine prepared for the layer as it is now."""

    def forget_prepared(self) -> None:
        """Read the parameters anew before they are next used."""


class LayerStream:
    """`batch_size` streams that are always stepped together, and their state: `Recurrent.stream` makes one.

    A step is that of `layer.step`, bit for bit, with the state kept here and nothing looked up twice: with the native
    engine it takes a microsecond or two beyond its arithmetic. The stream follows its layer: changed weights are used
    from the next step on.

    One thread at a time may step a stream; several may step different ones.

    >>> import torch, unrolled
    >>> stream = unrolled.GRU(3, 5).eval().stream()
    >>> tuple(stream.step(torch.zeros(1, 3)).shape), tuple(stream.state.shape)
    ((1, 5), (1, 1, 5))

    Attributes:
        layer: whose weights it uses.
        batch_size: B.
    """

    def __init__(self, layer: StreamableLayer, batch_size: int = 1, state: LayerState = None) -> None:
        if not isinstance(batch_size, int) or isinstance(batch_size, bool) or batch_size < 1:
            raise ArgumentError(f"batch_size: expected an integer of at least 1, found {batch_size!r}")
        self.layer, self.batch_size = layer, batch_size
        # the state is with the engine's stream if there is one, else here
        self._prepared: Prepared | None = None
        self._stream: PreparedStream | None = None
        self._state: StackState | None = layer.stream_state(batch_size, state)

    def step(self, x: Tensor, out: Tensor | None = None, *, reset: Tensor | None = None) -> Tensor:
        """Take one time step of each stream.

        Args:
            x: (B, I).
            out: (B, P), where the output is written; None makes a new tensor. It may not share memory with x, and
                torch's count of writes to it does not count this one.
            reset: (B,) bool, true where a stream begins anew with this step, with the layer's own initial state.

        Returns:
            The output, (B, P).

        Raises:
            ShapeError, DTypeError, ArgumentError: naming the argument; the state is then as it was.
        """
        if reset is not None:
            return step_together([self], x, out, reset=reset)
        stream = self._stream
        if stream is not None and not is_compiling() and may_use_prepared(self._prepared, is_step=True):
            y = stream.step(x, out)
            if y is not None:
                return y
        return _step_slowly([self], x, out)

    @property
    def state(self) -> StackState:
        """A copy of the state as `layer.step` takes it, h (L, B, P) or (h, c). Set it to continue from another.

        Raises:
            ArgumentError, ShapeError, DTypeError: when it is set to one that does not fit.
        """
        if self._stream is not None:
            return self._stream.get_state()
        state = cast(StackState, self._state)
        return tuple(s.clone() for s in state) if isinstance(state, tuple) else state.clone()

    @state.setter
    def state(self, state: LayerState) -> None:
        self._take(self.layer.stream_state(self.batch_size, state))

    def fork(self) -> LayerStream:
        """Return a second stream that continues from here by itself."""
        return LayerStream(self.layer, self.batch_size, self.state)

    def __reduce__(self) -> tuple[type[LayerStream], tuple[StreamableLayer, int, StackState]]:
        return LayerStream, (self.layer, self.batch_size, self.state)

    def refresh(self) -> None:
        """Read the layer's weights again."""
        self._state = self.state
        self._stream = self._prepared = None
        self.layer.forget_prepared()

    def _take(self, state: StackState) -> None:
        """Continue from this state, with the layer as it is now."""
        stream = self._stream
        if stream is None or not stream.is_current():
            self._prepared = self.layer.prepared()
            stream = None if self._prepared is None else self._prepared.stream(self.batch_size)
        solid = tuple(s.contiguous() for s in state) if isinstance(state, tuple) else state.contiguous()
        is_taken = stream is not None and stream.set_state(solid)
        self._stream, self._state = (stream, None) if is_taken else (None, state)


def step_together(
    streams: Sequence[LayerStream], x: Tensor, out: Tensor | None = None, *, reset: Tensor | None = None
) -> Tensor:
    """Take one time step of many streams of one layer at once: each weight is read once for all of them.

    Each stream's result is the same, bit for bit, as that of a step alone. With the native engine states are read and
    written where they are: nothing is gathered or scattered.

    >>> import torch, unrolled
    >>> layer = unrolled.LSTM(3, 5).eval()
    >>> streams = [layer.stream() for _ in range(4)]
    >>> tuple(step_together(streams, torch.zeros(4, 3)).shape)
    (4, 5)

    Args:
        streams: each once.
        x: (B, I), the streams' rows one after the other.
        out: (B, P), where the output is written; None makes a new tensor. It may not share memory with x.
        reset: (B,) bool, true where a stream begins anew with this step, with the layer's own initial state.

    Returns:
        The output, (B, P).

    Raises:
        ArgumentError: no streams, one that is there twice, or streams of several layers.
        ShapeError, DTypeError: naming the argument. All states are then as they were.
    """
    if reset is not None:
        return _step_anew(streams, x, out, reset)
    prepared = streams[0]._prepared if streams else None
    if prepared is not None and not is_compiling() and may_use_prepared(prepared, is_step=True):
        own = [s._stream for s in streams if s._stream is not None and s._prepared is prepared]
        y = prepared.step_together(own, x, out) if len(own) == len(streams) else None
        if y is not None:
            return y
    return _step_slowly(streams, x, out)


def _step_anew(streams: Sequence[LayerStream], x: Tensor, out: Tensor | None, reset: Tensor) -> Tensor:
    """Reset some of the streams, and take the step; if that fails all states are as before."""
    sizes = [s.batch_size for s in streams]
    parts = check_reset(reset, B=sum(sizes)).split(sizes) if sizes else ()
    before = [(s, s.state) for s, part in zip(streams, parts, strict=True) if bool(part.any())]
    try:
        for stream, part in zip(streams, parts, strict=True):
            if bool(part.any()):
                stream.state = stream.layer.restarted(stream.state, part)
        return step_together(streams, x, out)
    except UnrolledError:
        for stream, state in before:
            stream.state = state
        raise


def _step_slowly(streams: Sequence[LayerStream], x: Tensor, out: Tensor | None) -> Tensor:
    """Do the same by `layer.step`, which names what is wrong, and hand the states to the engine for the next step."""
    if not streams:
        raise ArgumentError("streams: expected at least one, found none")
    layer = streams[0].layer
    if any(s.layer is not layer for s in streams):
        raise ArgumentError("streams: expected all of one layer, found several layers")
    if len({id(s) for s in streams}) < len(streams):
        raise ArgumentError("streams: expected each once, found one twice")
    sizes = [s.batch_size for s in streams]
    if not isinstance(x, Tensor):
        raise DTypeError(f"x: expected a Tensor, found {type(x).__name__}")
    if tuple(x.shape) != (sum(sizes), layer.input_size):
        raise ShapeError("x", f"(B={sum(sizes)}, I={layer.input_size})", x.shape)
    if out is not None:
        _check_out(out, x, (sum(sizes), layer.output_size))
    # one by one: torch's products would make a row's last bits depend on its neighbours
    results = [layer.step(part, s.state) for part, s in zip(torch.split(x, sizes), streams, strict=True)]
    for stream, (_, state) in zip(streams, results, strict=True):
        stream._take(state)
    y = torch.cat([y for y, _ in results])
    return y if out is None else out.copy_(y)


def _check_out(out: object, x: Tensor, shape: tuple[int, int]) -> None:
    if not isinstance(out, Tensor):
        raise DTypeError(f"out: expected a Tensor, found {type(out).__name__}")
    if tuple(out.shape) != shape:
        raise ShapeError("out", f"(B={shape[0]}, P={shape[1]})", out.shape)
    if out.dtype != x.dtype or out.device != x.device:
        raise DTypeError(f"out: expected {x.dtype} on {x.device} as x, found {out.dtype} on {out.device}")
    if out.requires_grad:
        raise ArgumentError("out: expected a tensor without a gradient, since a step makes no graph")
    if out.untyped_storage().data_ptr() == x.untyped_storage().data_ptr():
        raise ArgumentError("out: expected memory of its own, found that of x")
