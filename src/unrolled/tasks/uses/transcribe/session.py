"""Sound as it comes, and what was said in it."""

from __future__ import annotations

from typing import Any, cast

from numpy.typing import ArrayLike

from unrolled.layers import StreamState
from unrolled.tasks.core.results import result_type
from unrolled.tasks.inputs.sound.stream import SoundStream
from unrolled.tasks.outputs.text.ctc.results import SpelledWord, Transcript
from unrolled.tasks.outputs.text.ctc.session import CTCSession


class TranscriptSession(CTCSession[Any]):
    """A stream of sound through a model of one direction. Pushing in pieces, or whole, leads to the same words.

    >>> session = model.stream()                                  # doctest: +SKIP
    >>> for block in microphone:                                  # doctest: +SKIP
    ...     print(*session.push(block, rate=48_000))
    """

    def push(self, samples: ArrayLike | tuple[ArrayLike, int | None], rate: int | None = None) -> list[SpelledWord]:
        """Hear more.

        Args:
            samples: (N,) or (N, channels), floating point from −1 to 1 or signed integers; or a pair of such and their
                rate.
            rate: samples a second, Hz; by default the model's own. It stays the same through a stream.

        Returns:
            The words that are over by now.

        Raises:
            ArgumentError, ShapeError: no samples, another rate than before, or a stream that was finished.
        """
        return super().push(samples if isinstance(samples, tuple) else (samples, rate))

    @property
    def seconds(self) -> float:
        """How much was heard."""
        return cast(SoundStream, self.steps).seconds

    def transcript(self) -> Transcript:
        """Return what was said if it ends here; the stream itself goes on."""
        result: Any = result_type(self._model.input.Shown, Transcript)
        return result(**dict(super().transcript()), seconds=self.seconds)

    def resume(self, saved: StreamState) -> TranscriptSession:
        """Take up a state of this model; one of version 0.1 has the parts of the sound in another order."""
        if isinstance(saved.tensors, (tuple, list)) and len(saved.tensors) == 3:
            state, held, arrays = saved.tensors
            fresh = self._begin
            held = fresh.tensors[0] if held is None else held
            state = self._network.start(1) if state is None else state
            extra = {**saved.extra, "steps": saved.position, "read": saved.extra.get("samples")}
            saved = StreamState((state, (held, *arrays)), saved.position, saved.model, extra)
        return super().resume(saved)
