"""A text in progress whose tokens are labelled as they come."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor

from unrolled.errors import StateError
from unrolled.networks import SyncedNetwork
from unrolled.networks.tagging import TaggingNetwork
from unrolled.tasks.core.fitted import AnyFitted
from unrolled.tasks.core.stream import StepStream
from unrolled.tasks.outputs.labels.session import LabelsSession
from unrolled.tasks.uses.tag.decode import eagerness_of, less_outside
from unrolled.types import Json


class TagSession(LabelsSession[str | Sequence[str]]):
    """A stream of text, or of whole tokens, through a causal tagger. Pushed in pieces, or whole, it gets the same
    labels, of which each may follow the one before.

    A session is of fixed size however long the text: the state, the last label, and the characters of a word that what
    follows may still change.

    >>> session = model.stream()                        # doctest: +SKIP
    >>> [(t.text, t.label) for t in session.push("I live in Rome ")]       # doctest: +SKIP
    [('I', 'O'), ('live', 'O'), ('in', 'O'), ('Rome', 'S-LOC')]
    """

    #: of the last token
    _label: int | None

    def __init__(self, model: AnyFitted, steps: StepStream[str | Sequence[str]]) -> None:
        super().__init__(model, steps)
        chain = cast(TaggingNetwork, self._network).chain_scores()
        self._transitions, self._start, _ = (score.cpu() for score in chain)

    def looks_ahead(self, network: SyncedNetwork) -> str:
        """Return why a label depends on what comes after its token, and what to train instead."""
        if cast(TaggingNetwork, network).is_causal:
            return ""
        ahead = "reads sentences from both ends" if network.hidden.bidirectional else "decodes whole sentences"
        return (
            f"stream: this model {ahead}, and can't label a token before it has seen the rest; train one with "
            "--no-bidirectional --output softmax"
        )

    def _chosen(self, logits: Tensor) -> tuple[list[int], list[float]]:
        """Return the best label that may follow the one before, and its probability, for each token."""
        labels, probabilities, known = [], [], self._model.output.labels
        for scores in logits.double().cpu():
            before = self._start if self._label is None else self._transitions[self._label]
            self._label = int((less_outside(scores, known, eagerness_of(self._model)) + before).argmax())
            labels.append(self._label)
            probabilities.append(float(torch.softmax(scores, 0)[self._label]))
        return labels, probabilities

    @property
    def _carried(self) -> Json:
        """The label of the last token."""
        return {"label": self._label}

    def _carry(self, carried: Json) -> None:
        """Take up the label of the last token."""
        label = carried.get("label")
        if not (label is None or (isinstance(label, int) and 0 <= label < len(self._model.output.labels))):
            raise StateError(f"the saved state is damaged: label {label!r}")
        self._label = label
