"""BLEU against sacrebleu, CIDEr-D against a plain rewriting of its definition, and both against cases by hand."""

from __future__ import annotations

import math
import random
from collections import Counter

import pytest
import sacrebleu

from unrolled.errors import ShapeError
from unrolled.metrics.captions import caption_metrics, cider_d, corpus_bleu

WORDS = ["a", "the", "dog", "cat", "runs", "sits", "on", "grass", "in", "red"]


def corpus(images: int, references: int, seed: int) -> tuple[list[list[str]], list[list[list[str]]]]:
    draw = random.Random(seed)

    def sentence() -> list[str]:
        return [draw.choice(WORDS) for _ in range(draw.randint(3, 9))]

    others = [[sentence() for _ in range(references)] for _ in range(images)]
    # half of the captions are a reference with a word changed, so that 4-grams match
    captions = [sentence() if draw.random() < 0.5 else [*draw.choice(some)[:-1], draw.choice(WORDS)] for some in others]
    return captions, others


@pytest.mark.parametrize("seed", range(5))
def test_bleu_is_sacrebleus(seed: int) -> None:
    captions, references = corpus(30, 4, seed)
    joined = [" ".join(caption) for caption in captions]
    streams = [[" ".join(some[k]) for some in references] for k in range(4)]
    for n, score in enumerate(corpus_bleu(captions, references), 1):
        metric = sacrebleu.BLEU(max_ngram_order=n, tokenize="none", smooth_method="none", effective_order=False)
        assert score == pytest.approx(metric.corpus_score(joined, streams).score / 100, rel=1e-9)


def test_bleu_by_hand() -> None:
    # p_1 = 3/4, p_2 = 1/3, no trigram; 4 words beside a reference of 5
    found = corpus_bleu([["a", "dog", "red", "runs"]], [[["a", "dog", "runs", "in", "grass"]]])
    brevity = math.exp(1 - 5 / 4)
    assert found == pytest.approx([brevity * 3 / 4, brevity * math.sqrt(3 / 4 / 3), 0, 0])


def test_bleu_takes_the_shorter_of_two_lengths_that_are_as_near() -> None:
    assert corpus_bleu([["a", "b", "c"]], [[["a", "b", "c", "d"], ["a", "b"]]])[0] == 1.0


def test_an_empty_caption_scores_nothing() -> None:
    assert corpus_bleu([[]], [[["a"]]]) == [0, 0, 0, 0]


def plain_cider(captions: list[list[str]], references: list[list[list[str]]]) -> list[float]:
    """Equation by equation: g_n = tf · ln(N / df), CIDEr-D_n = 10/m Σ_j e^{…} min(g(c), g(s)) · g(s) / (‖·‖ ‖·‖)."""

    def grams(words: list[str], n: int) -> list[str]:
        return [" ".join(words[k : k + n]) for k in range(len(words) - n + 1)]

    results = []
    for caption, others in zip(captions, references, strict=True):
        total = 0.0
        for n in range(1, 5):

            def weights(words: list[str], n: int = n) -> dict[str, float]:
                count = Counter(grams(words, n))
                frequency = {g: sum(any(g in grams(s, n) for s in some) for some in references) for g in count}
                return {g: count[g] * math.log(len(references) / max(1, frequency[g])) for g in count}

            mine = weights(caption)
            for other in others:
                theirs = weights(other)
                norms = math.sqrt(sum(w * w for w in mine.values()) * sum(w * w for w in theirs.values()))
                dot = sum(min(mine.get(g, 0.0), w) * w for g, w in theirs.items())
                if norms:
                    total += math.exp(-((len(caption) - len(other)) ** 2) / 72) * dot / norms / len(others)
        results.append(10 * total / 4)
    return results


@pytest.mark.parametrize("seed", range(3))
def test_cider_is_its_definition(seed: int) -> None:
    captions, references = corpus(12, 3, seed)
    assert cider_d(captions, references) == pytest.approx(plain_cider(captions, references), rel=1e-9)


def test_cider_by_hand() -> None:
    """Two images; "a" is in both, so it weighs ln(2/2) = 0, every other n-gram weighs ln 2.

    The first caption is its reference: cosine 1 for n = 1, 2; of 3 and 4 there are no n-grams. 10 · (1 + 1) / 4 = 5.
    The second shares "cat" of {cat, sat} and {cat, ran}: 1/2 for n = 1; and "a cat" of {a cat, cat sat} and {a cat, cat
    ran}: 1/2 for n = 2; trigrams share nothing, and lengths are equal. 10 · (1/2 + 1/2) / 4 = 2.5.
    """
    captions = [["a", "dog"], ["a", "cat", "sat"]]
    references = [[["a", "dog"]], [["a", "cat", "ran"]]]
    assert cider_d(captions, references) == pytest.approx([5.0, 2.5])
    # four words longer: e^{−16/72}
    assert cider_d([["a", "dog"], ["a"]], [[["a", "dog", "a", "a", "a", "a"]], [["a"]]])[0] < 5 * math.exp(-16 / 72)


def test_the_table_of_metrics() -> None:
    captions, references = corpus(8, 2, 9)
    found = caption_metrics(captions, references)
    assert [found[f"bleu{n}"] for n in (1, 2, 3, 4)] == corpus_bleu(captions, references)
    assert found["cider"] == pytest.approx(sum(cider_d(captions, references)) / 8)
    assert found["words"] == sum(map(len, captions)) / 8
    assert found["different"] == len(set(map(tuple, captions)))


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ShapeError, match=r"references: expected shape \(N=1,\)"):
        corpus_bleu([["a"]], [])
    with pytest.raises(ShapeError, match="1 have no reference"):
        cider_d([["a"], ["b"]], [[["a"]], []])
