"""Completion against enumeration of every text, on models whose probabilities are exact."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from unrolled.decoding import BytePrefix, PhraseRule, Suggestion, choose, complete, complete_batch, read
from unrolled.errors import ArgumentError

from .steppers import Bigram, Echo, sequence_log_prob

CHARACTERS = [" ", "a", "b", ",", ".", "\n"]
WORD = set("ab")
WIDE = 6**5


def rule(max_words: int = 2) -> PhraseRule:
    return PhraseRule.from_text(len(CHARACTERS), CHARACTERS.__getitem__, max_words=max_words)


def enumerate_texts(stepper: Echo, prompt: list[int], max_tokens: int, max_words: int) -> dict[str, tuple[float, int]]:
    """Text shown → (probability, characters covered), straight from the definition."""
    found: dict[str, tuple[float, int]] = {}

    def probability(text: str) -> float:
        tokens = tuple(CHARACTERS.index(character) for character in text)
        return math.exp(sequence_log_prob(stepper, prompt, tokens))

    def add(text: str, p: float, covered: int) -> None:
        found[text] = (found.get(text, (0.0, 0))[0] + p, covered if text not in found else found[text][1])

    for length in range(1, max_tokens + 1):
        for combination in itertools.product(" ab,", repeat=length):
            text = "".join(combination)
            words = len(text.replace(",", " ").split())
            trimmed = text.rstrip(" ,")
            if words > max_words or (words == max_words and trimmed != text):
                continue
            if text[-1] in WORD:
                add(text, sum(probability(text + after) for after in " ,.\n"), length + 1)
            if length < max_tokens and words:
                add(text + ".", probability(text + "."), length + 1)
                if text.rstrip()[-1] not in WORD:
                    add(text.rstrip(), probability(text + "\n"), length + 1)
    return found


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("max_words", [1, 2])
def test_a_wide_beam_finds_every_phrase_with_its_exact_probability(seed: int, max_words: int) -> None:
    stepper = Echo(6, seed=seed)
    logits, state = read(stepper, torch.tensor([[1, 2]]))
    found = complete(
        stepper, state, logits, rule=rule(max_words), max_tokens=4, beam_size=WIDE, n_best=10**6
    )  # fmt: skip
    expected = enumerate_texts(stepper, [1, 2], 4, max_words)
    assert {suggestion.text for suggestion in found} == set(expected)
    for suggestion in found:
        assert math.exp(suggestion.log_prob) == pytest.approx(expected[suggestion.text][0], rel=1e-10)
        assert suggestion.words == len(suggestion.text.replace(",", " ").rstrip(".").split()) <= max_words
    assert [suggestion.score for suggestion in found] == sorted((s.score for s in found), reverse=True)
    for suggestion in found:
        if suggestion.text[-1] in WORD:
            assert suggestion.score == pytest.approx(suggestion.log_prob / (len(suggestion.text) + 1), abs=1e-12)


# "ab ab ab …" with probability 0.9 a letter; a word goes on after b with 0.1.
TABLE = torch.tensor(
    [
        # " "   a    b    ,    .    \n
        [0.0, 0.9, 0.1, 0.0, 0.0, 0.0],
        [0.0, 0.1, 0.9, 0.0, 0.0, 0.0],
        [0.7, 0.1, 0.0, 0.0, 0.2, 0.0],
        [1.0, 0.0, 0.0, 0.0, 0.0, 0.0],
        [0.5, 0.0, 0.0, 0.0, 0.0, 0.5],
        [0.0, 1.0, 0.0, 0.0, 0.0, 0.0],
    ]
)


def test_by_hand_in_the_middle_of_a_word() -> None:
    stepper = Bigram(TABLE)
    logits, state = read(stepper, torch.tensor([[1]]))  # "a" typed
    found = {s.text: s for s in complete(stepper, state, logits, rule=rule(), max_tokens=8, n_best=50)}
    # b, then the word is over: a space 0.7 or a full stop 0.2.
    assert math.exp(found["b"].log_prob) == pytest.approx(0.9 * 0.9, abs=1e-7)
    assert found["b"].score == pytest.approx(math.log(0.9 * 0.9) / 2, abs=1e-7)
    assert found["b"].tokens == (2,)
    assert math.exp(found["b ab"].log_prob) == pytest.approx(0.9 * 0.7 * 0.9 * 0.9 * 0.9, abs=1e-7)
    assert found["b ab"].words == 2
    assert found["b ab"].score == pytest.approx(found["b ab"].log_prob / 5)
    assert math.exp(found["b."].log_prob) == pytest.approx(0.9 * 0.2, abs=1e-7)
    assert found["b."].tokens == (2, 4)
    assert all(suggestion.words <= 2 and suggestion.text == suggestion.text.rstrip() for suggestion in found.values())


def test_after_a_space_the_suggestion_is_a_whole_word() -> None:
    stepper = Bigram(TABLE)
    logits, state = read(stepper, torch.tensor([[0]]))
    best = complete(stepper, state, logits, rule=rule(1), max_tokens=4)[0]
    assert best.text == "ab"
    assert math.exp(best.log_prob) == pytest.approx(0.9 * 0.9 * 0.9, abs=1e-7)


def test_choose_takes_the_longest_above_the_threshold() -> None:
    made = [
        Suggestion("a", -0.2, -0.1, (), 1),
        Suggestion("a b", -1.0, -0.2, (), 2),
        Suggestion("a c", -1.5, -0.3, (), 2),
    ]
    assert choose(made, -0.25) is made[1]
    assert choose(made, -0.15) is made[0]
    assert choose(made, -0.05) is None
    assert choose([], -9.0) is None


def test_a_batch_equals_one_by_one() -> None:
    stepper = Echo(6, seed=4)
    prompts = torch.tensor([[0, 1], [2, 2], [5, 4], [3, 0]])
    logits, state = read(stepper, prompts)
    together = complete_batch(stepper, state, logits, rule=rule(3), max_tokens=8)
    for row, prompt in enumerate(prompts):
        logits, state = read(stepper, prompt.unsqueeze(0))
        assert complete(stepper, state, logits, rule=rule(3), max_tokens=8) == together[row]
        assert together[row]


def test_a_floor_drops_exactly_what_is_below_it() -> None:
    stepper = Echo(6, seed=5)
    logits, state = read(stepper, torch.tensor([[1]]))
    everything = complete(stepper, state, logits, rule=rule(), max_tokens=4, beam_size=WIDE, n_best=10**6)
    above = complete(stepper, state, logits, rule=rule(), max_tokens=4, beam_size=WIDE, n_best=10**6, min_log_prob=-5.0)
    # "a," is spread over "a,⏎" and "a, ⏎", one of which may be below; every other text here is one event.
    expected = {s.text for s in everything if s.log_prob >= -5.0}
    assert {s.text for s in above} <= expected
    assert {text for text in expected if text[-1] != ","} <= {s.text for s in above}
    assert 0 < len(above) < len(everything)


def test_forbidden_tokens_are_never_suggested_and_an_end_token_ends_words() -> None:
    pieces = [b" ", b"a", b"b", b"", b""]  # 3 is unknown, 4 the end of the text
    table = torch.tensor([[0.0, 0.5, 0.1, 0.4, 0.0], [0.1, 0.0, 0.2, 0.4, 0.3], [0.2, 0.2, 0.2, 0.2, 0.2]]).repeat(2, 1)
    stepper = Bigram(table[:5])
    logits, state = read(stepper, torch.tensor([[0]]))
    made = PhraseRule(pieces, max_words=1, forbidden=(2,), end_ids=(4,))
    found = complete(stepper, state, logits, rule=made, max_tokens=3)
    assert [suggestion.text for suggestion in found] == ["a"]
    assert math.exp(found[0].log_prob) == pytest.approx(0.5 * (0.1 + 0.3), abs=1e-7)


PIECES = [b" go", b" goi", b"ng", b"i", b" ", b"g", b"o", b"n", b"ing", b".", b" to"]


def spellings(text: bytes, limit: int) -> list[tuple[int, ...]]:
    if not text:
        return [()]
    if not limit:
        return []
    return [
        (token, *rest)
        for token, piece in enumerate(PIECES)
        if text.startswith(piece)
        for rest in spellings(text[len(piece) :], limit - 1)
    ]


def test_a_healed_prefix_conditions_on_its_bytes() -> None:
    stepper = Echo(len(PIECES), seed=6)
    made = PhraseRule(PIECES, max_words=1)
    logits, state = read(stepper, torch.tensor([[3]]))
    prefix = b" goi"
    found = complete(
        stepper,
        state,
        logits,
        rule=made,
        max_tokens=6,
        beam_size=20000,
        n_best=10**6,
        healing=BytePrefix(PIECES),
        prefix=prefix,
    )
    texts = {suggestion.text: suggestion for suggestion in found}

    def p(tokens: tuple[int, ...]) -> float:
        return math.exp(sequence_log_prob(stepper, [3], tokens))

    # Ways to cover the prefix: token sequences whose last token reaches its end or beyond.
    covering = 0.0
    for length in range(len(prefix)):
        for start in spellings(prefix[:length], 9):
            covering += sum(p((*start, t)) for t, piece in enumerate(PIECES) if piece.startswith(prefix[length:]))
    boundary = [token for token, piece in enumerate(PIECES) if piece[:1] in (b" ", b".")]
    ways = [way for way in spellings(b" going", 6) if len(way) <= 6]
    joint = sum(p((*way, after)) for way in ways for after in boundary)
    assert math.exp(texts["ng"].log_prob) == pytest.approx(joint / covering, rel=1e-10)
    assert b"".join(PIECES[token] for token in texts["ng"].tokens) == b" going"
    assert all((prefix + text.encode()).startswith(prefix) and text for text in texts)


def test_rows_with_and_without_a_prefix_go_together() -> None:
    stepper = Echo(len(PIECES), seed=7)
    made, healing = PhraseRule(PIECES, max_words=2), BytePrefix(PIECES)
    prompts, prefixes = torch.tensor([[3], [2], [6]]), [b" goi", b"", b" g"]
    logits, state = read(stepper, prompts)
    together = complete_batch(
        stepper, state, logits, rule=made, max_tokens=6, beam_size=5, healing=healing, prefixes=prefixes
    )
    for row, (prompt, prefix) in enumerate(zip(prompts, prefixes, strict=True)):
        logits, state = read(stepper, prompt.unsqueeze(0))
        alone = complete(stepper, state, logits, rule=made, max_tokens=6, beam_size=5, healing=healing, prefix=prefix)
        assert alone == together[row]


def test_an_impossible_prefix_gives_no_suggestion() -> None:
    stepper = Echo(len(PIECES), seed=7)
    logits, state = read(stepper, torch.tensor([[3]]))
    healing = BytePrefix(PIECES)
    assert complete(stepper, state, logits, rule=PhraseRule(PIECES), healing=healing, prefix=b"xyz") == []


def test_byte_prefix_finds_tokens() -> None:
    healing = BytePrefix([b"a", b"ab", b"abc", b"b", b"", b"\xff", b"\xff\xff", b"a\xff", b"ab"])
    assert sorted(healing.covering(b"ab")) == [1, 2, 8]
    assert sorted(healing.covering(b"a")) == [0, 1, 2, 7, 8]
    assert sorted(healing.covering(b"\xff")) == [5, 6]
    assert healing.covering(b"a\xff") == [7]
    assert healing.within(b"abcd") == [0, 1, 8, 2]


def test_words_and_phrases() -> None:
    made = rule()
    assert made.count_words("don't stop, e-mail me; naïve café 3rd") == 7
    assert made.before_end("the end. And") == "the end."
    assert made.before_end("line\nnext") == "line"
    assert made.before_end("no end") is None


def test_a_character_cut_in_bytes_is_never_shown() -> None:
    pieces = [b" ", b"\xc3", b"\xa9", b"."]
    table = torch.tensor([[0.1, 0.8, 0.1, 0.0], [0.3, 0.0, 0.7, 0.0], [0.6, 0.3, 0.0, 0.1], [1.0, 0.0, 0.0, 0.0]])
    stepper = Bigram(table)
    logits, state = read(stepper, torch.tensor([[0]]))
    found = complete(stepper, state, logits, rule=PhraseRule(pieces, max_words=1), max_tokens=2)
    assert [suggestion.text for suggestion in found] == ["é"]
    assert math.exp(found[0].log_prob) == pytest.approx(0.8 * 0.7 * 0.7, abs=1e-7)


def test_bad_input() -> None:
    stepper = Echo(6)
    logits, state = read(stepper, torch.tensor([[1]]))
    with pytest.raises(ArgumentError, match="max_words: expected an integer ≥ 1, found 0"):
        rule(0)
    with pytest.raises(ArgumentError, match="rule: made for 11 tokens, the model has 6"):
        complete(stepper, state, logits, rule=PhraseRule(PIECES))
    with pytest.raises(ArgumentError, match="healing: needed"):
        complete(stepper, state, logits, rule=rule(), prefix=b"a")
    with pytest.raises(ArgumentError, match="ends a phrase"):
        complete(stepper, state, logits, rule=rule(), healing=BytePrefix(rule().pieces), prefix=b"a.")
    with pytest.raises(ArgumentError, match="min_log_prob: expected a number ≤ 0, found 1"):
        complete(stepper, state, logits, rule=rule(), min_log_prob=1.0)
