"""Scores of tagged text against the right tags, as `tag` reports them and as the WNUT 2017 shared task does."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from unrolled.data import Findings
from unrolled.data.core.folders import find_sources
from unrolled.data.tagged.columns import RawSentence, read_columns
from unrolled.data.tagged.schemes import Span, spans_of
from unrolled.metrics.entities import Score, entity_scores, surface_scores, token_accuracy
from unrolled.tasks.outputs.labels.scoring import label_metrics
from unrolled.types import Json


def tag_metrics(
    tokens: Sequence[Sequence[str]], gold: Sequence[Sequence[str]], tags: Sequence[Sequence[str]], kind: str
) -> Json:
    """Return the metrics of some sentences' tags.

    Args:
        tokens, gold, tags: of each sentence its tokens, the right tags and those to judge.
        kind: "entities", or "labels".
    """
    if kind == "labels":
        return label_metrics(gold, tags) | {"tokens": sum(map(len, gold))}
    spans = [spans_of(own) for own in tags]
    return entity_metrics(tokens, gold, spans) | {"accuracy": token_accuracy(gold, tags)}


def entity_metrics(
    tokens: Sequence[Sequence[str]], gold: Sequence[Sequence[str]], spans: Sequence[Sequence[Span]]
) -> Json:
    """Return the metrics of some sentences' entities."""
    there = [spans_of(tags) for tags in gold]
    scores, surface = entity_scores(there, spans), surface_scores(tokens, there, spans)
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
        path: a file with a token, its right tag and the tag submitted, separated by tabs, and empty lines between
            sentences.

    Returns:
        "entities", of each occurrence; "surface forms", each counted once.

    Raises:
        DataError, StorageError: the file can't be read, or a tag has no prefix of BIO.
    """
    sentences: list[RawSentence] = []
    submitted: list[RawSentence] = []
    for source in find_sources(path):
        for column, kept in ((1, sentences), (2, submitted)):
            kept += read_columns(source, Findings(), label_column=column, separator="tab")
    tokens = [sentence.tokens for sentence in sentences]
    gold, tags = ([spans_of(sentence.tags) for sentence in side] for side in (sentences, submitted))
    return {
        "entities": entity_scores(gold, tags).overall,
        "surface forms": surface_scores(tokens, gold, tags).overall,
    }
