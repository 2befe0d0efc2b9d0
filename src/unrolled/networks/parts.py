"""What the networks share: whether their layers fit each other, the states of their hidden layers, rows of outputs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from unrolled.errors import ArgumentError
from unrolled.layers import Recurrent


def check_layers(inputs: nn.Module, hidden: Recurrent, dropout: float) -> None:
    """See that hidden layers read what input layers yield.

    Raises:
        ArgumentError: if they don't, or dropout is no probability.
    """
    width = getattr(inputs, "output_size", hidden.input_size)
    if width != hidden.input_size:
        raise ArgumentError(f"inputs: yields vectors of {width}, hidden reads input_size={hidden.input_size}")
    if hidden.batch_first:
        raise ArgumentError("hidden: expected batch_first=False; networks keep time first")
    if not 0 <= dropout < 1:
        raise ArgumentError(f"dropout: expected 0 to below 1, found {dropout}")


def shortened(inputs: nn.Module, lengths: Tensor | None) -> Tensor | None:
    """Return how many steps an input layer makes of so many valid ones, (B,); None stays None."""
    shorten: Callable[[Tensor], Tensor] | None = getattr(inputs, "output_lengths", None)
    return lengths if shorten is None or lengths is None else shorten(lengths)


def input_steps(inputs: nn.Module, x: Any, lengths: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """Run an input layer; one that makes fewer steps of several is given the lengths.

    Returns:
        Its steps (T, B, I), and how many of each are valid, (B,), or None for all.
    """
    if lengths is None or not hasattr(inputs, "output_lengths"):
        return inputs(x), lengths
    return inputs(x, lengths), shortened(inputs, lengths)


def initial_state(hidden: Recurrent, batch_size: int) -> Any:
    """The hidden layers' state before the first step, as they take it: h, or (h, c)."""
    state = hidden.stream_state(batch_size, None)
    return tuple(s.contiguous() for s in state) if isinstance(state, tuple) else state.contiguous()


#: with fewer rows a matrix product takes another routine, which sums in another order
ROWS = 4


def apply_rows(layer: nn.Module, h: Tensor) -> Tensor:
    """An output layer over rows (B, P), each as if it were alone: bits do not depend on B."""
    if not 0 < len(h) < ROWS:
        y: Tensor = layer(h)
        return y
    padded: Tensor = layer(torch.cat((h, h.new_zeros(ROWS - len(h), h.shape[1]))))
    return padded[: len(h)]


def merge_rows(states: Sequence[Any]) -> Any:
    """The state of all the streams of several states of the hidden layers."""
    if isinstance(states[0], Tensor):
        return torch.cat(tuple(states), 1)
    return tuple(torch.cat(parts, 1) for parts in zip(*states, strict=True))


def select_rows(state: Any, rows: Tensor) -> Any:
    """The hidden layers' state whose stream n is stream `rows[n]` of `state`; None stays None."""
    if state is None:
        return None
    if isinstance(state, Tensor):
        return state.index_select(1, rows)
    return tuple(s.index_select(1, rows) for s in state)
