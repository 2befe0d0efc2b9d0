"""Steps that are more than vectors: each frame of a clip through a network of its own, beside how it differs from the
one before.

Letters: T time, B batch, H height, W width, C channels, I input of the recurrent layer.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unrolled.errors import ArgumentError
from unrolled.layers.inputs.images import ImageEncoder
from unrolled.scan import valid_steps

#: frames that are encoded at once where no gradient is wanted, so that a long clip takes bounded memory
AT_ONCE = 1024


class ImageVector(nn.Module):
    """An image to a vector that knows what is where: the encoder's last maps, whole, through a linear map.

    Averaging over places, as `ImageEncoder` does by itself, suits images of things that may be anywhere; of a face or a
    machine that is always seen in the same way, where something moves is what matters.

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
        """(N, H, W, C) → (N, I)."""
        # channels-last maps are flattened as they lie
        flat = self.encoder.maps(images).permute(0, 2, 3, 1).flatten(1)
        return F.dropout(F.relu(self.norm(self.linear(flat))), self.dropout, self.training)


class StepEncoder(nn.Module):
    """Every step of a sequence through the same network: (T, B, …, C) → (T, B, I).

    Only valid steps are encoded, so that padding costs nothing and reaches no statistic of a batch. It looks back by
    one step at most, so that it can be streamed: `beside` makes of steps as they come what it reads one by one.

    Args:
        encoder: from (N, …) to (N, I), with `output_size`.
        differences: append to each step's channels by how much they differ from the step before; 0 at the first step.
        dims: of one step, its channels among them, 1 for features and 3 for images; None reads no single steps.
    """

    def __init__(self, encoder: nn.Module, *, differences: bool = False, dims: int | None = None) -> None:
        super().__init__()
        self.encoder, self.differences, self.dims = encoder, differences, dims
        self.output_size = int(encoder.output_size)  # type: ignore[arg-type]

    def output_lengths(self, lengths: Tensor) -> Tensor:
        """As many steps as went in; that there is this method says that `forward` takes lengths."""
        return lengths

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Encode.

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
        """Put steps as they come beside their differences, for `forward` to read them one by one.

        Args:
            steps: (N, …, C), those that come next.
            before: what the last call returned; None at the start.

        Returns:
            The steps with all their channels, and what later ones need; None for a layer that looks back at nothing.
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
    """Each step beside its difference from the one before, (T, …, C) → (T, …, 2C); bytes become floating point.

    >>> with_differences(torch.tensor([[3.0], [5.0], [4.0]])).tolist()
    [[3.0, 0.0], [5.0, 2.0], [4.0, -1.0]]
    """
    x = x if x.is_floating_point() else x.to(torch.get_default_dtype())
    moved = torch.cat((torch.zeros_like(x[:1]), x[1:] - x[:-1]))
    return torch.cat((x, moved), dim=-1)
