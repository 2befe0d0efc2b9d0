"""The interface that decoders need of a model, and the checks that every decoder makes first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

import torch
from torch import Tensor

from unrolled.errors import ArgumentError, DTypeError, ShapeError

S = TypeVar("S")


class Stepper(Protocol[S]):
    """A causal model that reads one token per step.

    The state ``S`` is whatever the model carries, usually a nested tuple of tensors; it is opaque to decoders. Neither
    the stepper nor a decoder modifies a tensor once the stepper has returned it.
    """

    @property
    def vocabulary_size(self) -> int:
        """V, the number of logits."""
        ...

    def start(self, batch_size: int) -> S:
        """Return the state before the first token, for ``batch_size`` rows."""
        ...

    def step(self, tokens: Tensor, state: S) -> tuple[Tensor, S]:
        """Read one token per row: tokens (B,) int64 → logits (B, V) of the next token, and the new state."""
        ...

    def select(self, state: S, rows: Tensor) -> S:
        """Return the state whose row n is row ``rows[n]`` of ``state``; rows (N,) int64, repeats allowed."""
        ...


class MergingStepper(Stepper[S], Protocol[S]):
    """A stepper whose states can be batched, so that many texts are read and completed together."""

    def merge(self, states: Sequence[S]) -> S:
        """Return one state with the rows of several, in their order."""
        ...


def read(stepper: Stepper[S], tokens: Tensor, state: S | None = None) -> tuple[Tensor, S]:
    """Feed a prompt token by token.

    Args:
        stepper: the model.
        tokens: (B, T) int64, T ≥ 1.
        state: the state to start from; ``stepper.start(B)`` by default.
    Returns:
        The logits (B, V) after the last token, and the state there.
    Raises:
        ShapeError: tokens is not (B, T ≥ 1).
    """
    if tokens.dim() != 2 or tokens.shape[1] == 0:
        raise ShapeError("tokens", "(B, T ≥ 1)", tokens.shape)
    carried = stepper.start(tokens.shape[0]) if state is None else state
    with torch.no_grad():
        for column in tokens.unbind(1):
            logits, carried = stepper.step(column, carried)
    return logits, carried


def check_logits(logits: Tensor, vocabulary_size: int) -> None:
    """Check that logits can be decoded.

    Raises:
        ShapeError: logits is not (B, V).
        DTypeError: logits is not floating point.
        ArgumentError: they hold NaN or +inf, or a row of nothing but −inf.
    """
    if logits.dim() != 2 or logits.shape[1] != vocabulary_size:
        raise ShapeError("logits", f"(B, V={vocabulary_size})", logits.shape)
    if not logits.is_floating_point():
        raise DTypeError(f"logits: expected floating point, found {logits.dtype}")
    # A row's maximum is NaN with any NaN, +inf with any +inf, and −inf only if every logit is.
    if logits.shape[0] and not bool(logits.amax(dim=-1).isfinite().all()):
        raise ArgumentError("logits: not finite; the model's weights or its input state have diverged")


def check_range(name: str, value: float, allowed: str, inside: bool) -> None:
    """Raise an ArgumentError that names the option, the range allowed and the value, unless ``inside``."""
    if not inside:
        raise ArgumentError(f"{name}: expected {allowed}, found {value!r}")


def check_ids(name: str, ids: tuple[int, ...], vocabulary_size: int) -> None:
    """Raise an ArgumentError unless every id is in [0, V)."""
    for token in ids:
        check_range(name, token, f"token ids in [0, {vocabulary_size})", 0 <= token < vocabulary_size)
