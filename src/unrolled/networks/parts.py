"""Helpers that the networks share: checks of their layers, states of their hidden layers, rows of outputs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from unrolled.errors import ArgumentError
from unrolled.kernels import StackState
from unrolled.layers import Recurrent
from unrolled.layers.recurrent.arguments import AnyState, LayerState, map_state


def check_layers(inputs: nn.Module, hidden: Recurrent, dropout: float) -> None:
    """Check that the hidden layers match the input layer.

    Raises:
        ArgumentError: they do not, or dropout is not a probability.
    """
    width = getattr(inputs, "output_size", hidden.input_size)
    if width != hidden.input_size:
        raise ArgumentError(f"inputs: yields vectors of {width}, hidden reads input_size={hidden.input_size}")
    if hidden.batch_first:
        raise ArgumentError("hidden: expected batch_first=False; networks keep time first")
    if not 0 <= dropout < 1:
        raise ArgumentError(f"dropout: expected 0 to below 1, found {dropout}")


def shortened(inputs: nn.Module, lengths: Tensor | None) -> Tensor | None:
    """Return the numbers of steps that an input layer yields for `lengths` valid ones, (B,); None stays None."""
    shorten: Callable[[Tensor], Tensor] | None = getattr(inputs, "output_lengths", None)
    return lengths if shorten is None or lengths is None else shorten(lengths)


def input_steps(inputs: nn.Module, x: Any, lengths: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """Run an input layer, with the lengths if it reduces the number of steps.

    Returns:
        Its steps (T, B, I), and the numbers of valid ones, (B,), or None for all.
    """
    if lengths is None or not hasattr(inputs, "output_lengths"):
        return inputs(x), lengths
    return inputs(x, lengths), shortened(inputs, lengths)


def initial_state(hidden: Recurrent, batch_size: int) -> StackState:
    """Return the hidden layers' state before the first step: h, or (h, c)."""
    return map_state(hidden.stream_state(batch_size, None), Tensor.contiguous)


#: with fewer rows a matrix product uses another routine, which sums in another order
ROWS = 4


def apply_rows(layer: nn.Module, h: Tensor) -> Tensor:
    """Apply an output layer to rows (B, P) so that the bits of a row do not depend on B."""
    if not 0 < len(h) < ROWS:
        y: Tensor = layer(h)
        return y
    padded: Tensor = layer(torch.cat((h, h.new_zeros(ROWS - len(h), h.shape[1]))))
    return padded[: len(h)]


def state_parts(state: LayerState) -> tuple[Tensor, ...]:
    """Return the tensors of a state of the hidden layers: (h,), (h, c), or none for None."""
    if state is None:
        return ()
    return state if isinstance(state, tuple) else (state,)


def merge_rows(states: Sequence[StackState]) -> StackState:
    """Return one state with the streams of several states of the hidden layers."""
    merged = tuple(torch.cat(parts, 1) for parts in zip(*map(state_parts, states), strict=True))
    return merged if isinstance(states[0], tuple) else merged[0]


def select_rows(state: AnyState, rows: Tensor) -> AnyState:
    """Return the hidden layers' state whose stream n is stream `rows[n]` of `state`; None stays None."""
    return map_state(state, lambda part: part.index_select(1, rows))
