"""Pooling: one vector out of a sequence of them, over ragged lengths, or step by step for streams.

Letters: T time, B batch, W width of what is pooled, D directions.
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
    """(T, B, W) → (B, output_size). A row without any valid step yields zeros.

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
            h: (T, B, W); what lies beyond `lengths` is never read, and gets no gradient.
            lengths: (B,) valid steps; None: all.

        Raises:
            ShapeError, ArgumentError: naming what was expected and found.
        """
        if h.dim() != 3 or h.shape[-1] != self.size:
            raise ShapeError("h", f"(T, B, W={self.size})", h.shape)
        if lengths is None:
            lengths = torch.full((h.shape[1],), h.shape[0], dtype=torch.int64, device=h.device)
        valid = valid_steps(lengths.to(h.device), h.shape[0], h.shape[1]).unsqueeze(-1)
        # filled, not multiplied: what pads may be NaN
        return self.pool(h.masked_fill(~valid, 0), valid, lengths.to(h.device))

    @abstractmethod
    def pool(self, h: Tensor, valid: Tensor, lengths: Tensor) -> Tensor:
        """As `forward`; h is zero where `valid` (T, B, 1) is false."""

    @abstractmethod
    def start(self, like: Tensor) -> Any:
        """What `step` carries before the first step; `like` (B, W) tells batch, dtype and device."""

    @abstractmethod
    def step(self, h: Tensor, carried: Any) -> tuple[Tensor, Any]:
        """One more step h (B, W): what `forward` yields for the steps so far, and what is to be carried on.

        Raises:
            ArgumentError: if the pooling reads the future.
        """


class LastState(Pooling):
    """The last valid step of the forward direction, beside the first of the backward direction, which is its last.

    Args:
        size: W, of all directions.
        directions: D.
    """

    def __init__(self, size: int, directions: int = 1) -> None:
        super().__init__(size)
        if directions not in (1, 2) or size % directions:
            raise ArgumentError(f"directions: expected 1, or 2 for an even size, found {directions} for size {size}")
        self.directions = directions

    def pool(self, h: Tensor, valid: Tensor, lengths: Tensor) -> Tensor:
        """(T, B, W) → (B, W)."""
        width = self.size // self.directions
        last = (lengths - 1).clamp(min=0).view(1, -1, 1).expand(1, -1, width)
        forward = h[..., :width].gather(0, last).squeeze(0)
        return forward if self.directions == 1 else torch.cat([forward, h[0, :, width:]], -1)

    def start(self, like: Tensor) -> tuple[()]:
        """Nothing is carried."""
        return ()

    def step(self, h: Tensor, carried: Any) -> tuple[Tensor, Any]:
        """The step itself."""
        if self.directions == 2:
            raise ArgumentError("step: the backward direction begins at the end and can't be streamed; use forward")
        return h, carried


class MeanPooling(Pooling):
    """The mean of the valid steps."""

    def pool(self, h: Tensor, valid: Tensor, lengths: Tensor) -> Tensor:
        """(T, B, W) → (B, W)."""
        return h.sum(0) / lengths.clamp(min=1).unsqueeze(-1)

    def start(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """Sum and count."""
        return torch.zeros_like(like), like.new_zeros(len(like), 1)

    def step(self, h: Tensor, carried: Any) -> tuple[Tensor, Any]:
        """The mean so far."""
        total, count = carried[0] + h, carried[1] + 1
        return total / count, (total, count)


class MaxPooling(Pooling):
    """The largest value of each unit over the valid steps."""

    def pool(self, h: Tensor, valid: Tensor, lengths: Tensor) -> Tensor:
        """(T, B, W) → (B, W)."""
        highest = h.masked_fill(~valid, -torch.inf).max(0).values
        return highest.masked_fill(lengths.unsqueeze(-1) == 0, 0)

    def start(self, like: Tensor) -> Tensor:
        """−∞, the smallest number so far."""
        return torch.full_like(like, -torch.inf)

    def step(self, h: Tensor, carried: Any) -> tuple[Tensor, Any]:
        """The largest so far."""
        highest = torch.maximum(h, carried)
        return highest, highest


class AttentionPooling(Pooling):
    """A weighted sum of the steps, by how much each matters: a = softmax(vᵀ tanh(W h + b)).

    Args:
        size: W.
        hidden: the width of what is compared with v; by default W, at most 128.

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
        """How much each step counts, (T, B): at least 0, together 1 for each row that has a valid step."""
        if lengths is None:
            lengths = torch.full((h.shape[1],), h.shape[0], dtype=torch.int64)
        valid = valid_steps(lengths.to(h.device), h.shape[0], h.shape[1]).unsqueeze(-1)
        return self._weights(h.masked_fill(~valid, 0), valid).squeeze(-1)

    def _weights(self, h: Tensor, valid: Tensor) -> Tensor:
        scores: Tensor = self.score(torch.tanh(self.key(h)))
        # the smallest number instead of −∞, which would make a row without any valid step NaN
        return scores.masked_fill(~valid, torch.finfo(scores.dtype).min).softmax(0).masked_fill(~valid, 0)

    def pool(self, h: Tensor, valid: Tensor, lengths: Tensor) -> Tensor:
        """(T, B, W) → (B, W)."""
        return (self._weights(h, valid) * h).sum(0)

    def start(self, like: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The largest score so far, and the sums of e^(score − it) with and without h."""
        return like.new_full((len(like), 1), -torch.inf), torch.zeros_like(like), like.new_zeros(len(like), 1)

    def step(self, h: Tensor, carried: Any) -> tuple[Tensor, Any]:
        """The weighted sum of the steps so far; weights change as more of them share the attention."""
        highest, total, weight = carried
        score = self.score(torch.tanh(self.key(h)))
        # rescaled to the largest score, as the softmax of a whole sequence is, so that nothing overflows
        raised = torch.maximum(highest, score)
        old, new = torch.exp(highest - raised), torch.exp(score - raised)
        total, weight = total * old + new * h, weight * old + new
        return total / weight, (raised, total, weight)


class JoinedPooling(Pooling):
    """Several poolings side by side.

    Args:
        parts: all of the same W.
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
        """(T, B, W) → (B, the sum of the parts' widths)."""
        return torch.cat([part.pool(h, valid, lengths) for part in self._parts()], -1)

    def start(self, like: Tensor) -> tuple[Any, ...]:
        """What each part carries."""
        return tuple(part.start(like) for part in self._parts())

    def step(self, h: Tensor, carried: Any) -> tuple[Tensor, Any]:
        """Each part's step."""
        results = [part.step(h, one) for part, one in zip(self._parts(), carried, strict=True)]
        return torch.cat([pooled for pooled, _ in results], -1), tuple(new for _, new in results)

    def _parts(self) -> list[Pooling]:
        return [part for part in self.parts if isinstance(part, Pooling)]


#: what `make_pooling` knows, any of them joined by "+"
POOLINGS = ("last", "mean", "max", "attention")


def make_pooling(kind: str, size: int, directions: int = 1) -> Pooling:
    """A pooling by name: last, mean, max or attention, or several as in "max+mean".

    Args:
        kind: the name.
        size: W, of all directions.
        directions: D of what is pooled.

    Raises:
        ArgumentError: a name that does not exist.
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
