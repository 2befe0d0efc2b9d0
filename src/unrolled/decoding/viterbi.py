"""Viterbi: the best sequences of labels under emission and transition scores, exactly.

Letters: T time, B batch, K labels, N sequences to keep.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from unrolled.decoding.contract import check_range
from unrolled.errors import ArgumentError, ShapeError


class Labelling(NamedTuple):
    """A sequence of labels.

    Attributes:
        labels: one label per step.
        score: the sum of its emissions, transitions, start and end, in unnormalised nats.
    """

    labels: list[int]
    score: float


def viterbi(
    emissions: Tensor,
    transitions: Tensor,
    start: Tensor,
    end: Tensor,
    lengths: Tensor | None = None,
    *,
    n_best: int = 1,
) -> list[list[Labelling]]:
    """Return the `n_best` sequences of the highest score for each row, best first; among equals, lower labels first.

    Forbidden sequences have the score −∞ and are never returned: a row has fewer than `n_best` sequences where no more
    are possible. Steps beyond a row's length are never read; a row without steps has one sequence, the empty one.

    Args:
        emissions: (T, B, K).
        transitions: (K, K), from and to.
        start, end: (K,).
        lengths: (B,) integers from 0 to T; None takes all steps.
        n_best: N, at least 1.

    Raises:
        ShapeError, ArgumentError: the shapes do not match, or emissions are NaN or +∞.

    Source: Viterbi 1967; the N best: Foreman 1993, Schwartz & Chow 1990 (the exact algorithm).
    """
    check_range("n_best", n_best, "at least 1", n_best >= 1)
    if emissions.dim() != 3:
        raise ShapeError("emissions", "(T, B, K)", emissions.shape)
    time, batch, labels = emissions.shape
    if lengths is None:
        lengths = torch.full((batch,), time, dtype=torch.int64)
    _check(emissions, transitions, start, end, lengths)
    # the search is many small steps, each cheaper on the CPU than launching it elsewhere
    scores, transitions, start, end = (s.detach().double().cpu() for s in (emissions, transitions, start, end))
    lengths = lengths.cpu()
    valid = torch.arange(time).unsqueeze(1) < lengths
    if bool(((scores.isnan() | (scores == torch.inf)).any(2) & valid).any()):
        raise ArgumentError("emissions: not finite; the model's weights or its input have diverged")
    if not time:
        return [[Labelling([], 0.0)] for _ in range(batch)]
    best, origins = _search(scores, transitions, start, valid, n_best)
    final = (best + end.view(1, labels, 1)).flatten(1)
    ranked, order = final.sort(dim=1, descending=True, stable=True)
    ranked, order = ranked[:, :n_best], order[:, :n_best]
    paths = _walk_back(order, origins, lengths, best.shape[2])
    labellings = []
    for b, length in enumerate(lengths.tolist()):
        kept = [
            Labelling(paths[:length, b, n].tolist(), score)
            for n, score in enumerate(ranked[b].tolist())
            if score > -torch.inf
        ]
        labellings.append(kept if length else [Labelling([], 0.0)])
    return labellings


def _check(emissions: Tensor, transitions: Tensor, start: Tensor, end: Tensor, lengths: Tensor) -> None:
    """Check that the shapes and lengths match the emissions."""
    time, batch, labels = emissions.shape
    for name, tensor, shape in (
        ("transitions", transitions, (labels, labels)),
        ("start", start, (labels,)),
        ("end", end, (labels,)),
    ):
        if tuple(tensor.shape) != shape:
            raise ShapeError(name, f"{shape}, as there are K={labels} labels", tensor.shape)
    if tuple(lengths.shape) != (batch,):
        raise ShapeError("lengths", f"(B={batch},)", lengths.shape)
    if batch and not 0 <= int(lengths.min()) <= int(lengths.max()) <= time:
        raise ArgumentError(f"lengths: expected 0 to T={time}, found {lengths.tolist()}")


def _search(
    scores: Tensor, transitions: Tensor, start: Tensor, valid: Tensor, n_best: int
) -> tuple[Tensor, list[Tensor]]:
    """Return the N best scores of arriving at each label, (B, K, N), and their origins at each step but the first.

    An origin is label · N + rank at the previous step, (B, K, N).
    """
    _, batch, labels = scores.shape
    best = torch.full((batch, labels, n_best), -torch.inf, dtype=scores.dtype)
    best[:, :, 0] = start + scores[0].masked_fill(~valid[0].unsqueeze(1), 0)
    stay = torch.arange(labels * n_best).view(1, labels, n_best).expand(batch, -1, -1)
    origins = []
    for t in range(1, len(scores)):
        # (B, from · rank, to)
        arriving = (best.unsqueeze(3) + transitions.view(1, labels, 1, labels)).reshape(batch, labels * n_best, labels)
        if n_best == 1:
            top, where = arriving.max(dim=1, keepdim=True)
        else:
            top, where = arriving.sort(dim=1, descending=True, stable=True)
        following = top[:, :n_best].transpose(1, 2) + scores[t].unsqueeze(2)
        is_valid = valid[t].view(batch, 1, 1)
        best = torch.where(is_valid, following, best)
        origins.append(torch.where(is_valid, where[:, :n_best].transpose(1, 2), stay))
    return best, origins


def _walk_back(order: Tensor, origins: list[Tensor], lengths: Tensor, n_best: int) -> Tensor:
    """Return the labels of the sequences that end at `order`, (T, B, N)."""
    at = order
    labels = [at // n_best]
    for origin in reversed(origins):
        at = origin.flatten(1).gather(1, at)
        labels.append(at // n_best)
    return torch.stack(labels[::-1])


def greedy_labels(
    emissions: Tensor, transitions: Tensor, start: Tensor, lengths: Tensor | None = None
) -> list[list[int]]:
    """Return the best label at each step that may follow the previous label, as a stream does, without looking ahead.

    Args:
        emissions: (T, B, K).
        transitions: (K, K), −∞ where a label must not follow another.
        start: (K,), the same for the first label.
        lengths: (B,); None takes all steps.

    Returns:
        The labels of each row.
    """
    time, batch, _ = emissions.shape
    scores, transitions = emissions.detach().double().cpu(), transitions.detach().double().cpu()
    before = start.detach().double().cpu().expand(batch, -1)
    chosen = []
    for t in range(time):
        label = (scores[t] + before).argmax(1)
        chosen.append(label)
        before = transitions[label]
    ends = [time] * batch if lengths is None else lengths.tolist()
    table = torch.stack(chosen, 1).tolist() if chosen else [[] for _ in range(batch)]
    return [row[:end] for row, end in zip(table, ends, strict=True)]
