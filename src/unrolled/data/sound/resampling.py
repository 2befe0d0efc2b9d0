"""Sound at one rate to sound at another, whole or piece by piece with the same result.

Not soxr: the state of its streams can't be saved, and a stream of this package can be interrupted anywhere.
"""

from __future__ import annotations

import math
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from unrolled.data.sound.files import Samples, Sound, checked_rate

#: zero crossings of the sinc on each side: the transition band is a twentieth of the band
ZEROS = 32
#: share of the band below half the lower rate that is kept
ROLLOFF = 0.95
#: of the Kaiser window: −90 dB beside the band
BETA = 9.0
#: outputs that are computed at a time, so that hours take bounded memory
BLOCK = 1 << 15


class ResamplerState(NamedTuple):
    """The position of a stream; immutable, like every state here.

    Attributes:
        tail: the last samples read, which later outputs still need.
        read: samples read.
        written: samples returned.
    """

    tail: Samples
    read: int
    written: int


class Resampler:
    """Band-limited interpolation by a windowed sinc, polyphase.

    Output n is the sound at second n / `to`: y_n = Σ_k x_k h(n · from / to − k), with h a sinc cut off at ROLLOFF times
    half the lower rate, under a Kaiser window, scaled so that a constant stays one. Beyond its ends a sound is 0.

    Args:
        rate: samples a second that come in, Hz.
        to: samples a second that go out, Hz.

    Raises:
        ArgumentError: a rate out of range.

    Source: Crochiere & Rabiner 1983, Multirate Digital Signal Processing; Smith, Digital Audio Resampling, ccrma.
    """

    def __init__(self, rate: int, to: int) -> None:
        self.rate, self.to = checked_rate(rate), checked_rate(to)
        common = math.gcd(self.rate, self.to)
        # output n lies at the input position n · down / up
        self._up, self._down = self.to // common, self.rate // common
        self._cutoff = ROLLOFF * min(1.0, self.to / self.rate)
        self._half = math.ceil(ZEROS / self._cutoff)

    def __call__(self, samples: Samples) -> Samples:
        """Resample a whole sound, (N,) → (⌈N · to / from⌉,)."""
        out, state = self.push(samples, self.start())
        return np.concatenate([out, self.finish(state)])

    def start(self) -> ResamplerState:
        """Return the state before the first sample."""
        return ResamplerState(np.zeros(0 if self.rate == self.to else self._half, np.float32), 0, 0)

    def push(self, samples: Samples, state: ResamplerState) -> tuple[Samples, ResamplerState]:
        """Read more samples; return the outputs that they complete, and the new state."""
        samples = np.asarray(samples, np.float32)
        read = state.read + len(samples)
        if self.rate == self.to:
            return samples, ResamplerState(state.tail, read, read)
        # the last input that output n needs is floor(n · down / up) + half
        ready = max(state.written, -(-(read - self._half) * self._up // self._down))
        return self._advance(samples, state, read, ready)

    def finish(self, state: ResamplerState) -> Samples:
        """Return the rest of the outputs at the end of a sound."""
        if self.rate == self.to:
            return np.zeros(0, np.float32)
        silence = np.zeros(self._half + 1, np.float32)
        last = -(-state.read * self._up // self._down)
        return self._advance(silence, state, state.read + len(silence), last)[0]

    def _advance(
        self, samples: Samples, state: ResamplerState, read: int, ready: int
    ) -> tuple[Samples, ResamplerState]:
        # position of the first sample of `held` in the input; the silence before the sound is part of it
        held = np.concatenate([state.tail, samples])
        origin = read - len(held)
        blocks = []
        for at in range(state.written, ready, BLOCK):
            n = np.arange(at, min(ready, at + BLOCK), dtype=np.int64)
            base, phase = np.divmod(n * self._down, self._up)
            windows = np.lib.stride_tricks.sliding_window_view(held, 2 * self._half)[base - origin - self._half + 1]
            blocks.append(np.einsum("nk,nk->n", windows, self._phases[phase], dtype=np.float64).astype(np.float32))
        needed = ready * self._down // self._up - self._half + 1
        tail = held[max(0, needed - origin) :].copy()
        return np.concatenate([np.zeros(0, np.float32), *blocks]), ResamplerState(tail, read, ready)

    @cached_property
    def _phases(self) -> NDArray[np.float64]:
        """The filter's values, a row for each fraction that an output can lie behind an input, (up, 2 · half)."""
        offsets = np.arange(-self._half + 1, self._half + 1)
        t = np.arange(self._up)[:, None] / self._up - offsets
        inside = np.clip(1 - (t / self._half) ** 2, 0, None)
        values = np.sinc(self._cutoff * t) * np.i0(BETA * np.sqrt(inside)) * (inside > 0)
        return values / values.sum(axis=1, keepdims=True)


def resampled(sound: Sound, rate: int) -> Sound:
    """Return a sound at another rate."""
    return sound if sound.rate == rate else Sound(Resampler(sound.rate, rate)(sound.samples), rate)
