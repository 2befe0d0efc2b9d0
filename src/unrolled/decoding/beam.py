"""Beam search: the most probable sequences of a model that reads one token a step.

Dimension letters: B rows, K live hypotheses a row, V vocabulary, E end tokens, t tokens so far.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from unrolled.decoding.contract import S, Stepper, check_ids, check_logits, check_range
from unrolled.decoding.filters import NEVER
from unrolled.errors import ArgumentError, ShapeError

Constraint = Callable[[Tensor], "Tensor | None"]
"""What each hypothesis may go on with: its tokens (B, K, t) int64 → (B, K, V) bool, or None where all may.

A constraint only rules out: log-probabilities stay the model's own, they are not renormalised.
"""


@dataclass(frozen=True)
class LengthPenalty:
    """What a hypothesis's log-probability is divided by, so that long ones can compete with short ones.

        form "length":  n ** alpha                  alpha = 1: nats per token
        form "gnmt":    ((5 + n) / 6) ** alpha      Wu et al. 2016, arXiv:1609.08144, equation 14

    Args:
        alpha: ≥ 0; 0 compares plain log-probabilities.
        form: one of the two above; n counts tokens, the end token among them.
    Raises:
        ArgumentError: an option out of range.
    """

    alpha: float = 0.0
    form: Literal["length", "gnmt"] = "length"

    def __post_init__(self) -> None:
        check_range("alpha", self.alpha, "a finite number ≥ 0", math.isfinite(self.alpha) and self.alpha >= 0)
        if self.form not in ("length", "gnmt"):
            raise ArgumentError(f"form: expected 'length' or 'gnmt', found {self.form!r}")

    def divisor(self, length: int) -> float:
        """The divisor for ``length`` ≥ 1 tokens; it never falls as the length grows."""
        return float((length if self.form == "length" else (5 + length) / 6) ** self.alpha)


@dataclass(frozen=True)
class Hypothesis:
    """One sequence that the search found.

    Args:
        tokens: what follows the prompt, the end token included if one came.
        log_prob: log-probability of these tokens given the prompt, nats.
        score: log_prob divided by the length penalty; what hypotheses are ranked by.
        finished: whether the last token is an end token (else max_tokens cut it off).
    """

    tokens: tuple[int, ...]
    log_prob: float
    score: float
    finished: bool


@torch.no_grad()
def beam_search(
    stepper: Stepper[S],
    state: S,
    logits: Tensor,
    *,
    beam_size: int,
    max_tokens: int,
    end_ids: Sequence[int] = (),
    length_penalty: LengthPenalty | None = None,
    n_best: int = 1,
    constraint: Constraint | None = None,
) -> list[list[Hypothesis]]:
    """The best sequences after a prompt, for every row of a batch.

    Each step extends every live hypothesis by every token. Extensions by an end token are finished: they are kept apart
    and take no place in the beam. Of the others, the ``beam_size`` with the highest log-probability live on. A row is
    over when nothing alive could still enter its n best, which is decided by an exact bound, so that stopping early
    never changes a result; all rows go on until the last is over. With a beam as wide as the number of all prefixes
    this is exhaustive search.

    Args:
        stepper: the model.
        state: its state after the prompt, B rows.
        logits: (B, V) after the prompt.
        beam_size: K ≥ 1.
        max_tokens: ≥ 1, the end token included.
        end_ids: the tokens that finish a sequence.
        length_penalty: ``LengthPenalty()`` by default, which is none.
        n_best: how many hypotheses a row to return, at most.
        constraint: what a hypothesis may go on with.
    Returns:
        For each row, best first: finished hypotheses, and, where there are fewer than n_best, those that max_tokens
        cut off. Empty where the constraint allows no sequence.
    Raises:
        ArgumentError, ShapeError, DTypeError: an argument out of range, logits that do not fit or are not finite.
    """
    penalty = LengthPenalty() if length_penalty is None else length_penalty
    check_range("beam_size", beam_size, "an integer ≥ 1", beam_size >= 1)
    check_range("max_tokens", max_tokens, "an integer ≥ 1", max_tokens >= 1)
    check_range("n_best", n_best, "an integer ≥ 1", n_best >= 1)
    check_ids("end_ids", tuple(end_ids), stepper.vocabulary_size)
    check_logits(logits, stepper.vocabulary_size)
    ends = torch.tensor(sorted(set(end_ids)), dtype=torch.int64, device=logits.device)
    beam = Beam.begin(logits)
    pool = _Pool(logits.shape[0], n_best, penalty, max_tokens)
    for length in range(1, max_tokens + 1):
        joint = beam.extensions(logits)
        if constraint is not None:
            joint = constrained(joint, constraint(beam.tokens))
        if len(ends):
            pool.add_finished(beam.tokens, joint.index_select(2, ends), ends, length)
            joint = joint.index_fill(2, ends, NEVER)
        beam, rows = beam.extend(joint, beam_size)
        if length == max_tokens or pool.settled(beam.log_probs):
            break
        logits, state = stepper.step(beam.tokens[..., -1].flatten(), stepper.select(state, rows))
    return pool.results(beam)


@dataclass(frozen=True)
class Beam:
    """The live hypotheses of B rows, best first in each.

    Args:
        log_probs: (B, K) float64, nats; −inf marks an empty place.
        tokens: (B, K, t) int64.
    """

    log_probs: Tensor
    tokens: Tensor

    @classmethod
    def begin(cls, logits: Tensor) -> Beam:
        """One empty hypothesis a row, for logits (B, V)."""
        log_probs = torch.zeros((logits.shape[0], 1), dtype=torch.float64, device=logits.device)
        return cls(log_probs, torch.empty((*log_probs.shape, 0), dtype=torch.int64, device=logits.device))

    def extensions(self, logits: Tensor) -> Tensor:
        """Logits (B·K, V) → log-probability of every hypothesis extended by every token, (B, K, V) float64, nats."""
        log_probs = logits.log_softmax(-1).double()
        return log_probs.view(*self.log_probs.shape, logits.shape[-1]) + self.log_probs.unsqueeze(-1)

    def extend(self, joint: Tensor, beam_size: int) -> tuple[Beam, Tensor]:
        """Keeps the best extensions.

        Args:
            joint: (B, K, V) as from ``extensions``, −inf where ruled out.
            beam_size: how many to keep a row; fewer where there are not as many.
        Returns:
            The new beam, K' = min(beam_size, K·V), and its parents as rows of the flattened (B·K) batch, (B·K',).
        """
        batch, live, vocabulary_size = joint.shape
        log_probs, cells = joint.flatten(1).topk(min(beam_size, live * vocabulary_size), dim=-1)
        parents = cells.div(vocabulary_size, rounding_mode="floor")
        extended = (cells - parents * vocabulary_size).unsqueeze(-1)
        prefixes = self.tokens.gather(1, parents.unsqueeze(-1).expand(-1, -1, self.tokens.shape[2]))
        offsets = torch.arange(0, batch * live, live, device=joint.device).unsqueeze(1) if batch > 1 else 0
        return Beam(log_probs, torch.cat((prefixes, extended), dim=-1)), (parents + offsets).flatten()


def constrained(joint: Tensor, allowed: Tensor | None) -> Tensor:
    """joint (B, K, V) with −inf where ``allowed``, of the same shape, is false; unchanged for None."""
    if allowed is None:
        return joint
    if allowed.shape != joint.shape:
        raise ShapeError("constraint", f"(B, K, V) = {tuple(joint.shape)}", allowed.shape)
    return joint.masked_fill(~allowed, NEVER)


class _Pool:
    """The finished hypotheses of every row, the n best of them."""

    def __init__(self, batch: int, n_best: int, penalty: LengthPenalty, max_tokens: int) -> None:
        self.rows: list[list[Hypothesis]] = [[] for _ in range(batch)]
        self.n_best, self.penalty, self.max_tokens = n_best, penalty, max_tokens

    def add_finished(self, prefixes: Tensor, log_probs: Tensor, ends: Tensor, length: int) -> None:
        """Prefixes (B, K, t) and the log-probability (B, K, E) of each finished by each end token."""
        count = min(self.n_best, log_probs.shape[1] * log_probs.shape[2])
        best, cells = log_probs.flatten(1).topk(count, dim=-1)
        for row, (values, places) in enumerate(zip(best.tolist(), cells.tolist(), strict=True)):
            for value, place in zip(values, places, strict=True):
                if value == NEVER or not self._enters(row, value / self.penalty.divisor(length)):
                    break
                parent, end = divmod(place, len(ends))
                self._add(row, (*prefixes[row, parent].tolist(), int(ends[end])), value, True)

    def settled(self, live: Tensor) -> bool:
        """Whether no live hypothesis, log-probabilities (B, K) best first, can still enter any row's n best."""
        # A log-probability only falls, and the divisor is largest at max_tokens: no score can be better than this.
        bounds = (live[:, 0] / self.penalty.divisor(self.max_tokens)).tolist()
        return all(bound == NEVER or not self._enters(row, bound) for row, bound in enumerate(bounds))

    def results(self, beam: Beam) -> list[list[Hypothesis]]:
        """The n best of each row, filled up with live hypotheses where fewer have finished."""
        for row, log_probs in enumerate(beam.log_probs.tolist()):
            for place, value in enumerate(log_probs[: max(0, self.n_best - len(self.rows[row]))]):
                if value > NEVER:
                    self._add(row, tuple(beam.tokens[row, place].tolist()), value, False)
        return self.rows

    def _enters(self, row: int, score: float) -> bool:
        return len(self.rows[row]) < self.n_best or score > self.rows[row][-1].score

    def _add(self, row: int, tokens: tuple[int, ...], log_prob: float, finished: bool) -> None:
        score = log_prob / self.penalty.divisor(len(tokens))
        ranked = [*self.rows[row], Hypothesis(tokens, log_prob, score, finished)]
        ranked.sort(key=lambda hypothesis: (not hypothesis.finished, -hypothesis.score))
        self.rows[row] = ranked[: self.n_best]
