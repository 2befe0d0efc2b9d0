"""Completing what somebody is writing: the most probable next words, by beam search.

A suggestion consists of whole words: if the text typed ends inside a word, the first word is completed. The probability
of a suggestion "to the store" is that of the event *the text goes on with exactly these words*: it includes that the
word "store" is over (else "sto" would always look better than "store"), which is the sum over every token that can
show it, a space, a comma, the end of the text. That token is not shown. A sentence's end is shown: "to the store." is a
suggestion of its own.

One search gives suggestions of 1, 2, …, max_words words: a hypothesis that has just completed a word is noted, and
goes on.
Dimension letters: B rows, K live hypotheses a row, V vocabulary, E tokens that end a phrase, t tokens so far.
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
from unrolled.decoding.prefix import BytePrefix
from unrolled.decoding.suggestions import Candidates, Suggestion
from unrolled.errors import ArgumentError, ShapeError

#: so many of the best are found by looking for the best as often
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
    """Suggestions for one text; ``complete_batch`` says what the arguments are."""
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
        state: its state after the texts typed, B rows.
        logits: (B, V) there.
        rule: where words and phrases end.
        max_tokens: a suggestion has at most this many tokens.
        beam_size: K ≥ 1.
        n_best: how many suggestions to keep of each number of words.
        min_log_prob: hypotheses less probable than this are dropped at once, nats; it saves time where nothing is
            predictable. Since a log-probability only falls, no suggestion above it is lost by that, unless its
            probability is spread over several spellings in tokens that are each below.
        healing: needed with prefixes.
        prefixes: bytes that each continuation must begin with, for a model that was fed the text without its last
            token; ``text`` leaves them out, and log_prob is then conditional on them. None or b"" where nothing is
            prescribed.
    Returns:
        For each row its suggestions, best score first. Empty where the model sees none.
    Raises:
        ArgumentError, ShapeError, DTypeError: an argument out of range or that does not fit; a prefix in which a phrase
            ends.
    """
    check_range("max_tokens", max_tokens, "an integer ≥ 1", max_tokens >= 1)
    check_range("beam_size", beam_size, "an integer ≥ 1", beam_size >= 1)
    check_range("n_best", n_best, "an integer ≥ 1", n_best >= 1)
    check_range("min_log_prob", min_log_prob, "a number ≤ 0", min_log_prob <= 0)
    check_logits(logits, stepper.vocabulary_size)
    if len(rule.pieces) != stepper.vocabulary_size:
        raise ArgumentError(f"rule: made for {len(rule.pieces)} tokens, the model has {stepper.vocabulary_size}")
    start = _Start(rule, healing, _checked_prefixes(rule, healing, prefixes, logits.shape[0]))
    candidates = Candidates(rule, start.prefixes, n_best)
    tables = _Tables(rule)

    # The search itself is NumPy on the CPU, where its many small steps are cheapest; the model stays where it is.
    device, separates = logits.device, rule.separates.to(logits.dtype)
    log_probs = np.zeros((len(logits), 1))  # (B, K)
    tokens = np.empty((len(logits), 1, 0), dtype=np.int64)  # (B, K, t)
    modes = np.full(log_probs.shape, START_MODE)  # (B, K)
    for length in range(max_tokens + 1):
        logits = logits.cpu()
        joint = _joint(logits, log_probs)
        masks = start.masks(tokens)
        if length:
            # no matrix product, whose last bits would depend on how many rows there are
            over = (logits.softmax(-1) * separates).sum(-1).log().numpy()
            over = over.reshape(modes.shape) + tables.open_word[modes] + log_probs
            if masks is not None:
                over[masks[2].numpy()] = NEVER
            candidates.note_words(tokens, modes, over)
        if length == max_tokens:
            break
        if masks is not None:
            start.observe(torch.from_numpy(joint), masks)
            joint[~masks[0].numpy()] = NEVER
        if len(tables.end_tokens):
            ends = joint[:, :, tables.end_tokens] + tables.end_cost[modes]
            candidates.note_ends(tokens, modes, *_best(ends, beam_size))
        joint += tables.cost[modes]
        log_probs, cells = _best(joint, beam_size)
        parents = cells // stepper.vocabulary_size
        newest = cells - parents * stepper.vocabulary_size
        row = np.arange(len(cells))[:, None]
        tokens = np.concatenate((tokens[row, parents], newest[:, :, None]), axis=2)
        modes = tables.next_mode[modes[row, parents], newest]
        before = parents + row * joint.shape[1]  # (B, K), rows of the state
        if min_log_prob > NEVER:
            log_probs[log_probs < min_log_prob + start.log_prob.numpy()] = NEVER
        live = log_probs[:, 0] > NEVER
        if not live.any():
            break
        if not live.all():
            # what is over takes no more time
            log_probs, tokens, modes = log_probs[live], tokens[live], modes[live]
            before, newest = before[live], newest[live]
            start.keep(torch.from_numpy(live.nonzero()[0]))
            candidates.keep(live.nonzero()[0])
        dead = log_probs == NEVER
        if dead.any():
            # an empty place asks for what the best one does, which some steppers need not do twice
            before, newest = np.where(dead, before[:, :1], before), np.where(dead, newest[:, :1], newest)
        ahead = stepper.select(state, torch.from_numpy(before.ravel()).to(device))
        logits, state = stepper.step(torch.from_numpy(newest.ravel()).to(device), ahead)
    return candidates.suggestions(start.covered(), min_log_prob)


def _joint(logits: Tensor, log_probs: NDArray[np.float64]) -> NDArray[np.float64]:
    """Log-probability of every hypothesis extended by every token, (B, K, V), nats."""
    extended: NDArray[Any] = logits.log_softmax(-1).numpy().reshape(*log_probs.shape, logits.shape[-1])
    joint: NDArray[np.float64] = extended + log_probs[:, :, None]
    return joint


def _best(values: NDArray[np.float64], count: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the largest of each row of (B, K, N), at most ``count``, largest first, and their places among K·N."""
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
    """A rule's tables as arrays; what may not come costs −∞."""

    def __init__(self, rule: PhraseRule) -> None:
        self.end_tokens = rule.end_tokens.numpy()
        self.open_word, self.cost, self.end_cost = rule.open_word.numpy(), rule.cost, rule.end_cost
        self.next_mode = rule.next_mode.numpy().reshape(self.cost.shape)


def _checked_prefixes(
    rule: PhraseRule, healing: BytePrefix | None, prefixes: Sequence[bytes] | None, batch: int
) -> Sequence[bytes]:
    chosen = (b"",) * batch if prefixes is None else prefixes
    if len(chosen) != batch:
        raise ShapeError("logits", f"(B={len(chosen)}, V), one row a text", (batch, len(rule.pieces)))
    for prefix in chosen:
        if prefix and healing is None:
            raise ArgumentError("healing: needed where a continuation must begin with given bytes")
        if rule.before_end(prefix.decode("utf-8", "surrogateescape")) is not None:
            raise ArgumentError(f"prefix: {prefix!r} ends a phrase; feed it to the model and leave the prefix empty")
    return chosen


class _Start:
    """The bytes each row must begin with, and how probable the model found them.

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
        """Go on with some of the rows."""
        self._all = self.covered()
        self._rows, self.log_prob = self._rows.index_select(0, live), self.log_prob.index_select(0, live)
        self.prefixes = [self.prefixes[row] for row in live.tolist()]

    def covered(self) -> Tensor:
        """``log_prob`` of all rows, those included that are over."""
        return self._all.index_copy(0, self._rows, self.log_prob)

    def masks(self, tokens: NDArray[np.int64]) -> tuple[Tensor, Tensor, Tensor] | None:
        """``BytePrefix.masks`` while any hypothesis has yet to cover its prefix, else None."""
        if self._healing is None:
            return None
        masks = self._healing.masks(torch.from_numpy(tokens), self.prefixes)
        if masks is None:
            self._healing = None
        return masks

    def observe(self, joint: Tensor, masks: tuple[Tensor, Tensor, Tensor]) -> None:
        """Adds what covers a prefix with the next token, from joint (B, K, V)."""
        covering = joint.masked_fill(~masks[1], NEVER).flatten(1).logsumexp(-1, keepdim=True)
        self.log_prob = torch.logaddexp(self.log_prob, covering)
