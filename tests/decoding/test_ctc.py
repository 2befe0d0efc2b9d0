"""CTC against every path there is; scorers against their definition."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from unrolled.decoding.ctc import Emission, align, finish_greedily, read_greedily, sequence_log_prob
from unrolled.decoding.ctc_beam import PrefixBeam, UnitScorer, prefix_beam_search
from unrolled.decoding.ctc_scorers import JointScorer, LanguageModelScorer, LexiconScorer
from unrolled.errors import ArgumentError, ShapeError

LogProbs = NDArray[np.float64]


def random_steps(steps: int, classes: int, seed: int, peak: float = 1.0) -> LogProbs:
    return np.log(np.random.default_rng(seed).dirichlet(np.full(classes, peak), size=steps) + 1e-12)


def collapsed(path: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(unit for unit, _ in itertools.groupby(path) if unit != 0)


def every_text(log_probs: LogProbs) -> dict[tuple[int, ...], float]:
    found: dict[tuple[int, ...], float] = {}
    for path in itertools.product(range(log_probs.shape[1]), repeat=len(log_probs)):
        text = collapsed(path)
        nats = sum(log_probs[t, k] for t, k in enumerate(path))
        found[text] = np.logaddexp(found.get(text, -np.inf), nats)
    return found


SIZES = [(1, 3), (4, 3), (5, 4), (7, 2)]


@pytest.mark.parametrize("steps, classes", SIZES)
def test_the_probability_of_a_text_is_the_sum_over_its_paths(steps: int, classes: int) -> None:
    log_probs = random_steps(steps, classes, steps)
    for text, nats in every_text(log_probs).items():
        assert sequence_log_prob(log_probs, text) == pytest.approx(nats, abs=1e-9)
    assert sequence_log_prob(log_probs, (1,) * (steps + 1)) == -np.inf
    assert sequence_log_prob(log_probs[:0], ()) == 0.0


@pytest.mark.parametrize("text", [(), (1,), (2, 2), (1, 2, 1), (3, 3, 3)])
def test_it_is_torchs_loss(text: tuple[int, ...]) -> None:
    log_probs = random_steps(12, 4, 8)
    lengths = torch.tensor([12]), torch.tensor([len(text)])
    loss = F.ctc_loss(torch.from_numpy(log_probs).unsqueeze(1), torch.tensor([[*text, 0]]), *lengths, reduction="sum")
    assert sequence_log_prob(log_probs, text) == pytest.approx(-float(loss), rel=1e-9)


@pytest.mark.parametrize("steps, classes", SIZES)
def test_a_wide_beam_finds_everything(steps: int, classes: int) -> None:
    log_probs = random_steps(steps, classes, 10 + steps)
    expected = every_text(log_probs)
    found = prefix_beam_search(log_probs, beam_size=10_000, n_best=10_000)
    assert {h.units: h.log_prob for h in found} == pytest.approx(expected, abs=1e-9)
    assert [h.log_prob for h in found] == pytest.approx(sorted(expected.values(), reverse=True), abs=1e-9)
    assert [h.score for h in found] == [h.log_prob for h in found]


@pytest.mark.parametrize("seed", range(6))
def test_a_narrow_beam_finds_less_and_never_more(seed: int) -> None:
    log_probs = random_steps(6, 3, seed)
    expected = every_text(log_probs)
    for size in (1, 2, 4):
        found = prefix_beam_search(log_probs, beam_size=size, n_best=size)
        assert len(found) <= size
        for hypothesis in found:
            assert hypothesis.log_prob <= expected[hypothesis.units] + 1e-9
    # where the paths of one text are many, the likeliest path is of another
    assert prefix_beam_search(log_probs, beam_size=64)[0].units == max(expected, key=lambda t: expected[t])


def test_the_beam_beats_the_likeliest_path() -> None:
    # blank blank is the likeliest path, but three paths spell "1"
    log_probs = np.log(np.array([[0.6, 0.4], [0.6, 0.4]]))
    emissions, state = read_greedily(log_probs)
    assert (emissions, state.open) == ([], None)
    assert prefix_beam_search(log_probs, beam_size=2)[0].units == (1,)
    assert prefix_beam_search(log_probs, beam_size=2)[0].log_prob == pytest.approx(np.log(1 - 0.36))


@pytest.mark.parametrize("seed", range(5))
def test_alignment_is_the_likeliest_path_of_a_text(seed: int) -> None:
    log_probs = random_steps(6, 3, seed)
    for text in [(1,), (2, 1), (1, 1), (1, 2, 1), (2, 2, 2)]:
        paths = [p for p in itertools.product(range(3), repeat=6) if collapsed(p) == text]
        best = max(paths, key=lambda p: sum(log_probs[t, k] for t, k in enumerate(p)))
        expected, t = [], 0
        for unit, run in itertools.groupby(best):
            length = len(list(run))
            if unit:
                expected.append(Emission(unit, t, t + length, log_probs[t : t + length, unit].max()))
            t += length
        assert align(log_probs, text) == expected
    assert align(log_probs, ()) == []
    with pytest.raises(ArgumentError, match="units: 4 can't be spelled in 6 steps"):
        align(log_probs, (1, 1, 1, 1))


def test_greedy_reading_in_pieces() -> None:
    log_probs = random_steps(60, 4, 3, 0.3)
    whole, state = read_greedily(log_probs)
    whole += finish_greedily(state)
    units = [unit for unit, _ in itertools.groupby(log_probs.argmax(1).tolist()) if unit]
    assert [e.unit for e in whole] == units
    assert align(log_probs, units) == whole
    draw = np.random.default_rng(0)
    for _ in range(5):
        found, carried, at = [], None, 0
        while at < 60:
            size = int(draw.integers(0, 9))
            some, carried = read_greedily(log_probs[at : at + size], carried)
            found += some
            at += size
        assert carried is not None
        assert found + finish_greedily(carried) == whole


def test_what_is_stable_stays() -> None:
    log_probs = random_steps(40, 5, 2, 0.2)
    beam, stable = PrefixBeam(6), []
    for row in log_probs:
        stable.append(beam.push(row[None]).stable())
    final = beam.results(6)
    for before in stable:
        assert all(h.units[: len(before)] == before for h in final)
    assert [len(s) for s in stable] == sorted(len(s) for s in stable)
    assert len(stable[-1]) > 3
    assert final == prefix_beam_search(log_probs, beam_size=6, n_best=6)


@pytest.mark.parametrize(
    "make, error, says",
    [
        (lambda: PrefixBeam(0), ArgumentError, "beam_size: expected an integer ≥ 1, found 0"),
        (lambda: PrefixBeam(2, least=0.5), ArgumentError, "least: expected nats below 0"),
        (lambda: PrefixBeam(2).results(0), ArgumentError, "n_best"),
        (lambda: read_greedily(np.zeros(3)), ShapeError, r"log_probs: expected shape \(T, K > blank=0\), found \(3,\)"),
        (lambda: PrefixBeam(2).push(np.full((2, 3), np.nan)), ArgumentError, "log_probs: not finite"),
        (lambda: LexiconScorer([], ["", "a"]), ArgumentError, "words: the list is empty"),
    ],
)
def test_refused(make: Callable[[], object], error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        make()


# Scorers


class Bigrams:
    """A language model whose next token depends on the last one only."""

    def __init__(self, vocabulary_size: int, seed: int) -> None:
        self.vocabulary_size = vocabulary_size
        self.table = torch.from_numpy(np.random.default_rng(seed).normal(size=(vocabulary_size, vocabulary_size)))

    def start(self, batch_size: int) -> Tensor:
        return torch.zeros(batch_size, dtype=torch.int64)

    def step(self, tokens: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        return self.table[tokens], tokens

    def select(self, state: Tensor, rows: Tensor) -> Tensor:
        return state[rows]

    def cost(self, tokens: list[int]) -> float:
        log_probs = self.table.log_softmax(-1)
        return float(sum(log_probs[a, b] for a, b in itertools.pairwise(tokens)))


#: token 9 is the end of a line, 8 a space
SPELLINGS = [[], [1], [2], [3]]
WORDS = [[], [1, 2], [3], [2, 2, 1]]


@pytest.mark.parametrize("has_words", [False, True])
def test_a_language_model_beside_the_sound(has_words: bool) -> None:
    model, log_probs = Bigrams(10, 0), random_steps(5, 4, 21)
    spellings = WORDS if has_words else SPELLINGS
    later = [[8, *tokens] if tokens else [] for tokens in WORDS] if has_words else None
    scorer = LanguageModelScorer(model, first=[9], spellings=spellings, later=later, end=[9], weight=0.7, bonus=0.4)
    expected = {}
    for text, nats in every_text(log_probs).items():
        tokens = [9]
        for n, unit in enumerate(text):
            tokens += spellings[unit] if later is None or n == 0 else later[unit]
        expected[text] = nats + 0.7 * model.cost([*tokens, 9]) + 0.4 * len(text)
    found = prefix_beam_search(log_probs, beam_size=10_000, n_best=10_000, scorer=scorer)
    assert {h.units: h.score for h in found} == pytest.approx(expected, abs=1e-6)
    assert {h.units: h.log_prob for h in found} == pytest.approx(every_text(log_probs), abs=1e-9)
    assert found[0].units == max(expected, key=lambda t: expected[t])


def test_a_lexicon_rules_out_what_is_no_word() -> None:
    vocabulary = ["", "a", "b", " "]
    log_probs = random_steps(6, 4, 5)
    scorer = LexiconScorer(["ab", "b"], vocabulary)
    found = prefix_beam_search(log_probs, beam_size=10_000, n_best=10_000, scorer=scorer)
    texts = {"".join(vocabulary[u] for u in h.units): h.score for h in found}
    expected = {}
    for units, nats in every_text(log_probs).items():
        text = "".join(vocabulary[u] for u in units)
        ends = [*text.split(" ")[:-1], *([text.split(" ")[-1]] if text.split(" ")[-1] else [])]
        if all(word in ("ab", "b") for word in ends):
            expected[text] = nats
    assert texts == pytest.approx(expected, abs=1e-9)
    assert "ab b" in texts


def test_a_lexicon_of_units_that_are_words() -> None:
    log_probs = random_steps(4, 4, 6)
    found = prefix_beam_search(
        log_probs, beam_size=999, n_best=999, scorer=LexiconScorer(["up", "on"], ["", "up", "down", "on"], "")
    )
    assert {u for h in found for u in h.units} == {1, 3}


def test_scorers_add_up() -> None:
    model, log_probs = Bigrams(10, 3), random_steps(5, 4, 9)
    lexicon: UnitScorer = LexiconScorer(["aa", "b"], ["", "a", "b", " "])
    language: UnitScorer = LanguageModelScorer(model, first=[9], spellings=SPELLINGS, weight=1.0)
    both = prefix_beam_search(log_probs, beam_size=999, n_best=999, scorer=JointScorer(lexicon, language))
    alone = {h.units: h.score for h in prefix_beam_search(log_probs, beam_size=9999, n_best=9999, scorer=language)}
    allowed = {h.units for h in prefix_beam_search(log_probs, beam_size=999, n_best=999, scorer=lexicon)}
    assert {h.units: h.score for h in both} == pytest.approx({u: alone[u] for u in allowed}, abs=1e-9)


def test_units_too_improbable_are_not_asked_about() -> None:
    asked: list[int] = []

    class Watching(LexiconScorer):
        def scores(self, state: str, units: NDArray[np.int64]) -> NDArray[np.float64]:
            asked.extend(units.tolist())
            return super().scores(state, units)

    log_probs = np.log(np.array([[0.5, 0.4999, 0.0001]] * 3))
    prefix_beam_search(log_probs, beam_size=4, scorer=Watching(["a"], ["", "a", "b"]), least=-5)
    assert set(asked) == {1}
