"""Beam search against exhaustive search, and each promise of its docstring."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from unrolled.decoding import Hypothesis, LengthPenalty, beam_search, coverage_penalty, read
from unrolled.errors import ArgumentError, ShapeError

from .steppers import Bigram, Echo, all_finished, sequence_log_prob

PENALTIES = [LengthPenalty(), LengthPenalty(1.0), LengthPenalty(0.7, "gnmt"), LengthPenalty(2.0)]


def exhaustive(
    stepper: Echo, prompt: list[int], ends: set[int], max_tokens: int, penalty: LengthPenalty
) -> list[Hypothesis]:
    found = []
    for tokens in all_finished(stepper.vocabulary_size, ends, max_tokens):
        log_prob = sequence_log_prob(stepper, prompt, tokens)
        found.append(Hypothesis(tokens, log_prob, log_prob / penalty.divisor(len(tokens)), True))
    return sorted(found, key=lambda hypothesis: -hypothesis.score)


def assert_same(found: list[Hypothesis], expected: list[Hypothesis]) -> None:
    assert [hypothesis.tokens for hypothesis in found] == [hypothesis.tokens for hypothesis in expected]
    for one, other in zip(found, expected, strict=True):
        assert one.log_prob == pytest.approx(other.log_prob, abs=1e-12)
        assert one.score == pytest.approx(other.score, abs=1e-12)
        assert one.finished is other.finished


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("penalty", PENALTIES, ids=str)
@pytest.mark.parametrize("ends", [{0}, {1, 3}], ids=str)
def test_a_beam_as_wide_as_all_prefixes_is_exhaustive(seed: int, penalty: LengthPenalty, ends: set[int]) -> None:
    stepper = Echo(4, seed=seed)
    logits, state = read(stepper, torch.tensor([[2, 1]]))
    (found,) = beam_search(
        stepper,
        state,
        logits,
        beam_size=3**4,
        max_tokens=4,
        end_ids=sorted(ends),
        length_penalty=penalty,
        n_best=7,
    )
    assert_same(found, exhaustive(stepper, [2, 1], ends, 4, penalty)[:7])


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize("beam_size", [1, 2, 5])
@pytest.mark.parametrize("penalty", PENALTIES, ids=str)
def test_a_batch_equals_one_by_one(beam_size: int, penalty: LengthPenalty, exact: bool) -> None:
    stepper = Echo(6, seed=3)
    prompts = torch.tensor([[0, 1], [2, 2], [5, 4], [3, 0]])

    def search(rows: Tensor) -> list[list[Hypothesis]]:
        logits, state = read(stepper, rows)
        return beam_search(
            stepper,
            state,
            logits,
            beam_size=beam_size,
            max_tokens=9,
            end_ids=(0,),
            length_penalty=penalty,
            n_best=3,
            exact=exact,
        )

    together = search(prompts)
    assert together == [search(row.unsqueeze(0))[0] for row in prompts]
    for prompt, found in zip(prompts.tolist(), together, strict=True):
        for hypothesis in found:
            assert hypothesis.log_prob == pytest.approx(
                sequence_log_prob(stepper, prompt, hypothesis.tokens), abs=1e-12
            )


def test_a_beam_of_one_without_an_end_is_greedy() -> None:
    stepper = Echo(5, seed=1)
    logits, state = read(stepper, torch.tensor([[0]]))
    ((best,),) = beam_search(stepper, state, logits, beam_size=1, max_tokens=6)
    greedy = []
    for _ in range(6):
        token = logits.argmax(-1)
        greedy.append(int(token))
        logits, state = stepper.step(token, state)
    assert best.tokens == tuple(greedy)
    assert not best.finished


def test_by_hand() -> None:
    # From 0: 1 with 0.6, 2 with 0.4. After 1 the end (3) has 0.3; after 2 it has 0.9. Greedy goes by 1 and is wrong.
    table = torch.tensor([[0, 0.6, 0.4, 0], [0.4, 0.3, 0, 0.3], [0.1, 0, 0, 0.9], [1, 0, 0, 0]])
    stepper = Bigram(table)
    logits, state = read(stepper, torch.tensor([[0]]))
    (greedy,) = beam_search(stepper, state, logits, beam_size=1, max_tokens=2, end_ids=(3,))
    (wide,) = beam_search(stepper, state, logits, beam_size=2, max_tokens=2, end_ids=(3,), n_best=4)
    assert [hypothesis.tokens for hypothesis in greedy] == [(1, 3)]
    assert [hypothesis.tokens for hypothesis in wide] == [(2, 3), (1, 3), (1, 0), (1, 1)]
    probabilities = [math.exp(hypothesis.log_prob) for hypothesis in wide]
    assert probabilities == pytest.approx([0.36, 0.18, 0.24, 0.18], abs=1e-7)
    assert [hypothesis.finished for hypothesis in wide] == [True, True, False, False]


def test_stopping_early_changes_nothing_and_saves_steps() -> None:
    class Counting(Bigram):
        calls = 0

        def step(self, tokens: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
            self.calls += 1
            return super().step(tokens, state)

    stepper = Counting(torch.tensor([[0.02, 0.08, 0.9], [0.02, 0.08, 0.9], [0.4, 0.3, 0.3]]))
    logits, state = read(stepper, torch.tensor([[0]]))
    stepper.calls = 0
    (found,) = beam_search(stepper, state, logits, beam_size=2, max_tokens=50, end_ids=(2,))
    assert found[0].tokens == (2,)
    assert stepper.calls == 0


@pytest.mark.parametrize("alpha", [0.0, 1.0])
def test_a_hasty_search_looks_less_far_for_what_is_longer(alpha: float) -> None:
    class Counting(Bigram):
        calls = 0

        def step(self, tokens: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
            self.calls += 1
            return super().step(tokens, state)

    stepper = Counting(torch.tensor([[0.02, 0.18, 0.8], [0.02, 0.08, 0.9], [0.4, 0.3, 0.3]]))
    found, calls = [], []
    for exact in (True, False):
        logits, state = read(stepper, torch.tensor([[0]]))
        stepper.calls = 0
        options: dict[str, Any] = {"beam_size": 2, "max_tokens": 50, "end_ids": (2,), "exact": exact}
        found.append(beam_search(stepper, state, logits, length_penalty=LengthPenalty(alpha), **options))
        calls.append(stepper.calls)
    assert found[0] == found[1]
    assert found[0][0][0].tokens == (2,)
    # ln 0.18 and what follows it, divided by 50, is worse than ln 0.8 only once it has grown to 50 ln 0.8
    assert calls == ([0, 0] if alpha == 0 else [4, 0])


def test_a_constraint_rules_out_and_does_not_renormalise() -> None:
    stepper = Echo(5, seed=2)
    logits, state = read(stepper, torch.tensor([[1], [4]]))

    def ascending(tokens: Tensor) -> Tensor | None:
        if tokens.shape[2] == 0:
            return None
        return torch.arange(5) > tokens[..., -1:]

    found = beam_search(
        stepper, state, logits, beam_size=20, max_tokens=3, end_ids=(4,), n_best=30, constraint=ascending
    )
    for prompt, row in zip(([1], [4]), found, strict=True):
        finished = [hypothesis for hypothesis in row if hypothesis.finished]
        assert {hypothesis.tokens for hypothesis in finished} == {
            (4,), (0, 4), (1, 4), (2, 4), (3, 4), (0, 1, 4), (0, 2, 4), (0, 3, 4), (1, 2, 4), (1, 3, 4), (2, 3, 4),
        }  # fmt: skip
        for hypothesis in row:
            assert hypothesis.log_prob == pytest.approx(
                sequence_log_prob(stepper, prompt, hypothesis.tokens), abs=1e-12
            )


def test_nothing_allowed_gives_nothing() -> None:
    stepper = Echo(3)
    logits, state = read(stepper, torch.tensor([[1]]))
    found = beam_search(
        stepper,
        state,
        logits,
        beam_size=2,
        max_tokens=3,
        constraint=lambda tokens: torch.zeros(*tokens.shape[:2], 3, dtype=torch.bool),
    )
    assert found == [[]]


def test_an_empty_batch() -> None:
    stepper = Echo(3)
    assert beam_search(stepper, stepper.start(0), torch.zeros(0, 3), beam_size=2, max_tokens=3, end_ids=(1,)) == []


def test_penalty_formulas() -> None:
    assert LengthPenalty().divisor(7) == 1
    assert LengthPenalty(1.0).divisor(7) == 7
    assert LengthPenalty(0.5).divisor(9) == 3
    assert LengthPenalty(2.0, "gnmt").divisor(7) == 4
    with pytest.raises(ArgumentError, match="alpha: expected a finite number ≥ 0, found -1"):
        LengthPenalty(-1)
    with pytest.raises(ArgumentError, match="form: expected 'length' or 'gnmt', found 'none'"):
        LengthPenalty(1, "none")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "option, message",
    [
        ({"beam_size": 0}, "beam_size: expected an integer ≥ 1, found 0"),
        ({"max_tokens": 0}, "max_tokens: expected an integer ≥ 1, found 0"),
        ({"n_best": 0}, "n_best: expected an integer ≥ 1, found 0"),
        ({"end_ids": (3,)}, r"end_ids: expected token ids in \[0, 3\), found 3"),
    ],
)
def test_options_out_of_range(option: dict[str, int], message: str) -> None:
    stepper = Echo(3)
    logits, state = read(stepper, torch.tensor([[1]]))
    with pytest.raises(ArgumentError, match=message):
        beam_search(stepper, state, logits, **{"beam_size": 2, "max_tokens": 2, **option})  # type: ignore[arg-type]


def test_a_constraint_of_the_wrong_shape_is_named() -> None:
    stepper = Echo(3)
    logits, state = read(stepper, torch.tensor([[1]]))
    with pytest.raises(ShapeError, match="constraint"):
        beam_search(
            stepper,
            state,
            logits,
            beam_size=2,
            max_tokens=2,
            constraint=lambda tokens: torch.ones(3, dtype=torch.bool),
        )


class Looking(Echo):
    """An Echo whose every state has looked at S places of a source: the state also sums its weights, (B, S)."""

    places = 3

    def start(self, batch_size: int) -> tuple[tuple[Tensor, Tensor], None]:  # type: ignore[override]
        ((h,), _) = super().start(batch_size)
        return (h, torch.zeros(batch_size, self.places, dtype=torch.float64)), None

    def step(self, tokens: Tensor, state: tuple[tuple[Tensor, Tensor], None]) -> Any:  # type: ignore[override]
        (h, attended), _ = state
        logits, ((h,), _) = super().step(tokens, ((h,), None))
        return logits, ((h, attended + h[:, : self.places].softmax(-1)), None)

    def select(self, state: tuple[tuple[Tensor, Tensor], None], rows: Tensor) -> Any:  # type: ignore[override]
        return tuple(s[rows] for s in state[0]), None


@pytest.mark.parametrize("beta", [0.3, 2.0])
@pytest.mark.parametrize("penalty", PENALTIES, ids=str)
def test_coverage_is_part_of_the_score_of_an_exhaustive_search(beta: float, penalty: LengthPenalty) -> None:
    stepper = Looking(4, seed=5)

    def coverage(state: Any) -> Tensor:
        return coverage_penalty(state[0][1], beta)

    expected = []
    for tokens in all_finished(4, {1}, 4):
        logits, state = read(stepper, torch.tensor([[2]]))
        log_prob = 0.0
        for token in tokens:
            log_prob += float(logits.log_softmax(-1)[0, token])
            # what was looked at to write this token is what the state before it has looked at
            attended = state[0][1][0].tolist()
            logits, state = stepper.step(torch.tensor([token]), state)
        added = beta * sum(math.log(min(share, 1.0)) for share in attended)
        expected.append(Hypothesis(tokens, log_prob, log_prob / penalty.divisor(len(tokens)) + added, True))
    expected.sort(key=lambda hypothesis: -hypothesis.score)
    logits, state = read(stepper, torch.tensor([[2]]))
    options: dict[str, Any] = {"beam_size": 3**4, "max_tokens": 4, "end_ids": (1,), "length_penalty": penalty}
    (found,) = beam_search(stepper, state, logits, n_best=6, coverage=coverage, **options)
    assert_same(found, expected[:6])
    (plain,) = beam_search(stepper, state, logits, n_best=6, **options)
    assert max(h.score for h in found) < max(h.score for h in plain)


def test_coverage_by_hand() -> None:
    attended = torch.tensor([[0.5, 2.0, 0.1], [1.0, 1.0, 0.0]], dtype=torch.float64)
    valid = torch.tensor([[True, True, True], [True, True, False]])
    found = coverage_penalty(attended, 0.2, valid).tolist()
    assert found == pytest.approx([0.2 * (math.log(0.5) + math.log(0.1)), 0.0])
    assert coverage_penalty(attended, 0.0).tolist() == [0, 0]
    with pytest.raises(ArgumentError, match="beta: expected a finite number ≥ 0, found -1"):
        coverage_penalty(attended, -1)


@pytest.mark.parametrize("beam_size", [1, 3])
@pytest.mark.parametrize("penalty", PENALTIES, ids=str)
def test_each_row_has_its_own_limit(beam_size: int, penalty: LengthPenalty) -> None:
    stepper, limits = Looking(6, seed=3), [1, 7, 3, 4]
    prompts = torch.tensor([[0, 1], [2, 2], [5, 4], [3, 0]])

    def search(rows: Tensor, limits: list[int]) -> list[list[Hypothesis]]:
        logits, state = read(stepper, rows)
        options: dict[str, Any] = {"end_ids": (0,), "length_penalty": penalty, "n_best": 3}
        return beam_search(
            stepper,
            state,
            logits,
            beam_size=beam_size,
            max_tokens=limits,
            coverage=lambda s: coverage_penalty(s[0][1], 0.5),
            **options,
        )

    together = search(prompts, limits)
    assert together == [search(row.unsqueeze(0), [n])[0] for row, n in zip(prompts, limits, strict=True)]
    for found, limit in zip(together, limits, strict=True):
        assert found
        assert max(len(hypothesis.tokens) for hypothesis in found) <= limit
        assert all(len(h.tokens) == limit for h in found if not h.finished)


def test_as_many_limits_as_rows() -> None:
    stepper = Echo(3)
    logits, state = read(stepper, torch.tensor([[1], [2]]))
    with pytest.raises(ArgumentError, match="max_tokens: expected one number, or B=2, found 3"):
        beam_search(stepper, state, logits, beam_size=2, max_tokens=[1, 2, 3])
    with pytest.raises(ArgumentError, match="max_tokens: expected an integer ≥ 1, found 0"):
        beam_search(stepper, state, logits, beam_size=2, max_tokens=[1, 0])
