"""A text in progress, and what class it seems to be of after each word."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from unrolled.data.text.words import Word, split_words
from unrolled.errors import ArgumentError, StateError
from unrolled.layers import Session, StreamState
from unrolled.networks import ManyToOneNetwork
from unrolled.tasks.core.examples import on_device
from unrolled.tasks.inputs.text.encode import ClassifyEncoders, collated, text_batch
from unrolled.tasks.outputs.label.decode import as_log_probabilities, logits_of, temperature_of
from unrolled.tasks.outputs.label.results import AfterWord, Classification, ranked

if TYPE_CHECKING:
    from unrolled.tasks.core.model import Model


class ClassifySession(Session):
    """A stream of text through a causal classifier. Pushed in pieces, or whole, it comes to the same result.

    A session is of fixed size however long the text: the state, and the characters of a word that what follows may
    still change. Unlike `predict`, it reads the whole of a text longer than `longest`.

    Args:
        model: a `classify` model of one direction.

    Raises:
        ArgumentError: the model reads from both ends.

    >>> session = model.stream()                        # doctest: +SKIP
    >>> [(after.word, after.label) for after in session.push("A film so bad ")]       # doctest: +SKIP
    [('A', 'pos'), ('film', 'pos'), ('so', 'pos'), ('bad', 'neg')]
    """

    def __init__(self, model: Model) -> None:
        network: ManyToOneNetwork = model.network  # type: ignore[assignment]
        if not network.is_causal:
            raise ArgumentError(
                "stream: this model reads texts from both ends, and has to read all of a text anew for each word "
                "(predict with words=True does); train one with --no-bidirectional"
            )
        self._model, self._network = model, network
        self._encoders: ClassifyEncoders = model.encoders
        self.reset()

    def reset(self) -> ClassifySession:
        """Begin a new text."""
        self._state: Any = self._network.start(1)
        self._pending, self._before, self._characters, self._position = "", "", 0, 0
        self._last: list[float] | None = None
        return self

    def push(self, text: str) -> list[AfterWord]:
        """Read more text, which may end within a word.

        Returns:
            What the model thinks after each word that is certain now: all before the last space.
        """
        pending = self._pending + text
        # no word reaches over a space
        settled = max((n for n, c in enumerate(pending, 1) if c.isspace()), default=0)
        self._pending = pending[settled:]
        return self._read_all(pending[:settled])

    @property
    def settled(self) -> int:
        """Characters whose words are certain; the words of those after them may still change."""
        return self._characters

    def finish(self) -> list[AfterWord]:
        """Read what is pending, as its end has come."""
        pending, self._pending = self._pending, ""
        return self._read_all(pending)

    def prediction(self) -> Classification:
        """What the model would say if the text ended here; what is pending counts as a word, and stays pending."""
        twin = self.fork()
        twin.finish()
        labels = self._encoders.labels
        found = ranked(labels, twin._last if twin._last is not None else twin._unread())
        label = next(iter(found))
        return Classification("", label, found[label], found)

    def _unread(self) -> list[float]:
        """The probabilities before the first word, as for an empty text."""
        return self._probabilities(logits_of(self._network, [self._encoders.encode([])], self._encoders))

    def _probabilities(self, logits: Tensor) -> list[float]:
        found: list[float] = np.exp(as_log_probabilities(logits, temperature_of(self._model)))[0].tolist()
        return found

    def _read_all(self, text: str) -> list[AfterWord]:
        found = [self._read(word) for word in split_words(text)]
        self._characters += len(text)
        return found

    def _read(self, word: Word) -> AfterWord:
        encoded = self._encoders.encode([word.text], before=self._before)
        self._before = word.text
        data = collated([encoded], self._encoders.counts, 0.0, None)
        batch = text_batch(on_device(self._network, data))
        # one step of one row: (1, 1) → (1,)
        step = batch._replace(words=batch.words[0], vectors=batch.vectors[0], pairs=batch.pairs[0])
        logits, self._state = self._network.step(step, self._state)
        self._last = self._probabilities(logits)
        self._position += 1
        by_label = dict(zip(self._encoders.labels, self._last, strict=True))
        start = self._characters + word.start
        return AfterWord(word.text, start, start + len(word.text), by_label)

    @property
    def state(self) -> StreamState:
        """The stream so far, to be saved; bound to this model."""
        extra = {"pending": self._pending, "characters": self._characters, "last": self._last, "before": self._before}
        return StreamState(self._state, self._position, self._model.fingerprint, extra)

    @property
    def fingerprint(self) -> str:
        """Of the model."""
        return self._model.fingerprint

    def resume(self, saved: StreamState) -> ClassifySession:
        """Go on from a state of this model.

        Raises:
            StateError: it is not of such a stream.
        """
        last = saved.extra.get("last")
        if not (last is None or (isinstance(last, list) and len(last) == len(self._encoders.labels))):
            raise StateError(f"the saved state is damaged: {last!r}")
        self._state, self._position, self._last = saved.tensors, saved.position, last
        self._pending, self._characters = str(saved.extra.get("pending", "")), int(saved.extra.get("characters", 0))
        self._before = str(saved.extra.get("before", ""))
        return self
