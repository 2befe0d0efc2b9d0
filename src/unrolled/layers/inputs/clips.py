"""Input layers for clips: each frame runs through a network of its own, optionally with its difference from the
previous frame.

Letters: T time, B batch, H height, W width, C channels, I input of the recurrent layer.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unrolled.errors import ArgumentError
from unrolled.layers.inputs.images import ImageEncoder
from unrolled.layers.inputs.tokens import InputLayer
from unrolled.scan import valid_steps

#: frames to encode at once without gradients, so that a long clip takes bounded memory
AT_ONCE = 1024


class ImageVector(InputLayer):
    """An image to a vector that keeps positions: the encoder's last maps through a linear map.

    Averaging over positions, as `ImageEncoder` does by itself, suits objects that may be anywhere; for a face or a
    machine that is always seen from the same side, the position of a movement matters.

    Args:
        encoder: the convolutions.
        height, width: of every image.
        size: I.
        dropout: probability, on the vector.
    """

    def __init__(self, encoder: ImageEncoder, height: int, width: int, size: int, *, dropout: float = 0.0) -> None:
        super().__init__()
        if min(height, width, size) < 1 or not 0 <= dropout < 1:
            raise ArgumentError(
                f"height, width, size: expected at least 1, dropout 0 to below 1: {height}, {width}, {size}, {dropout}"
            )
        rows, columns = encoder.grid_shape(height, width)
        self.encoder, self.output_size, self.dropout = encoder, size, dropout
        self.height, self.width = height, width
        self.linear = nn.Linear(encoder.grid_size * rows * columns, size)
        self.norm = nn.LayerNorm(size)

    def forward(self, images: Tensor) -> Tensor:
        """Map (N, H, W, C) → (N, I)."""
        # channels-last maps are flattened without a copy
        flat = self.encoder.maps(images).permute(0, 2, 3, 1).flatten(1)
        return F.dropout(F.relu(self.norm(self.linear(flat))), self.dropout, self.training)


class StepEncoder(InputLayer):
    """Applies a network to every step of a sequence: (T, B, …, C) → (T, B, I).

    Only valid steps are encoded, so that padding costs nothing and does not affect batch statistics. It looks back by
    at most one step, so that it can be streamed: `beside` turns steps as they arrive into inputs for single steps.

    Args:
        encoder: from (N, …) to (N, I).
        differences: whether to append to each step's channels their difference from the previous step; 0 at the first.
        dims: dimensions of a step, channels included: 1 for features, 3 for images; None accepts no single steps.
    """

    def __init__(self, encoder: InputLayer, *, differences: bool = False, dims: int | None = None) -> None:
        super().__init__()
        self.encoder, self.differences, self.dims = encoder, differences, dims
        self.output_size = encoder.output_size

    def output_lengths(self, lengths: Tensor) -> Tensor:
        """Return the lengths unchanged; networks that find this method call `forward` with lengths."""
        return lengths

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Encode every step.

        Args:
            x: (T, B, …, C); or single steps (B, …, C), as `beside` makes them.
            lengths: (B,) valid steps; the result beyond them is 0.

        Returns:
            (T, B, I); or (B, I).
        """
        if self.dims is not None and x.dim() == 1 + self.dims:
            return self._encoded(x)
        time, batch = x.shape[:2]
        if self.differences:
            x = with_differences(x)
        if lengths is None:
            return self._encoded(x.flatten(0, 1)).view(time, batch, -1)
        valid = valid_steps(lengths, time, batch).to(x.device)
        vectors = self._encoded(x[valid])
        result = vectors.new_zeros(time, batch, self.output_size)
        result[valid] = vectors
        return result

    def beside(self, steps: Tensor, before: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """Append their differences to steps as they arrive, for `forward` to read step by step.

        Args:
            steps: (N, …, C), the next steps.
            before: the last call's second result; None at the start.

        Returns:
            The steps with all their channels, and the last step, which later ones need; None without `differences`.
        """
        if not self.differences:
            return steps, None
        seen = steps if before is None else torch.cat((before, steps))
        return with_differences(seen)[len(seen) - len(steps) :], seen[len(seen) - 1 :]

    def _encoded(self, steps: Tensor) -> Tensor:
        if torch.is_grad_enabled() or len(steps) <= AT_ONCE:
            result: Tensor = self.encoder(steps)
            return result
        return torch.cat([self.encoder(part) for part in steps.split(AT_ONCE)])


def with_differences(x: Tensor) -> Tensor:
    """Append to each step its difference from the previous one, (T, …, C) → (T, …, 2C); bytes become floating point.

    >>> with_differences(torch.tensor([[3.0], [5.0], [4.0]])).tolist()
    [[3.0, 0.0], [5.0, 2.0], [4.0, -1.0]]
    """
    x = x if x.is_floating_point() else x.to(torch.get_default_dtype())
    moved = torch.cat((torch.zeros_like(x[:1]), x[1:] - x[:-1]))
    return torch.cat((x, moved), dim=-1)
