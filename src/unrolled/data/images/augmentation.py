"""Augmentation of images while training: moved, turned, scaled, mirrored.

B batch, H height, W width, C channels. All random numbers come from one generator, in a fixed order, so that a resumed
run sees the same images again.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from unrolled.data.images.files import Pixels
from unrolled.errors import ArgumentError


def affine(
    images: Pixels,
    draw: np.random.Generator,
    *,
    shift: float = 0.0,
    rotate: float = 0.0,
    scale: float = 0.0,
    shear: float = 0.0,
    fill: tuple[float, ...] | None = None,
) -> NDArray[np.float32]:
    """Shift, turn, scale and shear each image around its middle, by random amounts, uniform up to these.

    Args:
        images: (B, H, W, C).
        draw: the generator.
        shift: pixels, along each side.
        rotate: degrees.
        scale: relative; 0.1 is from 0.9 to 1.1, height and width each by its own.
        shear: of the horizontal along the vertical, a tangent.
        fill: value beyond the border, one number a channel; None repeats the border.

    Returns:
        (B, H, W, C) float32 from 0 to 255, interpolated bilinearly.
    """
    for name, amount in (("shift", shift), ("rotate", rotate), ("scale", scale), ("shear", shear)):
        if amount < 0 or (name == "scale" and amount >= 1):
            raise ArgumentError(f"{name}: expected 0 or more (scale: below 1), found {amount}")
    batch, height, width, _ = images.shape
    angle = np.deg2rad(draw.uniform(-rotate, rotate, batch))
    grow = draw.uniform(1 - scale, 1 + scale, (batch, 2))
    slant = draw.uniform(-shear, shear, batch)
    move = draw.uniform(-shift, shift, (batch, 2))
    cos, sin = np.cos(angle), np.sin(angle)
    # from a pixel of the result to the one it is read from, both (x, y) from the middle
    turn = np.stack([np.stack([cos, -sin], -1), np.stack([sin, cos], -1)], 1)
    lean = np.zeros((batch, 2, 2)) + np.eye(2)
    lean[:, 0, 1] = slant
    matrix = turn @ lean / grow[:, :, None]
    # grid_sample measures each side from −1 to 1
    sides = np.array([width, height]) / 2
    matrix = matrix * sides / sides[:, None]
    theta = np.concatenate([matrix, (move / sides)[..., None]], -1)
    grid = F.affine_grid(torch.from_numpy(theta).float(), [batch, 1, height, width], align_corners=False)
    ground = torch.zeros(images.shape[3]) if fill is None else torch.tensor(fill, dtype=torch.float32)
    # beyond the border grid_sample reads zero, so the ground is taken off before and added after
    x = (torch.from_numpy(np.ascontiguousarray(images)).float() - ground).permute(0, 3, 1, 2)
    mode = "border" if fill is None else "zeros"
    moved = F.grid_sample(x, grid, mode="bilinear", padding_mode=mode, align_corners=False)
    return np.ascontiguousarray((moved.permute(0, 2, 3, 1) + ground).numpy())


def crop(images: Pixels, height: int, width: int, draw: np.random.Generator | None, *, mirror: bool = False) -> Pixels:
    """Cut a window out of each image, at a random place and mirrored half of the time, or out of the middle.

    Args:
        images: (B, H, W, C).
        height, width: of the window, at most H and W.
        draw: the generator, or None.
        mirror: swap left and right with probability 1/2.

    Raises:
        ArgumentError: the window is larger than the images.
    """
    batch, h, w, _ = images.shape
    if height > h or width > w:
        raise ArgumentError(f"height, width: expected at most ({h}, {w}), found ({height}, {width})")
    if draw is None:
        top, left = (h - height) // 2, (w - width) // 2
        return np.ascontiguousarray(images[:, top : top + height, left : left + width])
    tops, lefts = draw.integers(0, h - height + 1, batch), draw.integers(0, w - width + 1, batch)
    flips = np.asarray(draw.random(batch) < 0.5)
    result = np.empty((batch, height, width, images.shape[3]), dtype=images.dtype)
    for n, (top, left, flipped) in enumerate(zip(tops.tolist(), lefts.tolist(), flips.tolist(), strict=True)):
        window = images[n, top : top + height, left : left + width]
        result[n] = window[:, ::-1] if mirror and flipped else window
    return result
