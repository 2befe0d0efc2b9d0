"""Error rates: by hand, and against jiwer."""

from __future__ import annotations

import random
import sys
from functools import cache

import pytest

from unrolled.errors import ArgumentError, MissingDependencyError
from unrolled.metrics.speech import edit_distance, error_rates, speech_metrics


def plainly(a: str, b: str) -> int:
    @cache
    def distance(m: int, n: int) -> int:
        if not m or not n:
            return m + n
        return min(distance(m - 1, n) + 1, distance(m, n - 1) + 1, distance(m - 1, n - 1) + (a[m - 1] != b[n - 1]))

    return distance(len(a), len(b))


def test_edit_distance() -> None:
    draw = random.Random(0)
    for _ in range(300):
        a, b = ("".join(draw.choice("abc") for _ in range(draw.randint(0, 9))) for _ in range(2))
        assert edit_distance(a, b) == plainly(a, b)
    assert edit_distance(["one", "two"], ["two"]) == 1


def test_by_hand() -> None:
    # one word wrong, one missing, one too many, of 5
    references, hypotheses = ["a b c", "d", "e"], ["a x", "d", "e e"]
    found = speech_metrics(references, hypotheses)
    assert found["wer"] == pytest.approx(3 / 5)
    assert (found["substitutions"], found["deletions"], found["insertions"], found["words"]) == (1, 1, 1, 5)
    assert found["sentence_error"] == pytest.approx(2 / 3)
    # "a b c" → "a x" is 3 edits, "e" → "e e" 2, of 7 characters
    assert found["cer"] == pytest.approx(5 / 7)
    assert found["texts"] == 3


def test_it_is_jiwers() -> None:
    draw = random.Random(1)

    def text() -> str:
        return "  ".join(draw.choice(("a", "bc", "bcd", "e")) for _ in range(draw.randint(0, 7)))

    references, hypotheses = [text() for _ in range(80)], [text() for _ in range(80)]
    ours, theirs = error_rates(references, hypotheses), speech_metrics(references, hypotheses)
    assert ours == pytest.approx({name: theirs[name] for name in ours})


def test_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ArgumentError, match="hypotheses: expected 2, one for each reference, found 1"):
        error_rates(["a", "b"], ["a"])
    with pytest.raises(ArgumentError, match="they have no word"):
        speech_metrics([""], ["a"])
    monkeypatch.setitem(sys.modules, "jiwer", None)
    with pytest.raises(MissingDependencyError, match=r"scoring transcripts needs jiwer.*unrolled\[metrics\]"):
        speech_metrics(["a"], ["a"])
