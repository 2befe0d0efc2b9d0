"""Sound as it comes, in pieces of any length and at any rate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from unrolled.data.sound.files import Samples, as_samples, checked_rate
from unrolled.data.sound.resampling import Resampler, ResamplerState
from unrolled.errors import ArgumentError, StateError
from unrolled.layers import StackedFrames
from unrolled.tasks.core.stream import Step, StepStream
from unrolled.tasks.inputs.sound.format import SoundFormat
from unrolled.types import Json


class SoundStream(StepStream[ArrayLike | tuple[ArrayLike, int | None]]):
    """Turns samples into steps. Carries what the resampler, the next frame and the next step still need.

    Args:
        format: what the network hears.
        layer: of the network, which stacks frames.

    Raises:
        ArgumentError: frames are standardised by the whole utterance.
    """

    def __init__(self, format: SoundFormat, layer: StackedFrames) -> None:
        if format.per_utterance:
            raise ArgumentError("stream: this model standardises whole utterances; train one with --no-per-utterance")
        self._format, self._layer = format, layer
        self._resampler: Resampler | None = None
        self._resampling: ResamplerState | None = None
        self._tail: Samples = np.zeros(0, np.float32)
        self._held = layer.linear.weight.new_zeros(layer.stack.left, 1, layer.stack.features).detach()
        self._samples = self._steps = 0

    @property
    def position(self) -> int:
        """Samples that were pushed."""
        return self._samples

    @property
    def seconds(self) -> float:
        """How much was pushed."""
        return 0.0 if self._resampler is None else self._samples / self._resampler.rate

    def push(self, piece: ArrayLike | tuple[ArrayLike, int | None]) -> list[Step]:
        """Hear more.

        Args:
            piece: (N,) or (N, channels), floating point from −1 to 1 or signed integers; or a pair of such and their
                rate, Hz, by default the model's own. It stays the same through a stream.

        Raises:
            ArgumentError, ShapeError: no samples, or another rate than before.
        """
        samples, rate = piece if isinstance(piece, tuple) else (piece, None)
        own = self._format.mel.rate
        rate = checked_rate(rate or own)
        if self._resampler is None:
            self._resampler = Resampler(rate, own)
        if rate != self._resampler.rate:
            raise ArgumentError(f"rate: the stream began with {self._resampler.rate} Hz, found {rate}")
        mono = as_samples(samples)
        self._samples += len(mono)
        heard, self._resampling = self._resampler.push(mono, self._resampling or self._resampler.start())
        return self._hear(heard, last=False)

    def finish(self) -> list[Step]:
        """Return the steps that are left."""
        if self._resampler is None:
            return []
        return self._hear(self._resampler.finish(self._resampling or self._resampler.start()), last=True)

    def _hear(self, samples: Samples, *, last: bool) -> list[Step]:
        frames, self._tail = self._format.mel.push(samples, self._tail)
        given = torch.from_numpy(frames).unsqueeze(1).to(self._held.device)
        with torch.no_grad():
            windows, self._held = self._layer.windows(given, self._held, last=last)
        first, length = self._steps, self._format.stride * self._format.mel.step
        self._steps += len(windows)
        return [Step(x, self._format.step_name(n), n * length, (n + 1) * length) for n, x in enumerate(windows, first)]

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """Frames of the next step; samples of the next frame; samples that the resampler needs, if one is at work."""
        arrays = [self._tail] if self._resampling is None else [self._tail, self._resampling.tail]
        return self._held, *(torch.from_numpy(array.copy()) for array in arrays)

    @property
    def extra(self) -> Json:
        """The rate, and how far the stream is."""
        return {
            "rate": None if self._resampler is None else self._resampler.rate,
            "resampled": None if self._resampling is None else [self._resampling.read, self._resampling.written],
            "samples": self._samples,
            "steps": self._steps,
        }

    def resume(self, position: int, tensors: Sequence[Tensor], extra: Json) -> None:
        """Take up what was carried."""
        try:
            held, tail, *more = tensors
            rate, done = extra["rate"], extra["resampled"]
            resampling: Any = None if done is None else ResamplerState(more[0].numpy(), *done)
            self._resampler = None if rate is None else Resampler(rate, self._format.mel.rate)
            self._held, self._tail, self._resampling = held.to(self._held.device), tail.numpy(), resampling
            self._samples, self._steps = int(extra["samples"]), int(extra["steps"])
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise StateError(f"not the state of a stream of sound ({error})") from error
