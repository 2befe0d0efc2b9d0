"""Connectionist temporal classification as a loss, for targets whose timing is unknown."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unrolled.errors import ArgumentError, ShapeError


class CTC(nn.Module):
    """Connectionist temporal classification: −ln of the probability that the steps, without repeats and blanks, spell
    the target.

        p(y | x) = Σ_π Π_t p(π_t | x),   over all paths π with B(π) = y

    A path needs a step for each unit, and one more for a blank between two equal units. With fewer steps the
    probability is 0 and the loss infinite: such a sequence is an error, and never counted as 0.

    Args:
        blank: the class that stands for no unit.

    Source: Graves et al. 2006, doi:10.1145/1143844.1143891.
    """

    def __init__(self, blank: int = 0) -> None:
        super().__init__()
        self.blank = blank

    def forward(
        self, logits: Tensor, lengths: Tensor, targets: Tensor, target_lengths: Tensor
    ) -> tuple[Tensor, Tensor, int]:
        """Compare logits with the units that they are to spell.

        Args:
            logits: (T, B, K); steps beyond a sequence's length are never read.
            lengths: (B,) valid steps.
            targets: (U, B) int64 units, anything beyond a target's length.
            target_lengths: (B,) units, from 0.

        Returns:
            The mean to differentiate, nats per unit of the target (an empty target counts as one unit), the plain sum
            in nats (detached), and the number of units.

        Raises:
            ShapeError: the shapes do not match.
            ArgumentError: a target needs more steps than there are, or contains a blank.
        """
        if logits.dim() != 3 or targets.dim() != 2 or targets.shape[1] != logits.shape[1]:
            raise ShapeError("targets", f"(U, B={logits.shape[1]}) for logits (T, B, K)", targets.shape)
        needed = ctc_steps(targets, target_lengths)
        if bool((needed > lengths).any()):
            row = int((needed > lengths).nonzero()[0])
            raise ArgumentError(
                f"targets: sequence {row} needs {int(needed[row])} steps to spell {int(target_lengths[row])} units, "
                f"and has {int(lengths[row])}"
            )
        within = torch.arange(targets.shape[0], device=targets.device).unsqueeze(1) < target_lengths
        if bool(((targets == self.blank) & within).any()):
            raise ArgumentError(f"targets: {self.blank} is the blank, and spells nothing")
        rows = targets.masked_fill(~within, 0).transpose(0, 1)
        if not rows.shape[1]:
            # torch needs at least one column, even without units
            rows = rows.new_zeros(rows.shape[0], 1)
        # torch reads no step beyond the length, but NaN there would make the gradient of the softmax NaN
        beyond = torch.arange(logits.shape[0], device=logits.device).unsqueeze(1) >= lengths
        log_probs = logits.masked_fill(beyond.unsqueeze(-1), 0).log_softmax(-1)
        losses = F.ctc_loss(log_probs, rows, lengths, target_lengths, blank=self.blank, reduction="none")
        total, count = losses.sum(), int(target_lengths.clamp(min=1).sum())
        return total / max(1, count), total.detach(), count


def ctc_steps(targets: Tensor, lengths: Tensor) -> Tensor:
    """Return the least number of steps for each target: one per unit, and one between two equal units.

    Args:
        targets: (U, B) units.
        lengths: (B,) valid units.

    >>> ctc_steps(torch.tensor([[7, 7], [7, 8], [9, 8]]), torch.tensor([3, 2])).tolist()
    [4, 2]
    """
    place = torch.arange(1, max(1, targets.shape[0]), device=targets.device).unsqueeze(1)
    repeats = (targets[1:] == targets[:-1]) & (place < lengths)
    return lengths + repeats.sum(0)
