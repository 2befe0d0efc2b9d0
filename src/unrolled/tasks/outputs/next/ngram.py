"""An n-gram model: interpolated modified Kneser-Ney over integer tokens. The baseline, and a part of the model.

    p_m(w | u) = max(0, c(u w) − D(c(u w))) / c(u ·) + γ(u) p_{m−1}(w | u without its first token),   p_0(w) = 1 / V
    γ(u)       = (D_1 N_1(u) + D_2 N_2(u) + D_3 N_3(u)) / c(u ·)

for a context u of m − 1 tokens, where N_k(u) is the number of tokens seen k times after u (N_3: three times or more).
At the highest order c counts occurrences, below it the different tokens seen before ``u w``. A context never seen
leaves p_m = p_{m−1}. Since order 0 is uniform, no token is impossible.

Dimension letters: n order, m a level of 1 … n, N tokens, U m-grams, V vocabulary. The symbol before the text begins
has the id V.
Source: Chen & Goodman 1998, TR-10-98 (Harvard), section 3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from unrolled.errors import ModelError
from unrolled.tasks.outputs.next.counting import (
    SHARES,
    Arrays,
    Floats,
    Integers,
    checked_tokens,
    compacted,
    count,
    shared,
)

_CHUNK = 1 << 20
"""Tokens evaluated at once; bounds memory, changes no result."""

_REMEMBERED = 32 << 20
"""Bytes of distributions that a stepper remembers."""

_GRAMS = 1 << 16
"""Places of m-grams that a stepper remembers."""

_COUNTED, _COMPACT = ("keys", "counts", "discounts"), ("tokens", "firsts", "shares", "gammas", "totals")


@dataclass(frozen=True)
class Level:
    """The m-grams seen, m fixed. A context is the place of its m − 1 tokens in the level below; level 1 has one.

    Attributes:
        tokens: (U,) the last token of each m-gram; those of a context lie side by side, ascending.
        firsts: (contexts + 1,) where each context's m-grams begin, and where the last one's end.
        shares: (U,) max(0, c(u w) − D) / c(u ·), or their codes in `SHARES`.
        gammas: (contexts,) γ(u); 1 for a context that nothing follows.
        totals: (contexts,) c(u ·), or 1 + ⌊log₂⌋ of it in 8 bits; 0 for a context that nothing follows.
    """

    tokens: npt.NDArray[Any]
    firsts: npt.NDArray[Any]
    shares: npt.NDArray[Any]
    gammas: npt.NDArray[Any]
    totals: npt.NDArray[Any]

    @classmethod
    def counted(cls, arrays: Arrays, m: int, contexts: int, base: int) -> Level:
        """Return a level of what `count` made."""
        keys = arrays[f"{m}.keys"]
        firsts = np.searchsorted(keys, np.arange(contexts + 1, dtype=np.int64) * base)
        return cls(keys % base, firsts, *shared(arrays, m, base, contexts))

    def find(self, contexts: Integers, tokens: Integers) -> Integers:
        """Return the places (N,) of tokens after contexts, −1 where one was never seen, or the context is −1."""
        low, end = (self.firsts[np.maximum(contexts, 0) + after].astype(np.int64) for after in (0, 1))
        low = np.where(contexts >= 0, low, end)
        high = end
        while bool((low < high).any()):
            middle = (low + high) // 2
            is_open = low < high
            is_below = self.tokens[np.minimum(middle, len(self.tokens) - 1)] < tokens
            low, high = np.where(is_open & is_below, middle + 1, low), np.where(is_open & ~is_below, middle, high)
        inside = low < end
        places = np.where(inside, low, 0)
        return np.where(inside & (self.tokens[places] == tokens), places, -1)

    def place(self, context: int, token: int) -> int:
        """Return the place of a token after a context, −1 if it was never seen."""
        first, last = int(self.firsts[context]), int(self.firsts[context + 1])
        here = first + int(self.tokens[first:last].searchsorted(self.tokens.dtype.type(token)))
        return here if here < last and self.tokens[here] == token else -1

    def share(self, places: Integers | slice) -> Floats:
        """Return the shares of some m-grams."""
        shares = self.shares[places]
        return SHARES[shares] if shares.dtype == np.uint16 else shares

    def total(self, contexts: Integers | int) -> Integers:
        """Return c(u ·) of some contexts, or the power of 2 below it."""
        totals = self.totals[contexts]
        is_code = self.totals.dtype == np.uint8
        return (1 << totals.astype(np.int64)) >> 1 if is_code else totals


class NGram:
    """A fitted n-gram model; ``NGram.fit`` makes one.

    Args:
        arrays: as `count` or `compacted` makes them; they may lie in a mapped file.
    Raises:
        ModelError: an array is missing or does not fit the others.
    """

    def __init__(self, arrays: Arrays) -> None:
        self._arrays, self._levels = arrays, _levels(arrays)
        self.vocabulary_size = int(arrays["vocabulary_size"][0])

    @property
    def order(self) -> int:
        """n: how many tokens an n-gram has; the context is one less."""
        return len(self._levels)

    @classmethod
    def fit(cls, tokens: npt.ArrayLike, order: int, vocabulary_size: int) -> NGram:
        """Count a text; arguments and errors as `count`."""
        return cls(count(tokens, order, vocabulary_size))

    def compact(self, most: int) -> NGram:
        """Return a counted model in little memory, with at most so many m-grams; `compacted` says how."""
        return NGram(compacted(self._arrays, most))

    def log_probabilities(self, tokens: npt.ArrayLike, context: npt.ArrayLike = ()) -> Floats:
        """Return ln p(token | all before it) for every token of a text, (N,) nats; arguments as ``statistics``."""
        return self.statistics(tokens, context)[0]

    def context_statistics(self, tokens: npt.ArrayLike, context: npt.ArrayLike = ()) -> tuple[Integers, Integers]:
        """Return how well each token's context is known, as ``statistics``."""
        return self.statistics(tokens, context)[1:]

    def statistics(self, tokens: npt.ArrayLike, context: npt.ArrayLike = ()) -> tuple[Floats, Integers, Integers]:
        """Return ln p(token | all before it) for every token of a text, and how well its context is known.

        Args:
            tokens: (N,) integers in [0, V).
            context: tokens read before the text; by default it begins like the text that was counted.
        Returns:
            ln p (N,) in nats, the length (N,) of the longest known context, 0 … n − 1, and how much was counted after
            it, (N,).
        Raises:
            ArgumentError, ShapeError: as ``fit``.
        """
        text, before = self._padded(tokens, context)
        size = len(text) - before
        log_probs = np.empty(size)
        lengths, totals = (np.empty(size, dtype=np.int64) for _ in range(2))
        for first in range(0, size, _CHUNK):
            last = min(first + _CHUNK, size)
            # A chunk needs the n − 1 tokens before it and nothing else.
            places, here = self._places(text[first : last + before]), slice(first, last)
            log_probs[here] = np.log(self._probabilities(places, before))
            lengths[here], totals[here] = self._known(places, slice(before - 1, -1), last - first)
        return log_probs, lengths, totals

    def distribution(self, context: npt.ArrayLike = ()) -> Floats:
        """Return p(· | context), (V,), summing to 1. The last n − 1 tokens count; an empty context begins the text.

        Raises:
            ArgumentError, ShapeError: as ``fit``.
        """
        places = self._places(self._padded((), context)[0])
        return self.after([0, *(int(level[-1]) for level in places[:-1])])[0]

    def after(self, contexts: Sequence[int]) -> tuple[Floats, int, int]:
        """Return p(· | context), (V,), the length of the longest known context, and how much was counted after it.

        Args:
            contexts: for each level the place of the context in the one below, −1 where it was never seen.
        """
        result = np.full(self.vocabulary_size + 1, 1.0 / self.vocabulary_size)
        length = total = 0
        for m, (level, context) in enumerate(zip(self._levels, contexts, strict=True)):
            if context < 0:
                continue
            counted = int(level.total(context))
            if not counted:
                continue
            length, total = m, counted
            here = slice(int(level.firsts[context]), int(level.firsts[context + 1]))
            result *= level.gammas[context]
            result[level.tokens[here]] += level.share(here)
        return result[:-1], length, total

    def place(self, m: int, context: int, token: int) -> int:
        """Return the place of the m-gram of a context and a token, −1 if it was never seen."""
        return self._levels[m - 1].place(context, token)

    def to_arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Return the model as plain arrays, to be saved with safetensors."""
        return dict(self._arrays)

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> NGram:
        """Return the model that ``to_arrays`` wrote; errors as the class."""
        return cls(arrays)

    def _padded(self, tokens: npt.ArrayLike, context: npt.ArrayLike) -> tuple[Integers, int]:
        """Return the text with max(n − 1, 1) tokens before it, and that number."""
        text, given = checked_tokens(tokens, self.vocabulary_size), checked_tokens(context, self.vocabulary_size)
        before = max(self.order - 1, 1)
        padding = np.full(max(0, before - len(given)), self.vocabulary_size, dtype=np.int64)
        return np.concatenate((padding, given[max(0, len(given) - before) :], text)), before

    def _places(self, text: Integers) -> list[Integers]:
        """Return for m = 1 … n the place of the m-gram that ends at each position; −1 if never seen, or cut off."""
        places: list[Integers] = []
        contexts = np.zeros(len(text), dtype=np.int64)
        for level in self._levels:
            here = level.find(contexts, text)
            places.append(here)
            contexts = np.concatenate((np.array([-1], dtype=np.int64), here[:-1]))
        return places

    def _probabilities(self, places: list[Integers], before: int) -> Floats:
        """Return p of every token but the first ``before``, which are context."""
        result = np.full(len(places[0]) - before, 1.0 / self.vocabulary_size)
        for m, level in enumerate(self._levels):
            contexts = places[m - 1][before - 1 : -1] if m else np.zeros(len(result), dtype=np.int64)
            known, here = contexts >= 0, places[m][before:]
            own = np.where(here >= 0, level.share(here), 0.0)
            result = np.where(known, own + level.gammas[contexts] * result, result)
        return result

    def _known(self, places: list[Integers], where: slice, size: int) -> tuple[Integers, Integers]:
        """Return for contexts that end at ``where`` the longest that something follows, and its total."""
        lengths, totals = np.zeros(size, dtype=np.int64), np.full(size, self._levels[0].total(0))
        for m, level in enumerate(self._levels[1:], start=1):
            contexts = places[m - 1][where]
            counted = np.where(contexts >= 0, level.total(contexts), 0)
            lengths, totals = np.where(counted > 0, m, lengths), np.where(counted > 0, counted, totals)
        return lengths, totals


class NGramStepper:
    """An n-gram as a model that reads one token a step, for every decoder in ``unrolled.decoding``.

    The state is the last max(n − 1, 1) tokens, (B, max(n − 1, 1)) int64, V where the text had not begun.
    """

    def __init__(self, ngram: NGram) -> None:
        self.ngram = ngram
        self.vocabulary_size = ngram.vocabulary_size
        # the searches at successive places of a text ask for mostly the same contexts
        self._after = lru_cache(max(64, _REMEMBERED // (8 * ngram.vocabulary_size)))(self._row)
        self._place = lru_cache(_GRAMS)(self._place_of)

    def start(self, batch_size: int) -> Tensor:
        """Return the state before the first token."""
        return torch.full((batch_size, max(self.ngram.order - 1, 1)), self.vocabulary_size, dtype=torch.int64)

    def step(self, tokens: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Read tokens (B,); return ln p of the next token (B, V) float64, and the new state."""
        after = self.read(tokens, state)
        return self.predict(after)[0].log(), after

    def read(self, tokens: Tensor, state: Tensor) -> Tensor:
        """Return the state after tokens (B,)."""
        return torch.cat((state[:, 1:], tokens.to(state.device).unsqueeze(1)), dim=1)

    def select(self, state: Tensor, rows: Tensor) -> Tensor:
        """Return the state whose row n is row ``rows[n]``."""
        return state.index_select(0, rows.to(state.device))

    def merge(self, states: Sequence[Tensor]) -> Tensor:
        """Return one state of all the rows of several."""
        return torch.cat(tuple(states))

    def put(self, state: Tensor, rows: Tensor, new: Tensor) -> None:
        """Make row ``rows[n]`` of ``state`` row n of ``new``, in place."""
        state.index_copy_(0, rows, new)

    def same(self, state: Tensor, row: int, other: Tensor) -> bool:
        """Return whether a row of ``state`` is the only row of ``other``."""
        return torch.equal(state[row : row + 1], other)

    def predict(self, state: Tensor) -> tuple[Tensor, Integers, Integers]:
        """Return p of the next token (B, V) float64, the longest known context (B,), and its total (B,)."""
        rows = [self._after(tuple(row)) for row in state.tolist()]
        probabilities = np.stack([row[0] for row in rows]) if rows else np.empty((0, self.vocabulary_size))
        lengths, totals = (np.array([row[part] for row in rows], dtype=np.int64) for part in (1, 2))
        return torch.from_numpy(probabilities), lengths, totals

    def _row(self, history: tuple[int, ...]) -> tuple[Floats, int, int]:
        return self.ngram.after([0, *(self._place(history[-m:]) for m in range(1, self.ngram.order))])

    def _place_of(self, gram: tuple[int, ...]) -> int:
        """Return the place of an m-gram, −1 if it was never seen; all but its last token was asked for before it."""
        context = self._place(gram[:-1]) if len(gram) > 1 else 0
        return -1 if context < 0 else self.ngram.place(len(gram), context, gram[-1])


def _levels(arrays: Arrays) -> tuple[Level, ...]:
    """Return checked levels of arrays in either form.

    Raises:
        ModelError: an array is missing or does not fit the others.
    """
    parts = _COMPACT if "1.tokens" in arrays else _COUNTED
    try:
        vocabulary_size = int(arrays["vocabulary_size"][0])
        order = (len(arrays) - 1) // len(parts)
        if vocabulary_size < 1 or order < 1 or len(arrays) != len(parts) * order + 1:
            raise ModelError(f"n-gram: {len(arrays)} arrays for a vocabulary of {vocabulary_size} fit no order")
        base, contexts = vocabulary_size + 1, 1
        levels: list[Level] = []
        for m in range(1, order + 1):
            given = [arrays[f"{m}.{part}"] for part in parts]
            if parts is _COUNTED:
                fits = _fits_counts(*given, limit=contexts * base)
            else:
                levels.append(Level(*given))
                fits = _fits(levels[-1], contexts, base)
            if not fits:
                raise ModelError(f"n-gram: the saved arrays of order {m} are damaged; save the model again")
            if parts is _COUNTED:
                levels.append(Level.counted(arrays, m, contexts, base))
            contexts = len(levels[-1].tokens)
    except (KeyError, IndexError) as error:
        raise ModelError(f"n-gram: the saved arrays lack {error}; save the model again") from error
    return tuple(levels)


def _fits_counts(keys: Integers, counts: Integers, discounts: Floats, *, limit: int) -> bool:
    fits = (keys.dtype.kind, counts.dtype.kind, discounts.dtype.kind) == ("i", "i", "f")
    fits = fits and keys.ndim == 1 and keys.shape == counts.shape and len(keys) > 0 and discounts.shape == (3,)
    fits = fits and int(keys[0]) >= 0 and int(keys[-1]) < limit and bool((np.diff(keys) > 0).all())
    return fits and int(counts.min()) >= 0 and bool(((discounts > 0) & (discounts <= (1, 2, 3))).all())


def _fits(level: Level, contexts: int, base: int) -> bool:
    """Return whether a compact level can be used: every place in it lies in it, and every context's p sums to 1."""
    tokens, firsts, shares = level.tokens, level.firsts, level.shares
    shapes = (tokens.shape, firsts.shape, shares.shape, level.gammas.shape, level.totals.shape)
    if shapes != ((len(tokens),), (contexts + 1,), (len(tokens),), (contexts,), (contexts,)) or not len(tokens):
        return False
    kinds = (tokens.dtype.kind, firsts.dtype.kind, shares.dtype, level.gammas.dtype.kind, level.totals.dtype)
    if kinds != ("u", "u", np.uint16, "f", np.uint8):
        return False
    bounds = firsts.astype(np.int64)
    if bounds[0] != 0 or bounds[-1] != len(tokens) or bool((np.diff(bounds) < 0).any()):
        return False
    rises = np.diff(tokens.astype(np.int64)) > 0
    # the first token of a context may be less than the last one of the context before it
    rises[bounds[(bounds > 0) & (bounds < len(tokens))] - 1] = True
    if not bool(rises.all()) or int(tokens.max()) >= base or int(level.totals.max()) > 62:
        return False
    sums = np.concatenate(([0.0], np.cumsum(SHARES[shares])))
    left = 1 - (sums[bounds[1:]] - sums[bounds[:-1]])
    is_known = level.totals > 0
    # a context that only the symbol before the text follows has m-grams, and no total
    fits = bool((is_known <= (np.diff(bounds) > 0)).all() and (is_known | (left == 1)).all())
    return fits and bool((np.abs(level.gammas - left) < 1e-5).all() and (level.gammas > 0).all())
