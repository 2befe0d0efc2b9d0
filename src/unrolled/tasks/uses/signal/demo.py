"""Plucked strings, and what a simulated tube stage makes of them, to learn the stage."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from unrolled.data.sound.files import Sound, wav
from unrolled.tasks.core.contract.demonstration import Demonstration, write_files
from unrolled.tasks.core.values import Sources

RATE, SECONDS, RECORDINGS = 8000, 0.5, 24

Samples = NDArray[np.float64]


def plucked(seconds: float, rate: int, draw: np.random.Generator) -> Samples:
    """Return strings that are plucked four times a second, each note of its own pitch and loudness, (N,)."""
    signal = np.zeros(round(seconds * rate))
    t = np.arange(rate // 2) / rate
    for at in range(0, len(signal), rate // 4):
        pitch = 82.4 * 2 ** (draw.integers(0, 30) / 12)
        partials = [np.sin(2 * np.pi * pitch * n * t) / n for n in range(1, 6)]
        note = draw.uniform(0.1, 0.5) * np.exp(-6 * t) * np.sum(partials, axis=0)
        end = min(len(signal), at + len(t))
        signal[at:end] += note[: end - at]
    return signal / 2


def tube_stage(x: Samples, rate: int) -> Samples:
    """Return what a simulated stage makes of a signal, (N,): it has a memory, and bends both halves differently.

    u = 8 x − bias, a = tanh u above 0 and 0.7 tanh 1.3 u below; the bias follows a with a time constant of 30 ms, then
    come a high-pass at 40 Hz and a low-pass at 0.15 of the rate, each of first order.
    """
    bias = low = out = 0.0
    slow, high = 1 - np.exp(-1 / (0.03 * rate)), 1 - np.exp(-2 * np.pi * 40 / rate)
    quick = 1 - np.exp(-2 * np.pi * 0.15)
    y = np.zeros_like(x)
    for n, value in enumerate(x.tolist()):
        u = 8 * value - bias
        a = np.tanh(u) if u > 0 else 0.7 * np.tanh(1.3 * u)
        bias += slow * (0.8 * max(a, 0.0) - bias)
        low += high * (a - low)
        out += quick * (a - low - out)
        y[n] = 0.6 * out
    return y


def write_recordings(folder: Path) -> Sources:
    """Write a folder of strings, and one of what the stage makes of them."""
    draw = np.random.default_rng(0)
    signals = [plucked(SECONDS, RATE, draw) for _ in range(RECORDINGS)]
    for name, made in (("strings", signals), ("stage", [tube_stage(signal, RATE) for signal in signals])):
        files = ((f"{n:02}.wav", wav(Sound(signal.astype(np.float32), RATE))) for n, signal in enumerate(made))
        write_files(folder / name, files)
    return Sources((folder / "strings", folder / "stage"))


DEMONSTRATIONS = (
    Demonstration(
        name="stage",
        origin="made",
        about="plucked strings, and what a simulated tube stage makes of them.",
        write=write_recordings,
        share=1.0,
        options={"loss": "esr"},
    ),
)
