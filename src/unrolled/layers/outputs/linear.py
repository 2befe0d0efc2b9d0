"""Output layers: from h_t to logits. Their weight and bias are the textbook's V and c."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unrolled.errors import ArgumentError, ShapeError


class OutputLayer(nn.Module):
    """Base of the output layers: (…, H) → (…, K) logits.

    Attributes:
        classes: K.
    """

    classes: int


class LinearOutput(OutputLayer):
    """logits = V h + c, (…, H) → (…, K), with V optionally shared with the input layer.

    Args:
        input_size: H.
        classes: K.
        tied: the input embedding's weight, (K, I), used as V (Press & Wolf 2017, arXiv 1608.05859; Inan et al. 2017).
            Where I is not H, a linear map from H to I precedes it.
        bias: whether to add c.
    """

    def __init__(self, input_size: int, classes: int, *, tied: nn.Parameter | None = None, bias: bool = True) -> None:
        super().__init__()
        if tied is not None and tied.shape[0] != classes:
            raise ShapeError("tied", f"(K={classes}, I)", tied.shape)
        width = input_size if tied is None else tied.shape[1]
        self.bridge = nn.Identity() if width == input_size else nn.Linear(input_size, width, bias=False)
        if tied is None:
            bound = 1 / width**0.5
            self.weight = nn.Parameter(torch.empty(classes, width).uniform_(-bound, bound))
        else:
            self.weight = tied
        self.bias = nn.Parameter(torch.zeros(classes)) if bias else None
        self.classes = classes

    def forward(self, h: Tensor) -> Tensor:
        """Map (…, H) → (…, K) logits."""
        return F.linear(self.bridge(h), self.weight, self.bias)


class AdaptiveOutput(OutputLayer):
    """Adaptive softmax for large vocabularies: frequent tokens are cheap, rare ones are in clusters.

    Tokens must be numbered from the most to the least frequent.

    Args:
        input_size: H.
        classes: V.
        cutoffs: borders of the clusters, increasing, each below V.
        div_value: the factor by which the width of each cluster shrinks.

    Source: Grave et al. 2017, arXiv 1609.04309; torch.nn.AdaptiveLogSoftmaxWithLoss does the arithmetic.
    """

    def __init__(self, input_size: int, classes: int, cutoffs: tuple[int, ...], *, div_value: float = 4.0) -> None:
        super().__init__()
        if list(cutoffs) != sorted(set(cutoffs)) or not cutoffs or cutoffs[0] < 1 or cutoffs[-1] >= classes:
            raise ArgumentError(f"cutoffs: expected increasing numbers from 1 to below V={classes}, found {cutoffs}")
        self.classes = classes
        self.softmax = nn.AdaptiveLogSoftmaxWithLoss(input_size, classes, list(cutoffs), div_value)

    def forward(self, h: Tensor) -> Tensor:
        """Map (…, H) → (…, V) log-probabilities, which are valid logits."""
        rows: Tensor = self.softmax.log_prob(h.reshape(-1, h.shape[-1]))
        return rows.reshape(*h.shape[:-1], self.classes)

    def losses(self, h: Tensor, targets: Tensor) -> Tensor:
        """Return −ln p of each target in nats, (…, H), (…) → (…), without computing all V scores."""
        rows: Tensor = -self.softmax(h.reshape(-1, h.shape[-1]), targets.reshape(-1)).output
        return rows.reshape(targets.shape)

    def loss(self, h: Tensor, targets: Tensor, ignored: int) -> tuple[Tensor, Tensor, int]:
        """Return what `CrossEntropy` returns of logits and targets, without computing all V scores."""
        counts = targets != ignored
        total = self.losses(h[counts], targets[counts]).sum()
        count = int(counts.sum())
        return total / max(count, 1), total.detach(), count
