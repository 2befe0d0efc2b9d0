"""Many texts in progress at once: read and completed side by side, each as if it were alone.

A step of the network and a step of the search cost little more for twenty texts than for one. Nothing that a session
answers depends on its neighbours, bit for bit: a layer's step and an output's row are the same whatever other rows
there are, and the search keeps the rows of its batch apart.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import Any

import torch

from unrolled.decoding import Stepper, Suggestion
from unrolled.decoding.remembering import Node, Places, RememberingStepper
from unrolled.errors import ArgumentError
from unrolled.layers.recurrent.state import tensors_of
from unrolled.tasks.core.fitted import AnyFitted
from unrolled.tasks.outputs.next.predictor import FEW, predictor_of
from unrolled.tasks.outputs.next.session import BEAM, TextSession, search, side_by_side


def push_together(sessions: Sequence[TextSession], texts: Sequence[str]) -> None:
    """Push a text to each of some sessions of one model.

    Short texts, as people type them, are read in steps of all sessions together; what is longer, one after the other.

    Raises:
        ArgumentError: sessions of several models, or one that is there twice.
    """
    if not sessions:
        return
    _check(sessions)
    reading: list[tuple[TextSession, list[int]]] = []
    for session, text in zip(sessions, texts, strict=True):
        ids = session.tokens_of(text)
        if len(ids) > FEW or session.learns:
            session.read(ids)
        elif ids:
            reading.append((session, ids))
    while reading:
        _step([session for session, _ in reading], [ids[0] for _, ids in reading])
        reading = [(session, ids[1:]) for session, ids in reading if len(ids) > 1]


def suggest_together(
    sessions: Sequence[TextSession],
    n: int = 3,
    *,
    max_words: int | None = None,
    beam_size: int = BEAM,
    last: Searched | None = None,
) -> list[list[Suggestion]]:
    """Return what `TextSession.suggest` says of each session, in one search.

    Args:
        sessions: of one model.
        n, max_words, beam_size: as for `TextSession.suggest`.
        last: what earlier searches of these sessions have read, which is then not read again; takes in what this one
            reads. The suggestions are the same with and without.

    Raises:
        ArgumentError: sessions of several models, or an option out of range.
    """
    if not sessions:
        return []
    _check(sessions)
    start = None if last is None else last.start
    return search(sessions, n, max_words=max_words, beam_size=beam_size, start=start)


class Searched:
    """A memory of what the last search after each of some texts has read. For one thread at a time.

    Args:
        model: that reads them.
        most: bytes that it may keep.
    """

    def __init__(self, model: AnyFitted, most: int = 64_000_000) -> None:
        predictor = predictor_of(model)
        self._stepper, self._device = predictor.stepper, predictor.device
        row = sum(part.numel() * part.element_size() for part in tensors_of(self._stepper.start(1)))
        self._size = most // (row + 4 * self._stepper.vocabulary_size)
        self._memory: RememberingStepper | None = None
        self._places: weakref.WeakKeyDictionary[TextSession, Node] = weakref.WeakKeyDictionary()

    def start(self, sessions: Sequence[TextSession], rows: int) -> tuple[Stepper[Any], Any]:
        """Return the stepper and the state for a search after these texts; the sessions' where it can't be kept.

        It can where the model itself is asked, on the CPU, and where half of what fits is enough for so many rows.
        """
        keeps = sessions[0].stepper == self._stepper and 2 * rows <= self._size
        if not keeps or self._device.type != "cpu":
            return side_by_side(sessions, rows)
        if self._memory is None:
            self._memory = RememberingStepper(self._stepper, self._size)
        nodes = []
        for session in sessions:
            node = self._places.get(session)
            # one token further on, or where it was
            known = () if node is None else (node.children.get(session.newest), node)
            nodes.append(self._memory.place(session.carried, session.logits, known))
            self._places[session] = nodes[-1]
        return self._memory, Places(nodes)


def _check(sessions: Sequence[TextSession]) -> None:
    model, stepper = sessions[0].model, sessions[0].stepper
    if any(s.model is not model or s.stepper != stepper for s in sessions):
        raise ArgumentError("sessions: expected all of one model, found several models")
    if len({id(s) for s in sessions}) < len(sessions):
        raise ArgumentError("sessions: expected each once, found one twice")


def _step(sessions: Sequence[TextSession], tokens: Sequence[int]) -> None:
    """Read one token with each."""
    if len(sessions) == 1:
        sessions[0].read([tokens[0]])
        return
    stepper = sessions[0].stepper
    state = stepper.merge([s.carried for s in sessions])
    logits, state = stepper.step(torch.tensor(tokens, device=sessions[0].logits.device), state)
    for row, session in enumerate(sessions):
        session.take(tokens[row], logits[row : row + 1], stepper.select(state, torch.tensor([row])))
