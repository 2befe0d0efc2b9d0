"""Going on in the middle of data: a saved position is good for the data and sizes that it was taken over alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from unrolled.errors import StateError


def position_in(state: Mapping[str, Any], identity: Mapping[str, Any], batches: int, what: str) -> tuple[int, int]:
    """Epoch and batch of a saved position.

    Args:
        state: as saved.
        identity: the data's sizes and the seed now.
        batches: of an epoch.
        what: the data, for the message.

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
        raise StateError(f"data position: epoch {epoch}, batch {position} does not exist in this {what}")
    return epoch, position
