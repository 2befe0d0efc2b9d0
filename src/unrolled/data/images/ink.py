"""Drawings on an even ground, such as scanned digits: size and place of the ink, fitted on the training images.

A network that has learned centred white digits on black fails on a black one in the corner of a white page. `Ink.place`
brings any drawing to the ground, polarity, size and place of the training images.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from unrolled.data.core.examples import Array
from unrolled.data.images.files import Pixels, resize, with_channels
from unrolled.errors import ArgumentError
from unrolled.types import Json

#: a pixel this far from the ground, as a share of the strongest one, is ink
_INK = 0.15
#: contrast, of 255, below which a page is blank
_BLANK = 24
#: share of the images whose border must be even ground for them to count as drawings
_DRAWINGS = 0.97


@dataclass(frozen=True)
class Ink:
    """The style of some drawings.

    Attributes:
        ground: value of the ground, 0 to 255.
        lighter: whether ink is lighter than the ground.
        extent: the longer side of the ink's box as a share of the image's shorter side.
        centre: the part that is centred: "box" the ink's box, "mass" its centre of gravity.
        strength: how far the strongest ink is from the ground.
    """

    ground: int
    lighter: bool
    extent: float
    centre: Literal["box", "mass"]
    strength: int

    def __post_init__(self) -> None:
        numbers = (self.ground, self.extent, self.strength)
        if not all(isinstance(n, (int, float)) and not isinstance(n, bool) for n in numbers):
            raise ArgumentError(f"ink: expected numbers, found {numbers}")
        if not (0 <= self.ground <= 255 and 0 < self.extent <= 1 and 0 < self.strength <= 255):
            raise ArgumentError(f"ink: ground, extent or strength out of range: {numbers}")
        if self.centre not in ("box", "mass") or not isinstance(self.lighter, bool):
            raise ArgumentError(f"ink: centre or polarity unknown: {self.centre!r}, {self.lighter!r}")

    @classmethod
    def fit(cls, images: Iterable[Pixels]) -> Ink | None:
        """Fit the style of some grey images; None if they are no drawings on an even ground.

        Args:
            images: (H, W, 1), all of one size.
        """
        grounds, extents, strengths, signs, boxes, masses = [], [], [], [], [], []
        even = count = 0
        for image in images:
            grey = image[..., 0].astype(np.int64)
            border = _border(grey)
            ground = int(np.median(border))
            grounds.append(ground)
            count += 1
            even += int(np.abs(border - ground).max() <= 16)
            ink, lighter = _ink(grey, ground)
            box = _box(ink)
            if box is None:
                continue
            top, bottom, left, right = box
            side = min(grey.shape)
            extents.append(min(1.0, max(bottom - top, right - left) / side))
            strengths.append(int(ink.max()))
            signs.append(lighter)
            middle = np.array([(grey.shape[0] - 1) / 2, (grey.shape[1] - 1) / 2])
            boxes.append(np.array([(top + bottom - 1) / 2, (left + right - 1) / 2]) - middle)
            masses.append(_mass(ink) - middle)
        if not signs or even < _DRAWINGS * count or np.std(grounds) > 8 or 0.05 < np.mean(signs) < 0.95:
            return None
        by_mass = np.abs(masses).mean() < np.abs(boxes).mean()
        return cls(
            ground=int(np.median(grounds)),
            lighter=bool(np.mean(signs) >= 0.5),
            extent=float(np.median(extents)),
            centre="mass" if by_mass else "box",
            strength=int(np.median(strengths)),
        )

    def place(self, pixels: Pixels, height: int, width: int) -> Pixels:
        """Return a drawing in the style of the training images, (height, width, 1): cut out, scaled and centred.

        Args:
            pixels: (H, W, C); dark on light or light on dark.
        """
        grey = with_channels(pixels, 1)[..., 0].astype(np.int64)
        ink, _ = _ink(grey, int(np.median(_border(grey))))
        sign = 1 if self.lighter else -1
        result = np.zeros((height, width), dtype=np.float64)
        box = _box(ink)
        if box is not None:
            top, bottom, left, right = box
            cut = ink[top:bottom, left:right]
            scale = self.extent * min(height, width) / max(cut.shape)
            size = (max(1, round(cut.shape[0] * scale)), max(1, round(cut.shape[1] * scale)))
            scaled = resize(cut.astype(np.uint8)[..., None], min(size[0], height), min(size[1], width))[..., 0]
            small = scaled * (self.strength / max(1, int(scaled.max())))
            point = _mass(small) if self.centre == "mass" else (np.array(small.shape) - 1) / 2
            y, x = (
                int(np.clip(round((whole - 1) / 2 - p), 0, whole - part))
                for whole, p, part in zip((height, width), point, small.shape, strict=True)
            )
            result[y : y + small.shape[0], x : x + small.shape[1]] = small
        return np.rint(np.clip(self.ground + sign * result, 0, 255)).astype(np.uint8)[..., None]

    def as_json(self) -> Json:
        """Return it as one JSON object."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Json) -> Ink:
        """Return the inverse of `as_json`.

        Raises:
            ArgumentError: a key is missing or unknown.
        """
        try:
            return cls(**value)
        except TypeError as error:
            raise ArgumentError(f"ink: {error}") from error


def _border(grey: Array) -> Array:
    return np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])


def _ink(grey: Array, ground: int) -> tuple[Array, bool]:
    """How far each pixel is from the ground on the side where more lies, 0 to 255; and whether that side is lighter."""
    difference = grey - ground
    lighter = bool(difference.clip(0).sum() >= (-difference).clip(0).sum())
    ink = difference.clip(0) if lighter else (-difference).clip(0)
    strongest = int(ink.max())
    if strongest < _BLANK:
        return np.zeros_like(ink), lighter
    return np.where(ink >= _INK * strongest, ink, 0), lighter


def _box(ink: Array) -> tuple[int, int, int, int] | None:
    """Rows and columns that hold ink: first and one beyond the last of each."""
    rows, columns = np.flatnonzero(ink.any(1)), np.flatnonzero(ink.any(0))
    if not len(rows):
        return None
    return int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1


def _mass(ink: Array) -> NDArray[np.float64]:
    """Row and column of the centre of gravity."""
    total = max(1e-9, float(ink.sum()))
    return np.array([ink.sum(1) @ np.arange(ink.shape[0]), ink.sum(0) @ np.arange(ink.shape[1])]) / total
