"""An input in progress: words as soon as nothing to come can change them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Generic, TypeVar

import torch

from unrolled.decoding.ctc import Emission, GreedyState, finish_greedily, read_greedily
from unrolled.errors import ArgumentError, StateError
from unrolled.layers import Session, StreamState
from unrolled.networks import SyncedNetwork
from unrolled.tasks.core.fitted import AnyFitted
from unrolled.tasks.core.stream import Step, StepStream
from unrolled.tasks.outputs.text.ctc.results import Transcript, Word, gathered_words

P = TypeVar("P")
S = TypeVar("S", bound="CTCSession[Any]")


class CTCSession(Session, Generic[P]):
    """A stream of one input through a model of one direction. Pushed in pieces, or whole, it comes to the same words.

    The input is read greedily, so that a word stands once it is over: `predict(…, beam_size=1)` says the same of the
    whole. The state is of fixed size; only the words themselves add up.

    Args:
        model: whose output is spelled by CTC.
        steps: what turns pieces into steps.

    Raises:
        ArgumentError: the model reads from both ends.
    """

    def __init__(self, model: AnyFitted, steps: StepStream[P]) -> None:
        network = model.network
        if not isinstance(network, SyncedNetwork) or network.hidden.bidirectional:
            raise ArgumentError("stream: this model reads in both directions; train one with --no-bidirectional")
        self._model, self._network = model, network
        self._begin = steps.fork()
        self.reset()

    def reset(self: S) -> S:
        """Begin a new input."""
        self._state: Any = self._network.start(1)
        self._steps = self._begin.fork()
        self._greedy = GreedyState()
        self._open: tuple[Emission, ...] = ()
        self._words: tuple[Word, ...] = ()
        self._over = False
        return self

    def fork(self: S) -> S:
        """Return a second session that goes on from here; what is pushed to one does not reach the other."""
        twin = super().fork()
        twin._steps = self._steps.fork()
        return twin

    @property
    def steps(self) -> StepStream[P]:
        """What turns pieces into steps."""
        return self._steps

    @property
    def position(self) -> int:
        """Steps that were read."""
        return self._greedy.step

    @property
    def words(self) -> tuple[Word, ...]:
        """All words so far."""
        return self._words

    def push(self, piece: P) -> list[Word]:
        """Read more; returns the words that are over by now.

        Raises:
            ArgumentError: the stream was finished; or as the input says of a piece.
        """
        if self._over:
            raise ArgumentError("session: it was finished; reset() begins another")
        return self._read(self._steps.push(piece))

    def finish(self) -> list[Word]:
        """Read what is pending, as the input's end has come; returns the words that were left."""
        if self._over:
            return []
        words = self._read(self._steps.finish())
        self._over = True
        return words + self._gathered(finish_greedily(self._greedy), is_over=True)

    def transcript(self) -> Transcript:
        """Return what the model would say if the input ended here; the stream itself goes on."""
        twin = self.fork()
        twin.finish()
        return Transcript(text=" ".join(word.text for word in twin.words), words=twin.words)

    def _read(self, steps: Sequence[Step]) -> list[Word]:
        if not steps:
            return []
        rows = []
        for step in steps:
            x: Any = step.x
            logits, self._state = self._network.step(x, self._state)
            rows.append(logits)
        log_probs = torch.cat(rows).float().log_softmax(-1).cpu().numpy()
        emissions, self._greedy = read_greedily(log_probs, self._greedy)
        return self._gathered(emissions, is_over=False)

    def _gathered(self, emissions: Sequence[Emission], *, is_over: bool) -> list[Word]:
        spelling, step_size = self._model.output.spelling, self._model.input.step_size
        words, rest = gathered_words((*self._open, *emissions), spelling, step_size, is_over=is_over)
        self._open, self._words = tuple(rest), (*self._words, *words)
        return words

    @property
    def state(self) -> StreamState:
        """The stream so far, to be saved; bound to this model."""
        extra = {
            "reading": None if self._greedy.open is None else list(self._greedy.open),
            "open": [list(emission) for emission in self._open],
            "words": [word.as_json() for word in self._words],
            "over": self._over,
            "read": self._steps.position,
            **self._steps.extra,
        }
        return StreamState((self._state, self._steps.tensors), self._greedy.step, self._model.fingerprint, extra)

    @property
    def fingerprint(self) -> str:
        """Of the model."""
        return self._model.fingerprint

    def resume(self: S, saved: StreamState) -> S:
        """Take up a state of this model.

        Raises:
            StateError: it is not of such a stream.
        """
        extra = saved.extra
        try:
            state, tensors = saved.tensors
            reading = None if extra["reading"] is None else Emission(*extra["reading"])
            self._greedy = GreedyState(saved.position, reading)
            self._open = tuple(Emission(*emission) for emission in extra["open"])
            self._words = tuple(Word(**word) for word in extra["words"])
            self._over, position = bool(extra["over"]), int(extra["read"])
        except (KeyError, TypeError, ValueError) as error:
            raise StateError(f"not the state of a stream of words ({error})") from error
        self._state = state
        self._steps = self._begin.fork()
        self._steps.resume(position, tuple(tensors), extra)
        return self
