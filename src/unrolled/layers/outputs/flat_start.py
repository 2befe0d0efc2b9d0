"""A first stage of training for CTC: every unit of a target is aligned to an equal share of the sequence."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unrolled.errors import ArgumentError, ShapeError


class FlatStart(nn.Module):
    """Cross entropy against an even alignment: the units of a target share a span of the steps equally, in order, and
    all steps outside it are blank.

        target of step t = y_⌊U (t − begin) / (end − begin)⌋  for begin ≤ t < end,  else blank

    CTC requires the right units in the right order, at any time. Where the sequences of the training data resemble each
    other, a network first learns positions that depend only on the time, far from the sounds, and takes long to
    distinguish units from there. A few hundred updates with this loss put the units roughly in place, and CTC does the
    rest.

    Args:
        blank: the class that stands for no unit.
        smoothing: share of each step's target that is spread over all classes.

    Source: the flat start of hidden Markov models (Young et al. 2006, The HTK Book, section 8.3), as a loss.
    """

    def __init__(self, blank: int = 0, smoothing: float = 0.1) -> None:
        super().__init__()
        if not 0 <= smoothing < 1:
            raise ArgumentError(f"smoothing: expected 0 to below 1, found {smoothing}")
        self.blank, self.smoothing = blank, smoothing

    def forward(
        self, logits: Tensor, lengths: Tensor, targets: Tensor, target_lengths: Tensor, spans: Tensor
    ) -> tuple[Tensor, Tensor, int]:
        """Compare logits with the even alignment.

        Args:
            logits: (T, B, K).
            lengths: (B,) valid steps.
            targets: (U, B) int64 units.
            target_lengths: (B,) units, from 0.
            spans: (B, 2), the first step of the span and the step after it; a span with fewer steps than the target has
                units is replaced by the whole sequence.

        Returns:
            The mean to differentiate, nats per step, the plain sum (detached), and the number of steps.

        Raises:
            ShapeError: the shapes do not match.
        """
        steps = even_alignment(lengths, targets, target_lengths, spans, len(logits), self.blank)
        if logits.dim() != 3 or steps.shape != logits.shape[:2]:
            raise ShapeError("targets", f"(U, B) for logits (T, B, K) {tuple(logits.shape)}", targets.shape)
        rows = steps >= 0
        losses = F.cross_entropy(logits[rows], steps[rows], reduction="sum", label_smoothing=self.smoothing)
        count = int(rows.sum())
        return losses / max(1, count), losses.detach(), count


def even_alignment(
    lengths: Tensor, targets: Tensor, target_lengths: Tensor, spans: Tensor, steps: int, blank: int = 0
) -> Tensor:
    """Return the class of each step, (T, B) int64, −1 beyond the end of a sequence; arguments as for `FlatStart`.

    Raises:
        ShapeError: the spans have another shape.

    >>> units, span = torch.tensor([[7], [8]]), torch.tensor([[1, 5]])
    >>> even_alignment(torch.tensor([6]), units, torch.tensor([2]), span, 7)[:, 0].tolist()
    [0, 7, 7, 8, 8, 0, -1]
    """
    if spans.shape != (len(lengths), 2):
        raise ShapeError("spans", f"(B={len(lengths)}, 2)", spans.shape)
    begin, end = spans[:, 0].clamp(min=0), torch.minimum(spans[:, 1], lengths)
    short = end - begin < target_lengths
    begin, end = torch.where(short, 0, begin), torch.where(short, lengths, end)
    t = torch.arange(steps, device=lengths.device).unsqueeze(1)
    place = (t - begin) * target_lengths // (end - begin).clamp(min=1)
    inside = (t >= begin) & (t < end) & (target_lengths > 0)
    if len(targets):
        units = targets.gather(0, place.clamp(0, len(targets) - 1))
        classes = torch.where(inside, units, blank)
    else:
        classes = torch.full_like(place, blank)
    return torch.where(t < lengths, classes, -1)
