"""Words in Morse code, to learn to transcribe."""

from __future__ import annotations

import json
import keyword
from pathlib import Path

import numpy as np

from unrolled.data.sound.files import Sound, wav
from unrolled.storage import write_whole
from unrolled.tasks.core.contract.demonstration import Demonstration, write_files
from unrolled.tasks.core.values import Sources

CODE = {
    "a": ".-", "b": "-...", "c": "-.-.", "d": "-..", "e": ".", "f": "..-.", "g": "--.", "h": "....", "i": "..",
    "j": ".---", "k": "-.-", "l": ".-..", "m": "--", "n": "-.", "o": "---", "p": ".--.", "q": "--.-", "r": ".-.",
    "s": "...", "t": "-", "u": "..-", "v": "...-", "w": ".--", "x": "-..-", "y": "-.--", "z": "--..",
}  # fmt: skip
WORDS = (*(word for word in keyword.kwlist if word.islower()), "copy", "exact", "harbour", "jump", "message", "north",
         "over", "please", "quick", "ship", "sos", "storm", "thank", "voyage", "you", "zebra")  # fmt: skip
MESSAGES, HELD_OUT = 480, 12
RATE = 8000
#: seconds of ramp, without which a tone begins with a click
RAMP = 0.005


def write_messages(folder: Path) -> Sources:
    """Write messages of one or two words as sound, and what they say."""
    draw = np.random.default_rng(0)
    texts = [" ".join(draw.choice(WORDS, draw.integers(1, 3))) for _ in range(MESSAGES)]
    write_files(folder, ((f"{n:03}.wav", wav(Sound(morse(text, draw), RATE))) for n, text in enumerate(texts)))
    lines = [json.dumps({"audio": f"{n:03}.wav", "text": text}) + "\n" for n, text in enumerate(texts)]
    held = [line for n, line in enumerate(lines) if n % HELD_OUT == 0]
    paths = folder / "train.jsonl", folder / "dev.jsonl"
    for path, own in zip(paths, ([line for line in lines if line not in held], held), strict=True):
        write_whole(path, "".join(own).encode())
    return Sources((paths[0],), (paths[1],))


def morse(text: str, draw: np.random.Generator) -> np.ndarray:
    """Return a text as tones, of a speed, a pitch, a loudness and a noise of its own; float32."""
    unit = draw.uniform(0.045, 0.065)
    # a dash is three units, a gap within a letter one, between letters three, between words seven
    lengths: list[tuple[bool, float]] = [(False, 4)]
    for word in text.split():
        for letter in word:
            for mark in CODE[letter]:
                lengths += [(True, 1 if mark == "." else 3), (False, 1)]
            lengths.append((False, 2))
        lengths.append((False, 4))
    is_on = np.concatenate([np.full(round(length * unit * RATE), float(on)) for on, length in lengths])
    ramp = np.hanning(round(2 * RAMP * RATE))
    envelope = np.convolve(is_on, ramp / ramp.sum(), mode="same")
    tone = np.sin(2 * np.pi * draw.uniform(500, 900) / RATE * np.arange(len(is_on)))
    noise = draw.normal(0, draw.uniform(0.002, 0.02), len(is_on))
    return (draw.uniform(0.3, 0.7) * envelope * tone + noise).astype(np.float32)


DEMONSTRATIONS = (
    Demonstration(
        name="morse",
        origin="made",
        about="words in Morse code, of varied speed, pitch and noise.",
        write=write_messages,
        share=3.0,
        options={"units": "characters", "bidirectional": False},
    ),
)
