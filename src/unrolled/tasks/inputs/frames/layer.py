"""The input layer of frames: convolutions over each."""

from __future__ import annotations

from unrolled.layers.inputs.clips import ImageVector
from unrolled.layers.inputs.images import ImageEncoder
from unrolled.tasks.core.recurrent import Units
from unrolled.tasks.inputs.series.layer import StepsNetwork


class FramesNetwork(StepsNetwork):
    """The input layer, completely; see `FramesOptions` for the words."""

    input_size: Units = 128
    widths: tuple[Units, ...] = (24, 32, 64)


def frame_layer(chosen: FramesNetwork, size: tuple[int, int], channels: int) -> ImageVector:
    """Return the untrained layer of a frame.

    Args:
        chosen: its settings.
        size: (H, W).
        channels: C, twice those of the data where differences stand beside them.
    """
    convolutions = ImageEncoder(channels, chosen.widths, stem_size=5, stem_stride=2)
    return ImageVector(convolutions, *size, chosen.input_size, dropout=chosen.input_dropout)


def widths_for(size: tuple[int, int]) -> tuple[int, ...]:
    """Return channels of the convolutions that fit the size of the frames, which are halved by each stage."""
    shorter, stages = min(size) // 2, 1
    while shorter >= 8 << (stages - 1) and stages < 4:
        stages += 1
    return tuple(24 if n == 0 else min(32 << (n - 1), 128) for n in range(stages + 1))
