"""Captions against several references each: BLEU of a corpus, and CIDEr.

A caption is a list of words, or of anything that can be compared and hashed; references are lists of these.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

from unrolled.errors import ShapeError
from unrolled.metrics.ngrams import LONGEST, Words, count_matches, ngrams

#: width of CIDEr-D's penalty for another length, in words
_SIGMA = 6.0


def corpus_bleu(captions: Sequence[Words], references: Sequence[Sequence[Words]]) -> list[float]:
    """Return BLEU-1 to BLEU-4 of a corpus, from 0 to 1.

        BLEU-n = min(1, e^{1 − r/c}) · (p_1 ⋯ p_n)^{1/n}

    p_k is the share of the captions' k-grams that a reference of the same image has, each counted at most as often as
    in the reference that has most of it; c is the total length of the captions in words, and r that of the references
    nearest in length to their captions, the shorter of two. Nothing is smoothed.

    >>> round(corpus_bleu([["the", "the", "cat"]], [[["the", "cat", "sat"], ["a", "cat"]]])[0], 4)
    0.6667

    Raises:
        ShapeError: the numbers of captions and lists of references differ, or there are none.

    Source: Papineni et al. 2002, doi:10.3115/1073083.1073135; the nearest length as in NIST's mteval and COCO's scorer.
    """
    _check(captions, references)
    hits, totals, length, wanted = count_matches(captions, references)
    brevity = 1.0 if length >= wanted else (math.exp(1 - wanted / length) if length else 0.0)
    scores, logs = [], 0.0
    for n, (hit, total) in enumerate(zip(hits, totals, strict=True), 1):
        logs += math.log(hit / total) if hit else -math.inf
        scores.append(brevity * math.exp(logs / n))
    return scores


def cider_d(captions: Sequence[Words], references: Sequence[Sequence[Words]]) -> list[float]:
    """Return CIDEr-D of each caption; its mean over the corpus is what papers report.

    For n from 1 to 4, n-grams are weighted by how often they occur and by ln(N / images whose references have it). The
    cosine of caption and reference, in which a caption's weight counts no more than the reference's, is multiplied by
    e^{−(difference in length)² / 72}; the score is the mean over references and over n, times 10. Words are not
    stemmed.

    Raises:
        ShapeError: the numbers of captions and lists of references differ, or there are none.

    Source: Vedantam, Zitnick & Parikh 2015, arXiv 1411.5726, sections 4 and 6.
    """
    _check(captions, references)
    seen: Counter[Any] = Counter()
    for others in references:
        seen.update({gram for other in others for n in range(1, LONGEST + 1) for gram in ngrams(other, n)})
    images = math.log(len(captions))

    def weighted(words: Words) -> list[tuple[dict[Any, float], float]]:
        vectors = []
        for n in range(1, LONGEST + 1):
            vector = {g: count * (images - math.log(max(1, seen[g]))) for g, count in ngrams(words, n).items()}
            vectors.append((vector, math.sqrt(sum(weight * weight for weight in vector.values()))))
        return vectors

    scores = []
    for caption, others in zip(captions, references, strict=True):
        own, total = weighted(caption), 0.0
        for other in others:
            penalty = math.exp(-((len(caption) - len(other)) ** 2) / (2 * _SIGMA**2))
            for (left, left_norm), (right, right_norm) in zip(own, weighted(other), strict=True):
                if left_norm and right_norm:
                    common = sum(min(w, right[g]) * right[g] for g, w in left.items() if g in right)
                    total += penalty * common / (left_norm * right_norm)
        scores.append(10 * total / (LONGEST * len(others)))
    return scores


def caption_metrics(captions: Sequence[Words], references: Sequence[Sequence[Words]]) -> dict[str, float]:
    """Return BLEU-1 to BLEU-4 and CIDEr-D of a corpus, the mean length in words, and how many captions differ."""
    bleu = corpus_bleu(captions, references)
    return {
        **{f"bleu{n}": score for n, score in enumerate(bleu, 1)},
        "cider": sum(cider_d(captions, references)) / len(captions),
        "words": sum(map(len, captions)) / len(captions),
        "different": len({tuple(caption) for caption in captions}),
    }


def _check(captions: Sequence[Words], references: Sequence[Sequence[Words]]) -> None:
    if not captions or len(captions) != len(references) or not all(references):
        empty = sum(not others for others in references)
        hint = f"{empty} have no reference" if empty else ""
        raise ShapeError(
            "references", f"(N={len(captions)},), at least one, each with a reference", (len(references),), hint
        )
