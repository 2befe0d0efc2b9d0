"""Tag schemes: spans read as seqeval reads them, schemes told apart, and what each forbids."""

from __future__ import annotations

import itertools
import random
from typing import Any

import pytest

from unrolled.data.tagged.schemes import (
    Span,
    allowed_transitions,
    detect,
    irregular,
    spans_of,
    split_tag,
    tags_of,
)
from unrolled.errors import DataError

TAGS = ["O", *(f"{prefix}-{label}" for prefix in "BIES" for label in ("X", "Y"))]


def entities_by_seqeval(tags: list[str]) -> list[Span]:
    sequence: Any = pytest.importorskip("seqeval.metrics.sequence_labeling")
    return [Span(start, end + 1, label) for label, start, end in sequence.get_entities(tags)]


def test_every_short_sequence_of_tags_is_read_as_seqeval_reads_it() -> None:
    for tags in itertools.product(TAGS, repeat=3):
        assert spans_of(tags) == entities_by_seqeval(list(tags)), tags
    draw = random.Random(1)
    for _ in range(300):
        tags = tuple(draw.choices(TAGS, k=draw.randrange(4, 12)))
        assert spans_of(tags) == entities_by_seqeval(list(tags)), tags


def test_spans_and_tags_turn_into_each_other() -> None:
    spans = [Span(0, 2, "LOC"), Span(2, 3, "LOC"), Span(4, 7, "PER"), Span(7, 8, "LOC")]
    spelled = {
        "bio": "B-LOC I-LOC B-LOC O B-PER I-PER I-PER B-LOC",
        "iob1": "I-LOC I-LOC B-LOC O I-PER I-PER I-PER I-LOC",
        "bioes": "B-LOC E-LOC S-LOC O B-PER I-PER E-PER S-LOC",
    }
    for scheme, tags in spelled.items():
        assert tags_of(spans, 8, scheme) == tags.split()  # type: ignore[arg-type]
        assert spans_of(tags.split()) == spans
        assert list(irregular(tags.split(), scheme)) == []  # type: ignore[arg-type]
    assert spans_of(["B-LOC", "L-LOC", "U-LOC", "O", "B-PER", "I-PER", "L-PER", "U-LOC"]) == spans


def test_bare_prefixes_are_entities_of_no_type() -> None:
    assert spans_of(["B", "I", "O", "B"]) == [Span(0, 2, "_"), Span(3, 4, "_")]
    assert split_tag("L") == ("E", "_")


def test_a_tag_of_no_scheme_is_refused() -> None:
    with pytest.raises(DataError, match="'NN' belongs to no tag scheme"):
        spans_of(["O", "NN"])


@pytest.mark.parametrize(
    "sentences, scheme",
    [
        (["I-X O I-Y I-Y", "I-X B-X O"], "iob1"),
        (["B-X O B-Y I-Y", "B-X B-X O"], "bio"),
        (["S-X O B-Y E-Y"], "bioes"),
        (["U-X O B-Y L-Y"], "bioes"),
        (["NN VB O", "DT NN"], "labels"),
        (["B I O O"], "bio"),
        (["O O"], "bio"),
        (["I-X I-X"], "iob1"),
    ],
)
def test_schemes_are_detected(sentences: list[str], scheme: str) -> None:
    assert detect(s.split() for s in sentences).scheme == scheme


def test_what_speaks_for_a_scheme_is_counted_and_typing_errors_are_named() -> None:
    found = detect([["I-X", "O", "B-Y", "B-Y", "I-X"], ["B-X"] * 20, ["LOC"]])
    assert found.counted == {"bio": 2, "iob1": 2}
    assert found.odd == {"LOC"}
    assert found.scheme == "bio"


@pytest.mark.parametrize(
    "tags, scheme, at, says",
    [
        ("O I-X", "bio", 1, "I-X after O is impossible in BIO; read as the beginning"),
        ("I-X O", "bio", 0, "I-X at the beginning of a sentence is impossible in BIO"),
        ("B-X I-Y", "bio", 1, "I-Y after B-X"),
        ("O B-X", "iob1", 1, "impossible in IOB1, where it would be I-X"),
        ("B-X O", "bioes", 1, "O after B-X is impossible in BIOES; B-X is read as the end"),
        ("S-X I-X E-X", "bioes", 1, "I-X after S-X"),
        ("O B-X", "bioes", 1, "B-X at the end of a sentence"),
    ],
)
def test_impossible_transitions_are_found(tags: str, scheme: Any, at: int, says: str) -> None:
    [(place, message)] = irregular(tags.split(), scheme)
    assert place == at
    assert says in message


def test_allowed_transitions_are_those_without_findings() -> None:
    between, begins, ends = allowed_transitions(TAGS)
    for tags in itertools.product(range(len(TAGS)), repeat=3):
        a, b, c = tags
        allowed = begins[a] and between[a][b] and between[b][c] and ends[c]
        assert allowed == (not list(irregular([TAGS[n] for n in tags], "bioes")))
