"""Images, frames, sound, features and series by formula: inputs of the stored models, which need no file.

Letters: T time, H height, W width, C channels.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]

RATE = 4000
TONES = {"do": 400.0, "re": 800.0, "mi": 1500.0}
COLOURS = {"red": (220, 30, 30), "green": (30, 200, 30), "blue": (30, 30, 220)}
BARS = {"down": slice(6, 8), "up": slice(1, 3)}


def grain(*shape: int, seed: int, below: int) -> NDArray[np.int64]:
    """Return integers from 0 to `below` - 1 that look irregular, without a generator whose draws could change."""
    places = np.arange(int(np.prod(shape)), dtype=np.int64) + 1_000 * seed
    return (places * 7919 % 10_007 * 104_729 % 65_537 % below).reshape(shape)


def bar(label: str, seed: int, size: int = 9) -> Pixels:
    """A bright bar across a black image (H, W), high or low."""
    image = np.zeros((size, size), np.uint8)
    image[BARS[label], 1 : size - 1 - seed % 2] = 180 + grain(2, size - 2 - seed % 2, seed=seed, below=70)
    return image


def box(colour: str, side: str, seed: int) -> Pixels:
    """A coloured box at the left or the right of a grey image (12, 12, 3)."""
    image = 100 + grain(12, 12, 3, seed=seed, below=40)
    image[4:8, 1:5] = COLOURS[colour] if side == "left" else image[4:8, 1:5]
    image[4:8, 7:11] = COLOURS[colour] if side == "right" else image[4:8, 7:11]
    return image.astype(np.uint8)


def clip(seed: int, frames: int = 16, turn: int = 8) -> Pixels:
    """Frames (T, 8, 8) of a bar that wanders to the right, and from frame `turn` on to the left."""
    steps = np.where(np.arange(frames) < turn, 1, -1)
    places = (seed + np.cumsum(steps)) % 8
    film = grain(frames, 8, 8, seed=seed, below=40)
    film[np.arange(frames), :, places] = 220
    return film.astype(np.uint8)


def samples(words: list[str], seed: int = 0) -> NDArray[np.float32]:
    """Words that are tones, with pauses around them: (T,) at `RATE` Hz."""
    pause = np.zeros(RATE // 20)
    parts = [pause]
    for n, word in enumerate(words):
        t = np.arange(RATE // 8 + 20 * ((seed + n) % 3)) / RATE
        parts += [0.3 * np.sin(2 * np.pi * TONES[word] * t), pause]
    whole = np.concatenate(parts)
    return (whole + (grain(len(whole), seed=seed, below=201) - 100) * 3e-5).astype(np.float32)


def sound(words: list[str], seed: int = 0) -> tuple[NDArray[np.float32], int]:
    """As `samples`, with their rate, Hz."""
    return samples(words, seed), RATE


def features(seed: int, steps: int = 24) -> NDArray[np.float64]:
    """Two features (T, 2): pulses that switch something on and off, with a little noise."""
    x = (grain(steps, 2, seed=seed, below=41) - 20) / 200
    x[seed % 3 :: 8, 0] += 1
    x[4 + seed % 3 :: 8, 1] += 1
    return x.round(3)


def series(steps: int, phase: float = 0.0, level: float = 20.0) -> NDArray[np.float64]:
    """A wave of period 6 that rises slowly, (T,)."""
    t = np.arange(steps)
    return (level + 5 * np.sin(2 * np.pi * (t + phase) / 6) + 0.02 * t).round(4)


FORMS: dict[str, Callable[..., Any]] = {
    form.__name__: form for form in (bar, box, clip, samples, sound, features, series)
}
