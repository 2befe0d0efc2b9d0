"""Filters by hand, and what must hold for all logits."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from unrolled.decoding import filters
from unrolled.errors import ArgumentError

NEVER = float("-inf")
HALVES = torch.tensor([[0.5, 0.25, 0.125, 0.125]], dtype=torch.float64).log()


def kept(logits: Tensor) -> list[list[int]]:
    return [row.isfinite().nonzero().flatten().tolist() for row in logits]


def test_temperature_divides_differences() -> None:
    cooled = filters.temperature(torch.tensor([[1.0, 3.0, 2.0]]), 0.5)
    assert cooled.tolist() == [[-4.0, 0.0, -2.0]]


def test_temperature_zero_is_greedy_and_takes_the_first_of_equals() -> None:
    assert kept(filters.temperature(torch.tensor([[1.0, 3.0, 3.0], [0.0, -1.0, -1.0]]), 0)) == [[1], [0]]


def test_tiny_temperature_does_not_overflow() -> None:
    assert filters.temperature(torch.tensor([[1.0, 3.0]]), 1e-40).softmax(-1).tolist() == [[0.0, 1.0]]


def test_top_k_keeps_ties_with_the_last() -> None:
    assert kept(filters.top_k(HALVES, 2)) == [[0, 1]]
    assert kept(filters.top_k(HALVES, 3)) == [[0, 1, 2, 3]]
    assert filters.top_k(HALVES, 9) is HALVES


@pytest.mark.parametrize("p, expected", [(0.4, [0]), (0.5, [0]), (0.6, [0, 1]), (0.8, [0, 1, 2]), (1.0, [0, 1, 2, 3])])
def test_top_p_keeps_the_fewest_that_reach_p(p: float, expected: list[int]) -> None:
    assert kept(filters.top_p(HALVES, p)) == [expected]


@pytest.mark.parametrize("p, expected", [(0.0, [0, 1, 2, 3]), (0.24, [0, 1, 2, 3]), (0.3, [0, 1]), (1.0, [0])])
def test_min_p_compares_with_the_most_probable(p: float, expected: list[int]) -> None:
    assert kept(filters.min_p(HALVES, p)) == [expected]


def test_repetition_penalty_divides_above_zero_and_multiplies_below() -> None:
    logits = torch.tensor([[2.0, -2.0, 1.0, -1.0]])
    assert filters.repetition_penalty(logits, torch.tensor([[0, 1, 1, -1]]), 2.0).tolist() == [[1.0, -4.0, 1.0, -1.0]]


def test_frequency_and_presence_count_per_row_and_ignore_padding() -> None:
    logits = torch.zeros(2, 3)
    history = torch.tensor([[0, 0, 2], [-1, -1, 1]])
    expected = [[-2.0 * 0.5 - 0.25, 0.0, -0.5 - 0.25], [0.0, -0.75, 0.0]]
    assert filters.frequency_and_presence(logits, history, 0.5, 0.25).tolist() == expected


def test_no_repeat_ngram_forbids_what_completes_one_seen() -> None:
    history = torch.tensor([[0, 1, 2, 0, 1], [-1, -1, 3, 0, 1]])  # row 0 has seen 0 1 2
    assert kept(filters.no_repeat_ngram(torch.zeros(2, 4), history, 3)) == [[0, 1, 3], [0, 1, 2, 3]]
    assert kept(filters.no_repeat_ngram(torch.zeros(2, 4), history, 1)) == [[3], [2]]


def test_no_repeat_ngram_never_leaves_a_row_empty() -> None:
    assert kept(filters.no_repeat_ngram(torch.zeros(1, 2), torch.tensor([[0, 1]]), 1)) == [[0, 1]]


def test_forbid() -> None:
    assert kept(filters.forbid(HALVES, [0, 3])) == [[1, 2]]
    with pytest.raises(ArgumentError, match="all 4 tokens are forbidden"):
        filters.forbid(HALVES, [0, 1, 2, 3])
    with pytest.raises(ArgumentError, match=r"forbidden: expected token ids in \[0, 4\), found 4"):
        filters.forbid(HALVES, [4])


Filter = Callable[[Tensor], Tensor]
FILTERS: dict[str, Filter] = {
    "temperature": lambda logits: filters.temperature(logits, 0.7),
    "greedy": lambda logits: filters.temperature(logits, 0),
    "top_k": lambda logits: filters.top_k(logits, 3),
    "top_p": lambda logits: filters.top_p(logits, 0.6),
    "min_p": lambda logits: filters.min_p(logits, 0.2),
}


@pytest.mark.parametrize("name", FILTERS)
@settings(deadline=None, derandomize=True)
@given(rows=st.lists(st.lists(st.floats(-1e4, 1e4, width=32), min_size=5, max_size=5), min_size=1, max_size=3))
def test_the_most_probable_stays_probabilities_sum_to_one_and_the_input_is_untouched(
    name: str, rows: list[list[float]]
) -> None:
    logits = torch.tensor(rows)
    before = logits.clone()
    filtered = FILTERS[name](logits)
    assert torch.equal(logits, before)
    torch.testing.assert_close(filtered.softmax(-1).sum(-1), torch.ones(len(rows)))
    first = logits.argmax(-1, keepdim=True)
    assert torch.equal(filtered.gather(1, first), filtered.amax(-1, keepdim=True))
    for row, alone in enumerate(logits.split(1)):
        assert torch.equal(FILTERS[name](alone)[0], filtered[row])


@settings(deadline=None, derandomize=True)
@given(
    row=st.lists(st.floats(-8, 8), min_size=6, max_size=6),
    p=st.floats(0.01, 0.99),
)
def test_the_nucleus_reaches_p_and_is_minimal(row: list[float], p: float) -> None:
    logits = torch.tensor([row], dtype=torch.float64)
    chosen = logits.softmax(-1)[filters.top_p(logits, p).isfinite()]
    assert float(chosen.sum()) >= p - 1e-12
    assert float(chosen.sum() - chosen.min()) < p + 1e-12


BAD: list[tuple[str, Callable[[], Tensor]]] = [
    ("temperature: expected a finite number ≥ 0, found -1", lambda: filters.temperature(HALVES, -1)),
    ("temperature: expected a finite number ≥ 0, found nan", lambda: filters.temperature(HALVES, math.nan)),
    ("top_k: expected an integer ≥ 1, found 0", lambda: filters.top_k(HALVES, 0)),
    ("top_p: expected a number in (0, 1], found 0", lambda: filters.top_p(HALVES, 0)),
    ("top_p: expected a number in (0, 1], found 1.5", lambda: filters.top_p(HALVES, 1.5)),
    ("min_p: expected a number in [0, 1], found 2", lambda: filters.min_p(HALVES, 2)),
    (
        "repetition_penalty: expected a finite number > 0, found 0",
        lambda: filters.repetition_penalty(HALVES, torch.zeros(1, 0, dtype=torch.int64), 0),
    ),
    (
        "presence_penalty: expected a finite number, found inf",
        lambda: filters.frequency_and_presence(HALVES, torch.zeros(1, 0, dtype=torch.int64), 0, math.inf),
    ),
    (
        "no_repeat_ngram: expected an integer ≥ 1, found 0",
        lambda: filters.no_repeat_ngram(HALVES, torch.zeros(1, 3, dtype=torch.int64), 0),
    ),
]


@pytest.mark.parametrize("message, call", BAD, ids=[message for message, _ in BAD])
def test_an_option_out_of_range_is_named(message: str, call: Callable[[], Tensor]) -> None:
    with pytest.raises(ArgumentError) as caught:
        call()
    assert str(caught.value) == message
