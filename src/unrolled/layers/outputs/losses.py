"""Loss layers."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from unrolled.errors import ArgumentError, ShapeError

#: the target that does not count
IGNORED = -100


class CrossEntropy(nn.Module):
    """Cross entropy over the targets that count, in nats.

    Args:
        ignored: the target that marks padding.
        smoothing: label smoothing, 0 to below 1 (Szegedy et al. 2016); it affects the mean, but not the plain sum.
    """

    def __init__(self, ignored: int = IGNORED, smoothing: float = 0.0) -> None:
        super().__init__()
        if not 0 <= smoothing < 1:
            raise ArgumentError(f"smoothing: expected 0 to below 1, found {smoothing}")
        self.ignored, self.smoothing = ignored, smoothing

    def forward(self, logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor, int]:
        """Compare logits with targets.

        Args:
            logits: (…, K).
            targets: (…) int64, `ignored` where they do not count.

        Returns:
            The mean to differentiate, the plain sum in nats (detached), and the number of targets counted.

        Raises:
            ShapeError: the leading shapes differ.
        """
        if logits.shape[:-1] != targets.shape:
            raise ShapeError("targets", f"{tuple(logits.shape[:-1])}, as logits without K", targets.shape)
        rows, flat = logits.reshape(-1, logits.shape[-1]), targets.reshape(-1)
        count = int((flat != self.ignored).sum())
        if not self.smoothing:
            total = F.cross_entropy(rows, flat, ignore_index=self.ignored, reduction="sum")
            return total / max(count, 1), total.detach(), count
        # the softmax over K is most of the cost, so it is computed once for both sums
        log_probs = rows.log_softmax(-1)
        total = F.nll_loss(log_probs, flat, ignore_index=self.ignored, reduction="sum")
        counted = log_probs if count == len(flat) else log_probs[flat != self.ignored]
        smooth = (1 - self.smoothing) * total - self.smoothing * counted.sum() / rows.shape[-1]
        return smooth / max(count, 1), total.detach(), count
