"""Where in a sequence something is going on."""

from __future__ import annotations

import torch
from torch import Tensor


def active_spans(levels: Tensor, lengths: Tensor) -> Tensor:
    """Return the span of the steps that are louder than four tenths of the way from the quiet ones to the loud ones.

    Quiet is the level that a twentieth of the steps lies below, loud that which a twentieth lies above.

    Args:
        levels: (T, B), how much is going on in each step; anything beyond a sequence's length.
        lengths: (B,) steps, one at least.

    Returns:
        (B, 2) int64: the first such step, and the one after the last.

    >>> active_spans(torch.tensor([[0.0], [0.1], [3.0], [0.2], [2.9], [0.0]]), torch.tensor([6])).tolist()
    [[2, 5]]
    """
    spans = torch.zeros(len(lengths), 2, dtype=torch.int64, device=levels.device)
    for b, length in enumerate(lengths.tolist()):
        level = levels[:length, b]
        low, high = torch.quantile(level, 0.05), torch.quantile(level, 0.95)
        loud = (level >= low + 0.4 * (high - low)).nonzero()
        spans[b, 0], spans[b, 1] = loud[0, 0], loud[-1, 0] + 1
    return spans
