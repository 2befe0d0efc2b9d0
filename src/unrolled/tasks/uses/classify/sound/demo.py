"""Notes of four synthetic instruments, to learn to tell apart."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from unrolled.data.sound.files import Sound, wav
from unrolled.tasks.core.contract.demonstration import Demonstration, write_files
from unrolled.tasks.core.values import Sources

#: strength of each overtone, and how fast a note fades, a second
INSTRUMENTS: dict[str, tuple[tuple[float, ...], float]] = {
    "flute": ((1.0, 0.1, 0.05), 0.5),
    "organ": ((1.0, 0.6, 0.5, 0.4, 0.3), 0.0),
    "string": ((1.0, 0.7, 0.5, 0.35, 0.25, 0.2), 5.0),
    "bell": ((0.6, 0.0, 1.0, 0.0, 0.0, 0.8), 3.0),
}
NOTES = 60
#: one note in this many is held out
HELD_OUT = 6
RATE, SECONDS = 8000, 0.6


def write_notes(folder: Path) -> Sources:
    """Write two folders, each with a folder of notes for every instrument."""
    draw = np.random.default_rng(0)
    for name in INSTRUMENTS:
        sounds = [wav(Sound(note(name, draw), RATE)) for _ in range(NOTES)]
        for part, held in (("train", False), ("dev", True)):
            own = [(f"{n:02}.wav", sound) for n, sound in enumerate(sounds) if (n % HELD_OUT == 0) is held]
            write_files(folder / part / name, own)
    return Sources((folder / "train",), (folder / "dev",))


def note(instrument: str, draw: np.random.Generator) -> np.ndarray:
    """Return a note of a pitch and a loudness of its own, float32."""
    overtones, fading = INSTRUMENTS[instrument]
    seconds = np.arange(round(RATE * SECONDS)) / RATE
    pitch = 220 * 2 ** draw.uniform(0, 1.5)
    waves = [a * np.sin(2 * np.pi * n * pitch * seconds) for n, a in enumerate(overtones, 1) if n * pitch < RATE / 2]
    # a soft beginning, without which every note begins with a click
    envelope = np.minimum(1, seconds / 0.02) * np.exp(-fading * seconds)
    sound = draw.uniform(0.1, 0.3) * envelope * np.sum(waves, axis=0) + draw.normal(0, 0.003, len(seconds))
    return np.clip(sound, -1, 1).astype(np.float32)


DEMONSTRATIONS = (
    Demonstration(
        name="instruments",
        origin="made",
        about="notes of four synthetic instruments, of varied pitch and loudness.",
        write=write_notes,
        share=0.5,
    ),
)
