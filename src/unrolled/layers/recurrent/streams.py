"""Streams in progress: a layer and the states they carry, stepped alone or many at once.

Letters: L layers, B streams, I input, H hidden, P width of h (the projection, else H).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from unrolled.errors import ArgumentError, DTypeError, ShapeError
from unrolled.kernels.packed import compiled
from unrolled.kernels.prepared import may_use

if TYPE_CHECKING:
    from unrolled.layers.recurrent.stack import Recurrent


class LayerStream:
    """`batch_size` streams that are always stepped together, and their state: `Recurrent.stream` makes one.

    What `layer.step` does, with the state kept here and nothing looked up twice: with the native engine a step costs
    what its arithmetic costs, and a microsecond or two. The numbers are the same, bit for bit. The stream follows its
    layer: weights that an optimiser, `load_state_dict` or any write that torch counts has changed hold from the next
    step on. A write through `.data` is not counted; after one, call `refresh`.

    One thread at a time may step a stream; several may step different ones.

    >>> import torch, unrolled
    >>> stream = unrolled.GRU(3, 5).eval().stream()
    >>> tuple(stream.step(torch.zeros(1, 3)).shape), tuple(stream.state.shape)
    ((1, 5), (1, 1, 5))

    Attributes:
        layer: whose weights it uses.
        batch_size: B.
    """

    def __init__(self, layer: Recurrent, batch_size: int = 1, state: Any = None) -> None:
        if not isinstance(batch_size, int) or isinstance(batch_size, bool) or batch_size < 1:
            raise ArgumentError(f"batch_size: expected an integer of at least 1, found {batch_size!r}")
        self.layer, self.batch_size = layer, batch_size
        self._native: Any = None
        self._prepared: Any = None
        self._state: Any = layer.stream_state(batch_size, state)

    def step(self, x: Tensor, out: Tensor | None = None) -> Tensor:
        """One time step of each stream.

        Args:
            x: (B, I).
            out: (B, P), where the output is written; None makes a new tensor. It may not share memory with x, and
                torch's count of writes to it does not count this one.

        Returns:
            The output, (B, P).

        Raises:
            ShapeError, DTypeError, ArgumentError: naming the argument; the state is then as it was.
        """
        if self._prepared is not None and self._prepared is self.layer._ready and may_use():
            y: Tensor | None = self._native.step(x, out)
            if y is not None:
                return y
        return _step_slowly([self], x, out)

    @property
    def state(self) -> Any:
        """The state as `layer.step` takes and returns it, h (L, B, P) or (h, c); a copy. Set it to go on from another.

        Raises:
            ArgumentError, ShapeError, DTypeError: when it is set to one that does not fit.
        """
        if self._native is None:
            parts = self._state if isinstance(self._state, tuple) else (self._state,)
            copies = tuple(s.clone() for s in parts)
            return copies if len(copies) > 1 else copies[0]
        like = self.layer.parameter_blocks()[0]["weight_ih"]
        sizes = self.layer.cell.state_sizes(self.layer.hidden_size)
        new = tuple(like.new_empty(self.layer.num_layers, self.batch_size, n, requires_grad=False) for n in sizes)
        self._native.write(new[0].data_ptr(), new[1].data_ptr() if len(new) > 1 else 0)
        return new if len(new) > 1 else new[0]

    @state.setter
    def state(self, state: Any) -> None:
        self._take(self.layer.stream_state(self.batch_size, state))

    def fork(self) -> LayerStream:
        """A second stream that goes on from here by itself."""
        return LayerStream(self.layer, self.batch_size, self.state)

    def __reduce__(self) -> tuple[Any, ...]:
        return LayerStream, (self.layer, self.batch_size, self.state)

    def refresh(self) -> None:
        """Read the layer's weights again, after a write through `.data`."""
        state = self.state
        self._native = self._prepared = None
        self.layer.forget_prepared()
        self._state = state

    def _take(self, state: Any) -> None:
        """Go on from this state, and with the layer as it is now."""
        ready = self.layer._ready
        if ready is None:
            self._native = self._prepared = None
            self._state = state
            return
        if self._native is None or self._prepared is not ready:
            self._native = compiled().Stream(ready, self.batch_size)
            self._prepared = ready
        parts = [s.contiguous() for s in (state if isinstance(state, tuple) else (state,))]
        self._native.read(parts[0].data_ptr(), parts[1].data_ptr() if len(parts) > 1 else 0)
        self._state = None


def step_together(streams: Sequence[LayerStream], x: Tensor, out: Tensor | None = None) -> Tensor:
    """One time step of many streams of one layer at once: each weight is read once for all of them.

    Each stream's result is the same, bit for bit, as that of a step alone. With the native engine the states stay where
    they are: nothing is gathered or scattered.

    >>> import torch, unrolled
    >>> layer = unrolled.LSTM(3, 5).eval()
    >>> streams = [layer.stream() for _ in range(4)]
    >>> tuple(step_together(streams, torch.zeros(4, 3)).shape)
    (4, 5)

    Args:
        streams: each once.
        x: (B, I), the streams' rows one after the other.
        out: (B, P), where the output is written; None makes a new tensor. It may not share memory with x.

    Returns:
        The output, (B, P).

    Raises:
        ArgumentError: no streams, one that is there twice, or streams of several layers.
        ShapeError, DTypeError: naming the argument. All states are then as they were.
    """
    ready = streams[0].layer._ready if streams else None
    if ready is not None and may_use() and all(s._prepared is ready for s in streams):
        y: Tensor | None = compiled().step_many([s._native for s in streams], x, out)
        if y is not None:
            return y
    return _step_slowly(streams, x, out)


def _step_slowly(streams: Sequence[LayerStream], x: Tensor, out: Tensor | None) -> Tensor:
    """The same by `layer.step`, which says what is wrong; and makes ready for the next time."""
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
    results = [layer.step(part, s.state) for part, s in zip(x.split(sizes), streams, strict=True)]
    for stream, (_, state) in zip(streams, results, strict=True):
        stream._take(state)
    y = torch.cat([y for y, _ in results])
    return y if out is None else out.copy_(y)


def _check_out(out: Any, x: Tensor, shape: tuple[int, int]) -> None:
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
