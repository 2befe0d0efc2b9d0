"""Places in the data: a saved position, which holds only for the data and sizes that it was taken over, and shares."""

from __future__ import annotations

from collections.abc import Mapping

from unrolled.errors import ArgumentError, StateError


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


def check_shares(sequences: int, workers: int) -> None:
    """Check that each of several workers has something to do.

    Raises:
        ArgumentError: a batch has fewer sequences than there are workers.
    """
    if sequences < workers:
        raise ArgumentError(
            f"--batch-size: a batch of {sequences} can't be shared by {workers} workers; start fewer workers, or give "
            f"a --batch-size of at least {workers} and more data if that does not help"
        )
