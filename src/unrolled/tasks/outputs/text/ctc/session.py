"""Sound as it comes: words as soon as nothing to come can change them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from unrolled.data.sound.files import Samples, as_samples, checked_rate
from unrolled.data.sound.resampling import Resampler, ResamplerState
from unrolled.decoding.ctc import Emission, GreedyState, finish_greedily, read_greedily
from unrolled.errors import ArgumentError, StateError
from unrolled.layers import Session, StackedFrames, StreamState
from unrolled.networks import SyncedNetwork
from unrolled.tasks.inputs.sound.encode import SpeechEncoders
from unrolled.tasks.outputs.text.ctc_results import Transcript, Word, gathered_words

if TYPE_CHECKING:
    from unrolled.tasks.core.fitted import Fitted


class TranscriptSession(Session):
    """A stream of sound through a model of one direction. Pushing in pieces, or whole, leads to the same words.

    What is heard is read greedily, so that a word stands once it is over: `predict(…, beam_size=1)` says the same of
    the whole. The state is of fixed size; only the words themselves add up.

    Args:
        model: a `transcribe` model.

    Raises:
        ArgumentError: the model needs the whole sound.

    >>> session = model.stream()                                  # doctest: +SKIP
    >>> for block in microphone:                                  # doctest: +SKIP
    ...     print(*session.push(block, rate=48_000))
    """

    def __init__(self, model: Fitted) -> None:
        network = model.network
        encoders: SpeechEncoders = model.encoders
        if not isinstance(network, SyncedNetwork) or not isinstance(network.inputs, StackedFrames):
            raise ArgumentError("stream: this model's network can't be streamed")
        if network.hidden.bidirectional or encoders.per_utterance:
            why = "hears sound in both directions" if network.hidden.bidirectional else "standardises whole utterances"
            way_out = "--no-bidirectional" if network.hidden.bidirectional else "--no-per-utterance"
            raise ArgumentError(f"stream: this model {why}; train one with {way_out}")
        self._model, self._encoders = model, encoders
        self._network, self._inputs = network, network.inputs
        self._device = next(network.parameters()).device
        self.reset()

    def reset(self) -> TranscriptSession:
        """Begin again, with nothing heard."""
        self._resampler: Resampler | None = None
        self._resampling: ResamplerState | None = None
        self._tail: Samples = np.zeros(0, np.float32)
        self._held: Tensor | None = None
        self._state: Any = None
        self._greedy = GreedyState()
        self._open: tuple[Emission, ...] = ()
        self._words: tuple[Word, ...] = ()
        self._samples, self._over = 0, False
        return self

    @property
    def words(self) -> tuple[Word, ...]:
        """All words so far."""
        return self._words

    @property
    def seconds(self) -> float:
        """How much was heard."""
        return 0.0 if self._resampler is None else self._samples / self._resampler.rate

    def push(self, samples: ArrayLike, rate: int | None = None) -> list[Word]:
        """Hear more.

        Args:
            samples: (N,) or (N, channels), floating point from −1 to 1 or signed integers.
            rate: samples a second, Hz; by default the model's own. It stays the same through a stream.

        Returns:
            The words that are over by now.

        Raises:
            ArgumentError, ShapeError: no samples, another rate than before, or a stream that was finished.
        """
        if self._over:
            raise ArgumentError("session: it was finished; reset() begins another")
        rate = checked_rate(rate or self._encoders.mel.rate)
        if self._resampler is None:
            self._resampler = Resampler(rate, self._encoders.mel.rate)
        if rate != self._resampler.rate:
            raise ArgumentError(f"rate: the stream began with {self._resampler.rate} Hz, found {rate}")
        mono = as_samples(samples)
        self._samples += len(mono)
        heard, self._resampling = self._resampler.push(mono, self._resampling or self._resampler.start())
        return self._hear(heard, last=False)

    def finish(self) -> list[Word]:
        """Say that no more comes; the words that were left."""
        if self._over:
            return []
        if self._resampler is None:
            self._over = True
            return []
        rest = self._resampler.finish(self._resampling or self._resampler.start())
        found = self._hear(rest, last=True)
        self._over = True
        return found

    def transcript(self) -> Transcript:
        """What was said if it ends here; the stream itself goes on."""
        twin = self.fork()
        twin.finish()
        text = " ".join(word.text for word in twin.words)
        return Transcript(text, twin.words, None, None, (), self.seconds)

    @property
    def state(self) -> StreamState:
        """The stream so far, to be saved; bound to this model."""
        resampling = self._resampling
        arrays = [self._tail] if resampling is None else [self._tail, resampling.tail]
        tensors = (self._state, self._held, tuple(torch.from_numpy(a.copy()) for a in arrays))
        extra = {
            "rate": None if self._resampler is None else self._resampler.rate,
            "resampled": None if resampling is None else [resampling.read, resampling.written],
            "reading": None if self._greedy.open is None else list(self._greedy.open),
            "open": [list(emission) for emission in self._open],
            "words": [word.as_json() for word in self._words],
            "samples": self._samples,
            "over": self._over,
        }
        return StreamState(tensors, self._greedy.step, self._model.fingerprint, extra)

    @property
    def fingerprint(self) -> str:
        """Of the model."""
        return self._model.fingerprint

    def resume(self, saved: StreamState) -> TranscriptSession:
        """Go on from a state of this model.

        Raises:
            StateError: it is not of such a stream.
        """
        extra = saved.extra
        try:
            self._state, self._held, arrays = saved.tensors
            self._tail = arrays[0].numpy()
            self._resampler = None if extra["rate"] is None else Resampler(extra["rate"], self._encoders.mel.rate)
            done = extra["resampled"]
            self._resampling = None if done is None else ResamplerState(arrays[1].numpy(), *done)
            self._greedy = GreedyState(
                saved.position, None if extra["reading"] is None else Emission(*extra["reading"])
            )
            self._open = tuple(Emission(*emission) for emission in extra["open"])
            self._words = tuple(Word(**word) for word in extra["words"])
            self._samples, self._over = extra["samples"], extra["over"]
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise StateError(f"not the state of a stream of sound ({error})") from error
        return self

    def _hear(self, samples: Samples, *, last: bool) -> list[Word]:
        frames, self._tail = self._encoders.mel.push(samples, self._tail)
        with torch.no_grad():
            given = torch.from_numpy(frames).unsqueeze(1).to(self._device)
            x, self._held = self._inputs.push(given, self._held, last=last)
            emissions: list[Emission] = []
            if len(x):
                h, self._state = self._network.hidden(x, self._state)
                log_probs = self._network.output(h)[:, 0].float().log_softmax(-1).cpu().numpy()
                emissions, self._greedy = read_greedily(log_probs, self._greedy)
        if last:
            emissions = [*emissions, *finish_greedily(self._greedy)]
        found, rest = gathered_words((*self._open, *emissions), self._encoders, is_over=last)
        self._open, self._words = tuple(rest), (*self._words, *found)
        return found
