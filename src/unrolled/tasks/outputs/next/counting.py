"""Counting n-grams: a text as sorted arrays of its m-grams, and the same arrays made small.

Dimension letters: n order, m a level of 1 … n, N tokens, U m-grams, V vocabulary. The symbol before the text begins
has the id V. An m-gram's key is ``(place of its first m − 1 tokens in the level below) · (V + 1) + its last token``; so
keys fit 64 bits at every order and vocabulary, and the m-grams that share a context lie side by side.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from unrolled.errors import ArgumentError, ShapeError

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Arrays = Mapping[str, npt.NDArray[Any]]

_FALLBACK = (0.5, 1.0, 1.5)
"""Discounts where a text is too small or too regular for estimates (KenLM's choice for the same case)."""

SHARES = np.concatenate(([0.0], np.exp(np.linspace(-20.0, 0.0, 65535))))
"""The share that each 16-bit code stands for: 0, or a number whose neighbours are 0.03 % away."""


def count(tokens: npt.ArrayLike, order: int, vocabulary_size: int) -> dict[str, npt.NDArray[Any]]:
    """Return the m-grams of a text, m = 1 … order.

    Args:
        tokens: (N,) integers in [0, V); documents follow each other, with their end token between them.
        order: n ≥ 1.
        vocabulary_size: V ≥ 1.

    Returns:
        `vocabulary_size` (1,), and for each m `m.keys` (U,) ascending; `m.counts` (U,), occurrences at the highest
        order, below it the different tokens seen before, 0 for the m-gram of nothing but the symbol before the text;
        and `m.discounts` (3,), D_1, D_2 and D_3.

    Raises:
        ArgumentError: order or V below 1, a token outside [0, V), no token at all.
        ShapeError: tokens is not one-dimensional.
    """
    if order < 1:
        raise ArgumentError(f"order: expected an integer ≥ 1, found {order}")
    if vocabulary_size < 1:
        raise ArgumentError(f"vocabulary_size: expected an integer ≥ 1, found {vocabulary_size}")
    text = checked_tokens(tokens, vocabulary_size)
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

    arrays: dict[str, npt.NDArray[Any]] = {"vocabulary_size": np.array([vocabulary_size], dtype=np.int64)}
    for m in range(order):
        # Position 0 is a context, never predicted: it is left out of the counts.
        counted = places_of[m][1:] if m == order - 1 else places_of[m][examples_of[m + 1][examples_of[m + 1] > 0]]
        counts = np.bincount(counted, minlength=len(keys_of[m])).astype(np.int64)
        arrays |= {f"{m + 1}.keys": keys_of[m], f"{m + 1}.counts": counts, f"{m + 1}.discounts": _discounts(counts)}
    return arrays


def compacted(arrays: Arrays, most: int) -> dict[str, npt.NDArray[Any]]:
    """Return what `count` made as smaller arrays, which are used as they lie in a file.

    Where there are more than `most` m-grams, those seen rarely are left out, the longest first; what they had of the
    probability goes to the level below, so that all of it still sums to 1.

    Returns:
        `vocabulary_size`, and for each m as `ngram.Level` has them: `tokens`, `firsts`, `shares` (codes of `SHARES`),
        `gammas`, `totals` (0, or 1 + ⌊log₂⌋). Orders of which nothing is left are left out.
    """
    base, order = int(arrays["vocabulary_size"][0]) + 1, (len(arrays) - 1) // 3
    kept = _kept(arrays, order, base, most)
    result: dict[str, npt.NDArray[Any]] = {"vocabulary_size": arrays["vocabulary_size"]}
    kind = np.min_scalar_type(base - 1)
    contexts = np.ones(1, dtype=np.bool_)
    for m in range(1, order + 1):
        mask = kept[m - 1]
        if not mask.any():
            break
        shares, _, totals = shared(arrays, m, base, len(contexts))
        parents = np.cumsum(contexts)[arrays[f"{m}.keys"][mask] // base] - 1
        # rounded down, so that something is left for the level below wherever there was
        codes = np.searchsorted(SHARES, shares[mask], "right").astype(np.uint16) - np.uint16(1)
        size = int(contexts.sum())
        given = np.bincount(parents, SHARES[codes], size)
        follows = np.bincount(parents, minlength=size)
        logs = np.where(follows > 0, 1 + np.log2(np.maximum(totals[contexts], 1)).astype(np.int64), 0)
        result |= {
            f"{m}.tokens": (arrays[f"{m}.keys"][mask] % base).astype(kind),
            f"{m}.firsts": np.concatenate(([0], np.cumsum(follows))).astype(np.uint32),
            f"{m}.shares": codes,
            f"{m}.gammas": np.where(logs > 0, 1 - given, 1.0).astype(np.float32),
            f"{m}.totals": np.where(totals[contexts] > 0, logs, 0).astype(np.uint8),
        }
        contexts = mask
    return result


def shared(arrays: Arrays, m: int, base: int, contexts: int) -> tuple[Floats, Floats, Integers]:
    """Return max(0, c(u w) − D) / c(u ·) of each m-gram (U,), and γ(u) and c(u ·) of each context (contexts,)."""
    counts, discounts = arrays[f"{m}.counts"], np.concatenate(([0.0], arrays[f"{m}.discounts"]))
    parents, discounted = arrays[f"{m}.keys"] // base, discounts[np.minimum(counts, 3)]
    totals = np.bincount(parents, weights=counts, minlength=contexts).astype(np.int64)
    mass = np.bincount(parents, weights=discounted, minlength=contexts)
    shares = (counts - discounted) / np.maximum(totals, 1)[parents]
    return shares, np.where(totals > 0, mass / np.maximum(totals, 1), 1.0), totals


def checked_tokens(tokens: npt.ArrayLike, vocabulary_size: int) -> Integers:
    """Return tokens as int64.

    Raises:
        ArgumentError: a token outside [0, V), or no integers.
        ShapeError: not one-dimensional.
    """
    array = np.asarray(tokens)
    if array.ndim != 1:
        raise ShapeError("tokens", "(N,)", array.shape)
    if len(array) and array.dtype.kind not in "iu":
        raise ArgumentError(f"tokens: expected integers, found {array.dtype}")
    if len(array) and (int(array.min()) < 0 or int(array.max()) >= vocabulary_size):
        wrong = int(array[np.argmax((array < 0) | (array >= vocabulary_size))])
        raise ArgumentError(f"tokens: expected ids in [0, {vocabulary_size}), found {wrong}")
    return array.astype(np.int64)


def _kept(arrays: Arrays, order: int, base: int, most: int) -> list[npt.NDArray[np.bool_]]:
    """Return for each level which m-grams stay; single tokens always do, and whatever leads to one that stays."""
    kept = [np.ones(len(arrays[f"{m}.keys"]), dtype=np.bool_) for m in range(1, order + 1)]
    fewest = 1
    while sum(int(mask.sum()) for mask in kept) > most and any(mask.any() for mask in kept[1:]):
        fewest += 1
        for m in range(order, 1, -1):
            kept[m - 1] = arrays[f"{m}.counts"] >= fewest
            if m < order:
                kept[m - 1][arrays[f"{m + 1}.keys"][kept[m]] // base] = True
            if sum(int(mask.sum()) for mask in kept) <= most:
                break
    return kept


def _rank(keys: Integers) -> tuple[Integers, Integers, Integers]:
    """Return the different keys ascending (U,), the place of each among them (N,), and an example of each (U,)."""
    order = np.argsort(keys, kind="stable")
    ascending = keys[order]
    first = np.concatenate(([True], ascending[1:] != ascending[:-1]))
    places = np.empty(len(keys), dtype=np.int64)
    places[order] = np.cumsum(first) - 1
    return ascending[first], places, order[first]


def _discounts(counts: Integers) -> Floats:
    """Return (D_1, D_2, D_3) from how many m-grams were counted once, twice, three and four times."""
    n = np.bincount(np.minimum(counts, 5), minlength=6).astype(np.float64)
    if not (n[1:5] > 0).all():
        return np.array(_FALLBACK)
    y = n[1] / (n[1] + 2 * n[2])
    estimates = [k - (k + 1) * y * n[k + 1] / n[k] for k in (1, 2, 3)]
    # An estimate outside (0, k) would make a probability negative or leave nothing for what was never seen.
    return np.array([d if 0 < d < k else _FALLBACK[k - 1] for k, d in zip((1, 2, 3), estimates, strict=True)])
