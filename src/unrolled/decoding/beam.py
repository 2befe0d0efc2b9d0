"""Beam search: the most probable sequences of a model that reads one token per step.

Dimension letters: B rows, K live hypotheses per row, V vocabulary, E end tokens, t tokens so far.
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
"""Returns the tokens that may follow each hypothesis: (B, K, t) int64 → (B, K, V) bool, or None where all may.

A constraint only rules out tokens; the model's log-probabilities are not renormalised.
"""


@dataclass(frozen=True)
class LengthPenalty:
    """The divisor of a hypothesis's log-probability, which lets long hypotheses compete with short ones.

        form "length":  n ** alpha                  alpha = 1: nats per token
        form "gnmt":    ((5 + n) / 6) ** alpha      Wu et al. 2016, arXiv:1609.08144, equation 14

    Args:
        alpha: ≥ 0; 0 compares plain log-probabilities.
        form: one of the two above; n counts tokens, the end token among them.
    Raises:
        ArgumentError: an option is out of range.
    """

    alpha: float = 0.0
    form: Literal["length", "gnmt"] = "length"

    def __post_init__(self) -> None:
        check_range("alpha", self.alpha, "a finite number ≥ 0", math.isfinite(self.alpha) and self.alpha >= 0)
        if self.form not in ("length", "gnmt"):
            raise ArgumentError(f"form: expected 'length' or 'gnmt', found {self.form!r}")

    def divisor(self, length: int) -> float:
        """Return the divisor for ``length`` ≥ 1 tokens; it never decreases with the length."""
        return float((length if self.form == "length" else (5 + length) / 6) ** self.alpha)


Coverage = Callable[[S], Tensor]
"""Returns what a state adds to the score of a hypothesis that ends in it, nats, at most 0: (N,) for N rows."""


def coverage_penalty(attended: Tensor, beta: float, valid: Tensor | None = None) -> Tensor:
    """Return the penalty of a hypothesis for leaving parts of its source unread, nats.

        cp = β · Σ_s ln min(Σ_t a_ts, 1)

    Args:
        attended: (N, S), attention weights summed over the steps of a hypothesis.
        beta: ≥ 0; 0 is none.
        valid: (N, S) bool, the steps of the source that count; None for all.

    Returns:
        (N,), at most 0.

    Source: Wu et al. 2016, arXiv:1609.08144, equation 14.
    """
    check_range("beta", beta, "a finite number ≥ 0", math.isfinite(beta) and beta >= 0)
    # a step without any attention would give −∞, and make all such hypotheses equal
    shares = attended.clamp(1e-9, 1).log()
    if valid is not None:
        shares = shares.masked_fill(~valid, 0)
    return shares.sum(-1) * beta


@dataclass(frozen=True)
class Hypothesis:
    """A sequence that the search found.

    Args:
        tokens: the tokens after the prompt, the end token included if there is one.
        log_prob: log-probability of these tokens given the prompt, nats.
        score: log_prob divided by the length penalty, plus the coverage penalty; hypotheses are ranked by it.
        finished: whether the last token is an end token (otherwise max_tokens cut it off).
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
    max_tokens: int | Sequence[int],
    end_ids: Sequence[int] = (),
    length_penalty: LengthPenalty | None = None,
    n_best: int = 1,
    constraint: Constraint | None = None,
    coverage: Coverage[S] | None = None,
    exact: bool = True,
) -> list[list[Hypothesis]]:
    """Return the best sequences after a prompt, for every row of a batch.

    Each step extends every live hypothesis by every token. Extensions by an end token are set aside as finished; of the
    others, the ``beam_size`` most probable stay alive. A row is done when no live hypothesis can still enter its n
    best, by an exact bound: stopping early never changes a result. A beam as wide as the number of prefixes is
    exhaustive.

    Args:
        stepper: the model.
        state: its state after the prompt, B rows.
        logits: (B, V) after the prompt.
        beam_size: K ≥ 1.
        max_tokens: ≥ 1, the end token included; one number, or one for each row.
        end_ids: the tokens that finish a sequence.
        length_penalty: ``LengthPenalty()``, which is none, by default.
        n_best: the most hypotheses to return per row.
        constraint: the tokens that may follow a hypothesis.
        coverage: is added to scores, but does not decide which hypotheses stay alive; see `coverage_penalty`.
        exact: False ends a row when no live hypothesis, at its present length, scores better than the finished ones.
            With a length penalty a longer one might: that is rare, and waiting for it is most of a search's work.
    Returns:
        For each row, best first: finished hypotheses, and, where there are fewer than n_best, those that max_tokens
        cut off. Empty where the constraint allows no sequence.
    Raises:
        ArgumentError, ShapeError, DTypeError: an argument is out of range; the logits do not match or are not finite.
    """
    penalty = LengthPenalty() if length_penalty is None else length_penalty
    check_range("beam_size", beam_size, "an integer ≥ 1", beam_size >= 1)
    check_range("n_best", n_best, "an integer ≥ 1", n_best >= 1)
    check_ids("end_ids", tuple(end_ids), stepper.vocabulary_size)
    check_logits(logits, stepper.vocabulary_size)
    limits = _limits(max_tokens, logits.shape[0])
    ends = torch.tensor(sorted(set(end_ids)), dtype=torch.int64, device=logits.device)
    beam = Beam.begin(logits)
    pool = _Pool(n_best, penalty, limits)
    for _ in range(max(limits, default=0)):
        joint = beam.extensions(logits)
        added = None if coverage is None else coverage(state).double()
        if constraint is not None:
            joint = constrained(joint, constraint(beam.tokens))
        beam, rows = beam.extend(pool.take_finished(beam, joint, ends, added), beam_size)
        beam = pool.closed(pool.cut_off(beam, None if added is None else added.index_select(0, rows)), exact)
        if bool((beam.log_probs == NEVER).all()):
            break
        logits, state = stepper.step(beam.tokens[..., -1].flatten(), stepper.select(state, rows))
    return pool.rows


def _limits(max_tokens: int | Sequence[int], rows: int) -> list[int]:
    """Return the limit of each row."""
    limits = [max_tokens] * max(1, rows) if isinstance(max_tokens, int) else list(max_tokens)
    for limit in limits:
        check_range("max_tokens", limit, "an integer ≥ 1", limit >= 1)
    if not isinstance(max_tokens, int) and len(limits) != rows:
        raise ArgumentError(f"max_tokens: expected one number, or B={rows}, found {len(limits)}")
    return limits[:rows]


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
        """Return one empty hypothesis per row, for logits (B, V)."""
        log_probs = torch.zeros((logits.shape[0], 1), dtype=torch.float64, device=logits.device)
        return cls(log_probs, torch.empty((*log_probs.shape, 0), dtype=torch.int64, device=logits.device))

    def extensions(self, logits: Tensor) -> Tensor:
        """Return the log-probability of every hypothesis with every token added: (B·K, V) → (B, K, V) float64, nats."""
        log_probs = logits.log_softmax(-1).double()
        return log_probs.view(*self.log_probs.shape, logits.shape[-1]) + self.log_probs.unsqueeze(-1)

    def extend(self, joint: Tensor, beam_size: int) -> tuple[Beam, Tensor]:
        """Keep the best extensions.

        Args:
            joint: (B, K, V) as from ``extensions``, −inf where ruled out.
            beam_size: the most to keep per row.
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
    """Return joint (B, K, V) with −inf where ``allowed``, of the same shape, is False; unchanged for None."""
    if allowed is None:
        return joint
    if allowed.shape != joint.shape:
        raise ShapeError("constraint", f"(B, K, V) = {tuple(joint.shape)}", allowed.shape)
    return joint.masked_fill(~allowed, NEVER)


class _Pool:
    """The n best hypotheses of every row: finished ones first, then those that were cut off."""

    def __init__(self, n_best: int, penalty: LengthPenalty, limits: Sequence[int]) -> None:
        self.rows: list[list[Hypothesis]] = [[] for _ in limits]
        self.n_best, self.penalty, self.limits = n_best, penalty, limits

    def take_finished(self, beam: Beam, joint: Tensor, ends: Tensor, added: Tensor | None) -> Tensor:
        """Add the hypotheses of a beam, each finished by each end token.

        Args:
            beam: the hypotheses.
            joint: (B, K, V) as from ``Beam.extensions``.
            ends: (E,), the end tokens.
            added: (B·K,), added to the score of each hypothesis.

        Returns:
            The other extensions: joint with −inf at the end tokens.
        """
        if not len(ends):
            return joint
        length = beam.tokens.shape[2] + 1
        log_probs = joint.index_select(2, ends)
        scores = log_probs / self.penalty.divisor(length)
        if added is not None:
            scores = scores + added.view(*beam.log_probs.shape, 1)
        count = min(self.n_best, log_probs.shape[1] * log_probs.shape[2])
        best, cells = scores.flatten(1).topk(count, dim=-1)
        values = log_probs.flatten(1).gather(1, cells).tolist()
        for row, (row_scores, places) in enumerate(zip(best.tolist(), cells.tolist(), strict=True)):
            for score, place, value in zip(row_scores, places, values[row], strict=True):
                if score == NEVER or not self._enters(row, score):
                    break
                parent, end = divmod(place, len(ends))
                tokens = (*beam.tokens[row, parent].tolist(), int(ends[end]))
                self._add(row, Hypothesis(tokens, value, score, True))
        return joint.index_fill(2, ends, NEVER)

    def closed(self, beam: Beam, exact: bool) -> Beam:
        """Return the beam without the rows whose n best no live hypothesis can enter, or is likely to if not `exact`.

        Whether a row ends does not depend on the other rows.
        """
        # A log-probability only decreases, the divisor is largest at the limit, and coverage adds at most 0: no score
        # can exceed this.
        length = beam.tokens.shape[2]
        over = []
        for row, best in enumerate(beam.log_probs[:, 0].tolist()):
            limit = self.limits[row]
            divisor = self.penalty.divisor(limit if exact else min(limit, length + 1))
            if best > NEVER and not self._enters(row, best / divisor):
                over.append(row)
        return _emptied(beam, over)

    def cut_off(self, beam: Beam, added: Tensor | None) -> Beam:
        """Add the live hypotheses of the rows that have reached their limit, where fewer than n have finished.

        Args:
            beam: the hypotheses.
            added: (B·K,), added to the score of each hypothesis.

        Returns:
            The beam with no hypothesis in these rows.
        """
        length = beam.tokens.shape[2]
        over = [row for row, limit in enumerate(self.limits) if limit == length]
        extra = torch.zeros_like(beam.log_probs) if added is None else added.view(beam.log_probs.shape)
        for row in over:
            wanted = max(0, self.n_best - len(self.rows[row]))
            values, adds = beam.log_probs[row].tolist(), extra[row].tolist()
            live = [
                Hypothesis(tuple(beam.tokens[row, k].tolist()), v, v / self.penalty.divisor(length) + adds[k], False)
                for k, v in enumerate(values)
                if v > NEVER and wanted
            ]
            for hypothesis in sorted(live, key=lambda h: -h.score)[:wanted]:
                self._add(row, hypothesis)
        return _emptied(beam, over)

    def _enters(self, row: int, score: float) -> bool:
        return len(self.rows[row]) < self.n_best or score > self.rows[row][-1].score

    def _add(self, row: int, hypothesis: Hypothesis) -> None:
        ranked = [*self.rows[row], hypothesis]
        ranked.sort(key=lambda h: (not h.finished, -h.score))
        self.rows[row] = ranked[: self.n_best]


def _emptied(beam: Beam, rows: list[int]) -> Beam:
    """Return the beam with no live hypothesis in some of its rows."""
    if not rows:
        return beam
    return Beam(beam.log_probs.index_fill(0, torch.tensor(rows, device=beam.log_probs.device), NEVER), beam.tokens)
