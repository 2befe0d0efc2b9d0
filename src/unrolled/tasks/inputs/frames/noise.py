"""Frames as they might have been filmed as well."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from unrolled.data.images.augmentation import crop


def filmed(frames: NDArray[np.uint8], draw: np.random.Generator, strength: float, *, mirror: bool) -> NDArray[np.uint8]:
    """Return the frames of a clip (T, H, W, C) moved, lighter or darker, and covered in part.

    What is done to one frame is done to all of them, since a camera does not jump.

    Args:
        frames: of one clip.
        draw: for all that is random.
        strength: 0 changes nothing, 1 is usual.
        mirror: whether left and right may be swapped.
    """
    _, height, width, channels = frames.shape
    if mirror and draw.random() < 0.5:
        frames = frames[:, :, ::-1]
    if strength <= 0:
        return np.ascontiguousarray(frames)
    y, x = (max(1, round(0.08 * strength * side)) for side in (height, width))
    wide = np.pad(frames, ((0, 0), (y, y), (x, x), (0, 0)), mode="edge")
    # all frames of the clip as one image of many channels: one window for all
    together = wide.transpose(1, 2, 0, 3).reshape(1, height + 2 * y, width + 2 * x, -1)
    moved = crop(together, height, width, draw)[0].reshape(height, width, -1, channels).transpose(2, 0, 1, 3)
    gain, offset = 1 + draw.uniform(-0.25, 0.25) * strength, draw.uniform(-25, 25) * strength
    result: NDArray[np.uint8] = (moved * np.float32(gain) + np.float32(offset)).clip(0, 255).astype(np.uint8)
    if draw.random() < 0.5 * strength:
        h, w = (int(draw.integers(1, max(2, round(0.4 * side)))) for side in (height, width))
        top, left = int(draw.integers(0, height - h + 1)), int(draw.integers(0, width - w + 1))
        result[:, top : top + h, left : left + w] = result.mean(dtype=np.float64)
    return result
