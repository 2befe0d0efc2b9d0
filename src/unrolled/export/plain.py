"""The layers that other libraries have too: ours can go there if it is no more than torch's."""

from __future__ import annotations

from unrolled.errors import ArgumentError
from unrolled.layers import Recurrent


def check_even(layer: Recurrent, where: str) -> None:
    """Refuse a stack whose layers are not equally wide.

    Raises:
        ArgumentError: naming the widths, and where they are not taken.
    """
    if not layer.is_even:
        raise ArgumentError(f"layer: {where} takes layers of one width, found hidden_size={layer.hidden_sizes}")


def check_plain(layer: Recurrent, library: str) -> None:
    """Refuse a layer with an option that other libraries lack.

    Args:
        layer: an RNN, LSTM or GRU.
        library: whose layers it is to become; for the error.

    Raises:
        ArgumentError: naming the option.
    """
    check_even(layer, library)
    cell = layer.cell
    if cell.name not in ("rnn", "lstm", "gru"):
        raise ArgumentError(f"layer: {library} has no cell {cell.name!r}")
    lacks = {
        "layer_norm": getattr(cell, "layer_norm", False),
        "peephole": getattr(cell, "peephole", False),
        "coupled": getattr(cell, "coupled", False),
        "proj_size": getattr(cell, "proj_size", 0),
        "residual": layer.residual,
        "learn_initial_state": layer.learn_initial_state,
        "zoneout": any(layer.zoneout),
    }
    for option, is_set in lacks.items():
        if is_set:
            raise ArgumentError(f"layer: {library}'s {cell.name.upper()} has no {option}")
