"""Pictures of one or two shapes, to learn to describe."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from unrolled.data.images.files import png
from unrolled.tasks.core.contract.demonstration import Demonstration, write_files, write_rows
from unrolled.tasks.core.values import Sources

PICTURES, HELD_OUT = 2400, 12
#: pixels of a side
SIDE = 48
COLOURS = {"red": (214, 48, 49), "green": (46, 160, 67), "blue": (38, 98, 217), "yellow": (240, 190, 30),
           "purple": (130, 60, 170)}  # fmt: skip
#: half the height of a shape, in pixels
SIZES = {"small": 5.0, "large": 9.5}
#: where the first of two shapes is, seen from the second: right and down
PLACES = {"left of": (-1, 0), "right of": (1, 0), "above": (0, -1), "below": (0, 1)}
Floats = NDArray[np.float64]
#: for each shape the size at which it would reach a point
_SHAPES: dict[str, Callable[[Floats, Floats], Floats]] = {
    "circle": np.hypot,
    "square": lambda x, y: np.maximum(np.abs(x), np.abs(y)),
    "triangle": lambda x, y: np.maximum(y, 2 * np.abs(x) - y),
}


def write_pictures(folder: Path) -> Sources:
    """Write pictures, and tables of what is to be said of them."""
    draw = np.random.default_rng(0)
    pictures = {f"{number:04}.png": picture(draw) for number in range(PICTURES)}
    write_files(folder, ((name, png(pixels)) for name, (pixels, _) in pictures.items()))
    rows: tuple[list[tuple[str, str]], ...] = ([("image", "caption")], [("image", "caption")])
    for number, (name, (_, caption)) in enumerate(pictures.items()):
        rows[number % HELD_OUT == 0].append((name, caption))
    train, dev = (write_rows(folder / name, some) for name, some in zip(("train.csv", "dev.csv"), rows, strict=True))
    return Sources((train,), (dev,))


def picture(draw: np.random.Generator) -> tuple[NDArray[np.uint8], str]:
    """Return a picture of one or two shapes on a pale ground, (SIDE, SIDE, 3), and its description."""
    canvas = np.full((SIDE, SIDE, 3), draw.integers(225, 256), dtype=np.float64)
    place = str(draw.choice([*PLACES, "alone"]))
    right, down = PLACES.get(place, (0, 0))
    names = []
    for side in (1,) if place == "alone" else (1, -1):
        shape, colour, size = (str(draw.choice(tuple(some))) for some in (_SHAPES, COLOURS, SIZES))
        # two large shapes side by side just do not touch
        centre = SIDE / 2 + side * 12 * np.array([right, down]) + draw.uniform(-1.5, 1.5, 2)
        x, y = (np.arange(SIDE) + 0.5 - middle for middle in centre)
        # pixels at the edge are covered in part
        cover = np.clip(SIZES[size] - _SHAPES[shape](x[None, :], y[:, None]) + 0.5, 0, 1)[..., None]
        canvas = canvas * (1 - cover) + np.array(COLOURS[colour]) * cover
        names.append(f"a {size} {colour} {shape}")
    return np.rint(canvas).astype(np.uint8), f" {place} ".join(names)


DEMONSTRATIONS = (
    Demonstration(
        name="shapes",
        origin="made",
        about="drawings of one or two shapes, with a sentence that says which and where.",
        write=write_pictures,
        share=1.5,
        options={"image_size": SIDE, "mirror": False},
    ),
)
