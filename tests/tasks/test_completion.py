"""Places, thresholds and saved keystrokes, by hand on texts whose suggestions are given."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch

from unrolled.data import ByteTokenizer, CharTokenizer
from unrolled.decoding import PhraseRule, Suggestion
from unrolled.tasks import Model
from unrolled.tasks.core.values import silent
from unrolled.tasks.outputs.next.completion import (
    AHEAD,
    CONTEXT,
    FEWEST_PLACES,
    TYPED,
    TypingPlace,
    at_threshold,
    exact_match,
    fit_threshold,
    is_right,
    one_thread,
    sample_stretches,
    study_completion,
    summarise,
    threshold_for,
)
from unrolled.tasks.outputs.next.ngram import NGram

LETTERS = "abcdefghijklmnopqrstuvwxyz .,\né"
RULE = PhraseRule([letter.encode() for letter in LETTERS], max_words=3)


def suggestion(text: str, score: float) -> Suggestion:
    return Suggestion(text, score * (len(text) + 1), score, (), RULE.count_words(text))


def places(text: str, offers: dict[int, Sequence[Suggestion]]) -> list[TypingPlace]:
    begins = [not RULE.ends_in_word(text[:at]) and RULE.in_word(text[at]) for at in range(len(text))]
    return [
        TypingPlace(offers.get(at, ()), text[at:], begins[at], 0.001 * at if at else None) for at in range(len(text))
    ]


@pytest.mark.parametrize(
    "offered, rest, right",
    [
        ("store", "store", True),
        ("store", "store, and", True),
        ("store", "stores", False),
        ("store", "stork", False),
        ("store", "sto", False),
        ("store.", "store.x", True),
        (" the store", " the store\n", True),
    ],
)
def test_a_suggestion_is_right_if_exactly_its_words_follow(offered: str, rest: str, right: bool) -> None:
    assert is_right(suggestion(offered, -1.0), rest, RULE) is right


def test_keystrokes_coverage_and_accuracy_by_hand() -> None:
    # "to the store": right at 3 (9 characters with one Tab), wrong at 1, unsure at 2
    typed = places(
        "to the store",
        {1: [suggestion("ny", -0.1)], 2: [suggestion(" the", -0.9)], 3: [suggestion("the store", -0.2)]},
    )
    found = at_threshold([typed], -0.5, RULE)
    assert found == {"coverage": 2 / 12, "accuracy": 1 / 2, "keystrokes_saved": 1 - 4 / 12}
    # with the unsure one shown, it is taken first: "to", Tab for " the", and then 6 characters
    found = at_threshold([typed], -1.0, RULE)
    assert found == {"coverage": 3 / 12, "accuracy": 2 / 3, "keystrokes_saved": 1 - 9 / 12}
    assert at_threshold([typed], 0.0, RULE) == {"coverage": 0.0, "accuracy": None, "keystrokes_saved": 0.0}


def test_a_suggestion_that_goes_beyond_the_stretch_counts_with_all_it_typed() -> None:
    stretch = places("to the store", {1: [suggestion("o the store", -0.1)]})[:2]
    assert at_threshold([stretch], -0.5, RULE)["keystrokes_saved"] == pytest.approx(1 - 2 / 12)


def test_threshold_reaches_the_coverage_asked_for() -> None:
    scores = [-0.1, -0.2, -0.3, -0.4, None, None, None, None, None, None]
    typed = [
        TypingPlace([] if s is None else [suggestion("a", s), suggestion("b", s - 1)], "a", True, None) for s in scores
    ]
    assert threshold_for(typed, 0.3) == -0.3
    assert threshold_for(typed, 0.05) == -0.1
    assert threshold_for(typed, 1.0) == -0.4  # no more than four can ever be shown
    assert threshold_for(typed[4:], 0.3) is None
    for n in range(1, 5):
        assert at_threshold([typed], threshold_for(typed, n / 10) or 0.0, RULE)["coverage"] == n / 10


def test_exact_match_counts_only_phrases_that_are_long_enough() -> None:
    typed = places(
        "to the store. no",
        {
            0: [suggestion("to", -0.1), suggestion("to the", -0.2), suggestion("to a store", -0.3)],
            3: [suggestion("the", -0.1), suggestion("the store.", -0.2)],
            7: [suggestion("story", -0.1), suggestion("store", -0.2)],
            8: [suggestion("tore", -0.1)],  # inside a word
            14: [suggestion("not", -0.1)],
        },
    )
    # words begin at 0, 3, 7, 14; before the sentence ends there are 3, 2, 1 and 1 words
    assert exact_match(typed, RULE) == {"1": 2 / 4, "2": 2 / 2, "3": 0 / 1}
    assert exact_match([], RULE) == {"1": None, "2": None, "3": None}


def test_summary_has_a_curve_a_bounded_area_and_times() -> None:
    offers = {at: [suggestion("to the store"[at:], -0.1 * at)] for at in range(1, 12)}
    found = summarise([places("to the store", offers)], -0.35, RULE)
    json.dumps(found)
    curve = found["curve"]
    assert curve["coverage"] == sorted(curve["coverage"])
    assert curve["threshold"] == sorted(curve["threshold"], reverse=True)
    assert curve["accuracy"] == [1.0] * len(curve["accuracy"])
    assert found["area"] == pytest.approx(curve["coverage"][-1])
    assert found["p50_seconds"] == pytest.approx(0.006)
    assert found["p90_seconds"] == pytest.approx(0.010)
    nothing = summarise([], None, RULE)
    assert (nothing["threshold"], nothing["coverage"], nothing["area"], nothing["p90_seconds"]) == (None,) * 4


def test_stretches_stay_inside_their_document_and_are_the_same_each_time() -> None:
    tokenizer = CharTokenizer(LETTERS)
    documents = ["abc def. " * n for n in (1, 40, 3, 0, 90, 2)]
    ids = np.concatenate([np.append(tokenizer.encode(document), 0) for document in documents])
    found = sample_stretches(ids, tokenizer, 400)
    assert found == sample_stretches(ids, tokenizer, 400)
    assert found != sample_stretches(ids, tokenizer, 400, seed=1)
    assert 200 < sum(stretch.places for stretch in found) <= 400
    for stretch in found:
        assert any(stretch.context + stretch.text in document for document in documents)
        assert 0 < stretch.places <= min(TYPED, len(stretch.text))
        assert len(stretch.context) <= CONTEXT
        assert len(stretch.text) <= TYPED + AHEAD


def test_what_follows_a_stretch_is_known_unless_its_document_ends() -> None:
    tokenizer = CharTokenizer(LETTERS)
    text = "abcdefghi " * 100
    for stretch in sample_stretches(tokenizer.encode(text), tokenizer, 300):
        at = text.index(stretch.context + stretch.text) + len(stretch.context)
        ends = at + len(stretch.text) == len(text) or text.endswith(stretch.text)
        assert ends or len(stretch.text) >= stretch.places + 40


def test_stretches_of_bytes_begin_and_end_with_whole_characters() -> None:
    tokenizer = ByteTokenizer()
    text = "aé€𝄞" * 60
    found = sample_stretches(tokenizer.encode(text), tokenizer, 200)
    assert found
    for stretch in found:
        assert stretch.context + stretch.text in text
        assert stretch.places <= len(stretch.text)


@pytest.mark.parametrize("length", [0, 1, 2, 5])
def test_little_text_fits_no_threshold_and_says_why(trained: Callable[[str], Model], length: int) -> None:
    model = trained("char")
    found = fit_threshold(model, model.input.tokenizer.encode("Thank"[:length]), 0.3, silent)
    assert found["threshold"] is None
    assert found["places"] == length < FEWEST_PLACES
    assert f"{length} places" in found["threshold_reason"]
    json.dumps(found)


@pytest.mark.parametrize("kind", ["char", "byte", "bpe"])
def test_fitted_threshold_has_its_coverage_and_saves_keystrokes(trained: Callable[[str], Model], kind: str) -> None:
    model = trained(kind)
    fitted = model.fitted
    assert fitted["threshold"] < 0
    assert fitted["coverage"] == pytest.approx(0.3, abs=1 / fitted["places"])
    assert fitted["accuracy"] > 0.5
    assert fitted["keystrokes_saved"] > 0.1
    assert fitted["threshold_reason"] is None


def test_study_puts_the_ngram_at_the_same_places_and_coverage(trained: Callable[[str], Model]) -> None:
    model = trained("char")
    ids = model.input.tokenizer.encode("Thank you for your help. I will see you tomorrow in the morning.\n" * 3)
    baseline = NGram.fit(ids, 4, model.input.tokenizer.vocabulary_size)
    told: list[tuple[str, int, int | None]] = []
    own, other = study_completion(model, baseline, ids, 60, lambda *news: told.append(news))
    json.dumps([own, other])
    assert own["places"] == other["places"] == 60
    assert own["threshold"] == model.fitted["threshold"]
    assert other["coverage"] == pytest.approx(own["coverage"], abs=0.06)
    assert 0 < own["p50_seconds"] <= own["p90_seconds"]
    assert set(own["exact_match"]) == {"1", "2", "3", "4", "5"}
    assert all(value is None or 0 <= value <= 1 for value in own["exact_match"].values())
    assert told[-1][1] == told[-1][2] == 60
    again = study_completion(model, None, ids, 60, silent)
    times = {"p50_seconds", "p90_seconds"}
    assert again[1] == {}
    assert {k: v for k, v in again[0].items() if k not in times} == {k: v for k, v in own.items() if k not in times}


def test_one_thread_puts_the_number_of_threads_back() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with one_thread():
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_no_suggestion_has_no_score() -> None:
    assert TypingPlace([], "x", True, None).best_score == -math.inf
