"""Completing a text as it is typed: the most probable next words, by beam search.

A suggestion consists of whole words: if the typed text ends inside a word, the first word is completed. The probability
of a suggestion "to the store" is that of the event *the text continues with exactly these words*: it includes that the
word "store" ends there (otherwise "sto" would always look better than "store"), summed over every token that can end
it: a space, a comma, the end of the text. That token is not shown. The end of a sentence is shown: "to the store." is a
suggestion of its own.

One search yields suggestions of 1, 2, …, max_words words: a hypothesis that has just completed a word is recorded, and
continues.
Dimension letters: B rows, K live hypotheses per row, V vocabulary, E tokens that end a phrase, t tokens so far.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unrolled.decoding.contract import S, Stepper, check_logits, check_range
from unrolled.decoding.filters import NEVER
from unrolled.decoding.phrases import START_MODE, PhraseRule
from unrolled.decoding.prefix import BytePrefix, Masks
from unrolled.decoding.suggestions import Candidates, Suggestion
from unrolled.errors import ArgumentError, ShapeError

#: up to this many of the best are found by repeated argmax, more by sorting
_FEW = 8


def complete(
    stepper: Stepper[S],
    state: S,
    logits: Tensor,
    *,
    rule: PhraseRule,
    max_tokens: int = 20,
    beam_size: int = 4,
    n_best: int = 3,
    min_log_prob: float = NEVER,
    healing: BytePrefix | None = None,
    prefix: bytes = b"",
) -> list[Suggestion]:
    """Return suggestions for one text; the arguments are those of ``complete_batch``."""
    prefixes = (prefix,)
    return complete_batch(
        stepper, state, logits, rule=rule, max_tokens=max_tokens, beam_size=beam_size, n_best=n_best,
        min_log_prob=min_log_prob, healing=healing, prefixes=prefixes,
    )[0]  # fmt: skip


@torch.no_grad()
def complete_batch(
    stepper: Stepper[S],
    state: S,
    logits: Tensor,
    *,
    rule: PhraseRule,
    max_tokens: int = 20,
    beam_size: int = 4,
    n_best: int = 3,
    min_log_prob: float = NEVER,
    healing: BytePrefix | None = None,
    prefixes: Sequence[bytes] | None = None,
) -> list[list[Suggestion]]:
    """Return the most probable phrases after each text of a batch. Exact up to the beam's width.

    Args:
        stepper: the model.
        state: its state after the typed texts, B rows.
        logits: (B, V) there.
        rule: where words and phrases end.
        max_tokens: the most tokens in a suggestion.
        beam_size: K ≥ 1.
        n_best: the most suggestions of each number of words.
        min_log_prob: hypotheses less probable than this, in nats, are dropped at once, which saves time where nothing
            is predictable. Since a log-probability only decreases, no suggestion above it is lost, unless its
            probability is spread over several spellings in tokens that are each below.
        healing: needed with prefixes.
        prefixes: bytes that each continuation must begin with, for a model that was fed the text without its last
            token; ``text`` leaves them out, and log_prob is then conditional on them. None or b"" for no prefix.
    Returns:
        For each row its suggestions, best score first. Empty where the model has none.
    Raises:
        ArgumentError, ShapeError, DTypeError: an argument is out of range or does not match; a phrase ends in a prefix.
    """
    check_range("max_tokens", max_tokens, "an integer ≥ 1", max_tokens >= 1)
    check_range("beam_size", beam_size, "an integer ≥ 1", beam_size >= 1)
    check_range("n_best", n_best, "an integer ≥ 1", n_best >= 1)
    check_range("min_log_prob", min_log_prob, "a number ≤ 0", min_log_prob <= 0)
    check_logits(logits, stepper.vocabulary_size)
    if len(rule.pieces) != stepper.vocabulary_size:
        raise ArgumentError(f"rule: made for {len(rule.pieces)} tokens, the model has {stepper.vocabulary_size}")
    start = _Start(rule, healing, _checked_prefixes(rule, healing, prefixes, logits.shape[0]))
    # The search itself is NumPy on the CPU, where its many small steps are cheapest; the model stays on its device.
    device, separates = logits.device, rule.separates.to(logits.dtype)
    search = _Search(rule, start, beam_size, n_best, min_log_prob)
    for length in range(max_tokens + 1):
        logits = logits.cpu()
        masks = start.masks(search.tokens)
        if length:
            # no matrix product, whose last bits would depend on the number of rows
            search.note_words((logits.softmax(-1) * separates).sum(-1).log().numpy(), masks)
        if length == max_tokens:
            break
        step = search.extend(logits.log_softmax(-1).numpy(), masks)
        if step is None:
            break
        parents, tokens = (torch.from_numpy(part).to(device) for part in step)
        logits, state = stepper.step(tokens, stepper.select(state, parents))
    return search.candidates.suggestions(start.covered(), min_log_prob)


class _Search:
    """The live hypotheses of a batch, and the suggestions recorded so far."""

    def __init__(self, rule: PhraseRule, start: _Start, beam_size: int, n_best: int, min_log_prob: float) -> None:
        self._start, self._tables = start, _Tables(rule)
        self._beam_size, self._min_log_prob = beam_size, min_log_prob
        self.candidates = Candidates(rule, start.prefixes, n_best)
        self._log_probs = np.zeros((len(start.prefixes), 1))  # (B, K)
        self._modes = np.full(self._log_probs.shape, START_MODE)  # (B, K)
        self.tokens = np.empty((*self._log_probs.shape, 0), dtype=np.int64)  # (B, K, t)

    def note_words(self, ends: NDArray[Any], masks: Masks | None) -> None:
        """Record every hypothesis, given the log-probability (B·K,) that its last word ends there."""
        over = ends.reshape(self._modes.shape) + self._tables.open_word[self._modes] + self._log_probs
        if masks is not None:
            over[masks[2].numpy()] = NEVER
        self.candidates.note_words(self.tokens, self._modes, over)

    def extend(
        self, log_probs: NDArray[Any], masks: Masks | None
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
        """Extend every hypothesis by every token, record the ended phrases, and keep the best.

        Args:
            log_probs: (B·K, V) of the next token, nats.
            masks: as `_Start.masks`.

        Returns:
            The row of the parent and the new token of each hypothesis, (B·K',); None if no hypothesis is left.
        """
        tables, modes = self._tables, self._modes
        joint: NDArray[np.float64] = log_probs.reshape(*modes.shape, -1) + self._log_probs[:, :, None]  # (B, K, V)
        if masks is not None:
            self._start.observe(torch.from_numpy(joint), masks)
            joint[~masks[0].numpy()] = NEVER
        if len(tables.end_tokens):
            ends = joint[:, :, tables.end_tokens] + tables.end_cost[modes]
            self.candidates.note_ends(self.tokens, modes, *_best(ends, self._beam_size))
        joint += tables.cost[modes]
        self._log_probs, cells = _best(joint, self._beam_size)
        parents = cells // joint.shape[2]
        newest = cells - parents * joint.shape[2]
        row = np.arange(len(cells))[:, None]
        self.tokens = np.concatenate((self.tokens[row, parents], newest[:, :, None]), axis=2)
        self._modes = tables.next_mode[modes[row, parents], newest]
        return self._live(parents + row * joint.shape[1], newest)

    def _live(
        self, parents: NDArray[np.int64], newest: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
        """Drop improbable hypotheses and the rows without any, and return the rest."""
        if self._min_log_prob > NEVER:
            self._log_probs[self._log_probs < self._min_log_prob + self._start.log_prob.numpy()] = NEVER
        live = self._log_probs[:, 0] > NEVER
        if not live.any():
            return None
        if not live.all():
            # rows that are done take no more time
            self._log_probs, self.tokens, self._modes = self._log_probs[live], self.tokens[live], self._modes[live]
            parents, newest = parents[live], newest[live]
            self._start.keep(torch.from_numpy(live.nonzero()[0]))
            self.candidates.keep(live.nonzero()[0])
        dead = self._log_probs == NEVER
        if dead.any():
            # an empty place repeats the best hypothesis, which some steppers need not compute twice
            parents, newest = np.where(dead, parents[:, :1], parents), np.where(dead, newest[:, :1], newest)
        return parents.ravel(), newest.ravel()


def _best(values: NDArray[np.float64], count: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the largest values of each row of (B, K, N), at most ``count``, in order, and their places among K·N."""
    flat = values.reshape(len(values), -1)
    count = min(count, flat.shape[1])
    if count > _FEW:
        places = np.argsort(-flat, axis=1, kind="stable")[:, :count]
        return np.take_along_axis(flat, places, 1), places
    left, row = flat.copy(), np.arange(len(flat))
    best = np.empty((len(flat), count))
    places = np.empty((len(flat), count), dtype=np.int64)
    for n in range(count):
        place = left.argmax(1)
        places[:, n], best[:, n] = place, left[row, place]
        left[row, place] = NEVER
    return best, places


class _Tables:
    """A rule's tables as arrays; tokens that may not follow cost −∞."""

    def __init__(self, rule: PhraseRule) -> None:
        self.end_tokens = rule.end_tokens.numpy()
        self.open_word, self.cost, self.end_cost = rule.open_word.numpy(), rule.cost, rule.end_cost
        self.next_mode = rule.next_mode.numpy().reshape(self.cost.shape)


def _checked_prefixes(
    rule: PhraseRule, healing: BytePrefix | None, prefixes: Sequence[bytes] | None, batch: int
) -> Sequence[bytes]:
    chosen = (b"",) * batch if prefixes is None else prefixes
    if len(chosen) != batch:
        raise ShapeError("logits", f"(B={len(chosen)}, V), one row per text", (batch, len(rule.pieces)))
    for prefix in chosen:
        if prefix and healing is None:
            raise ArgumentError("healing: needed where a continuation must begin with given bytes")
        if rule.before_end(prefix.decode("utf-8", "surrogateescape")) is not None:
            raise ArgumentError(f"prefix: {prefix!r} ends a phrase; feed it to the model and leave the prefix empty")
    return chosen


class _Start:
    """The bytes that each row must begin with, and their probability by the model.

    ``log_prob`` (B, 1) sums, over hypotheses in the beam, every way to cover the prefix: exact while the beam holds all
    of its beginnings, otherwise a lower bound.
    """

    def __init__(self, rule: PhraseRule, healing: BytePrefix | None, prefixes: Sequence[bytes]) -> None:
        self.prefixes: Sequence[bytes] = prefixes
        self._healing = healing if any(prefixes) else None
        covered = [[NEVER if prefix else 0.0] for prefix in prefixes]
        self.log_prob = torch.tensor(covered, dtype=torch.float64).view(-1, 1)
        self._all, self._rows = self.log_prob.clone(), torch.arange(len(covered))

    def keep(self, live: Tensor) -> None:
        """Continue with some of the rows."""
        self._all = self.covered()
        self._rows, self.log_prob = self._rows.index_select(0, live), self.log_prob.index_select(0, live)
        self.prefixes = [self.prefixes[row] for row in live.tolist()]

    def covered(self) -> Tensor:
        """Return ``log_prob`` of all rows, including those that are done."""
        return self._all.index_copy(0, self._rows, self.log_prob)

    def masks(self, tokens: NDArray[np.int64]) -> Masks | None:
        """Return ``BytePrefix.masks`` while any hypothesis has yet to cover its prefix, else None."""
        if self._healing is None:
            return None
        masks = self._healing.masks(torch.from_numpy(tokens), self.prefixes)
        if masks is None:
            self._healing = None
        return masks

    def observe(self, joint: Tensor, masks: Masks) -> None:
        """Add the probability of covering a prefix with the next token, from joint (B, K, V)."""
        covering = joint.masked_fill(~masks[1], NEVER).flatten(1).logsumexp(-1, keepdim=True)
        self.log_prob = torch.logaddexp(self.log_prob, covering)
