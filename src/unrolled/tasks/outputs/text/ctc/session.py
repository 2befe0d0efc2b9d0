"""An input in progress: words as soon as nothing to come can change them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import torch

from unrolled.decoding.ctc import Emission, GreedyState, finish_greedily, read_greedily
from unrolled.errors import ArgumentError, StateError
from unrolled.networks import SyncedNetwork
from unrolled.tasks.core.fitted import AnyFitted
from unrolled.tasks.core.session import StepSession
from unrolled.tasks.core.stream import Step, StepStream
from unrolled.tasks.outputs.text.ctc.results import SpelledWord, Transcript, gathered_words
from unrolled.types import Json

P = TypeVar("P")


class CTCSession(StepSession[P]):
    """A stream of one input through a model of one direction. Pushed in pieces, or whole, it comes to the same words.

    The input is read greedily, so that a word stands once it is over: `predict(…, beam_size=1)` says the same of the
    whole. The state is of fixed size; only the words themselves add up.

    Args:
        model: whose output is spelled by CTC.
        steps: what turns pieces into steps.

    Raises:
        ArgumentError: the model reads from both ends.
    """

    #: the unit that is being said; the units of the word that is not over; the words that are
    _reading: Emission | None
    _open: tuple[Emission, ...]
    _words: tuple[SpelledWord, ...]
    _over: bool

    def __init__(self, model: AnyFitted, steps: StepStream[P]) -> None:
        if not isinstance(model.network, SyncedNetwork) or model.network.hidden.bidirectional:
            raise ArgumentError("stream: this model reads in both directions; train one with --no-bidirectional")
        super().__init__(model, steps)

    @property
    def words(self) -> tuple[SpelledWord, ...]:
        """All words so far."""
        return self._words

    def push(self, piece: P) -> list[SpelledWord]:
        """Read more; returns the words that are over by now.

        Raises:
            ArgumentError: the stream was finished; or as the input says of a piece.
        """
        if self._over:
            raise ArgumentError("session: it was finished; reset() begins another")
        return self._read(self._steps.push(piece))

    def finish(self) -> list[SpelledWord]:
        """Read what is pending, as the input's end has come; returns the words that were left."""
        if self._over:
            return []
        words = self._read(self._steps.finish())
        self._over = True
        return words + self._gathered(finish_greedily(GreedyState(self._position, self._reading)))

    def transcript(self) -> Transcript:
        """Return what the model would say if the input ended here; the stream itself goes on."""
        twin = self.fork()
        twin.finish()
        return Transcript(text=" ".join(word.text for word in twin.words), words=twin.words)

    def _read(self, steps: Sequence[Step]) -> list[SpelledWord]:
        if not steps:
            return []
        before = GreedyState(self._position, self._reading)
        log_probs = torch.cat([self._step(step) for step in steps]).float().log_softmax(-1).cpu().numpy()
        emissions, state = read_greedily(log_probs, before)
        self._reading = state.open
        return self._gathered(emissions)

    def _gathered(self, emissions: Sequence[Emission]) -> list[SpelledWord]:
        """Return the words that are over with these units, after those of the word that is not."""
        spelling, step_size = self._model.output.spelling, self._model.input.step_size
        words, rest = gathered_words((*self._open, *emissions), spelling, step_size, is_over=self._over)
        self._open, self._words = tuple(rest), (*self._words, *words)
        return words

    @property
    def _carried(self) -> Json:
        return {
            "reading": None if self._reading is None else list(self._reading),
            "open": [list(emission) for emission in self._open],
            "words": [word.as_json() for word in self._words],
            "over": self._over,
        }

    def _carry(self, carried: Json) -> None:
        try:
            reading = carried.get("reading")
            self._reading = None if reading is None else Emission(*reading)
            self._open = tuple(Emission(*emission) for emission in carried.get("open", ()))
            self._words = tuple(SpelledWord(**word) for word in carried.get("words", ()))
            self._over = bool(carried.get("over", False))
        except (TypeError, ValueError) as error:
            raise StateError(f"not the state of a stream of words ({error})") from error
