"""What a sensor on a wrist would measure during four gestures, to learn to tell apart step by step."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from unrolled.tasks.core.contract.demonstration import Demonstration, write_rows
from unrolled.tasks.core.values import Sources

GESTURES = ("rest", "wave", "circle", "shake")
RECORDINGS = 80
#: one recording in this many is held out
HELD_OUT = 8
#: steps a second
RATE = 25


def write_recordings(folder: Path) -> Sources:
    """Write two tables of recordings, each of a few gestures one after the other."""
    draw = np.random.default_rng(0)
    header = ("recording", "seconds", "x", "y", "label")
    rows: tuple[list[tuple[object, ...]], ...] = ([header], [header])
    for number in range(RECORDINGS):
        own = rows[number % HELD_OUT == 0]
        names = draw.choice(GESTURES, size=draw.integers(3, 7))
        pieces = [_gesture(name, draw) for name in names]
        labels = [name for name, piece in zip(names, pieces, strict=True) for _ in piece]
        # the arm turns slowly while it moves
        path = np.concatenate(pieces)
        path += np.cumsum(draw.normal(0, 0.02, path.shape), axis=0) + draw.normal(0, 0.08, path.shape)
        own += [
            (number, f"{step / RATE:.2f}", f"{x:.3f}", f"{y:.3f}", label)
            for step, ((x, y), label) in enumerate(zip(path, labels, strict=True))
        ]
    train, dev = (write_rows(folder / name, some) for name, some in zip(("train.csv", "dev.csv"), rows, strict=True))
    return Sources((train,), (dev,))


def _gesture(name: str, draw: np.random.Generator) -> np.ndarray:
    """Return one gesture of a length, speed and size of its own, (T, 2)."""
    seconds = np.arange(draw.integers(RATE, 3 * RATE)) / RATE
    size, begin = draw.uniform(0.7, 1.3), draw.uniform(0, 2 * np.pi)
    slow, fast = (2 * np.pi * draw.uniform(low, high) * seconds + begin for low, high in ((0.8, 1.4), (4, 6)))
    x, y = {
        "rest": (0 * slow, 0 * slow),
        "wave": (np.sin(slow), 0.2 * np.sin(2 * slow)),
        "circle": (np.sin(slow), np.cos(slow)),
        "shake": (0.6 * np.sin(fast), 0.3 * np.cos(fast)),
    }[name]
    return size * np.stack([x, y], axis=1)


DEMONSTRATIONS = (
    Demonstration(
        name="gestures",
        origin="made",
        about="two axes of a sensor on a wrist that rests, waves, circles or shakes, 25 steps a second.",
        write=write_recordings,
        share=0.5,
        options={
            "label_column": "label",
            "time_column": "seconds",
            "sequence_column": "recording",
            "bidirectional": False,
        },
    ),
)
