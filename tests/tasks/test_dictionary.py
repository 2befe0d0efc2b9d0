"""The word-by-word baseline: IBM Model 1 against sums written out, and its way with symbols."""

from __future__ import annotations

from collections import defaultdict

import pytest

from unrolled.tasks.uses.translate import baseline as dictionary
from unrolled.tasks.uses.translate.baseline import fit_dictionary, translate_words, words

SOURCES = ["das Haus", "das Buch", "ein Buch", "das Haus ist klein.", "ein Haus"]
TARGETS = ["the house", "the book", "a book", "the house is small.", "a house"]


def model_1(sources: list[str], targets: list[str], rounds: int) -> dict[str, dict[str, float]]:
    """Brown et al.'s algorithm as one writes it down, word by word."""
    pairs = [(words(s), words(t)) for s, t in zip(sources, targets, strict=True)]
    probability: dict[tuple[str, str], float] = defaultdict(lambda: 1.0)
    for _ in range(rounds):
        counts: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
        for source, target in pairs:
            for t in target:
                norm = sum(probability[s, t] for s in source)
                for s in source:
                    counts[s][t] += probability[s, t] / norm
        probability = defaultdict(
            float, {(s, t): n / sum(found.values()) for s, found in counts.items() for t, n in found.items()}
        )
    return counts


@pytest.mark.parametrize("rounds", [1, 2, 5])
def test_it_is_model_1(rounds: int) -> None:
    counts = model_1(SOURCES, TARGETS, rounds)
    found = fit_dictionary(SOURCES, TARGETS, rounds)
    assert found.keys() == counts.keys()
    for source, target in found.items():
        assert counts[source][target] == pytest.approx(max(counts[source].values()))


def test_it_finds_what_goes_with_what() -> None:
    found = fit_dictionary(SOURCES, TARGETS)
    assert {s: found[s] for s in ("das", "Haus", "Buch", "ein")} == {
        "das": "the",
        "Haus": "house",
        "Buch": "book",
        "ein": "a",
    }
    assert translate_words("Das Haus, das Buch (ein Haus)!", found) == "Das house, the book (a house)!"
    assert fit_dictionary([], []) == {}
    assert translate_words("", found) == ""


def test_it_looks_at_so_much_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dictionary, "CELLS", 8)
    assert fit_dictionary(SOURCES, TARGETS) == fit_dictionary(SOURCES[:2], TARGETS[:2])
    monkeypatch.setattr(dictionary, "WORDS", 1)
    assert fit_dictionary(SOURCES, TARGETS) == {"das": "the", "ein": "a"}
