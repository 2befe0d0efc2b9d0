"""An n-gram mixed into a network's predictions: that of its training text, or that of one writer's.

    p(w | all before) = (1 − λ) p_network(w) + λ p_ngram(w)

λ depends on how well each of them knows the context: there is one for each pair of the longest known context's length
and, by powers of four, how much was counted after it; and, if so fitted, for some values of the network's entropy,
between which λ is interpolated. They are fitted on development text by EM, which for a mixture with fixed parts climbs
to the global optimum.
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

from unrolled.decoding.contract import S
from unrolled.decoding.remembering import KeepingStepper
from unrolled.errors import ArgumentError, ModelError, ShapeError
from unrolled.storage import RESTORE, has_part
from unrolled.tasks.core.folder.files import map_arrays, write_arrays
from unrolled.tasks.outputs.next.counting import Floats, Integers
from unrolled.tasks.outputs.next.ngram import NGram, NGramStepper

_COUNT_BUCKETS = 6
"""Totals 1–3, 4–15, 16–63, 64–255, 256–1023, and more."""

ENTROPIES = np.array([0.0, 0.25, 0.75, 1.5, 2.5, 4.0])
"""Nats at which a λ is fitted; it is constant above."""

_PRIOR = 10.0
"""How many tokens' worth of a coarser λ each one starts from, so that one hardly used stays near it."""


@dataclass(frozen=True, eq=False)
class MixtureWeights:
    """λ for every bucket of contexts.

    Args:
        table: in [0, 1], (n, 6): row by length of the longest known context, column by its total; or (n, 6, 6) for each
            of `ENTROPIES`.
    Raises:
        ArgumentError: a λ outside [0, 1].
        ShapeError: of another shape.
    """

    table: Floats

    def __post_init__(self) -> None:
        if self.table.shape[1:] not in ((_COUNT_BUCKETS,), (_COUNT_BUCKETS, len(ENTROPIES))):
            raise ShapeError(
                "table", f"(n, {_COUNT_BUCKETS}) or (n, {_COUNT_BUCKETS}, {len(ENTROPIES)})", self.table.shape
            )
        if not bool(((self.table >= 0) & (self.table <= 1)).all()):
            raise ArgumentError("weight: expected every λ in [0, 1]")

    @classmethod
    def constant(cls, weight: float, order: int) -> MixtureWeights:
        """Return the same λ for every context."""
        return cls(np.full((order, _COUNT_BUCKETS), float(weight)))

    @property
    def asks_entropy(self) -> bool:
        """Whether λ depends on the network's entropy."""
        return self.table.ndim == 3

    def at(self, lengths: Integers, totals: Integers, entropies: Floats | None = None) -> Floats:
        """Return λ (N,) for contexts as ``NGram.statistics`` describes them.

        Args:
            lengths, totals: (N,).
            entropies: (N,) of the network's predictions, nats; needed if `asks_entropy`.
        """
        rows = self.table[lengths, _bucket(totals)]
        if entropies is None or not self.asks_entropy:
            return rows
        below, share = _between(entropies)
        at = np.arange(len(rows))
        return (1 - share) * rows[at, below] + share * rows[at, below + 1]

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
    model_log_probs: npt.ArrayLike,
    ngram: NGram,
    tokens: npt.ArrayLike,
    *,
    entropies: Floats | None = None,
    iterations: int = 50,
) -> MixtureWeights:
    """Return the λ under which development text is most probable (but for a little smoothing between buckets).

    Args:
        model_log_probs: (N,) nats, the network's for every token of the text.
        ngram: fitted on other text, never on this one: it would find itself infallible.
        tokens: (N,) the development text.
        entropies: (N,) of the network's predictions, nats, if λ is to depend on them.
        iterations: of EM, ≥ 1.
    Raises:
        ArgumentError, ShapeError: iterations out of range, no token, or not one log-probability a token.
    """
    if iterations < 1:
        raise ArgumentError(f"iterations: expected an integer ≥ 1, found {iterations}")
    network = np.asarray(model_log_probs, dtype=np.float64)
    counted, lengths, totals = ngram.statistics(tokens)
    if network.shape != counted.shape:
        raise ShapeError("model_log_probs", f"(N={len(counted)},), one a token", network.shape)
    if not len(counted):
        raise ArgumentError("tokens: no development text; give at least one token")
    odds = np.exp(np.minimum(network - counted, 700.0))  # p_network / p_ngram, short of overflow
    buckets, size = lengths * _COUNT_BUCKETS + _bucket(totals), ngram.order * _COUNT_BUCKETS
    overall = _climb(np.array([0.5]), np.zeros_like(buckets), None, odds, iterations, 0.0)
    weights = _climb(np.repeat(overall, size), buckets, None, odds, iterations, _PRIOR)
    shape: tuple[int, ...] = (ngram.order, _COUNT_BUCKETS)
    if entropies is not None:
        below, share = _between(entropies)
        cells, shape = buckets * len(ENTROPIES) + below, (*shape, len(ENTROPIES))
        weights = _climb(np.repeat(weights, len(ENTROPIES)), cells, share, odds, iterations, _PRIOR)
    return MixtureWeights(weights.reshape(shape))


def _climb(
    prior: Floats, cells: Integers, share: Floats | None, odds: Floats, iterations: int, strength: float
) -> Floats:
    """Return the λ of each cell by EM.

    Args:
        prior: (cells,) where each starts, and is drawn to.
        cells: (N,) the cell of each token.
        share: (N,) of the cell after it that λ is interpolated with, or None.
        odds: (N,) p_network / p_ngram.
        iterations: of EM.
        strength: tokens' worth of the prior.
    """
    weights, size = prior, len(prior)
    parts = [(cells, np.ones(len(cells)))] if share is None else [(cells, 1 - share), (cells + 1, share)]
    for _ in range(iterations):
        chosen = sum(part * weights[cell] for cell, part in parts)
        whole = chosen + (1 - chosen) * odds
        counted, total = strength * prior, np.full(size, strength)
        for cell, part in parts:
            own = part * weights[cell]
            counted = counted + np.bincount(cell, own / whole, size)
            total = total + np.bincount(cell, (own + (part - own) * odds) / whole, size)
        weights = np.where(total > 0, counted / np.maximum(total, 1e-300), prior)
    return weights


def mix(
    model_log_probs: npt.ArrayLike,
    ngram: NGram,
    tokens: npt.ArrayLike,
    weights: MixtureWeights,
    *,
    entropies: Floats | None = None,
    context: npt.ArrayLike = (),
) -> Floats:
    """Return ln of the mixture for every token of a text, (N,) nats.

    Args:
        model_log_probs, ngram, tokens, entropies: as ``fit_weights``.
        weights: λ.
        context: tokens before the text.
    """
    counted, lengths, totals = ngram.statistics(tokens, context)
    chosen = weights.at(lengths, totals, entropies)
    with np.errstate(divide="ignore"):  # λ = 0 or 1 leaves one part out: ln 0 = −∞ is meant
        network, own = np.log1p(-chosen), np.log(chosen)
    return np.logaddexp(network + np.asarray(model_log_probs), own + counted)


class MixingStepper(Generic[S]):
    """A model and an n-gram, mixed; itself a model that reads one token a step.

    The state is the pair of the model's state and the n-gram's. Two are equal if they mix the same.

    Args:
        stepper: the model.
        counted: the n-gram's, over the same vocabulary.
        weights: λ by bucket.
    Raises:
        ArgumentError: vocabularies or orders that differ.
    """

    def __init__(self, stepper: KeepingStepper[S], counted: NGramStepper, weights: MixtureWeights) -> None:
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

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, MixingStepper):
            return NotImplemented
        parts = (self.counted, self.weights) == (other.counted, other.weights)
        return parts and bool(self.stepper == other.stepper)

    def __hash__(self) -> int:
        return hash((self.stepper, self.counted, id(self.weights)))

    def start(self, batch_size: int) -> tuple[S, Tensor]:
        """Return the state before the first token."""
        return self.stepper.start(batch_size), self.counted.start(batch_size)

    def step(self, tokens: Tensor, state: tuple[S, Tensor]) -> tuple[Tensor, tuple[S, Tensor]]:
        """Read tokens (B,); return ln of the mixture (B, V), dtype and device as the model's logits, and the state."""
        logits, inner = self.stepper.step(tokens, state[0])
        history = self.counted.read(tokens, state[1])
        return self.mixed(logits, history), (inner, history)

    def select(self, state: tuple[S, Tensor], rows: Tensor) -> tuple[S, Tensor]:
        """Return the state whose row n is row ``rows[n]``."""
        return self.stepper.select(state[0], rows), self.counted.select(state[1], rows)

    def merge(self, states: Sequence[tuple[S, Tensor]]) -> tuple[S, Tensor]:
        """Return one state of all the rows of several."""
        return self.stepper.merge([state for state, _ in states]), self.counted.merge([h for _, h in states])

    def put(self, state: tuple[S, Tensor], rows: Tensor, new: tuple[S, Tensor]) -> None:
        """Make row ``rows[n]`` of ``state`` row n of ``new``, in place."""
        self.stepper.put(state[0], rows, new[0])
        self.counted.put(state[1], rows, new[1])

    def same(self, state: tuple[S, Tensor], row: int, other: tuple[S, Tensor]) -> bool:
        """Return whether a row of ``state`` is the only row of ``other``, bit for bit."""
        return self.counted.same(state[1], row, other[1]) and self.stepper.same(state[0], row, other[0])

    def mixed(self, logits: Tensor, history: Tensor) -> Tensor:
        """Return ln of the mixture (B, V) of a model's logits (B, V) and the n-gram after ``history``, its state."""
        counted, lengths, totals = self.counted.predict(history)
        scores = logits.double()
        network = scores.softmax(-1)
        entropies = _entropies(scores, network) if self.weights.asks_entropy else None
        chosen = torch.from_numpy(self.weights.at(lengths, totals, entropies)).unsqueeze(1)
        mixture = torch.lerp(network, counted.to(network.device), chosen.to(network.device))
        return mixture.log().to(logits.dtype)


@dataclass(frozen=True)
class NGramMixture:
    """An n-gram, and how much weight it gets where: what is mixed into a network's predictions.

    Attributes:
        ngram: over the model's tokens.
        weights: λ by how well n-gram and network know the context.
        tokenizer: the fingerprint of the tokeniser; empty where an earlier version saved none.
    """

    ngram: NGram
    weights: MixtureWeights
    tokenizer: str = ""

    @cached_property
    def stepper(self) -> NGramStepper:
        """The n-gram's, shared by all streams of a model, which remember what it said."""
        return NGramStepper(self.ngram)

    @cached_property
    def fingerprint(self) -> str:
        """A hash of all of it, as a network has one."""
        return hashlib.sha256(save_arrays(self._arrays())).hexdigest()

    def _arrays(self) -> dict[str, npt.NDArray[Any]]:
        return ngram_arrays(self.ngram) | {f"cache.{name}": array for name, array in self.weights.to_arrays().items()}

    def save(self, path: Path) -> None:
        """Write one file of a model's folder.

        Raises:
            StorageError: that can't be done.
        """
        write_arrays(path, self._arrays(), {"tokenizer": self.tokenizer})

    @classmethod
    def load(cls, path: Path, way: str = RESTORE) -> NGramMixture | None:
        """Return what `save` wrote, mapped; None if there is no such file, or it has an n-gram without weights.

        Args:
            path: the file.
            way: what is to be done about a damaged one.

        Raises:
            StorageError, ModelError: it can't be read, or is damaged.
        """
        if not has_part(path):
            return None
        arrays, metadata = map_arrays(path, way)
        weights = {name.removeprefix("cache."): array for name, array in arrays.items() if name.startswith("cache.")}
        if not weights:
            return None
        ngram = load_ngram(path, way)
        try:
            fitted = MixtureWeights.from_arrays(weights)
        except ModelError as error:
            raise ModelError(f"{path}: {error}") from error
        if len(fitted.table) != ngram.order:
            raise ModelError(
                f"{path}: its weights are of order {len(fitted.table)}, its n-gram of {ngram.order}; {way}"
            )
        return cls(ngram, fitted, metadata.get("tokenizer", ""))

    def check_fit(self, vocabulary_size: int, tokenizer: str, path: Path | str, way: str = RESTORE) -> None:
        """Check that this is over a model's tokens.

        Raises:
            ModelError: it is over another vocabulary, or another tokeniser's.
        """
        if self.ngram.vocabulary_size != vocabulary_size or self.tokenizer not in ("", tokenizer):
            raise ModelError(f"{path}: counted over another tokeniser, so it does not fit the model beside it; {way}")


def ngram_arrays(ngram: NGram) -> dict[str, npt.NDArray[Any]]:
    """Return an n-gram under the names that it has in a file."""
    return {f"ngram.{name}": array for name, array in ngram.to_arrays().items()}


def load_ngram(path: Path, way: str = RESTORE) -> NGram:
    """Return the n-gram of a file, mapped, with weights beside it or without.

    Raises:
        ModelError, StorageError: it is missing or damaged.
    """
    arrays, _ = map_arrays(path, way)
    try:
        # an earlier version's baseline has no prefix
        return NGram({name.removeprefix("ngram."): a for name, a in arrays.items() if not name.startswith("cache.")})
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error


def _bucket(totals: Integers) -> Integers:
    return np.clip(np.log2(np.maximum(totals, 1)).astype(np.int64) // 2, 0, _COUNT_BUCKETS - 1)


def _entropies(logits: Tensor, probabilities: Tensor) -> Floats:
    """Return the entropy of each row (B,), nats: ln Σ exp(logit) − Σ p · logit."""
    # by NumPy, whose sums of a row do not depend on how many rows there are
    x, p = logits.detach().cpu().numpy(), probabilities.detach().cpu().numpy()
    entropies: Floats = x.max(-1) - np.log(p.max(-1)) - (p * x).sum(-1)
    return entropies


def _between(entropies: Floats) -> tuple[Integers, Floats]:
    """Return the place (N,) in `ENTROPIES` below each entropy, and how far it is on the way to the next, in [0, 1]."""
    below = np.clip(np.searchsorted(ENTROPIES, entropies, "right") - 1, 0, len(ENTROPIES) - 2)
    low, high = ENTROPIES[below], ENTROPIES[below + 1]
    return below, np.clip((entropies - low) / (high - low), 0.0, 1.0)
