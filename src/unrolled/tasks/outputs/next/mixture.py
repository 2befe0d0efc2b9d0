"""An n-gram mixed into a network's predictions, such as that of one writer's text: adapted without training.

    p(w | all before) = (1 − λ) p_network(w) + λ p_ngram(w)

λ depends on how well the n-gram knows the context: there is one for each pair of the longest known context's length
and, by powers of four, how much was counted after it. They are fitted on development text by EM, which for a mixture
with fixed parts climbs to the global optimum.
Source: Kuhn & De Mori 1990, doi:10.1109/34.56193 (the cache); Jelinek & Mercer 1980 (bucketed weights by EM).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Generic

import numpy as np
import numpy.typing as npt
import torch
from safetensors.numpy import save as save_arrays
from torch import Tensor

from unrolled.decoding.contract import MergingStepper, S
from unrolled.errors import ArgumentError, ModelError, ShapeError
from unrolled.tasks.core.folder.files import read_arrays, write_arrays
from unrolled.tasks.outputs.next.ngram import Floats, Integers, NGram, NGramStepper

_COUNT_BUCKETS = 6
"""Totals 1–3, 4–15, 16–63, 64–255, 256–1023, and more."""

ANEW = "adapt the model to the writer again"
"""What is to be done about a file that is damaged."""

_PRIOR = 10.0
"""How many tokens' worth of the overall λ each bucket starts from, so that a bucket hardly seen stays near it."""


@dataclass(frozen=True)
class MixtureWeights:
    """λ for every bucket of contexts.

    Args:
        table: (n, 6) in [0, 1]: row by length of the longest known context, column by its total.
    Raises:
        ArgumentError: a λ outside [0, 1].
        ShapeError: not (n, 6).
    """

    table: Floats

    def __post_init__(self) -> None:
        if self.table.ndim != 2 or self.table.shape[1] != _COUNT_BUCKETS:
            raise ShapeError("table", f"(n, {_COUNT_BUCKETS})", self.table.shape)
        if not bool(((self.table >= 0) & (self.table <= 1)).all()):
            raise ArgumentError("weight: expected every λ in [0, 1]")

    @classmethod
    def constant(cls, weight: float, order: int) -> MixtureWeights:
        """Return the same λ for every context."""
        return cls(np.full((order, _COUNT_BUCKETS), float(weight)))

    def at(self, lengths: Integers, totals: Integers) -> Floats:
        """Return λ (N,) for contexts as ``NGram.context_statistics`` describes them."""
        return self.table[lengths, _bucket(totals)]

    def to_arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Return plain arrays, to be saved with safetensors."""
        return {"weights": self.table}

    @classmethod
    def from_arrays(cls, arrays: dict[str, npt.NDArray[Any]]) -> MixtureWeights:
        """Return what ``to_arrays`` wrote.

        Raises:
            ModelError: it is missing or damaged.
        """
        if "weights" not in arrays:
            raise ModelError("n-gram cache: the saved arrays lack 'weights'; save the cache again")
        try:
            return cls(arrays["weights"].astype(np.float64))
        except ArgumentError as error:
            raise ModelError(f"n-gram cache: the saved weights are damaged ({error}); save the cache again") from error


def fit_weights(
    model_log_probs: npt.ArrayLike, ngram: NGram, tokens: npt.ArrayLike, *, iterations: int = 50
) -> MixtureWeights:
    """Return the λ under which development text is most probable (but for a little smoothing between buckets).

    Args:
        model_log_probs: (N,) nats, the network's for every token of the text.
        ngram: fitted on other text of the same writer, never on this one: it would find itself infallible.
        tokens: (N,) the development text.
        iterations: of EM, ≥ 1.
    Raises:
        ArgumentError, ShapeError: iterations out of range, no token, or not one log-probability a token.
    """
    if iterations < 1:
        raise ArgumentError(f"iterations: expected an integer ≥ 1, found {iterations}")
    network = np.asarray(model_log_probs, dtype=np.float64)
    counted = ngram.log_probabilities(tokens)
    if network.shape != counted.shape:
        raise ShapeError("model_log_probs", f"(N={len(counted)},), one a token", network.shape)
    if not len(counted):
        raise ArgumentError("tokens: no development text; give at least one token")
    lengths, totals = ngram.context_statistics(tokens)
    buckets = lengths * _COUNT_BUCKETS + _bucket(totals)
    size = ngram.order * _COUNT_BUCKETS
    sizes = np.bincount(buckets, minlength=size)
    odds = np.exp(np.minimum(network - counted, 700.0))  # p_network / p_ngram, short of overflow
    overall, weights = 0.5, np.full(size, 0.5)
    for _ in range(iterations):
        overall = float((overall / (overall + (1 - overall) * odds)).mean())
    for _ in range(iterations):
        chosen = weights[buckets]
        posteriors = chosen / (chosen + (1 - chosen) * odds)
        weights = (np.bincount(buckets, posteriors, size) + _PRIOR * overall) / (sizes + _PRIOR)
    return MixtureWeights(weights.reshape(ngram.order, _COUNT_BUCKETS))


def mix(model_log_probs: npt.ArrayLike, ngram: NGram, tokens: npt.ArrayLike, weights: MixtureWeights) -> Floats:
    """Return ln of the mixture for every token of a text, (N,) nats; arguments as ``fit_weights``."""
    chosen = weights.at(*ngram.context_statistics(tokens))
    with np.errstate(divide="ignore"):  # λ = 0 or 1 leaves one part out: ln 0 = −∞ is meant
        network, counted = np.log1p(-chosen), np.log(chosen)
    return np.logaddexp(network + np.asarray(model_log_probs), counted + ngram.log_probabilities(tokens))


class MixingStepper(Generic[S]):
    """A model and an n-gram, mixed; itself a model that reads one token a step.

    The state is the pair of the model's state and the n-gram's.

    Args:
        stepper: the model.
        counted: the n-gram's, over the same vocabulary.
        weights: λ by bucket.
    Raises:
        ArgumentError: vocabularies or orders that differ.
    """

    def __init__(self, stepper: MergingStepper[S], counted: NGramStepper, weights: MixtureWeights) -> None:
        ngram = counted.ngram
        if stepper.vocabulary_size != ngram.vocabulary_size:
            raise ArgumentError(
                f"ngram: its vocabulary has {ngram.vocabulary_size} tokens, the model's {stepper.vocabulary_size}; "
                "fit it on tokens of the model's own tokeniser"
            )
        if len(weights.table) != ngram.order:
            raise ArgumentError(f"weights: fitted for order {len(weights.table)}, the n-gram has order {ngram.order}")
        self.stepper, self.counted, self.weights = stepper, counted, weights
        self.vocabulary_size = ngram.vocabulary_size

    def start(self, batch_size: int) -> tuple[S, Tensor]:
        """Return the state before the first token."""
        return self.stepper.start(batch_size), self.counted.start(batch_size)

    def step(self, tokens: Tensor, state: tuple[S, Tensor]) -> tuple[Tensor, tuple[S, Tensor]]:
        """Read tokens (B,); return ln of the mixture (B, V), dtype and device as the model's logits, and the state."""
        logits, inner = self.stepper.step(tokens, state[0])
        _, history = self.counted.step(tokens, state[1])
        return self.mixed(logits, history), (inner, history)

    def select(self, state: tuple[S, Tensor], rows: Tensor) -> tuple[S, Tensor]:
        """Return the state whose row n is row ``rows[n]``."""
        return self.stepper.select(state[0], rows), self.counted.select(state[1], rows)

    def merge(self, states: Sequence[tuple[S, Tensor]]) -> tuple[S, Tensor]:
        """Return one state of all the rows of several."""
        return self.stepper.merge([state for state, _ in states]), self.counted.merge([h for _, h in states])

    def mixed(self, logits: Tensor, history: Tensor) -> Tensor:
        """Return ln of the mixture (B, V) of a model's logits (B, V) and the n-gram after ``history``, its state."""
        counted, lengths, totals = self.counted.predict(history)
        chosen = torch.from_numpy(self.weights.at(lengths.numpy(), totals.numpy())).unsqueeze(1)
        network = logits.double().softmax(-1)
        mixture = torch.lerp(network, counted.to(network.device), chosen.to(network.device))
        return mixture.log().to(logits.dtype)


@dataclass(frozen=True)
class NGramMixture:
    """An n-gram, and how much weight it gets where: what is mixed into a network's predictions.

    Attributes:
        ngram: over the model's tokens.
        weights: λ by how well the n-gram knows the context.
    """

    ngram: NGram
    weights: MixtureWeights

    @cached_property
    def stepper(self) -> NGramStepper:
        """The n-gram's, shared by all streams of a model, which remember what it said."""
        return NGramStepper(self.ngram)

    @property
    def fingerprint(self) -> str:
        """A hash of all of it, as a network has one."""
        return hashlib.sha256(save_arrays(self._arrays())).hexdigest()

    def _arrays(self) -> dict[str, npt.NDArray[Any]]:
        weights = {f"cache.{name}": array for name, array in self.weights.to_arrays().items()}
        return {**{f"ngram.{name}": array for name, array in self.ngram.to_arrays().items()}, **weights}

    def save(self, path: Path) -> None:
        """Write one file of a model's folder.

        Raises:
            StorageError: that can't be done.
        """
        write_arrays(path, self._arrays())

    @classmethod
    def load(cls, path: Path, vocabulary_size: int) -> NGramMixture | None:
        """Return what `save` wrote, or None if there is no such file.

        Raises:
            StorageError, ModelError: it can't be read, is damaged, or is over another vocabulary.
        """
        if not path.exists():
            return None
        parts: dict[str, dict[str, npt.NDArray[Any]]] = {"ngram": {}, "cache": {}}
        for name, array in read_arrays(path, ANEW).items():
            part, _, rest = name.partition(".")
            parts.setdefault(part, {})[rest] = array
        try:
            ngram, weights = NGram.from_arrays(parts["ngram"]), MixtureWeights.from_arrays(parts["cache"])
        except ModelError as error:
            raise ModelError(f"{path}: {error}") from error
        if ngram.vocabulary_size != vocabulary_size or len(weights.table) != ngram.order:
            raise ModelError(f"{path}: does not fit the model beside it; {ANEW}")
        return cls(ngram, weights)


def _bucket(totals: Integers) -> Integers:
    return np.clip(np.log2(np.maximum(totals, 1)).astype(np.int64) // 2, 0, _COUNT_BUCKETS - 1)
