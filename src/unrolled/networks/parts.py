"""What the networks share: whether their layers fit each other, and the state that their hidden layers begin with."""

from __future__ import annotations

from typing import Any

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


def initial_state(hidden: Recurrent, batch_size: int) -> Any:
    """The hidden layers' state before the first step, as they take it: h, or (h, c)."""
    sizes = hidden.cell.state_sizes(hidden.hidden_size)
    if hidden.learn_initial_state:
        names = [f"initial_{n}" for n in hidden.cell.state_names]
        parts = [hidden.get_parameter(n).detach().expand(-1, batch_size, -1).contiguous() for n in names]
    else:
        like = next(hidden.parameters())
        parts = [like.new_zeros(hidden.num_layers * hidden.num_directions, batch_size, n) for n in sizes]
    return tuple(parts) if len(parts) > 1 else parts[0].detach()


def select_rows(state: Any, rows: Tensor) -> Any:
    """The hidden layers' state whose stream n is stream `rows[n]` of `state`; None stays None."""
    if state is None:
        return None
    if isinstance(state, Tensor):
        return state.index_select(1, rows)
    return tuple(s.index_select(1, rows) for s in state)
