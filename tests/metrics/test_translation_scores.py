"""BLEU and chrF: sacrebleu's own numbers, ours held to them, and cases worked by hand."""

from __future__ import annotations

import math
import random

import pytest

from unrolled.errors import ArgumentError
from unrolled.metrics.translation import corpus_bleu, tokens_13a, translation_scores

WORDS = [
    "the",
    "The",
    "cat",
    "sat",
    "on",
    "3.5",
    "mat,",
    "1-2",
    "it's",
    '"so"',
    "a&b",
    "x.",
    "...",
    "&quot;",
    "(no)",
    "é",
]


def corpus(seed: int, sentences: int) -> tuple[list[str], list[str]]:
    draw = random.Random(seed)
    references = [" ".join(draw.choices(WORDS, k=draw.randint(1, 12))) for _ in range(sentences)]
    hypotheses = [" ".join(w if draw.random() < 0.8 else draw.choice(WORDS) for w in r.split()) for r in references]
    return hypotheses, references


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("sentences", [1, 2, 30])
@pytest.mark.parametrize("lowercase", [False, True])
def test_our_bleu_is_sacrebleus(seed: int, sentences: int, lowercase: bool) -> None:
    metrics = pytest.importorskip("sacrebleu.metrics")
    hypotheses, references = corpus(seed, sentences)
    expected = metrics.BLEU(lowercase=lowercase).corpus_score(hypotheses, [references]).score
    assert corpus_bleu(hypotheses, references, lowercase=lowercase) == pytest.approx(expected, abs=1e-9)


def test_our_tokens_are_sacrebleus() -> None:
    cut = pytest.importorskip("sacrebleu.tokenizers.tokenizer_13a").Tokenizer13a()
    for text in (*WORDS, "a,b 1,000 -5 x-\ny", "<skipped>z", "«Ja», sagte 'er'; 50%!", "~`{}[]^_|\\", "10-12.", ".5,"):
        assert tokens_13a(text) == cut(text).split(), text


def test_by_hand() -> None:
    # 1-grams 5 of 6, 2-grams 3 of 5, 3-grams 2 of 4, 4-grams 1 of 3; 6 words for 7: exp(1 - 7/6)
    found = corpus_bleu(["the cat sat on a mat"], ["the cat sat on the red mat"])
    assert found == pytest.approx(100 * math.exp(1 - 7 / 6) * (5 / 6 * 3 / 5 * 2 / 4 * 1 / 3) ** 0.25, rel=1e-9)
    assert corpus_bleu(["a b c d"], ["a b c d"]) == pytest.approx(100)
    assert corpus_bleu(["a b c d"], ["e f g h"]) == 0
    assert corpus_bleu([""], ["a b c d"]) == 0


def test_scores_say_how_they_were_computed() -> None:
    pytest.importorskip("sacrebleu")
    found = translation_scores(["The cat sat down here."], ["the cat sat down here."])
    assert found["bleu"] == pytest.approx(100 * (5 / 6 * 4 / 5 * 3 / 4 * 2 / 3) ** 0.25)
    assert found["bleu_lowercase"] == pytest.approx(100)
    assert found["length_ratio"] == 1
    assert 80 < found["chrf"] < 100
    assert "tok:13a" in found["signatures"]["bleu"]
    assert "case:mixed" in found["signatures"]["bleu"]
    assert "case:lc" in found["signatures"]["bleu_lowercase"]
    assert "nc:6" in found["signatures"]["chrf"]


@pytest.mark.parametrize("score", [corpus_bleu, translation_scores])
def test_one_reference_for_each(score: object) -> None:
    with pytest.raises(ArgumentError, match="references: expected one for each of 2 hypotheses, found 1"):
        score(["a", "b"], ["a"])  # type: ignore[operator]
    with pytest.raises(ArgumentError, match="of 0 hypotheses"):
        score([], [])  # type: ignore[operator]


@pytest.mark.parametrize("seed", range(5))
def test_several_references_are_sacrebleus_too(seed: int) -> None:
    metrics = pytest.importorskip("sacrebleu.metrics")
    draw = random.Random(seed)
    hypotheses, first = corpus(seed, 12)
    second = [text if draw.random() < 0.3 else None for text in corpus(seed + 9, 12)[1]]
    references = [[one] if other is None else [one, other] for one, other in zip(first, second, strict=True)]
    expected = metrics.BLEU().corpus_score(hypotheses, [first, second]).score
    assert corpus_bleu(hypotheses, references) == pytest.approx(expected, abs=1e-9)
    scores = translation_scores(hypotheses, references)
    assert scores["bleu"] == expected
    assert scores["chrf"] == metrics.CHRF().corpus_score(hypotheses, [first, second]).score
    with pytest.raises(ArgumentError, match="references: expected one for each of 12 hypotheses, found 11"):
        corpus_bleu(hypotheses, [*references[:-1], []])
