"""The n-gram against a direct implementation with dictionaries, and the cache against its formula."""

from __future__ import annotations

import math
import os
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from unrolled.decoding import PhraseRule, beam_search, complete, read
from unrolled.errors import ArgumentError, ModelError, ShapeError
from unrolled.tasks.core.folder.files import write_arrays
from unrolled.tasks.outputs.next.mixture import (
    MixingStepper,
    MixtureWeights,
    fit_weights,
    load_ngram,
    mix,
    ngram_arrays,
)
from unrolled.tasks.outputs.next.ngram import NGram, NGramStepper

BEGIN = "begin"


def direct(text: list[int], order: int, size: int) -> Callable[[list[int], int], float]:
    """p(token | tokens before it) from Chen & Goodman's definition, one n-gram at a time."""
    padded = [BEGIN] * (order - 1) + text
    grams = [tuple(padded[i : i + order]) for i in range(len(text))]
    counts: dict[int, Counter[tuple[object, ...]]] = {order: Counter(grams)}
    for m in range(order - 1, 0, -1):
        counts[m] = Counter(gram[1:] for gram in counts[m + 1])  # each different (m+1)-gram once

    discounts = {}
    for m, table in counts.items():
        n = Counter(table.values())
        estimates = [0.5, 1.0, 1.5]
        if all(n[k] for k in (1, 2, 3, 4)):
            y = n[1] / (n[1] + 2 * n[2])
            for k in (1, 2, 3):
                d = k - (k + 1) * y * n[k + 1] / n[k]
                estimates[k - 1] = d if 0 < d < k else estimates[k - 1]
        discounts[m] = [0.0, *estimates]
    following: dict[tuple[object, ...], dict[object, int]] = defaultdict(dict)
    for m in range(1, order + 1):
        for gram, count in counts[m].items():
            following[gram[:-1]][gram[-1]] = count

    def p(context: tuple[object, ...], token: int) -> float:
        m = len(context) + 1
        lower = p(context[1:], token) if context else 1 / size
        seen = following.get(context)
        if not seen:
            return lower
        total = sum(seen.values())
        gamma = sum(discounts[m][min(count, 3)] for count in seen.values()) / total
        count = seen.get(token, 0)
        return (count - discounts[m][min(count, 3)]) / total + gamma * lower

    def of(before: list[int], token: int) -> float:
        whole = [BEGIN] * (order - 1) + before
        return p(tuple(whole[len(whole) - (order - 1) :]), token)

    return of


texts = st.integers(1, 5).flatmap(
    lambda size: st.tuples(
        st.just(size),
        st.lists(st.integers(0, size - 1), min_size=1, max_size=80),
        st.lists(st.integers(0, size - 1), min_size=0, max_size=20),
    )
)


@settings(deadline=None, derandomize=True, max_examples=60)
@given(made=texts, order=st.integers(1, 5))
def test_it_equals_the_direct_implementation(made: tuple[int, list[int], list[int]], order: int) -> None:
    size, text, held_out = made
    expected, ngram = direct(text, order, size), NGram.fit(text, order, size)
    for sequence in (text, held_out):
        found = np.exp(ngram.log_probabilities(sequence))
        assert found == pytest.approx([expected(sequence[:i], token) for i, token in enumerate(sequence)], abs=1e-12)
        for i in range(len(sequence)):
            whole = ngram.distribution(sequence[:i])
            assert whole.sum() == pytest.approx(1, abs=1e-12)
            assert (whole > 0).all()
            assert whole[sequence[i]] == pytest.approx(found[i], abs=1e-13)


def test_by_hand() -> None:
    # "0 1 0 1 2": bigrams B0, 01 twice, 10, 12. Too few for estimates: discounts 0.5, 1 and 1.5.
    ngram = NGram.fit([0, 1, 0, 1, 2], 2, 4)
    # Unigram continuation counts: 0 after B and 1, 1 after 0, 2 after 1; total 4; γ = (1 + 0.5 + 0.5) / 4.
    unigram = np.array([(2 - 1) / 4, 0.5 / 4, 0.5 / 4, 0]) + 0.5 / 4
    assert ngram.distribution([3]) == pytest.approx(unigram)  # 3 was never seen: only the unigram is left
    # After 0: 1 twice; γ = 1 / 2. After 1: 0 and 2 once each; γ = (0.5 + 0.5) / 2.
    assert ngram.distribution([0]) == pytest.approx(np.array([0, 1 / 2, 0, 0]) + 0.5 * unigram)
    assert ngram.distribution([1]) == pytest.approx(np.array([0.25, 0, 0.25, 0]) + 0.5 * unigram)
    lengths, totals = ngram.context_statistics([0, 1, 3, 0])
    assert lengths.tolist() == [1, 1, 1, 0]
    assert totals.tolist() == [1, 2, 2, 4]


def test_estimated_discounts_are_those_of_chen_and_goodman() -> None:
    # Unigrams: counts 1 (four tokens), 2 (three), 3 (two), 4 (one).
    text = [0, 1, 2, 3] + [4, 5, 6] * 2 + [7, 8] * 3 + [9] * 4
    ngram = NGram.fit(text, 1, 11)
    y = 4 / (4 + 2 * 3)
    expected = [1 - 2 * y * 3 / 4, 2 - 3 * y * 2 / 3, 3 - 4 * y * 1 / 2]
    assert ngram.to_arrays()["1.discounts"] == pytest.approx(expected)


@pytest.mark.parametrize("order", [1, 2, 4])
def test_chunks_and_contexts_change_nothing(order: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    ngram = NGram.fit(rng.integers(0, 6, 500), order, 6)
    text = rng.integers(0, 6, 100)
    whole = ngram.log_probabilities(text)
    split = np.concatenate((ngram.log_probabilities(text[:37]), ngram.log_probabilities(text[37:], text[:37])))
    assert split.tolist() == whole.tolist()
    monkeypatch.setattr("unrolled.tasks.outputs.next.ngram._CHUNK", 7)
    assert ngram.log_probabilities(text).tolist() == whole.tolist()
    assert ngram.log_probabilities([]).shape == (0,)


def test_a_vocabulary_beyond_64_bits_of_packed_tokens() -> None:
    rng = np.random.default_rng(1)
    text = (rng.integers(0, 40, 400) * 2_000_003).tolist()
    expected, ngram = direct(text, 6, 10**8), NGram.fit(text, 6, 10**8)
    found = np.exp(ngram.log_probabilities(text))
    assert found == pytest.approx([expected(text[:i], token) for i, token in enumerate(text)], rel=1e-12)


def test_saved_and_loaded_it_is_the_same() -> None:
    ngram = NGram.fit(np.random.default_rng(0).integers(0, 6, 500), 3, 6)
    again = NGram.from_arrays(ngram.to_arrays())
    text = [0, 5, 3, 3, 1]
    assert again.order == 3
    assert again.vocabulary_size == 6
    assert again.log_probabilities(text).tolist() == ngram.log_probabilities(text).tolist()


def test_damaged_arrays_are_refused() -> None:
    arrays = NGram.fit([0, 1, 2, 0, 1], 2, 3).to_arrays()
    with pytest.raises(ModelError, match="fit no order"):
        NGram.from_arrays({name: array for name, array in arrays.items() if name != "2.keys"})
    with pytest.raises(ModelError, match=r"lack '2\.keys'"):
        NGram.from_arrays({("x" if name == "2.keys" else name): array for name, array in arrays.items()})
    for name, wrong in [
        ("1.keys", arrays["1.keys"][::-1]),
        ("2.keys", arrays["2.keys"] + 1000),
        ("2.counts", arrays["2.counts"][:-1]),
        ("2.counts", -arrays["2.counts"]),
        ("1.discounts", np.array([0.5, np.nan, 1.0])),
        ("vocabulary_size", np.array([0])),
    ]:
        with pytest.raises(ModelError, match="n-gram"):
            NGram.from_arrays({**arrays, name: wrong})


def markov(size: int, length: int, seed: int = 0) -> np.ndarray:
    """A text in which some contexts are frequent, most are rare, and some tokens follow nothing."""
    rng = np.random.default_rng(seed)
    steps = rng.zipf(1.6, length) % size
    return np.cumsum(steps) % size


@pytest.mark.parametrize("order", [1, 2, 5])
def test_compact_it_says_nearly_the_same(order: int) -> None:
    text, held_out = markov(30, 4000), markov(30, 300, 1)
    exact = NGram.fit(text, order, 31)
    compact = exact.compact(10**6)
    assert np.abs(compact.log_probabilities(held_out) - exact.log_probabilities(held_out)).max() < 2e-3
    lengths, totals = exact.context_statistics(held_out)
    found = compact.context_statistics(held_out)
    assert found[0].tolist() == lengths.tolist()
    # totals are kept as powers of 2, which the buckets of λ are made of
    assert found[1].tolist() == (2 ** np.floor(np.log2(totals)).astype(int)).tolist()
    for end in range(0, 60, 7):
        assert compact.distribution(held_out[:end]).sum() == pytest.approx(1, abs=1e-6)
        assert np.log(compact.distribution(held_out[:end]))[held_out[end]] == pytest.approx(
            compact.log_probabilities(held_out[: end + 1])[-1], abs=1e-9
        )


def test_pruned_it_keeps_what_is_frequent() -> None:
    text = markov(30, 4000)
    exact = NGram.fit(text, 4, 30)
    sizes = [sum(len(array) for name, array in exact.to_arrays().items() if name.endswith("keys"))]
    losses = [-exact.log_probabilities(text).mean()]
    for most in (10**6, 2500, 700, 31):
        pruned = exact.compact(most)
        sizes.append(sum(len(array) for name, array in pruned.to_arrays().items() if name.endswith("tokens")))
        losses.append(-pruned.log_probabilities(text).mean())
        assert sizes[-1] <= most
        for end in (0, 3, 50):
            assert pruned.distribution(text[:end]).sum() == pytest.approx(1, abs=1e-6)
        assert NGram.from_arrays(pruned.to_arrays()).order == pruned.order
    assert sizes[1] == sizes[0] > sizes[2] > sizes[3] > sizes[4] == 31
    assert losses == sorted(losses)
    assert pruned.order == 1


def test_in_a_file_it_is_mapped_and_small(tmp_path: Path) -> None:
    text = markov(30, 4000)
    exact = NGram.fit(text, 5, 30)
    compact = exact.compact(10**6)
    write_arrays(tmp_path / "ngram", ngram_arrays(compact))
    again = load_ngram(tmp_path / "ngram")
    assert again.log_probabilities(text).tolist() == compact.log_probabilities(text).tolist()
    base = next(array for name, array in again.to_arrays().items() if name == "5.tokens")
    while isinstance(base.base, np.ndarray):
        base = base.base
    assert isinstance(base, np.memmap)
    size = sum(array.nbytes for array in exact.to_arrays().values())
    assert (tmp_path / "ngram").stat().st_size < size


def test_damaged_compact_arrays_are_refused() -> None:
    arrays = NGram.fit(markov(9, 300), 3, 9).compact(10**6).to_arrays()
    NGram.from_arrays(arrays)
    for name, change in {
        "1.tokens": lambda a: a[::-1],
        "2.tokens": lambda a: a + np.uint8(9),
        "3.tokens": lambda a: a.astype(np.float32),
        "2.firsts": lambda a: a[::-1],
        "3.firsts": lambda a: a + np.uint32(1),
        "2.shares": lambda a: a + np.uint16(300),
        "3.shares": lambda a: a[:-1],
        "2.gammas": lambda a: np.full_like(a, np.nan),
        "3.totals": lambda a: np.full_like(a, 200),
    }.items():
        with pytest.raises(ModelError, match=rf"n-gram: the saved arrays of order {name[0]} are damaged"):
            NGram.from_arrays({**arrays, name: change(arrays[name])})


def test_bad_input() -> None:
    with pytest.raises(ArgumentError, match="order: expected an integer ≥ 1, found 0"):
        NGram.fit([0], 0, 2)
    with pytest.raises(ArgumentError, match=r"tokens: expected ids in \[0, 2\), found 2"):
        NGram.fit([0, 2], 1, 2)
    with pytest.raises(ArgumentError, match="expected integers, found float64"):
        NGram.fit([0.5], 1, 2)
    with pytest.raises(ArgumentError, match="nothing to count"):
        NGram.fit([], 1, 2)
    with pytest.raises(ShapeError, match="tokens"):
        NGram.fit([[0]], 1, 2)
    ngram = NGram.fit([0, 1], 2, 2)
    with pytest.raises(ArgumentError, match="found -1"):
        ngram.log_probabilities([-1])


def test_as_a_stepper_it_predicts_the_same() -> None:
    rng = np.random.default_rng(2)
    ngram = NGram.fit(rng.integers(0, 5, 300), 3, 5)
    stepper = NGramStepper(ngram)
    prompts = torch.tensor([[0, 1, 2, 4], [3, 3, 1, 0]])
    logits, state = read(stepper, prompts)
    for row, prompt in enumerate(prompts.tolist()):
        assert logits[row].exp().numpy() == pytest.approx(ngram.distribution(prompt))
    swapped, _ = stepper.step(torch.tensor([1, 1]), stepper.select(state, torch.tensor([1, 0])))
    assert swapped[0].exp().numpy() == pytest.approx(ngram.distribution([3, 3, 1, 0, 1]))
    ((best,), _) = beam_search(stepper, state, logits, beam_size=125, max_tokens=3)
    assert best.log_prob == pytest.approx(ngram.log_probabilities(best.tokens, prompts[0].numpy()).sum())


def test_completion_runs_over_it() -> None:
    characters = sorted(set("hello world, hello there. "))
    ids = [characters.index(character) for character in "hello world, hello there. " * 20]
    stepper = NGramStepper(NGram.fit(ids, 5, len(characters)))
    logits, state = read(stepper, torch.tensor([ids[:2]]))
    rule = PhraseRule.from_text(len(characters), characters.__getitem__, max_words=2)
    texts = [suggestion.text for suggestion in complete(stepper, state, logits, rule=rule)]
    assert texts[0] == "llo"
    assert {"llo world", "llo there", "llo there."} & set(texts)


def test_mixing_is_linear_in_probability() -> None:
    rng = np.random.default_rng(3)
    network, personal = NGram.fit(rng.integers(0, 5, 300), 2, 5), NGram.fit(rng.integers(0, 3, 200), 3, 5)
    weights = MixtureWeights(rng.random((3, 6)))
    cached = MixingStepper(NGramStepper(network), NGramStepper(personal), weights)
    text = rng.integers(0, 5, 12)
    logits, state = read(cached, torch.from_numpy(text[None, :-1]))
    lengths, totals = personal.context_statistics(text)
    weight = weights.at(lengths, totals)[-1]
    expected = (1 - weight) * network.distribution(text[:-1]) + weight * personal.distribution(text[:-1])
    assert logits.exp()[0].numpy() == pytest.approx(expected)
    assert float(logits.exp().sum()) == pytest.approx(1)
    mixed = mix(network.log_probabilities(text), personal, text, weights)
    assert mixed[-1] == pytest.approx(float(logits[0, text[-1]]))
    twice = cached.select(state, torch.tensor([0, 0]))
    assert torch.equal(cached.step(torch.tensor([1, 1]), twice)[0][1:], cached.step(torch.tensor([1]), state)[0])


@pytest.mark.parametrize("weight", [0.0, 1.0])
def test_at_the_ends_one_part_is_alone(weight: float) -> None:
    network, personal = NGram.fit([0, 1, 2, 0], 2, 3), NGram.fit([2, 2, 1], 2, 3)
    logits, _ = read(
        MixingStepper(NGramStepper(network), NGramStepper(personal), MixtureWeights.constant(weight, 2)),
        torch.tensor([[1]]),
    )
    expected = (personal if weight else network).distribution([1])
    assert logits.exp()[0].numpy() == pytest.approx(expected)
    alone = (personal if weight else network).log_probabilities([0, 1])
    part = mix(network.log_probabilities([0, 1]), personal, [0, 1], MixtureWeights.constant(weight, 2))
    assert part == pytest.approx(alone)


def test_fitted_weights_find_a_mixture_that_made_the_text() -> None:
    # Each token comes from one of two unigrams, from the second in 30 of 100 cases; order 1 has a single context.
    rng = np.random.default_rng(4)
    first, second = np.array([0.7, 0.2, 0.1]), NGram.fit([0] + [1] * 5 + [2] * 20, 1, 3).distribution()
    text = rng.choice(3, size=40_000, p=0.7 * first + 0.3 * second)
    personal = NGram.fit([0] + [1] * 5 + [2] * 20, 1, 3)
    weights = fit_weights(np.log(first)[text], personal, text)
    _, totals = personal.context_statistics(text[:1])
    assert weights.at(np.array([0]), totals)[0] == pytest.approx(0.3, abs=0.02)


def test_fitted_weights_are_no_worse_than_any_constant() -> None:
    rng = np.random.default_rng(5)
    network = NGram.fit(rng.integers(0, 5, 3000), 2, 5)
    own = np.tile([0, 1, 2, 3, 4, 4], 40)
    personal = NGram.fit(own, 3, 5)
    dev = np.concatenate((own[:60], rng.integers(0, 5, 200)))
    fitted = fit_weights(network.log_probabilities(dev), personal, dev)
    loss = -mix(network.log_probabilities(dev), personal, dev, fitted).mean()
    for constant in np.linspace(0, 1, 11):
        same = MixtureWeights.constant(constant, 3)
        assert loss <= -mix(network.log_probabilities(dev), personal, dev, same).mean() + 1e-9


def test_weights_may_depend_on_how_sure_the_network_is() -> None:
    # After a 0 comes anything, and the network is sure of it (entropy 0); after that a 0, of which the n-gram is.
    text = np.random.default_rng(0).integers(1, 4, 8000)
    text[1::2] = 0
    sure = np.arange(len(text)) % 2 == 0
    ngram = NGram.fit(text, 2, 4)
    network = np.log(np.where(sure, 0.99, 0.001))
    entropies = np.where(sure, 0.0, 1.5)
    weights = fit_weights(network, ngram, text, entropies=entropies)
    lengths, totals = ngram.context_statistics(text)
    assert weights.at(lengths, totals, entropies)[4:].tolist() == pytest.approx(np.where(sure, 0, 1)[4:], abs=0.05)
    # between two entropies it is between their λ
    table = np.zeros((2, 6, 6))
    table[:, :, 1] = 1.0
    between = MixtureWeights(table).at(lengths[:4], totals[:4], np.array([0.0, 0.125, 0.25, 0.5]))
    assert between.tolist() == pytest.approx([0, 0.5, 1, 0.5])
    losses = [
        -mix(network, ngram, text, fitted, entropies=entropies).mean()
        for fitted in (weights, fit_weights(network, ngram, text))
    ]
    assert losses[0] < losses[1]


def test_cache_bad_input() -> None:
    ngram = NGram.fit([0, 1], 2, 2)
    stepper = NGramStepper(NGram.fit([0, 1, 2], 2, 3))
    with pytest.raises(ArgumentError, match="its vocabulary has 2 tokens, the model's 3"):
        MixingStepper(stepper, NGramStepper(ngram), MixtureWeights.constant(0.5, 2))
    with pytest.raises(ArgumentError, match="every λ in"):
        MixtureWeights.constant(1.5, 2)
    with pytest.raises(ArgumentError, match="fitted for order 3, the n-gram has order 2"):
        MixingStepper(NGramStepper(ngram), NGramStepper(ngram), MixtureWeights.constant(0.5, 3))
    with pytest.raises(ShapeError, match="model_log_probs"):
        fit_weights([-1.0], ngram, [0, 1])
    with pytest.raises(ArgumentError, match="no development text"):
        fit_weights([], ngram, [])
    with pytest.raises(ModelError, match="lack 'weights'"):
        MixtureWeights.from_arrays({})
    with pytest.raises(ModelError, match="damaged"):
        MixtureWeights.from_arrays({"weights": np.full((2, 6), 7.0)})
    weights = MixtureWeights.constant(0.25, 2)
    assert MixtureWeights.from_arrays(weights.to_arrays()).table.tolist() == weights.table.tolist()


def test_tinyshakespeare_by_order() -> None:
    root = Path(os.environ.get("UNROLLED_TEST_DATA", Path(__file__).parents[3] / "shared" / "data"))
    path = root / "tinyshakespeare" / "input.txt"
    if not path.exists():
        pytest.skip(f"{path} is absent; set UNROLLED_TEST_DATA to the folder that holds tinyshakespeare/")
    text = path.read_text(encoding="utf-8")
    characters = sorted(set(text))
    lookup = {character: token for token, character in enumerate(characters)}
    tokens = np.array([lookup[character] for character in text])
    cut = int(0.9 * len(tokens))
    losses = [
        -NGram.fit(tokens[:cut], order, len(characters)).log_probabilities(tokens[cut:]).mean() for order in (1, 3, 6)
    ]
    assert losses == pytest.approx([3.3473, 2.0381, 1.5226], abs=1e-4)
    assert math.exp(losses[-1]) < 5
