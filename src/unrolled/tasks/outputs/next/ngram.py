"""The n-gram baseline: interpolated modified Kneser-Ney over integer tokens.

    p_m(w | u) = max(0, c(u w) − D(c(u w))) / c(u ·) + γ(u) p_{m−1}(w | u without its first token),   p_0(w) = 1 / V
    γ(u)       = (D_1 N_1(u) + D_2 N_2(u) + D_3 N_3(u)) / c(u ·)

for a context u of m − 1 tokens, where N_k(u) is the number of tokens seen k times after u (N_3: three times or more).
At the highest order c counts occurrences, below it the different tokens seen before ``u w``. A context never seen
leaves p_m = p_{m−1}. Since order 0 is uniform, no token is impossible.

Dimension letters: n order, m a level of 1 … n, N tokens, V vocabulary. The symbol before the text begins has the id V.
Source: Chen & Goodman 1998, TR-10-98 (Harvard), section 3.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from unrolled.errors import ArgumentError, ModelError, ShapeError

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

_CHUNK = 1 << 20
"""Tokens evaluated at once; bounds memory, changes no result."""

_REMEMBERED = 32 << 20
"""Bytes of distributions that a stepper remembers."""

_FALLBACK = (0.5, 1.0, 1.5)
"""Discounts where a text is too small or too regular for estimates (KenLM's choice for the same case)."""


@dataclass(frozen=True)
class _Level:
    """The m-grams seen, m fixed, as one sorted array.

    An m-gram's key is ``(place of its first m − 1 tokens in the level below) · (V + 1) + its last token``; so keys fit
    64 bits at every order and vocabulary, and the m-grams that share a context lie side by side.

    Args:
        keys: (U,) ascending.
        counts: (U,); 0 for the one m-gram of nothing but the symbol before the text.
        discounts: (4,) D_0 = 0, D_1, D_2, D_3.
        totals: (contexts,) c(u ·).
        gammas: (contexts,) γ(u); 1 for a context that nothing follows.
    """

    keys: Integers
    counts: Integers
    discounts: Floats
    totals: Integers
    gammas: Floats

    @classmethod
    def build(cls, keys: Integers, counts: Integers, discounts: Floats, contexts: int, base: int) -> _Level:
        parents = keys // base
        totals = np.bincount(parents, weights=counts, minlength=contexts).astype(np.int64)
        mass = np.bincount(parents, weights=discounts[np.minimum(counts, 3)], minlength=contexts)
        return cls(keys, counts, discounts, totals, np.where(totals > 0, mass / np.maximum(totals, 1), 1.0))

    def find(self, keys: Integers) -> Integers:
        """Return the place of each key, −1 where it is not there."""
        places = np.searchsorted(self.keys, keys)
        places[places == len(self.keys)] = 0
        return np.where(self.keys[places] == keys, places, -1)


class NGram:
    """A fitted n-gram model; ``NGram.fit`` makes one.

    Args:
        levels: orders 1 … n.
        vocabulary_size: V.
    """

    def __init__(self, levels: tuple[_Level, ...], vocabulary_size: int) -> None:
        self._levels = levels
        self.vocabulary_size = vocabulary_size

    @property
    def order(self) -> int:
        """n: how many tokens an n-gram has; the context is one less."""
        return len(self._levels)

    @classmethod
    def fit(cls, tokens: npt.ArrayLike, order: int, vocabulary_size: int) -> NGram:
        """Count a text.

        Args:
            tokens: (N,) integers in [0, V); documents follow each other, with their end token between them.
            order: n ≥ 1.
            vocabulary_size: V ≥ 1.
        Raises:
            ArgumentError: order or V below 1, a token outside [0, V), no token at all.
            ShapeError: tokens is not one-dimensional.
        """
        if order < 1:
            raise ArgumentError(f"order: expected an integer ≥ 1, found {order}")
        if vocabulary_size < 1:
            raise ArgumentError(f"vocabulary_size: expected an integer ≥ 1, found {vocabulary_size}")
        text = _checked(tokens, vocabulary_size)
        if not len(text):
            raise ArgumentError("tokens: nothing to count; give at least one token")
        base = vocabulary_size + 1
        text = np.concatenate((np.array([vocabulary_size], dtype=np.int64), text))  # position 0 is before the text

        keys_of: list[Integers] = []
        places_of: list[Integers] = []  # for each m, the place of the m-gram that ends at each position
        examples_of: list[Integers] = []  # a position for each m-gram
        contexts = np.zeros(len(text), dtype=np.int64)
        for _ in range(order):
            keys, places, examples = _rank(contexts * base + text)
            keys_of.append(keys)
            places_of.append(places)
            examples_of.append(examples)
            # The (m+1)-gram at i continues the m-gram at i − 1; before the text there are only more of the same symbol.
            contexts = np.concatenate((places[:1], places[:-1]))

        levels = []
        for m in range(order):
            # Position 0 is a context, never predicted: it is left out of the counts.
            counted = places_of[m][1:] if m == order - 1 else places_of[m][examples_of[m + 1][examples_of[m + 1] > 0]]
            counts = np.bincount(counted, minlength=len(keys_of[m])).astype(np.int64)
            width = 1 if m == 0 else len(keys_of[m - 1])
            levels.append(_Level.build(keys_of[m], counts, _discounts(counts), width, base))
        return cls(tuple(levels), vocabulary_size)

    def log_probabilities(self, tokens: npt.ArrayLike, context: npt.ArrayLike = ()) -> Floats:
        """Return ln p(token | all before it) for every token of a text, (N,) nats.

        Args:
            tokens: (N,) integers in [0, V).
            context: tokens read before the text; by default it begins like the text that was counted.
        Raises:
            ArgumentError, ShapeError: as ``fit``.
        """
        text, before = self._padded(tokens, context)
        result = np.empty(len(text) - before)
        for first in range(0, len(result), _CHUNK):
            last = min(first + _CHUNK, len(result))
            # A chunk needs the n − 1 tokens before it and nothing else.
            result[first:last] = np.log(self._probabilities(text[first : last + before]))
        return result

    def context_statistics(self, tokens: npt.ArrayLike, context: npt.ArrayLike = ()) -> tuple[Integers, Integers]:
        """Return how well each token's context is known; arguments as ``log_probabilities``.

        Returns:
            The length (N,) of the longest known context, 0 … n − 1, and how much was counted after it, (N,).
        """
        text, before = self._padded(tokens, context)
        return self._known(self._places(text), slice(before - 1, len(text) - 1), len(text) - before)

    def distribution(self, context: npt.ArrayLike = ()) -> Floats:
        """Return p(· | context), (V,), summing to 1. The last n − 1 tokens count; an empty context begins the text.

        Raises:
            ArgumentError, ShapeError: as ``fit``.
        """
        text, _ = self._padded((), context)
        return self._after(text)[0]

    def to_arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Return the model as plain arrays, to be saved with safetensors."""
        arrays: dict[str, npt.NDArray[Any]] = {"vocabulary_size": np.array([self.vocabulary_size], dtype=np.int64)}
        for m, level in enumerate(self._levels, start=1):
            arrays |= {f"{m}.keys": level.keys, f"{m}.counts": level.counts, f"{m}.discounts": level.discounts[1:]}
        return arrays

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> NGram:
        """Return the model that ``to_arrays`` wrote.

        Raises:
            ModelError: an array is missing or does not fit the others.
        """
        try:
            vocabulary_size = int(arrays["vocabulary_size"][0])
            order = (len(arrays) - 1) // 3
            if vocabulary_size < 1 or order < 1 or len(arrays) != 3 * order + 1:
                raise ModelError(f"n-gram: {len(arrays)} arrays for a vocabulary of {vocabulary_size} fit no order")
            levels: list[_Level] = []
            for m in range(1, order + 1):
                discounts = np.concatenate(([0.0], arrays[f"{m}.discounts"].astype(np.float64)))
                keys, counts = arrays[f"{m}.keys"].astype(np.int64), arrays[f"{m}.counts"].astype(np.int64)
                contexts = len(levels[-1].keys) if levels else 1
                _check_level(m, keys, counts, discounts, contexts * (vocabulary_size + 1))
                levels.append(_Level.build(keys, counts, discounts, contexts, vocabulary_size + 1))
        except (KeyError, IndexError) as error:
            raise ModelError(f"n-gram: the saved arrays lack {error}; save the model again") from error
        return cls(tuple(levels), vocabulary_size)

    def _padded(self, tokens: npt.ArrayLike, context: npt.ArrayLike) -> tuple[Integers, int]:
        """Return the text with max(n − 1, 1) tokens before it, and that number."""
        text, given = _checked(tokens, self.vocabulary_size), _checked(context, self.vocabulary_size)
        before = max(self.order - 1, 1)
        padding = np.full(max(0, before - len(given)), self.vocabulary_size, dtype=np.int64)
        return np.concatenate((padding, given[max(0, len(given) - before) :], text)), before

    def _places(self, text: Integers) -> list[Integers]:
        """Return for m = 1 … n the place of the m-gram that ends at each position; −1 if never seen, or cut off."""
        base = self.vocabulary_size + 1
        places: list[Integers] = []
        contexts = np.zeros(len(text), dtype=np.int64)
        for level in self._levels:
            here = np.where(contexts >= 0, level.find(np.maximum(contexts, 0) * base + text), -1)
            places.append(here)
            contexts = np.concatenate((np.array([-1], dtype=np.int64), here[:-1]))
        return places

    def _probabilities(self, text: Integers) -> Floats:
        """Return p of every token but the first max(n − 1, 1), which are context."""
        before = max(self.order - 1, 1)
        places = self._places(text)
        result = np.full(len(text) - before, 1.0 / self.vocabulary_size)
        for m, level in enumerate(self._levels):
            contexts = places[m - 1][before - 1 : -1] if m else np.zeros(len(result), dtype=np.int64)
            known, here = contexts >= 0, places[m][before:]
            counts = np.where(here >= 0, level.counts[here], 0)
            own = (counts - level.discounts[np.minimum(counts, 3)]) / np.maximum(level.totals[contexts], 1)
            result = np.where(known, own + level.gammas[contexts] * result, result)
        return result

    def _known(self, places: list[Integers], where: slice, size: int) -> tuple[Integers, Integers]:
        """Return for contexts that end at ``where`` the longest that something follows, and its total."""
        lengths, totals = np.zeros(size, dtype=np.int64), np.full(size, self._levels[0].totals[0])
        for m, level in enumerate(self._levels[1:], start=1):
            contexts = places[m - 1][where]
            known = (contexts >= 0) & (level.totals[contexts] > 0)
            lengths, totals = np.where(known, m, lengths), np.where(known, level.totals[contexts], totals)
        return lengths, totals

    def _after(self, text: Integers) -> tuple[Floats, int, int]:
        """Return p after max(n − 1, 1) tokens, (V,), the length of the longest known context, and its total."""
        places = self._places(text)
        result = np.full(self.vocabulary_size, 1.0 / self.vocabulary_size)
        base = self.vocabulary_size + 1
        for m, level in enumerate(self._levels):
            context = int(places[m - 1][-1]) if m else 0
            if context < 0:
                continue
            first, last = np.searchsorted(level.keys, (context * base, context * base + self.vocabulary_size))
            result *= level.gammas[context]
            counts = level.counts[first:last]
            own = (counts - level.discounts[np.minimum(counts, 3)]) / max(int(level.totals[context]), 1)
            result[level.keys[first:last] - context * base] += own
        lengths, totals = self._known(places, slice(len(text) - 1, len(text)), 1)
        return result, int(lengths[0]), int(totals[0])


class NGramStepper:
    """An n-gram as a model that reads one token a step, for every decoder in ``unrolled.decoding``.

    The state is the last max(n − 1, 1) tokens, (B, max(n − 1, 1)) int64, V where the text had not begun.
    """

    def __init__(self, ngram: NGram) -> None:
        self.ngram = ngram
        self.vocabulary_size = ngram.vocabulary_size
        # the searches at successive places of a text ask for mostly the same contexts
        self._after = lru_cache(max(64, _REMEMBERED // (8 * ngram.vocabulary_size)))(self._row)

    def start(self, batch_size: int) -> Tensor:
        """Return the state before the first token."""
        return torch.full((batch_size, max(self.ngram.order - 1, 1)), self.vocabulary_size, dtype=torch.int64)

    def step(self, tokens: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Read tokens (B,); return ln p of the next token (B, V) float64, and the new state."""
        after = torch.cat((state[:, 1:], tokens.to(state.device).unsqueeze(1)), dim=1)
        return self.predict(after)[0].log(), after

    def select(self, state: Tensor, rows: Tensor) -> Tensor:
        """Return the state whose row n is row ``rows[n]``."""
        return state.index_select(0, rows.to(state.device))

    def merge(self, states: Sequence[Tensor]) -> Tensor:
        """Return one state of all the rows of several."""
        return torch.cat(tuple(states))

    def predict(self, state: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return p of the next token (B, V) float64, the longest known context (B,), and its total (B,)."""
        rows = [self._after(tuple(row)) for row in state.tolist()]
        probabilities = np.stack([row[0] for row in rows]) if rows else np.empty((0, self.vocabulary_size))
        lengths, totals = (torch.tensor([row[part] for row in rows], dtype=torch.int64) for part in (1, 2))
        return torch.from_numpy(probabilities), lengths, totals

    def _row(self, context: tuple[int, ...]) -> tuple[Floats, int, int]:
        return self.ngram._after(np.array(context, dtype=np.int64))


def _checked(tokens: npt.ArrayLike, vocabulary_size: int) -> Integers:
    array = np.asarray(tokens)
    if array.ndim != 1:
        raise ShapeError("tokens", "(N,)", array.shape)
    if len(array) and array.dtype.kind not in "iu":
        raise ArgumentError(f"tokens: expected integers, found {array.dtype}")
    if len(array) and (int(array.min()) < 0 or int(array.max()) >= vocabulary_size):
        wrong = int(array[np.argmax((array < 0) | (array >= vocabulary_size))])
        raise ArgumentError(f"tokens: expected ids in [0, {vocabulary_size}), found {wrong}")
    return array.astype(np.int64)


def _rank(keys: Integers) -> tuple[Integers, Integers, Integers]:
    """Return the different keys ascending (U,), the place of each among them (N,), and an example of each (U,)."""
    order = np.argsort(keys, kind="stable")
    ascending = keys[order]
    first = np.concatenate(([True], ascending[1:] != ascending[:-1]))
    places = np.empty(len(keys), dtype=np.int64)
    places[order] = np.cumsum(first) - 1
    return ascending[first], places, order[first]


def _discounts(counts: Integers) -> Floats:
    """Return (D_0, D_1, D_2, D_3) from how many m-grams were counted once, twice, three and four times."""
    n = np.bincount(np.minimum(counts, 5), minlength=6).astype(np.float64)
    if not (n[1:5] > 0).all():
        return np.array((0.0, *_FALLBACK))
    y = n[1] / (n[1] + 2 * n[2])
    estimates = [k - (k + 1) * y * n[k + 1] / n[k] for k in (1, 2, 3)]
    # An estimate outside (0, k) would make a probability negative or leave nothing for what was never seen.
    return np.array([0.0, *(d if 0 < d < k else _FALLBACK[k - 1] for k, d in zip((1, 2, 3), estimates, strict=True))])


def _check_level(m: int, keys: Integers, counts: Integers, discounts: Floats, limit: int) -> None:
    fits = keys.ndim == 1 and keys.shape == counts.shape and len(keys) > 0 and discounts.shape == (4,)
    fits = fits and int(keys[0]) >= 0 and int(keys[-1]) < limit and bool((np.diff(keys) > 0).all())
    fits = fits and int(counts.min()) >= 0 and bool(((discounts[1:] > 0) & (discounts[1:] <= (1, 2, 3))).all())
    if not fits:
        raise ModelError(f"n-gram: the saved arrays of order {m} are damaged; save the model again")
