"""Melodies, to learn to write down in the names of their notes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from unrolled.data.sound.files import Sound, wav
from unrolled.storage import write_whole
from unrolled.tasks.core.contract.demonstration import Demonstration, write_files
from unrolled.tasks.core.values import Sources

#: frequency of each note, Hz: the scale of C
NOTES = {"do": 261.6, "re": 293.7, "mi": 329.6, "fa": 349.2, "sol": 392.0, "la": 440.0, "ti": 493.9}
MELODIES, HELD_OUT = 400, 10
RATE = 8000
#: seconds over which a note begins and ends, without which it clicks
RAMP = 0.02


def write_melodies(folder: Path) -> Sources:
    """Write melodies of a few notes as sound, and their notes."""
    draw = np.random.default_rng(0)
    texts = [" ".join(draw.choice(list(NOTES), draw.integers(2, 7))) for _ in range(MELODIES)]
    write_files(folder, ((f"{n:03}.wav", wav(Sound(melody(text, draw), RATE))) for n, text in enumerate(texts)))
    lines = [json.dumps({"audio": f"{n:03}.wav", "text": text}) + "\n" for n, text in enumerate(texts)]
    paths = folder / "train.jsonl", folder / "dev.jsonl"
    for path, held in zip(paths, (False, True), strict=True):
        own = (line for n, line in enumerate(lines) if (n % HELD_OUT == 0) is held)
        write_whole(path, "".join(own).encode())
    return Sources((paths[0],), (paths[1],))


def melody(text: str, draw: np.random.Generator) -> np.ndarray:
    """Return the notes of a text in a pace, a timbre, a loudness and a noise of its own, float32."""
    pace, overtones = draw.uniform(0.18, 0.3), draw.uniform(0, 0.4, 2)
    pieces = [np.zeros(round(0.1 * RATE))]
    for name in text.split():
        seconds = np.arange(round(pace * draw.uniform(0.8, 1.2) * RATE)) / RATE
        phase = 2 * np.pi * NOTES[name] * draw.uniform(0.99, 1.01) * seconds
        wave = np.sin(phase) + sum(a * np.sin(n * phase) for n, a in enumerate(overtones, 2))
        pieces += [np.minimum(1, np.minimum(seconds, seconds[::-1]) / RAMP) * wave, np.zeros(round(0.04 * RATE))]
    sound = draw.uniform(0.2, 0.5) * np.concatenate(pieces)
    return np.clip(sound + draw.normal(0, draw.uniform(0.002, 0.02), len(sound)), -1, 1).astype(np.float32)


DEMONSTRATIONS = (
    Demonstration(
        name="melodies",
        origin="made",
        about="melodies of two to six notes, of varied pace, timbre and noise; the text names the notes.",
        write=write_melodies,
        share=1.5,
        options={"units": "words", "bidirectional": False},
    ),
)
