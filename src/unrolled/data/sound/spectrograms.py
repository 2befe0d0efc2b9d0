"""Samples to log-mel frames, whole or piece by piece with the same result; and frames varied for training.

T frames, F mel bands, N samples. A frame describes a short window, and does not depend on later samples.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from unrolled.data.core.examples import Array
from unrolled.data.sound.files import Samples, checked_rate
from unrolled.errors import ArgumentError
from unrolled.types import Json

Frames = NDArray[np.float32]

#: added to a band's energy before the logarithm, so that silence is −13.8 and not −∞; of full scale, −60 dB or so
FLOOR = 1e-6
#: frames hidden in one piece at most: with more, short words would be hidden whole, and be asked for all the same
LONGEST_GAP = 10
#: frames that are computed at a time, so that hours take bounded memory
BLOCK = 4096


@dataclass(frozen=True)
class LogMel:
    """Logarithmic mel spectrogram.

    For each frame: the mean is taken off, x_n ← x_n − preemphasis · x_{n−1} (x_0 ← (1 − preemphasis) x_0), Hann window,
    power spectrum |FFT|² with as many points as the next power of two, triangles of equal width on HTK's mel scale,
    mel(f) = 2595 log10(1 + f / 700), and ln(energy + FLOOR). Frame t covers the samples from t · hop; there is no
    padding, and samples at the end that do not fill a window are left out.

    Args:
        rate: samples a second, Hz.
        bands: F.
        window, hop: seconds.
        low, high: the lowest and highest frequency, Hz; None is half the rate.
        preemphasis: 0 is none.

    Raises:
        ArgumentError: a value out of range, or so many bands that one would be empty.

    Source: Davis & Mermelstein 1980, doi:10.1109/TASSP.1980.1163420; the HTK Book, 5.4 and 5.6; frames as Kaldi's
    without `snip-edges=false`.

    >>> LogMel(16000, 64)(np.zeros(16000, np.float32)).shape
    (98, 64)
    """

    rate: int
    bands: int
    window: float = 0.025
    hop: float = 0.010
    low: float = 20.0
    high: float | None = None
    preemphasis: float = 0.97

    def __post_init__(self) -> None:
        checked_rate(self.rate)
        top = self.rate / 2 if self.high is None else self.high
        if not 0 <= self.low < top <= self.rate / 2:
            raise ArgumentError(f"low, high: expected 0 ≤ low < high ≤ {self.rate / 2:g} Hz, found {self.low}, {top}")
        if not 0 < self.hop <= self.window <= 0.2 or self.step < 1 or self.width < 2:
            raise ArgumentError(f"window, hop: expected 0 < hop ≤ window ≤ 0.2 s, found {self.window}, {self.hop}")
        if not 0 <= self.preemphasis < 1:
            raise ArgumentError(f"preemphasis: expected 0 to below 1, found {self.preemphasis}")
        if not 1 <= self.bands <= 256 or not (self.filters.sum(axis=0) > 0).all():
            raise ArgumentError(
                f"bands: {self.bands} between {self.low:g} and {top:g} Hz are too many for windows of {self.window:g} s"
            )

    @property
    def width(self) -> int:
        """Samples of a window."""
        return round(self.window * self.rate)

    @property
    def step(self) -> int:
        """Samples from one frame to the next."""
        return round(self.hop * self.rate)

    @property
    def points(self) -> int:
        """Points of the FFT."""
        return 1 << (self.width - 1).bit_length()

    def count(self, samples: int) -> int:
        """Return T, the number of frames of N samples."""
        return 0 if samples < self.width else 1 + (samples - self.width) // self.step

    def __call__(self, samples: Samples) -> Frames:
        """Transform a whole sound, (N,) → (T, F)."""
        blocks = [self._block(samples, at) for at in range(0, self.count(len(samples)), BLOCK)]
        return np.concatenate([np.zeros((0, self.bands), np.float32), *blocks])

    def push(self, samples: Samples, tail: Samples | None = None) -> tuple[Frames, Samples]:
        """Read more of a stream.

        Args:
            samples: the next ones.
            tail: returned by the last call; None at the start.

        Returns:
            The frames that are complete, and the samples that later ones need.
        """
        held = samples if tail is None else np.concatenate([tail, samples])
        frames = self(held)
        return frames, held[len(frames) * self.step :].copy()

    def _block(self, samples: Samples, first: int) -> Frames:
        begin = first * self.step
        count = min(BLOCK, self.count(len(samples)) - first)
        part = samples[begin : begin + (count - 1) * self.step + self.width]
        windows = np.lib.stride_tricks.sliding_window_view(part, self.width)[:: self.step].astype(np.float64)
        windows -= windows.mean(axis=1, keepdims=True)
        emphasised = windows * self.preemphasis
        windows[:, 1:] -= emphasised[:, :-1]
        windows[:, 0] -= emphasised[:, 0]
        power = np.abs(np.fft.rfft(windows * self._hann, self.points, axis=1)) ** 2
        return np.log(power @ self.filters + FLOOR).astype(np.float32)

    @cached_property
    def _hann(self) -> NDArray[np.float64]:
        return 0.5 - 0.5 * np.cos(2 * math.pi * np.arange(self.width) / self.width)

    @cached_property
    def filters(self) -> NDArray[np.float64]:
        """The triangles, (points / 2 + 1, F)."""
        top = self.rate / 2 if self.high is None else self.high
        edges = np.linspace(mel(self.low), mel(top), self.bands + 2)
        at = mel(np.arange(self.points // 2 + 1) * self.rate / self.points)[:, None]
        rising = (at - edges[:-2]) / (edges[1:-1] - edges[:-2])
        falling = (edges[2:] - at) / (edges[2:] - edges[1:-1])
        return np.clip(np.minimum(rising, falling), 0, None)

    def bands_at(self, factor: float) -> NDArray[np.float64]:
        """Return where in the bands (from 0, between them too) the content of each was before a change of pitch."""
        top = self.rate / 2 if self.high is None else self.high
        edges = np.linspace(mel(self.low), mel(top), self.bands + 2)
        before = mel(700.0 * (10.0 ** (edges[1:-1] / 2595.0) - 1.0) / factor)
        return np.clip((before - edges[1]) / (edges[1] - edges[0]), 0, self.bands - 1)

    def as_json(self) -> Json:
        """Return the settings, for `LogMel(**settings)`."""
        names = ("rate", "bands", "window", "hop", "low", "high", "preemphasis")
        return {name: getattr(self, name) for name in names}


def mel(frequency: ArrayLike) -> NDArray[np.float64]:
    """Return HTK's mel scale of frequencies in Hz.

    >>> round(float(mel(1000.0)))
    1000
    """
    return np.asarray(2595.0 * np.log10(1.0 + np.asarray(frequency, dtype=np.float64) / 700.0))


@dataclass(frozen=True)
class Variation:
    """The augmentation of frames while training; drawn anew for each example, so that no two epochs are alike.

    Attributes:
        speed: the sound is played up to this share slower or faster, pitch and all.
        gain: standard deviation of the loudness, dB.
        noise: probability that noise is added, whose level is drawn from 30 to 5 dB below the sound's mean.
        time: share of the frames that is hidden at most, in pieces of `LONGEST_GAP` or less.
        band: share of the bands that is hidden at most by each of `bands` pieces.

    Source: speed, Ko et al. 2015, doi:10.21437/Interspeech.2015-711 (here on frames, whose axes are stretched); hiding,
    SpecAugment, Park et al. 2019, arXiv 1904.08779.
    """

    speed: float = 0.1
    gain: float = 6.0
    noise: float = 0.0
    time: float = 0.2
    band: float = 0.2
    bands: int = 2


def varied(
    frames: Frames,
    scale: LogMel,
    variation: Variation,
    draw: np.random.Generator,
    blank: Array,
    least: int = 1,
) -> Frames:
    """Return a variation of frames (T, F), of shape (T', F).

    Args:
        frames: not modified.
        scale: the transform that made them.
        variation: the amounts.
        draw: the generator.
        blank: (F,) values of hidden frames: the mean over the training data.
        least: the least T', e.g. the length of the transcript.
    """
    frames = _at_speed(frames, scale, variation.speed, draw, least)
    shift = draw.normal() * variation.gain * math.log(10) / 10
    frames = frames + np.float32(np.clip(shift, -4, 4))
    if variation.noise and draw.random() < variation.noise:
        below = draw.uniform(5, 30) * math.log(10) / 10
        # tilted at random between white and as the sound itself on average
        colour = draw.random() * (frames.mean(axis=0) - frames.mean())
        level = frames.mean() - below + colour + draw.normal(0, 1, frames.shape) * 0.7
        frames = np.logaddexp(frames, level).astype(np.float32)
    frames = np.maximum(frames, np.float32(math.log(FLOOR)))
    length, width = frames.shape
    for _ in range(variation.bands):
        size = int(draw.integers(0, int(variation.band * width) + 1))
        at = int(draw.integers(0, width - size + 1))
        frames[:, at : at + size] = blank[at : at + size]
    hidden = int(draw.integers(0, int(variation.time * length) + 1))
    while hidden:
        size = int(draw.integers(1, min(hidden, LONGEST_GAP) + 1))
        at = int(draw.integers(0, length - size + 1))
        frames[at : at + size] = blank
        hidden -= size
    return frames


def _at_speed(frames: Frames, scale: LogMel, most: float, draw: np.random.Generator, least: int) -> Frames:
    """Played faster by a factor: frames come sooner, and what was at one frequency is higher by the same factor."""
    factor = math.exp(draw.uniform(-1, 1) * math.log1p(most))
    length, width = frames.shape
    count = max(min(length, least), round(length / factor))
    at = np.minimum(np.arange(count) * (length / count), length - 1)
    before = at.astype(np.int64)
    part = (at - before).astype(np.float32)[:, None]
    frames = frames[before] * (1 - part) + frames[np.minimum(before + 1, length - 1)] * part
    moved = scale.bands_at(factor)
    low = moved.astype(np.int64)
    share = (moved - low).astype(np.float32)
    return np.asarray(frames[:, low] * (1 - share) + frames[:, np.minimum(low + 1, width - 1)] * share)
