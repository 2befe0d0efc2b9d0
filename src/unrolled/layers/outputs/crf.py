"""The linear-chain conditional random field: a loss over whole sequences of labels, and their probabilities.

A sequence of labels y scores s(y) = start[y_1] + Σ_t emissions[t, y_t] + Σ_t transitions[y_{t-1}, y_t] + end[y_T], and
has the probability exp(s(y)) / Z, where Z sums over all allowed sequences. Letters: T time, B batch, K labels.

Source: Lafferty, McCallum & Pereira 2001; with an LSTM below it Huang, Xu & Yu 2015, arXiv 1508.01991.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from unrolled.errors import ArgumentError, DTypeError, ShapeError
from unrolled.scan import valid_steps

#: stands for −∞ where a gradient is needed, since ∞ − ∞ would make it NaN
_IMPOSSIBLE = -1e30
#: scores further apart than this (nats, within a step) are summed in log space: a double underflows at e^−745, and a
#: label as improbable as that may be the only way to the next label
_FAR = 200.0


class CRF(nn.Module):
    """Learned scores of label transitions, on top of a network's emissions.

    The sum over all sequences is computed in float64 whatever the emissions' dtype, step by step as matrix products of
    probabilities that are scaled to sum to 1. Its gradient, the labels' posterior probabilities, comes from the
    forward-backward algorithm (Rabiner 1989, section V.A) instead of autograd, which takes twice as long. A backward
    pass that must itself be differentiable is left to autograd.

    Args:
        labels: K.
        between: K rows of K: whether a label (column) may follow another (row); None allows everything.
        begins, ends: whether a label may be the first, or the last, of a sequence.

    Raises:
        ArgumentError, ShapeError: there are no labels, or the constraints have another size.
    """

    def __init__(
        self,
        labels: int,
        between: Sequence[Sequence[bool]] | None = None,
        begins: Sequence[bool] | None = None,
        ends: Sequence[bool] | None = None,
    ) -> None:
        super().__init__()
        if labels < 1:
            raise ArgumentError(f"labels: expected at least 1, found {labels}")
        self.labels = labels
        self.transitions = nn.Parameter(torch.zeros(labels, labels))
        self.start = nn.Parameter(torch.zeros(labels))
        self.end = nn.Parameter(torch.zeros(labels))
        self.allowed: Tensor
        self.begins: Tensor
        self.ends: Tensor
        for name, given, shape in (
            ("allowed", between, (labels, labels)),
            ("begins", begins, (labels,)),
            ("ends", ends, (labels,)),
        ):
            mask = torch.ones(shape, dtype=torch.bool) if given is None else torch.tensor(given, dtype=torch.bool)
            if tuple(mask.shape) != shape:
                raise ShapeError({"allowed": "between"}.get(name, name), str(shape), mask.shape)
            # the masks follow from the labels and are not weights
            self.register_buffer(name, mask, persistent=False)

    def scores(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return transitions (K, K), start and end (K,), −∞ where the constraints forbid them; float64."""
        return (
            self.transitions.double().masked_fill(~self.allowed, -torch.inf),
            self.start.double().masked_fill(~self.begins, -torch.inf),
            self.end.double().masked_fill(~self.ends, -torch.inf),
        )

    def forward(self, emissions: Tensor, targets: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Return −ln p of the targets, in nats.

        Args:
            emissions: (T, B, K); steps beyond the lengths are never read.
            targets: (T, B) integers.
            lengths: (B,) integers from 0 to T; None takes all steps.

        Returns:
            (B,) float64; 0 for a sequence without steps.

        Raises:
            ShapeError, DTypeError: the tensors do not match.
            ArgumentError: a target is not a label, or the constraints forbid a sequence.
        """
        valid, lengths = self._checked(emissions, lengths)
        if targets.shape != emissions.shape[:2]:
            raise ShapeError("targets", f"{tuple(emissions.shape[:2])}, as emissions without K", targets.shape)
        if targets.dtype.is_floating_point or targets.dtype == torch.bool:
            raise DTypeError(f"targets: expected integers, found {targets.dtype}")
        targets = targets.long().masked_fill(~valid, 0)
        self._check_targets(targets, valid, lengths)
        if not emissions.shape[0]:
            return emissions.new_zeros(emissions.shape[1], dtype=torch.float64) + 0 * self.start.double().sum()
        taken = emissions.gather(2, targets.unsqueeze(2)).squeeze(2).double().masked_fill(~valid, 0).sum(0)
        between = self.transitions.double()[targets[:-1], targets[1:]].masked_fill(~valid[1:], 0).sum(0)
        last = targets.gather(0, (lengths - 1).clamp(min=0).unsqueeze(0)).squeeze(0)
        edges = (self.start.double()[targets[0]] + self.end.double()[last]).masked_fill(lengths == 0, 0)
        return self._log_normaliser(emissions, valid, lengths) - (taken + between + edges)

    def log_normaliser(self, emissions: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Return ln Z of each sequence, (B,) float64, from emissions (T, B, K); 0 for a sequence without steps."""
        return self._log_normaliser(emissions, *self._checked(emissions, lengths))

    def posterior(self, emissions: Tensor, lengths: Tensor | None = None) -> Posterior:
        """Return the probabilities of labels and label sequences, given all emissions (T, B, K), without a graph."""
        valid, lengths = self._checked(emissions, lengths)
        with torch.no_grad():
            return posterior(emissions, valid, lengths, *self.scores())

    def _log_normaliser(self, emissions: Tensor, valid: Tensor, lengths: Tensor) -> Tensor:
        steps = emissions.double().masked_fill(~valid.unsqueeze(2), 0)
        scores = self.scores()
        if not emissions.shape[0]:
            return steps.sum((0, 2))
        if _spread(steps, scores) > _FAR:
            return _in_log_space(steps, valid, lengths, *scores)
        apply: Callable[..., Tensor] = _LogNormaliser.apply
        return apply(steps, valid, lengths, *scores)

    def _checked(self, emissions: Tensor, lengths: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return the mask of valid steps, (T, B), and the lengths (B,)."""
        if emissions.dim() != 3 or emissions.shape[2] != self.labels:
            raise ShapeError("emissions", f"(T, B, K={self.labels})", emissions.shape)
        if not emissions.is_floating_point():
            raise DTypeError(f"emissions: expected floating point, found {emissions.dtype}")
        time, batch = emissions.shape[:2]
        if lengths is None:
            lengths = torch.full((batch,), time, dtype=torch.int64)
        valid = valid_steps(lengths, time, batch)
        return valid.to(emissions.device), lengths.to(emissions.device)

    def _check_targets(self, targets: Tensor, valid: Tensor, lengths: Tensor) -> None:
        """Check that the targets are labels, in an allowed order."""
        if bool(((targets < 0) | (targets >= self.labels)).any()):
            t, b = torch.nonzero((targets < 0) | (targets >= self.labels))[0].tolist()
            raise ArgumentError(f"targets[{t}, {b}]: expected a label from 0 to below K={self.labels}, found "
                                f"{int(targets[t, b])}")  # fmt: skip
        if not targets.shape[0]:
            return
        allowed = self.allowed[targets[:-1], targets[1:]] | ~valid[1:]
        if not bool(allowed.all()):
            t, b = torch.nonzero(~allowed)[0].tolist()
            pair = f"{int(targets[t, b])} before {int(targets[t + 1, b])}"
            raise ArgumentError(f"targets: label {pair} is forbidden (sequence {b}, step {t + 1})")
        last = targets.gather(0, (lengths - 1).clamp(min=0).unsqueeze(0)).squeeze(0)
        for name, mask, chosen in (("begin", self.begins, targets[0]), ("end", self.ends, last)):
            wrong = ~mask[chosen] & (lengths > 0)
            if bool(wrong.any()):
                b = int(torch.nonzero(wrong)[0])
                raise ArgumentError(f"targets: label {int(chosen[b])} must not {name} a sequence (sequence {b})")


@dataclass(frozen=True)
class Posterior:
    """Probabilities of labels given all emissions, as forward-backward computes them.

    Attributes:
        forward: (T, B, K), scaled: p(label at t | emissions up to t).
        backward: (T, B, K), such that forward · backward is p(label at t | all emissions).
        entering: (T, B, K), the weight of entering a label at t, divided by the scale of that step.
        factors: (K, K), exp(transitions).
    """

    forward: Tensor
    backward: Tensor
    entering: Tensor
    factors: Tensor

    @property
    def marginals(self) -> Tensor:
        """The probabilities p(label at t | all emissions), (T, B, K) float64; zero beyond the lengths."""
        return self.forward * self.backward

    def of_segment(self, row: int, begin: int, labels: Sequence[int]) -> float:
        """Return the probability that a sequence has exactly these labels from step `begin` on.

        Args:
            row: the index of the sequence.
            begin: from 0.
            labels: at least one label.
        """
        probability = float(self.forward[begin, row, labels[0]])
        for at, (before, label) in enumerate(itertools.pairwise(labels), begin + 1):
            probability *= float(self.factors[before, label] * self.entering[at, row, label])
        return probability * float(self.backward[begin + len(labels) - 1, row, labels[-1]])


def posterior(
    emissions: Tensor, valid: Tensor, lengths: Tensor, transitions: Tensor, start: Tensor, end: Tensor
) -> Posterior:
    """Run forward-backward; zero transitions, start and end make it the softmax of each step."""
    steps = emissions.double().masked_fill(~valid.unsqueeze(2), 0)
    if not len(steps):
        return Posterior(steps, steps, steps, transitions.exp())
    # probabilities this small underflow in a double anyway
    steps = torch.maximum(steps, steps.amax(2, keepdim=True) - 3 * _FAR)
    forward, entering, _, last = _forward(steps, valid, transitions.exp(), start.exp())
    backward = _backward(entering, valid, lengths, transitions.exp(), end.exp(), last)
    mask = valid.unsqueeze(2)
    return Posterior(forward * mask, backward * mask, entering * mask, transitions.exp())


def _spread(steps: Tensor, scores: Sequence[Tensor]) -> float:
    """Return the largest difference between scores within a step."""
    steps = steps.detach()
    widest = float((steps.amax(2) - steps.amin(2)).max()) if steps.numel() else 0.0
    for score in scores:
        finite = score.detach()[score.isfinite()]
        widest += 2 * float(finite.abs().max()) if finite.numel() else 0.0
    return widest


def _forward(steps: Tensor, valid: Tensor, factors: Tensor, first: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Run the forward algorithm with scaling.

    Args:
        steps: (T, B, K) emissions.
        valid: (T, B).
        factors, first: exp of transitions (K, K) and start (K,).

    Returns:
        p(label at t | emissions up to t), (T, B, K); exp of the emissions divided by the scale of the step, (T, B, K);
        ln of the product of the scales, (B,); and p after the last valid step, (B, K).
    """
    most = steps.amax(2)
    weights = (steps - most.unsqueeze(2)).exp()
    forward, scale = torch.empty_like(steps), torch.ones_like(most)
    p = first * weights[0]
    for t in range(len(steps)):
        if t:
            p = (p @ factors) * weights[t]
        total = p.sum(1, keepdim=True)
        p = p / total
        if t:
            p = torch.where(valid[t].unsqueeze(1), p, forward[t - 1])
        forward[t] = p
        scale[t] = total[:, 0]
    logs = (scale.log() + most).masked_fill(~valid, 0).sum(0)
    return forward, weights / scale.unsqueeze(2), logs, p


def _backward(
    entering: Tensor, valid: Tensor, lengths: Tensor, factors: Tensor, last: Tensor, reached: Tensor
) -> Tensor:
    """Run the backward algorithm with the forward's scales; the result times `forward` is the posterior, (T, B, K)."""
    b = last / (reached @ last).unsqueeze(1)
    backward = torch.empty_like(entering)
    turned = factors.t().contiguous()
    backward[-1] = b
    for t in range(len(entering) - 1, 0, -1):
        b = torch.where(valid[t].unsqueeze(1), (entering[t] * b) @ turned, b)
        backward[t - 1] = b
    return backward


def _in_log_space(
    steps: Tensor, valid: Tensor, lengths: Tensor, transitions: Tensor, start: Tensor, end: Tensor
) -> Tensor:
    """Return ln Z (B,) by the definition, in plain torch, for scores that lie far apart and for higher derivatives."""
    transitions, start, end = (score.clamp(min=_IMPOSSIBLE) for score in (transitions, start, end))
    alpha = start + steps[0]
    for t in range(1, len(steps)):
        following = torch.logsumexp(alpha.unsqueeze(2) + transitions, 1) + steps[t]
        alpha = torch.where(valid[t].unsqueeze(1), following, alpha)
    return torch.logsumexp(alpha + end, 1).masked_fill(lengths == 0, 0)


class _LogNormaliser(torch.autograd.Function):
    """ln Z, whose gradient is the posterior."""

    @staticmethod
    def forward(
        ctx: Any, steps: Tensor, valid: Tensor, lengths: Tensor, transitions: Tensor, start: Tensor, end: Tensor
    ) -> Tensor:
        forward, entering, logs, reached = _forward(steps, valid, transitions.exp(), start.exp())
        ctx.save_for_backward(steps, valid, lengths, transitions, start, end, forward, entering, reached)
        return (logs + (reached @ end.exp()).log()).masked_fill(lengths == 0, 0)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        steps, valid, lengths, transitions, start, end, forward, entering, reached = ctx.saved_tensors
        if torch.is_grad_enabled():
            given = (steps, transitions, start, end)
            needed = [tensor for tensor in given if tensor.requires_grad]
            total = _in_log_space(steps, valid, lengths, transitions, start, end)
            made = iter(torch.autograd.grad(total, needed, grad, create_graph=True))
            grads = [next(made) if tensor.requires_grad else None for tensor in given]
            return grads[0], None, None, *grads[1:]
        factors = transitions.exp()
        backward = _backward(entering, valid, lengths, factors, end.exp(), reached)
        # a sequence without steps has no gradient
        weight = grad.masked_fill(lengths == 0, 0).unsqueeze(1)
        marginals = (forward * backward * weight).masked_fill(~valid.unsqueeze(2), 0)
        into = (entering * backward * weight).masked_fill(~valid.unsqueeze(2), 0)
        between = factors * (forward[:-1].flatten(0, 1).t() @ into[1:].flatten(0, 1))
        at_end = (reached * end.exp() / (reached @ end.exp()).unsqueeze(1) * weight).sum(0)
        return marginals, None, None, between, marginals[0].sum(0), at_end
