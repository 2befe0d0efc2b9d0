"""A text in progress whose tokens are labelled as they come."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from unrolled.data.text.words import split_words
from unrolled.errors import ArgumentError, StateError
from unrolled.layers import Session, StreamState
from unrolled.networks.tagging import TaggingNetwork
from unrolled.tasks.inputs.words.collate import Noise, collated, word_batch
from unrolled.tasks.inputs.words.encode import TagEncoders
from unrolled.tasks.uses.tag.decode import EAGERNESS, less_outside, untagged
from unrolled.tasks.uses.tag.results import TaggedToken

if TYPE_CHECKING:
    from unrolled.tasks.core.fitted import Fitted


class TagSession(Session):
    """A stream of text through a causal tagger. Pushed in pieces, or whole, it gets the same labels.

    A session is of fixed size however long the text: the state, the last label, and the characters of a word that what
    follows may still change.

    Args:
        model: a `tag` model of one direction and independent labels.

    Raises:
        ArgumentError: the model looks ahead.

    >>> session = model.stream()                        # doctest: +SKIP
    >>> [(t.text, t.label) for t in session.push("I live in Rome ")]       # doctest: +SKIP
    [('I', 'O'), ('live', 'O'), ('in', 'O'), ('Rome', 'S-LOC')]
    """

    def __init__(self, model: Fitted) -> None:
        network: TaggingNetwork = model.network  # type: ignore[assignment]
        if not network.is_causal:
            ahead = "reads sentences from both ends" if network.hidden.bidirectional else "decodes whole sentences"
            raise ArgumentError(
                f"stream: this model {ahead}, and can't label a token before it has seen the rest; train one with "
                "--no-bidirectional --output softmax"
            )
        self._model, self._network = model, network
        self._encoders: TagEncoders = model.encoders
        self._transitions, self._start, _ = (score.cpu() for score in network.chain_scores())
        self.reset()

    def reset(self) -> TagSession:
        """Begin a new sentence."""
        self._state: Any = self._network.start(1)
        self._label: int | None = None
        self._pending, self._characters, self._position = "", 0, 0
        return self

    def push(self, text: str | Sequence[str]) -> list[TaggedToken]:
        """Read more text; or more tokens, which end a word that is pending.

        Args:
            text: characters as they come, which may end within a word; or a list of whole tokens.

        Returns:
            The tokens that are certain now, with their labels: all before the last space.
        """
        if not isinstance(text, str):
            found = self.finish()
            for token in text:
                if not isinstance(token, str) or not token.strip():
                    raise ArgumentError(f"text: expected tokens none of which is empty, found {token!r}")
                found.append(self._read(token, self._characters))
                self._characters += len(token) + 1
            return found
        pending = self._pending + text
        # no token reaches over a space
        settled = max((n for n, c in enumerate(pending, 1) if c.isspace()), default=0)
        self._pending = pending[settled:]
        return self._read_all(pending[:settled])

    @property
    def settled(self) -> int:
        """Characters whose tokens are certain; the tokens of those after them may still change."""
        return self._characters

    def finish(self) -> list[TaggedToken]:
        """Read what is pending, as its end has come."""
        pending, self._pending = self._pending, ""
        return self._read_all(pending)

    def _read_all(self, text: str) -> list[TaggedToken]:
        found = [self._read(word.text, self._characters + word.start) for word in split_words(text)]
        self._characters += len(text)
        return found

    def _read(self, token: str, start: int) -> TaggedToken:
        encoded = self._encoders.encode(untagged([token], self._encoders))
        data = collated([encoded], Noise(), self._encoders.first_rare, None)
        device = next(self._network.parameters()).device
        batch = word_batch({name: tensor.to(device) for name, tensor in data.items()})
        # one step of one row: (1, 1) → (1,)
        step = batch._replace(words=batch.words[0], shapes=batch.shapes[0], vectors=batch.vectors[0],
                              spellings=batch.spellings[0])  # fmt: skip
        logits, self._state = self._network.step(step, self._state)  # type: ignore[arg-type]
        scores: Tensor = logits[0].double().cpu()
        weighed = less_outside(scores, self._encoders, float(self._model.fitted.get(EAGERNESS, 0.0)))
        before = self._start if self._label is None else self._transitions[self._label]
        self._label = int((weighed + before).argmax())
        self._position += 1
        probability = float(torch.softmax(scores, 0)[self._label])
        return TaggedToken(token, start, start + len(token), self._encoders.tag(self._label), probability)

    @property
    def state(self) -> StreamState:
        """The stream so far, to be saved; bound to this model."""
        extra = {"pending": self._pending, "characters": self._characters, "label": self._label}
        return StreamState(self._state, self._position, self._model.fingerprint, extra)

    @property
    def fingerprint(self) -> str:
        """Of the model."""
        return self._model.fingerprint

    def resume(self, saved: StreamState) -> TagSession:
        """Go on from a state of this model.

        Raises:
            StateError: it is not of such a stream.
        """
        label, characters = saved.extra.get("label"), saved.extra.get("characters", 0)
        if not (label is None or (isinstance(label, int) and 0 <= label < len(self._encoders.labels))):
            raise StateError(f"the saved state is damaged: label {label!r}")
        self._state, self._position, self._label = saved.tensors, saved.position, label
        self._pending, self._characters = str(saved.extra.get("pending", "")), int(characters)
        return self
