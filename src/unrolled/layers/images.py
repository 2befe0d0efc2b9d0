"""Images as an input layer: a small residual network, from pixels to a vector, or to a grid of vectors.

Letters: B batch, H height, W width, C channels, P positions of the grid, I width of a vector.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unrolled.errors import ArgumentError, DTypeError, ShapeError


class ImageEncoder(nn.Module):
    """A residual network over standardised images: a first convolution, then a stage of blocks for each further width,
    each of which halves height and width.

    Images are (…, H, W, C), channels last as they lie in files and as convolutions on a CPU want them, of any height
    and width. Batch normalisation takes its statistics of the batch while training: hand over valid frames only, no
    padding. In evaluation no image depends on another.

    Args:
        channels: C, 1 or 3.
        widths: channels of the first convolution and of each stage.
        blocks: residual blocks of a stage.
        stem_size, stem_stride: width and stride of the first convolution.
        size: I; None leaves the last stage's width.
        dropout: on the result, vectors and grid alike.
        mean, std: (C,) of the training images' pixels, 0 to 255; None takes 127.5 for both.

    Raises:
        ArgumentError, ShapeError: for an option out of range.

    Source: He et al. 2016, arXiv 1512.03385; skips that average before they project, He et al. 2019, arXiv 1812.01187
    (ResNet-D); the last gain of each block starts at zero, Goyal et al. 2017, arXiv 1706.02677.
    """

    def __init__(
        self,
        channels: int,
        widths: tuple[int, ...] = (32, 64, 128),
        *,
        blocks: int = 1,
        stem_size: int = 3,
        stem_stride: int = 1,
        size: int | None = None,
        dropout: float = 0.0,
        mean: Tensor | None = None,
        std: Tensor | None = None,
    ) -> None:
        super().__init__()
        for name, number in (("channels", channels), ("blocks", blocks), ("stem_size", stem_size)):
            if number < 1:
                raise ArgumentError(f"{name}: expected at least 1, found {number}")
        if not widths or min(widths) < 1:
            raise ArgumentError(f"widths: expected at least one number, all at least 1, found {widths}")
        if stem_size % 2 == 0 or stem_stride < 1:
            raise ArgumentError(f"stem_size, stem_stride: expected an odd number and ≥ 1: {stem_size}, {stem_stride}")
        if not 0 <= dropout < 1:
            raise ArgumentError(f"dropout: expected a probability from 0 to below 1, found {dropout}")
        for name, statistic in (("mean", mean), ("std", std)):
            if statistic is not None and tuple(statistic.shape) != (channels,):
                raise ShapeError(name, f"(C={channels},)", statistic.shape)
        self.channels, self.dropout = channels, dropout
        self.grid_size = widths[-1]
        self.output_size = size or widths[-1]
        self.mean: Tensor
        self.std: Tensor
        middle = torch.full((channels,), 127.5)
        self.register_buffer("mean", middle.clone() if mean is None else mean.clone())
        # images that are all alike have no spread to divide by
        self.register_buffer("std", middle.clone() if std is None else torch.where(std > 0, std, torch.ones_like(std)))
        self.stem = nn.Sequential(
            nn.Conv2d(channels, widths[0], stem_size, stem_stride, stem_size // 2, bias=False),
            Norm(widths[0]),
            nn.ReLU(),
        )
        stages: list[nn.Module] = []
        for before, width in pairwise(widths):
            stages += [ResidualBlock(before if n == 0 else width, width, 2 if n == 0 else 1) for n in range(blocks)]
        self.stages = nn.Sequential(*stages)
        self.linear = nn.Identity() if size is None else nn.Linear(widths[-1], size)
        # torch's default layout would be turned around at every convolution
        self.to(memory_format=torch.channels_last)

    def forward(self, images: Tensor) -> Tensor:
        """Images to vectors: (…, H, W, C) uint8, or floating point on the same scale → (…, I).

        Raises:
            ShapeError, DTypeError: for images of other channels, none at all, or another dtype.
        """
        maps = self.maps(images)
        vectors: Tensor = self.linear(self._dropped(maps.mean((2, 3))))
        return vectors.reshape(*images.shape[:-3], self.output_size)

    def grid(self, images: Tensor) -> Tensor:
        """Images to a vector for each position, row by row: (B, H, W, C) → (B, P, grid_size)."""
        return self._dropped(self.maps(images).flatten(2).transpose(1, 2))

    def maps(self, images: Tensor) -> Tensor:
        """The last feature maps, (N, grid_size, h, w), N being all leading dimensions together."""
        if images.dim() < 4 or images.shape[-1] != self.channels or 0 in images.shape:
            raise ShapeError("images", f"(…, H, W, C={self.channels}), none of them 0", images.shape)
        if images.dtype != torch.uint8 and not images.is_floating_point():
            raise DTypeError(f"images: expected uint8 or floating point, found {images.dtype}")
        x = (images.reshape(-1, *images.shape[-3:]).to(self.mean.dtype) - self.mean) / self.std
        # a view: what lies channels-last stays so
        result: Tensor = self.stages(self.stem(x.permute(0, 3, 1, 2)))
        return result

    def grid_shape(self, height: int, width: int) -> tuple[int, int]:
        """Rows and columns of the grid for images of a size."""
        stride = self.stem[0].stride[0]
        rows, columns = -(-height // stride), -(-width // stride)
        for block in self.stages:
            if block.stride == 2:
                rows, columns = -(-rows // 2), -(-columns // 2)
        return rows, columns

    def _dropped(self, x: Tensor) -> Tensor:
        return F.dropout(x, self.dropout, self.training)


class ResidualBlock(nn.Module):
    """relu(x + conv(relu(conv(x)))), normalised after each convolution; with stride 2 the skip averages 2 × 2 pixels.

    Args:
        before, width: channels in and out.
        stride: 1 or 2.
    """

    def __init__(self, before: int, width: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.first = nn.Conv2d(before, width, 3, stride, 1, bias=False)
        self.first_norm = Norm(width)
        self.second = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.second_norm = Norm(width)
        skip: list[nn.Module] = []
        if stride > 1:
            # the pixels beyond an odd edge do not count, and the size is rounded up as the convolution's is
            skip.append(nn.AvgPool2d(stride, stride, ceil_mode=True, count_include_pad=False))
        if before != width:
            skip += [nn.Conv2d(before, width, 1, bias=False), Norm(width)]
        self.skip = nn.Sequential(*skip)
        for convolution in (self.first, self.second):
            nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")
        nn.init.zeros_(self.second_norm.weight)

    def forward(self, x: Tensor) -> Tensor:
        """(N, before, h, w) → (N, width, h/stride, w/stride)."""
        y = F.relu(self.first_norm(self.first(x)))
        return F.relu(self.second_norm(self.second(y)) + self.skip(x))


class Norm(nn.BatchNorm2d):
    """Batch normalisation that uses the running statistics where a batch holds a single value, which has no spread."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, h, w), the same shape out."""
        if self.training and x.numel() == x.shape[1]:
            return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps)
        return super().forward(x)
