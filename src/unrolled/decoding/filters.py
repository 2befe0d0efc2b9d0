"""Filters of logits before a token is drawn: each is a pure function on logits (B, V).

A filter returns new logits, with −inf for tokens that it rules out, and does not modify its input. ``history`` is the
tokens read so far, (B, N) int64, oldest first; −1 stands for no token, so that rows of unequal length can be padded on
the left.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from unrolled.decoding.contract import check_ids, check_range
from unrolled.errors import ArgumentError

NEVER = float("-inf")


def temperature(logits: Tensor, value: float) -> Tensor:
    """Sharpen (value < 1) or flatten (value > 1) the distribution; 0 keeps only the most probable token.

    Args:
        logits: (B, V).
        value: in [0, ∞); at 0 the first of several equal maxima is kept.
    Raises:
        ArgumentError: value is out of range.
    """
    check_range("temperature", value, "a finite number ≥ 0", math.isfinite(value) and value >= 0)
    if value == 0:
        return _keep(logits, torch.zeros_like(logits, dtype=torch.bool).scatter_(1, logits.argmax(1, True), True))
    # Subtracting the maximum first keeps a tiny temperature from overflowing to +inf, and changes no distribution.
    return (logits - logits.amax(dim=-1, keepdim=True)) / value


def top_k(logits: Tensor, k: int) -> Tensor:
    """Keep the k most probable tokens, and any as probable as the k-th.

    Args:
        logits: (B, V).
        k: ≥ 1; k ≥ V keeps everything.
    Raises:
        ArgumentError: k is out of range.
    Source: Fan et al. 2018, arXiv:1805.04833.
    """
    check_range("top_k", k, "an integer ≥ 1", k >= 1)
    if k >= logits.shape[-1]:
        return logits
    return _keep(logits, logits >= logits.topk(k, dim=-1).values[:, -1:])


def top_p(logits: Tensor, p: float) -> Tensor:
    """Keep the nucleus: the smallest set of most probable tokens whose probabilities sum to at least p.

    Args:
        logits: (B, V).
        p: in (0, 1]; 1 keeps everything.
    Raises:
        ArgumentError: p is out of range.
    Source: Holtzman et al. 2020, arXiv:1904.09751.
    """
    check_range("top_p", p, "a number in (0, 1]", 0 < p <= 1)
    if p == 1:
        return logits
    probabilities, order = logits.double().softmax(-1).sort(dim=-1, descending=True, stable=True)
    # A token stays if those before it do not reach p, so the first always stays.
    before = probabilities.cumsum(-1) - probabilities
    return _keep(logits, torch.zeros_like(logits, dtype=torch.bool).scatter_(1, order, before < p))


def min_p(logits: Tensor, p: float) -> Tensor:
    """Keep the tokens at least p times as probable as the most probable token.

    Args:
        logits: (B, V).
        p: in [0, 1]; 0 keeps everything.
    Raises:
        ArgumentError: p is out of range.
    Source: Nguyen et al. 2024, arXiv:2407.01082.
    """
    check_range("min_p", p, "a number in [0, 1]", 0 <= p <= 1)
    if p == 0:
        return logits
    return _keep(logits, logits >= logits.amax(dim=-1, keepdim=True) + math.log(p))


def forbid(logits: Tensor, ids: Sequence[int]) -> Tensor:
    """Rule out the tokens ``ids`` in every row.

    Raises:
        ArgumentError: an id is outside [0, V), or no token is left.
    """
    if not ids:
        return logits
    check_ids("forbidden", tuple(ids), logits.shape[-1])
    if len(set(ids)) == logits.shape[-1]:
        raise ArgumentError(f"forbidden: all {logits.shape[-1]} tokens are forbidden; leave at least one")
    return logits.index_fill(1, torch.tensor(list(ids), device=logits.device), NEVER)


def repetition_penalty(logits: Tensor, history: Tensor, penalty: float) -> Tensor:
    """Make every token of ``history`` less probable, however often it occurs there.

    Logits above 0 are divided by the penalty, and those below are multiplied. As published, this depends on the zero of
    the model's logits; ``frequency_and_presence`` does not.

    Args:
        logits: (B, V).
        history: (B, N).
        penalty: a positive number; 1 changes nothing, above 1 discourages repetition, below 1 encourages it.
    Raises:
        ArgumentError: penalty is out of range.
    Source: Keskar et al. 2019 (CTRL), arXiv:1909.05858, section 4.1.
    """
    check_range("repetition_penalty", penalty, "a finite number > 0", math.isfinite(penalty) and penalty > 0)
    if penalty == 1:
        return logits
    seen = _counts(history, logits.shape[-1]) > 0
    return torch.where(seen, torch.where(logits > 0, logits / penalty, logits * penalty), logits)


def frequency_and_presence(logits: Tensor, history: Tensor, frequency: float, presence: float) -> Tensor:
    """Lower a token's logit by ``frequency`` per occurrence in ``history``, and by ``presence`` if it occurs at all.

    Args:
        logits: (B, V).
        history: (B, N).
        frequency: nats per occurrence; negative encourages repetition.
        presence: nats, once.
    Raises:
        ArgumentError: a value is not finite.
    """
    check_range("frequency_penalty", frequency, "a finite number", math.isfinite(frequency))
    check_range("presence_penalty", presence, "a finite number", math.isfinite(presence))
    if frequency == 0 and presence == 0:
        return logits
    counts = _counts(history, logits.shape[-1])
    return logits - frequency * counts.to(logits.dtype) - presence * (counts > 0).to(logits.dtype)


def no_repeat_ngram(logits: Tensor, history: Tensor, n: int) -> Tensor:
    """Rule out each token that would complete an n-gram which ``history`` already holds.

    A row in which that would leave no token is returned unchanged.

    Args:
        logits: (B, V).
        history: (B, N).
        n: ≥ 1; at 1, no token of the history is repeated.
    Raises:
        ArgumentError: n is out of range.
    Source: Paulus et al. 2017, arXiv:1705.04304, section 2.5 (there with n = 3).
    """
    check_range("no_repeat_ngram", n, "an integer ≥ 1", n >= 1)
    if history.shape[1] < n:
        return logits
    windows = history.unfold(1, n, 1)  # (B, N - n + 1, n)
    ending = history[:, history.shape[1] - (n - 1) :].unsqueeze(1)  # (B, 1, n - 1)
    repeats = (windows[..., :-1] == ending).all(-1) & (windows >= 0).all(-1)
    banned = _counts(torch.where(repeats, windows[..., -1], -1), logits.shape[-1]) > 0
    filtered = logits.masked_fill(banned, NEVER)
    return torch.where(filtered.amax(dim=-1, keepdim=True) == NEVER, logits, filtered)


def _keep(logits: Tensor, kept: Tensor) -> Tensor:
    return logits.masked_fill(~kept, NEVER)


def _counts(history: Tensor, vocabulary_size: int) -> Tensor:
    """Return how often each token occurs in each row, (B, V) int64; −1 is counted in a column that is cut off."""
    counts = history.new_zeros((history.shape[0], vocabulary_size + 1))
    columns = torch.where(history < 0, vocabulary_size, history)
    return counts.scatter_add_(1, columns, torch.ones_like(columns))[:, :vocabulary_size]
