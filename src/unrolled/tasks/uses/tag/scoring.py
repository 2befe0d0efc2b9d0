"""Scores of tagged text beside the right tags: what `tag` reports, and what the WNUT 2017 shared task does."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from unrolled.data import Findings
from unrolled.data.core.files import find_sources
from unrolled.data.tagged.columns import RawSentence, read_columns
from unrolled.data.tagged.schemes import Span, spans_of
from unrolled.metrics.entities import Score, entity_scores, label_scores, surface_scores, token_accuracy


def tag_metrics(
    tokens: Sequence[Sequence[str]], gold: Sequence[Sequence[str]], found: Sequence[Sequence[str]], kind: str
) -> dict[str, Any]:
    """The metrics of some sentences' tags beside the right ones.

    Args:
        tokens, gold, found: of each sentence its tokens, the right tags and those found.
        kind: "entities", or "labels".
    """
    accuracy = token_accuracy(gold, found)
    if kind == "entities":
        spans = [spans_of(tags) for tags in found]
        return entity_metrics(tokens, gold, spans) | {"accuracy": accuracy}
    by_label = {label: score.as_json() for label, score in label_scores(gold, found).items()}
    macro = sum(float(score["f1"]) for score in by_label.values()) / max(len(by_label), 1)
    return {"accuracy": accuracy, "macro_f1": macro, "tokens": sum(map(len, gold)), "labels": by_label}


def entity_metrics(
    tokens: Sequence[Sequence[str]], gold: Sequence[Sequence[str]], found: Sequence[Sequence[Span]]
) -> dict[str, Any]:
    """The metrics of some sentences' entities beside the right tags."""
    there = [spans_of(tags) for tags in gold]
    scores, surface = entity_scores(there, found), surface_scores(tokens, there, found)
    return {
        "f1": scores.overall.f1,
        "precision": scores.overall.precision,
        "recall": scores.overall.recall,
        "surface_f1": surface.overall.f1,
        "entities": scores.overall.gold,
        "tokens": sum(map(len, gold)),
        "types": {label: score.as_json() for label, score in scores.by_type.items()},
    }


def submission_scores(path: str | Path) -> dict[str, Score]:
    """Score a submission to the WNUT 2017 shared task as its own script does.

    Args:
        path: a file with a token, its right tag and the tag found, separated by tabs, and empty lines between
            sentences.

    Returns:
        "entities", of each occurrence; "surface forms", each counted once.

    Raises:
        DataError, StorageError: the file can't be read, or a tag has no prefix of BIO.
    """
    sentences: list[RawSentence] = []
    found: list[RawSentence] = []
    for source in find_sources(path):
        for column, kept in ((1, sentences), (2, found)):
            kept += read_columns(source, Findings(), label_column=column, separator="tab")
    tokens = [sentence.tokens for sentence in sentences]
    gold, tags = ([spans_of(one.tags) for one in side] for side in (sentences, found))
    return {
        "entities": entity_scores(gold, tags).overall,
        "surface forms": surface_scores(tokens, gold, tags).overall,
    }
