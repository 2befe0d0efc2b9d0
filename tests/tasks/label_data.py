"""Small recordings for the tests of `label`: what is to be said at a step can't be seen at that step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from unrolled.data.images.files import png
from unrolled.tasks import Model, train

TINY: dict[str, Any] = {"hidden_size": 16, "num_layers": 1, "dropout": 0.0, "input_dropout": 0.0, "augment": 0.0}
SMALL_FRAMES: dict[str, Any] = {"frame_height": 12, "rate": 25.0, "widths": (6, 8), "input_size": 12}


def write_table(path: Path, seed: int, steps: int = 60) -> None:
    """A pulse of `on` switches to the label "work", one of `off` back to "rest"; in between nothing tells."""
    draw = np.random.default_rng(seed)
    state, rows = "rest", ["on,off,seconds,label"]
    for t in range(steps):
        on, off = draw.random() < 0.1, draw.random() < 0.1
        state = "work" if on else "rest" if off else state
        noise = draw.normal(0, 0.1, 2)
        rows.append(f"{on + noise[0]:.3f},{off + noise[1]:.3f},{t / 20},{state}")
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")


def write_strip(folder: Path, name: str, seed: int, frames: int = 16) -> None:
    """A bar that wanders to the right or to the left, by turns; the labels say which way it goes."""
    draw = np.random.default_rng(seed)
    clip = draw.integers(0, 30, (frames, 12, 16, 1)).astype(np.uint8)
    place, right = int(draw.integers(0, 16)), bool(draw.integers(0, 2))
    lines: list[str] = []
    begin = 0
    for n in range(frames):
        if n and n % 8 == 0:
            lines.append(f"{begin} {n} {'right' if right else 'left'}")
            begin, right = n, not right
        place = (place + (2 if right else -2)) % 16
        clip[n, :, [place, (place + 1) % 16]] = 220
    lines.append(f"{begin} {frames} {'right' if right else 'left'}")
    (folder / f"{name}.png").write_bytes(png(clip.reshape(-1, 16, 1)))
    (folder / f"{name}.align").write_text("\n".join(lines) + "\n", encoding="utf-8")


def learn(paths: Any, out: Path, dev: Any, *, options: dict[str, Any] | None = None, **given: Any) -> Model:
    chosen = {**TINY, **(options or {})}
    return train("label", paths, out, dev=dev, options=chosen, **{"log_every": 1, "seed": 5, "lr": 0.02, **given})
