"""The random regularisers of recurrent layers, drawn from torch's generator of the device in use."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence

from unrolled.cells import State
from unrolled.layers.recurrent.arguments import pack_like
from unrolled.scan import Masks


def drop(x: Tensor, p: float, variational: bool, packed: PackedSequence | None = None) -> Tensor:
    """Apply dropout to x (T, B, ·): one mask for all steps if `variational`, else one for each.

    A generator's numbers go to elements as in torch's layers: in the order of time, then batch, or in that of `packed`.
    """
    if variational:
        return x * variational_mask(x, p, x.shape[1:])
    if packed is None:
        return F.dropout(x.contiguous(), p)
    rows = pack_like(packed, x)
    dropped = PackedSequence(F.dropout(rows.data, p), rows.batch_sizes, rows.sorted_indices, rows.unsorted_indices)
    return pad_packed_sequence(dropped)[0]


def variational_mask(like: Tensor, p: float, shape: torch.Size | tuple[int, ...]) -> Tensor:
    """Draw a mask: 0 with probability p, else 1/(1 − p)."""
    kept = torch.empty(shape, dtype=like.dtype, device=like.device).bernoulli_(1 - p)
    return kept if p == 1 else kept.div_(1 - p)


def draw_masks(
    recurrent: float, zoneout: tuple[float, ...], training: bool, time: int, state: State, like: Tensor
) -> Masks | None:
    """Draw the masks of one direction of one layer; None if there is nothing to mask."""
    mask = variational_mask(like, recurrent, state[0].shape) if recurrent and training else None
    if not any(zoneout):
        return None if mask is None else Masks(mask)
    kept: list[Tensor | float | None] = []
    for p, s in zip(zoneout, state, strict=True):
        if not p:
            kept.append(None)
        else:
            kept.append(torch.rand(time, *s.shape, device=s.device) < p if training else p)
    return Masks(mask, tuple(kept))
