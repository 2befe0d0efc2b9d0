"""Pooling: one vector from a sequence of vectors, over ragged lengths, or step by step for streams.

Letters: T time, B batch, W width of the vectors, D directions.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from unrolled.errors import ArgumentError, ShapeError
from unrolled.scan import valid_steps


class Pooling(nn.Module, ABC):
    """(T, B, W) → (B, output_size). A row without valid steps yields zeros.

    Args:
        size: W.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        if size < 1:
            raise ArgumentError(f"size: expected at least 1, found {size}")
        self.size = self.output_size = size

    def forward(self, h: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Pool the valid steps.

        Args:
            h: (T, B, W); steps beyond `lengths` are never read, and get no gradient.
            lengths: (B,) valid steps; None for all.

        Raises:
            ShapeError, ArgumentError: h or the lengths do not match.
        """
        if h.dim() != 3 or h.shape[-1] != self.size:
            raise ShapeError("h", f"(T, B, W={self.size})", h.shape)
        if lengths is None:
            lengths = torch.full((h.shape[1],), h.shape[0], dtype=torch.int64, device=h.device)
        valid = valid_steps(lengths.to(h.device), h.shape[0], h.shape[1]).unsqueeze(-1)
        # filled, not multiplied, since padding may be NaN
        return self.pool(h.masked_fill(~valid, 0), valid, lengths.to(h.device))

    @abstractmethod
    def pool(self, h: Tensor, valid: Tensor, lengths: Tensor) -> Tensor:
        """Pool h, which is zero where `valid` (T, B, 1) is False."""

    @abstractmethod
    def start(self, like: Tensor) -> Any:
        """Return the state of `step` before the first step; `like` (B, W) gives batch, dtype and device."""

    @abstractmethod
    def step(self, h: Tensor, carried: Any) -> tuple[Tensor, Any]:
        """Add a step h (B, W): return what `forward` yields for the steps so far, and the new state.

        Raises:
            ArgumentError: the pooling reads the future.
        """


class LastState(Pooling):
    """The last valid step of the forward direction, and the first of the backward direction, which it computes last.

    Args:
        size: W, of all directions together.
        directions: D.
    """

    def __init__(self, size: int, directions: int = 1) -> None:
        super().__init__(size)
        if directions not in (1, 2) or size % directions:
            raise ArgumentError(f"directions: expected 1, or 2 for an even size, found {directions} for size {size}")
        self.directions = directions

    def pool(self, h: Tensor, valid: Tensor, lengths: Tensor) -> Tensor:
        """Pool (T, B, W) → (B, W)."""
        width = self.size // self.directions
        last = (lengths - 1).clamp(min=0).view(1, -1, 1).expand(1, -1, width)
        forward = h[..., :width].gather(0, last).squeeze(0)
        return forward if self.directions == 1 else torch.cat([forward, h[0, :, width:]], -1)

    def start(self, like: Tensor) -> tuple[()]:
        """Return the empty state."""
        return ()

    def step(self, h: Tensor, carried: Any) -> tuple[Tensor, Any]:
        """Return the step itself."""
        if self.directions == 2:
            raise ArgumentError("step: the backward direction starts at the end and can't be streamed; use forward")
        return h, carried


class MeanPooling(Pooling):
    """The mean of the valid steps."""

    def pool(self, h: Tensor, valid: Tensor, lengths: Tensor) -> Tensor:
        """Pool (T, B, W) → (B, W)."""
        return h.sum(0) / lengths.clamp(min=1).unsqueeze(-1)

    def start(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """Return the sum and the count."""
        return torch.zeros_like(like), like.new_zeros(len(like), 1)

    def step(self, h: Tensor, carried: Any) -> tuple[Tensor, Any]:
        """Return the mean so far."""
        total, count = carried[0] + h, carried[1] + 1
        return total / count, (total, count)


class MaxPooling(Pooling):
    """The largest value of each unit over the valid steps."""

    def pool(self, h: Tensor, valid: Tensor, lengths: Tensor) -> Tensor:
        """Pool (T, B, W) → (B, W)."""
        highest = h.masked_fill(~valid, -torch.inf).max(0).values
        return highest.masked_fill(lengths.unsqueeze(-1) == 0, 0)

    def start(self, like: Tensor) -> Tensor:
        """Return −∞, the largest value of no steps."""
        return torch.full_like(like, -torch.inf)

    def step(self, h: Tensor, carried: Any) -> tuple[Tensor, Any]:
        """Return the largest values so far."""
        highest = torch.maximum(h, carried)
        return highest, highest


class AttentionPooling(Pooling):
    """A weighted sum of the steps, with learned weights a = softmax(vᵀ tanh(W h + b)).

    Args:
        size: W.
        hidden: the width of v; by default W, at most 128.

    Source: Yang et al. 2016, Hierarchical Attention Networks, section 2.2.
    """

    def __init__(self, size: int, hidden: int | None = None) -> None:
        super().__init__(size)
        if hidden is not None and hidden < 1:
            raise ArgumentError(f"hidden: expected at least 1, found {hidden}")
        width = hidden or min(size, 128)
        self.key = nn.Linear(size, width)
        self.score = nn.Linear(width, 1, bias=False)

    def weights(self, h: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Return the weight of each step, (T, B): at least 0, with sum 1 in each row that has a valid step."""
        if lengths is None:
            lengths = torch.full((h.shape[1],), h.shape[0], dtype=torch.int64)
        valid = valid_steps(lengths.to(h.device), h.shape[0], h.shape[1]).unsqueeze(-1)
        return self._weights(h.masked_fill(~valid, 0), valid).squeeze(-1)

    def _weights(self, h: Tensor, valid: Tensor) -> Tensor:
        scores: Tensor = self.score(torch.tanh(self.key(h)))
        # the smallest number instead of −∞, which would make a row without valid steps NaN
        return scores.masked_fill(~valid, torch.finfo(scores.dtype).min).softmax(0).masked_fill(~valid, 0)

    def pool(self, h: Tensor, valid: Tensor, lengths: Tensor) -> Tensor:
        """Pool (T, B, W) → (B, W)."""
        return (self._weights(h, valid) * h).sum(0)

    def start(self, like: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the largest score so far, and the sums of e^(score − largest) with and without h."""
        return like.new_full((len(like), 1), -torch.inf), torch.zeros_like(like), like.new_zeros(len(like), 1)

    def step(self, h: Tensor, carried: Any) -> tuple[Tensor, Any]:
        """Return the weighted sum of the steps so far; their weights shrink as steps are added."""
        highest, total, weight = carried
        score = self.score(torch.tanh(self.key(h)))
        # relative to the largest score, as in the softmax of a whole sequence, so that nothing overflows
        raised = torch.maximum(highest, score)
        old, new = torch.exp(highest - raised), torch.exp(score - raised)
        total, weight = total * old + new * h, weight * old + new
        return total / weight, (raised, total, weight)


class JoinedPooling(Pooling):
    """Several poolings, concatenated.

    Args:
        parts: poolings of the same W.
    """

    def __init__(self, parts: Sequence[Pooling]) -> None:
        if not parts:
            raise ArgumentError("parts: expected at least one pooling")
        if len({part.size for part in parts}) > 1:
            raise ArgumentError(f"parts: expected one width, found {sorted({part.size for part in parts})}")
        super().__init__(parts[0].size)
        self.parts = nn.ModuleList(parts)
        self.output_size = sum(part.output_size for part in parts)

    def pool(self, h: Tensor, valid: Tensor, lengths: Tensor) -> Tensor:
        """Pool (T, B, W) → (B, the sum of the parts' widths)."""
        return torch.cat([part.pool(h, valid, lengths) for part in self._parts()], -1)

    def start(self, like: Tensor) -> tuple[Any, ...]:
        """Return the state of each part."""
        return tuple(part.start(like) for part in self._parts())

    def step(self, h: Tensor, carried: Any) -> tuple[Tensor, Any]:
        """Add a step to each part."""
        results = [part.step(h, own) for part, own in zip(self._parts(), carried, strict=True)]
        return torch.cat([pooled for pooled, _ in results], -1), tuple(new for _, new in results)

    def _parts(self) -> list[Pooling]:
        return [part for part in self.parts if isinstance(part, Pooling)]


#: the names that `make_pooling` accepts, alone or joined by "+"
POOLINGS = ("last", "mean", "max", "attention")


def make_pooling(kind: str, size: int, directions: int = 1) -> Pooling:
    """Return a pooling by name: last, mean, max or attention, or several as in "max+mean".

    Args:
        kind: the name.
        size: W, of all directions together.
        directions: D.

    Raises:
        ArgumentError: the name does not exist.
    """
    parts: list[Pooling] = []
    for name in kind.split("+"):
        if name == "last":
            parts.append(LastState(size, directions))
        elif name == "mean":
            parts.append(MeanPooling(size))
        elif name == "max":
            parts.append(MaxPooling(size))
        elif name == "attention":
            parts.append(AttentionPooling(size))
        else:
            raise ArgumentError(f"pooling: expected {', '.join(POOLINGS)}, or several with + between, found {kind!r}")
    return parts[0] if len(parts) == 1 else JoinedPooling(parts)
