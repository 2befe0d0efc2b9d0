"""Input layers for images: a small residual network from pixels to a vector or a grid of vectors, or the rows, columns
or pixels as a sequence for a recurrent network.

Letters: B batch, H height, W width, C channels, P positions of the grid, T steps, I width of a vector.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unrolled.errors import ArgumentError, DTypeError, ShapeError
from unrolled.layers.inputs.tokens import InputLayer


class ImageEncoder(InputLayer):
    """A residual network over standardised images: a first convolution, then a stage of blocks for each further width,
    each of which halves height and width.

    Images are (…, H, W, C), of any height and width, with channels last as in files and as convolutions on a CPU prefer
    them. In training, batch normalisation uses the statistics of the batch, so pass only valid frames, without padding.
    In evaluation no image depends on another.

    Args:
        channels: C, 1 or 3.
        widths: channels of the first convolution and of each stage.
        blocks: residual blocks per stage.
        stem_size, stem_stride: width and stride of the first convolution.
        size: I; None keeps the last stage's width.
        dropout: on the result, vectors and grid alike.
        mean, std: (C,) of the training images' pixels, 0 to 255; None takes 127.5 for both.

    Raises:
        ArgumentError, ShapeError: an option is out of range.

    Source: He et al. 2016, arXiv 1512.03385; skips that average before they project, He et al. 2019, arXiv 1812.01187
    (ResNet-D). Starting each block's last gain at zero, which helps deep networks, slows these shallow ones down.
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
        self.channels, self.dropout = channels, dropout
        self.grid_size = widths[-1]
        self._strides = (stem_stride, *(2 for _ in widths[1:]))
        self.output_size = size or widths[-1]
        self.mean: Tensor
        self.std: Tensor
        mean, std = statistics(channels, mean, std)
        self.register_buffer("mean", mean)
        self.register_buffer("std", std)
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

    def forward(self, images: Tensor) -> Tensor:
        """Map images to vectors: (…, H, W, C) uint8, or floating point on the same scale → (…, I).

        Raises:
            ShapeError, DTypeError: the images have other channels, another dtype, or a size of 0.
        """
        maps = self.maps(images)
        vectors: Tensor = self.linear(self._dropped(maps.mean((2, 3))))
        return vectors.reshape(*images.shape[:-3], self.output_size)

    def grid(self, images: Tensor) -> Tensor:
        """Map images to a vector for each position, row by row: (B, H, W, C) → (B, P, grid_size)."""
        return self._dropped(self.maps(images).flatten(2).transpose(1, 2))

    def maps(self, images: Tensor) -> Tensor:
        """Return the last feature maps, (N, grid_size, h, w), with N the product of all leading dimensions."""
        if images.dim() < 4 or images.shape[-1] != self.channels or 0 in images.shape:
            raise ShapeError("images", f"(…, H, W, C={self.channels}), none of them 0", images.shape)
        if images.dtype != torch.uint8 and not images.is_floating_point():
            raise DTypeError(f"images: expected uint8 or floating point, found {images.dtype}")
        x = (images.reshape(-1, *images.shape[-3:]).to(self.mean.dtype) - self.mean) / self.std
        # a view, so the memory stays channels-last
        result: Tensor = self.stages(self.stem(x.permute(0, 3, 1, 2)))
        return result

    def grid_shape(self, height: int, width: int) -> tuple[int, int]:
        """Return the rows and columns of the grid for an image size."""
        rows, columns = height, width
        for stride in self._strides:
            rows, columns = -(-rows // stride), -(-columns // stride)
        return rows, columns

    def _dropped(self, x: Tensor) -> Tensor:
        return F.dropout(x, self.dropout, self.training)


class ImageSteps(InputLayer):
    """Images as standardised sequences: a step for each row, for each column, or for each pixel, row by row.

    Args:
        height, width, channels: of every image; by columns, images may be of any width.
        by: "rows" has T = H and I = W·C, "columns" T = W and I = H·C, "pixels" T = H·W and I = C.
        mean, std: (C,) of the training images' pixels, 0 to 255; None takes 127.5 for both.

    Raises:
        ArgumentError, ShapeError: an option is out of range.

    Source: Le, Jaitly & Hinton 2015, arXiv 1504.00941, section 4.2 (pixel by pixel).
    """

    def __init__(
        self,
        height: int,
        width: int,
        channels: int,
        by: str = "rows",
        *,
        mean: Tensor | None = None,
        std: Tensor | None = None,
    ) -> None:
        super().__init__()
        sizes = {"rows": width * channels, "columns": height * channels, "pixels": channels}
        if by not in sizes:
            raise ArgumentError(f"by: expected 'rows', 'columns' or 'pixels', found {by!r}")
        if min(height, channels, 1 if by == "columns" else width) < 1:
            raise ArgumentError(f"height, width, channels: expected at least 1, found {height}, {width}, {channels}")
        self.height, self.width, self.channels, self.by = height, width, channels, by
        self.output_size = sizes[by]
        self.mean: Tensor
        self.std: Tensor
        mean, std = statistics(channels, mean, std)
        repeats = self.output_size // channels
        self.register_buffer("mean", mean.repeat(repeats))
        self.register_buffer("std", std.repeat(repeats))

    def forward(self, images: Tensor) -> Tensor:
        """Map images (B, H, W, C) → (T, B, I), or standardise steps (T, B, I) or (B, I).

        Raises:
            ShapeError: the images have another size, or the steps another width.
        """
        width = images.shape[2] if images.dim() == 4 and self.by == "columns" else self.width
        if images.dim() == 4 and tuple(images.shape[1:]) == (self.height, width, self.channels):
            read = images.transpose(1, 2) if self.by == "columns" else images
            steps = read.reshape(len(images), -1, self.output_size).transpose(0, 1)
        elif images.dim() in (2, 3) and images.shape[-1] == self.output_size:
            steps = images
        else:
            wide = "W" if self.by == "columns" else f"W={self.width}"
            expected = f"(B, H={self.height}, {wide}, C={self.channels}), or steps (…, I={self.output_size})"
            raise ShapeError("images", expected, images.shape)
        return (steps.to(self.mean.dtype) - self.mean) / self.std


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
            # pixels beyond an odd edge do not count, and the size is rounded up as the convolution's is
            skip.append(nn.AvgPool2d(stride, stride, ceil_mode=True, count_include_pad=False))
        if before != width:
            skip += [nn.Conv2d(before, width, 1, bias=False), Norm(width)]
        self.skip = nn.Sequential(*skip)
        for convolution in (self.first, self.second):
            nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, before, h, w) → (N, width, h/stride, w/stride)."""
        y = F.relu(self.first_norm(self.first(x)))
        return F.relu(self.second_norm(self.second(y)) + self.skip(x))


class Norm(nn.BatchNorm2d):
    """Batch normalisation that uses the running statistics where a batch holds a single value, without variance."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalise (N, C, h, w)."""
        if self.training and x.numel() == x.shape[1]:
            return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps)
        return super().forward(x)


def statistics(channels: int, mean: Tensor | None, std: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return the mean and standard deviation to standardise pixels with, (C,) each; 127.5 where unknown.

    Raises:
        ShapeError: the number of channels differs.
    """
    values = []
    for name, statistic in (("mean", mean), ("std", std)):
        if statistic is not None and tuple(statistic.shape) != (channels,):
            raise ShapeError(name, f"(C={channels},)", statistic.shape)
        values.append(torch.full((channels,), 127.5) if statistic is None else statistic.clone())
    # a channel that never varies has no standard deviation to divide by
    return values[0], torch.where(values[1] > 0, values[1], torch.ones_like(values[1]))
