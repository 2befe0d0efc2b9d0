"""Sampling: the right distribution, reproducible, and no row knows of another."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from unrolled.decoding import FINISHED, SamplingOptions, draw, read, row_generators, sample
from unrolled.errors import ArgumentError, DTypeError, ShapeError

from .steppers import Bigram, Echo

NEVER = float("-inf")


def run(rows: int, seed: int, options: SamplingOptions | None = None, max_tokens: int = 12) -> Tensor:
    stepper = Echo(7)
    logits, state = read(stepper, torch.full((rows, 2), 3))
    drawn = sample(stepper, state, logits, max_tokens=max_tokens, options=options, generator=row_generators(seed, rows))
    return torch.stack(list(drawn), dim=1)


def test_same_seed_same_tokens() -> None:
    assert torch.equal(run(3, 1), run(3, 1))
    assert not torch.equal(run(3, 1), run(3, 2))


def test_a_row_depends_on_its_own_seed_only() -> None:
    many = run(9, 5)
    assert len({tuple(row.tolist()) for row in many}) == 9
    for rows in (1, 4):
        assert torch.equal(run(rows, 5), many[:rows])


def test_one_generator_seeds_each_row_in_order() -> None:
    stepper = Echo(7)

    def from_one(rows: int) -> Tensor:
        logits, state = read(stepper, torch.full((rows, 2), 3))
        generator = torch.Generator().manual_seed(5)
        return torch.stack(list(sample(stepper, state, logits, max_tokens=12, generator=generator)), dim=1)

    assert torch.equal(from_one(4), run(4, 5))
    assert torch.equal(from_one(2), run(2, 5))


def test_frequencies_are_the_probabilities() -> None:
    probabilities = torch.tensor([0.5, 0.0, 0.3, 0.2, 0.0], dtype=torch.float64)
    generators = row_generators(0, 1)
    drawn = torch.cat([draw(probabilities.log().unsqueeze(0), generators) for _ in range(4000)])
    counts = torch.bincount(drawn, minlength=5) / 4000
    assert counts[1] == 0
    assert counts[4] == 0
    # Four standard deviations of a binomial frequency at p = 1/2 are 0.032.
    torch.testing.assert_close(counts.double(), probabilities, atol=0.032, rtol=0)


def test_a_uniform_number_next_to_one_draws_the_last_possible_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "rand", lambda *_, **__: torch.tensor(1.0 - 2**-53, dtype=torch.float64))
    logits = torch.tensor([[0.1, 0.2, 0.3, NEVER, NEVER]]).repeat(2, 1)
    assert draw(logits, row_generators(0, 2)).tolist() == [2, 2]


def test_greedy_follows_the_most_probable() -> None:
    stepper = Bigram(torch.tensor([[0.1, 0.7, 0.2], [0.3, 0.1, 0.6], [0.8, 0.1, 0.1]]))
    logits, state = read(stepper, torch.tensor([[0], [2]]))
    drawn = sample(stepper, state, logits, max_tokens=4, options=SamplingOptions(temperature=0))
    assert torch.stack(list(drawn), 1).tolist() == [[1, 2, 0, 1], [0, 1, 2, 0]]


def test_stop_ends_rows_one_by_one_and_changes_no_other() -> None:
    stepper = Echo(7)
    free = run(4, 8)
    logits, state = read(stepper, torch.full((4, 2), 3))
    end = int(free[0, 2])
    drawn = torch.stack(
        list(
            sample(
                stepper,
                state,
                logits,
                max_tokens=12,
                stop=lambda tokens: tokens == end,
                generator=row_generators(8, 4),
            )
        ),
        dim=1,
    )
    for row, whole in zip(drawn.tolist(), free.tolist(), strict=True):
        until = whole.index(end) + 1 if end in whole else len(whole)
        assert row[:until] == whole[: min(until, len(row))]
        assert all(token == FINISHED for token in row[until:])


def test_it_ends_when_every_row_is_over_and_asks_the_model_no_more_than_needed() -> None:
    class Counting(Echo):
        calls = 0

        def step(self, tokens: Tensor, state: tuple[tuple[Tensor], None]) -> tuple[Tensor, tuple[tuple[Tensor], None]]:
            self.calls += 1
            return super().step(tokens, state)

    stepper = Counting(4)
    logits, state = read(stepper, torch.tensor([[1]]))
    stepper.calls = 0
    assert len(list(sample(stepper, state, logits, max_tokens=5))) == 5
    assert stepper.calls == 4
    assert len(list(sample(stepper, state, logits, max_tokens=5, stop=lambda tokens: tokens >= 0))) == 1
    assert list(sample(stepper, state, logits, max_tokens=0)) == []


def test_penalties_see_the_prompt_and_what_was_drawn() -> None:
    stepper = Bigram(torch.full((5, 5), 0.2))
    logits, state = read(stepper, torch.tensor([[0, 1]]))
    drawn = sample(
        stepper,
        state,
        logits,
        max_tokens=3,
        options=SamplingOptions(no_repeat_ngram=1),
        history=torch.tensor([[0, 1]]),
    )
    assert sorted(int(token) for token in drawn) == [2, 3, 4]


def test_forbidden_tokens_never_come() -> None:
    assert not (run(6, 3, SamplingOptions(forbidden=(0, 3, 5))).unsqueeze(-1) == torch.tensor([0, 3, 5])).any()


def test_the_gradient_mode_of_the_caller_is_its_own() -> None:
    stepper = Echo(4)
    stepper.output.requires_grad_()
    logits, state = read(stepper, torch.tensor([[1]]))
    for _ in sample(stepper, state, logits, max_tokens=2):
        assert torch.is_grad_enabled()


def test_bad_input_is_refused_at_the_call() -> None:
    stepper = Echo(4)
    logits, state = read(stepper, torch.tensor([[1]]))
    with pytest.raises(ArgumentError, match="max_tokens: expected an integer ≥ 0, found -1"):
        sample(stepper, state, logits, max_tokens=-1)
    with pytest.raises(ShapeError, match=r"logits: expected shape \(B, V=4\), found \(1, 3\)"):
        sample(stepper, state, logits[:, :3], max_tokens=1)
    with pytest.raises(DTypeError, match="expected floating point"):
        sample(stepper, state, logits.long(), max_tokens=1)
    with pytest.raises(ArgumentError, match="not finite"):
        sample(stepper, state, logits * float("nan"), max_tokens=1)
    with pytest.raises(ArgumentError, match="generator: expected one per row, 1, found 2"):
        sample(stepper, state, logits, max_tokens=1, generator=row_generators(0, 2))
    with pytest.raises(ShapeError, match="history"):
        sample(stepper, state, logits, max_tokens=1, history=torch.zeros(2, 1, dtype=torch.int64))
    with pytest.raises(ArgumentError, match=r"forbidden: expected token ids in \[0, 4\), found 9"):
        sample(stepper, state, logits, max_tokens=1, options=SamplingOptions(forbidden=(9,)))
    with pytest.raises(ArgumentError, match="seed"):
        row_generators(-1, 1)
    with pytest.raises(ShapeError, match="tokens"):
        read(stepper, torch.zeros(1, 0, dtype=torch.int64))


@pytest.mark.parametrize(
    "options",
    [
        {"temperature": -0.1},
        {"top_k": 0},
        {"top_p": 0.0},
        {"min_p": 1.1},
        {"repetition_penalty": 0.0},
        {"frequency_penalty": float("inf")},
        {"presence_penalty": float("nan")},
        {"no_repeat_ngram": 0},
        {"window": 0},
    ],
    ids=lambda options: next(iter(options)),
)
def test_every_option_has_a_range(options: dict[str, float]) -> None:
    with pytest.raises(ArgumentError, match=next(iter(options))):
        SamplingOptions(**options)  # type: ignore[arg-type]
