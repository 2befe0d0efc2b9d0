"""Resuming in the middle of data: a saved position holds only for the data and sizes that it was taken over."""

from __future__ import annotations

from collections.abc import Mapping

from unrolled.errors import StateError


def position_in(state: Mapping[str, int], identity: Mapping[str, int], batches: int, data: str) -> tuple[int, int]:
    """Return epoch and batch of a saved position.

    Args:
        state: as saved.
        identity: the data's sizes and the seed now.
        batches: of an epoch.
        data: its name in the message.

    Raises:
        StateError: it was taken over other data, with other sizes or another seed, or there is no such batch.
    """
    for name, ours in identity.items():
        if state.get(name) != ours:
            raise StateError(
                f"data position: was saved with {name}={state.get(name)}, now {name}={ours}; resume with the same "
                "data and options, or start a new run"
            )
    epoch, position = state.get("epoch", -1), state.get("position", -1)
    if epoch < 0 or not 0 <= position < batches:
        raise StateError(f"data position: epoch {epoch}, batch {position} does not exist in this {data}")
    return epoch, position
