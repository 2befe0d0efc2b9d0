"""Word and character error rates of transcripts.

    WER = (substitutions + deletions + insertions) / words of the reference

over all texts together, so that long ones count more; it may exceed 1. CER is the same over characters, spaces too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from unrolled.errors import ArgumentError, MissingDependencyError


def edit_distance(reference: Sequence[Any], hypothesis: Sequence[Any]) -> int:
    """Return the least number of substitutions, deletions and insertions that turn one sequence into the other.

    >>> edit_distance("kitten", "sitting")
    3

    Source: Levenshtein 1966; the rows of Wagner & Fischer 1974.
    """
    numbers: dict[Any, int] = {}
    a, b = (np.array([numbers.setdefault(x, len(numbers)) for x in s], np.int64) for s in (reference, hypothesis))
    row = np.arange(len(b) + 1)
    place = np.arange(len(b) + 1)
    for n, item in enumerate(a, 1):
        best = np.empty_like(row)
        best[0] = n
        best[1:] = np.minimum(row[:-1] + (b != item), row[1:] + 1)
        # each insertion costs 1: min over j ≤ k of best_j + (k − j)
        row = np.minimum.accumulate(best - place) + place
    return int(row[-1])


def error_rates(references: Sequence[str], hypotheses: Sequence[str]) -> dict[str, float]:
    """Return WER, CER and the share of texts with any error, without other libraries, for use during training.

    Raises:
        ArgumentError: the numbers of texts differ, or no reference has a word.
    """
    words, characters = _counted(references, hypotheses)
    pairs = list(zip(references, hypotheses, strict=True))
    return {
        "wer": sum(edit_distance(r.split(), h.split()) for r, h in pairs) / words,
        "cer": sum(edit_distance(_spaced(r), _spaced(h)) for r, h in pairs) / characters,
        "sentence_error": sum(r.split() != h.split() for r, h in pairs) / len(pairs),
    }


def speech_metrics(references: Sequence[str], hypotheses: Sequence[str]) -> dict[str, Any]:
    """Return WER and CER as jiwer counts them, with the kinds of errors.

    Returns:
        wer, cer; substitutions, deletions and insertions of words, and words in the references; sentence_error, the
        share of texts with any error; texts.

    Raises:
        ArgumentError: as `error_rates`.
        MissingDependencyError: jiwer is not installed.
    """
    _counted(references, hypotheses)
    try:
        import jiwer
    except ImportError as error:
        raise MissingDependencyError("jiwer", "metrics", "scoring transcripts") from error
    left, right = [_spaced(r) for r in references], [_spaced(h) for h in hypotheses]
    words, characters = jiwer.process_words(left, right), jiwer.process_characters(left, right)
    return {
        "wer": words.wer,
        "cer": characters.cer,
        "substitutions": words.substitutions,
        "deletions": words.deletions,
        "insertions": words.insertions,
        "words": words.hits + words.substitutions + words.deletions,
        "sentence_error": sum(a != b for a, b in zip(left, right, strict=True)) / len(left),
        "texts": len(left),
    }


def _counted(references: Sequence[str], hypotheses: Sequence[str]) -> tuple[int, int]:
    """Return the numbers of words and characters in the references."""
    if len(references) != len(hypotheses):
        raise ArgumentError(f"hypotheses: expected {len(references)}, one for each reference, found {len(hypotheses)}")
    words = sum(len(r.split()) for r in references)
    if not words:
        raise ArgumentError("references: they have no word, and an error rate is errors per word")
    return words, sum(len(_spaced(r)) for r in references)


def _spaced(text: str) -> str:
    """Return a text with single spaces between words."""
    return " ".join(text.split())
