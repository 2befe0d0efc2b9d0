"""Batches of tagged text: where each token is, what is forgotten while training, and what encoders make of words."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from unrolled.data import IGNORED, Arrays
from unrolled.data.tagged.read import TaggedText
from unrolled.tasks.core.fitted import Parts
from unrolled.tasks.core.values import silent
from unrolled.tasks.inputs.words.collate import BORDER, RESERVED, UNKNOWN, Noise, collated, sentences_alone, stretches
from unrolled.tasks.inputs.words.encode import WordsInput
from unrolled.tasks.inputs.words.sentences import LONGEST_WORD, characters_of, normalised, shape_of
from unrolled.tasks.uses.tag import Tag
from unrolled.tasks.uses.tag.decode import sentence_targets
from unrolled.tasks.uses.tag.encode import TokenLabels
from unrolled.tasks.uses.tag.options import TagOptions


def text(*sentences: str, tags: str = "") -> TaggedText:
    tokens = [sentence.split() for sentence in sentences]
    ends = np.cumsum([len(one) for one in tokens]).tolist()
    flat = tuple(token for one in tokens for token in one)
    labels = tuple(tags.split()) or tuple("S-X" if token[0].isupper() else "O" for token in flat)
    return TaggedText(tokens=flat, tags=labels, ends=tuple(ends), lines=tuple(range(1, len(flat) + 1)))


#: words from here on occur once in these texts
FIRST_RARE = RESERVED + 3


def fitted() -> Parts[WordsInput, TokenLabels]:
    return Tag().fit(TEXTS, TagOptions(), silent)


def encoded(*texts: TaggedText) -> list[Arrays]:
    return [Tag().encode(one, fitted()) for one in texts]


TEXTS = [text("Rome is old", "is Rome"), text("a a a a"), text("Oslo 1999")]


def test_words_are_looked_up_in_lower_case_without_their_digits() -> None:
    words, labels = fitted().input, fitted().output
    # by how often they occur, then by name
    assert words.words == ["a", "is", "rome", "0000", "old", "oslo"]
    assert words.counts == [4, 2, 2, 1, 1, 1]
    assert [words.rare_from(n) - RESERVED for n in (0, 1, 2, 3, 4)] == [6, 3, 1, 1, 0]
    [arrays] = encoded(text("ROME 2024 xyz", "a"))
    assert arrays["words"].tolist() == [5, 6, UNKNOWN, BORDER, 3]
    assert arrays["targets"].tolist() == [4, 0, 0, IGNORED, 0]
    assert (arrays["begins"].tolist(), arrays["ends"].tolist()) == ([0, 4], [3, 5])
    assert labels.labels == ("O", "B-X", "I-X", "E-X", "S-X")
    foreign = encoded(text("Mars x", tags="B-NEW E-NEW"))[0]["targets"].tolist()
    assert foreign == [5, 7]
    assert [labels.label(number) for number in foreign] == ["B-?", "E-?"]


def test_long_words_keep_both_ends() -> None:
    word = "a" * 40 + "b" * 40
    assert characters_of(word) == "a" * 16 + "b" * 16
    assert len(characters_of(word[:LONGEST_WORD])) == LONGEST_WORD
    assert (normalised("B2B"), shape_of("iPhone11"), shape_of("x" * 100)) == ("b0b", "xXxxdd", "xx")


def test_places_lead_back_to_each_token() -> None:
    data = collated(encoded(*TEXTS), Noise(), FIRST_RARE, None)
    assert data["sentence_lengths"].tolist() == [3, 2, 4, 2]
    assert data["lengths"].tolist() == [6, 4, 2]
    words = data["words"].flatten()[data["places"]]
    sentences = [words[:n, s].tolist() for s, n in enumerate(data["sentence_lengths"].tolist())]
    assert sentences == [[5, 4, 7], [4, 5], [3, 3, 3, 3], [8, 6]]
    # each spelling is there once
    assert len(data["character_lengths"]) == len({"Rome", "is", "old", "border", "a", "Oslo", "1999"})
    spelled = [data["characters"][:n, u].tolist() for u, n in enumerate(data["character_lengths"].tolist())]
    at = data["spellings"]
    assert spelled[at[0, 0]] == spelled[at[5, 0]] == encoded(text("Rome"))[0]["characters"].tolist()


def test_rare_words_are_forgotten_more_often() -> None:
    arrays = encoded(*TEXTS) * 400
    data = collated(arrays, Noise(words=0.1, rare=0.6), FIRST_RARE, np.random.default_rng(0))
    whole = collated(arrays, Noise(), FIRST_RARE, None)["words"]
    for word, expected in ((3, 0.1), (4, 0.1), (7, 0.6), (8, 0.6)):
        share = (data["words"][whole == word] == UNKNOWN).double().mean().item()
        assert share == pytest.approx(expected, abs=0.06)
    assert torch.equal(data["words"] == BORDER, whole == BORDER)
    again = collated(arrays, Noise(words=0.1, rare=0.6), FIRST_RARE, np.random.default_rng(0))
    assert torch.equal(data["words"], again["words"])


def test_texts_are_read_without_their_context_now_and_then() -> None:
    output, arrays = fitted().output, encoded(TEXTS[0])
    parts = sentences_alone(arrays, np.random.default_rng(0), 0.99)
    alone, whole = (collated(texts, Noise(), FIRST_RARE, None) | output.collate(texts) for texts in (parts, arrays))
    assert alone["lengths"].tolist() == [3, 2]
    assert BORDER not in alone["words"]
    assert whole["words"].flatten()[whole["places"]].equal(alone["words"].flatten()[alone["places"]])
    assert sentence_targets(whole).equal(sentence_targets(alone))
    assert sentences_alone(arrays, np.random.default_rng(0), 0.0) == arrays
    # as many whole sentences as fit
    [long] = encoded(text("a b c", "d e", "f"))
    assert [len(part["begins"]) for part in stretches(long, 5)] == [2, 1]
    assert [part["targets"].tolist() for part in stretches(long, 2)] == [[0, 0, 0], [0, 0], [0]]


def test_characters_are_lost_and_borders_are_not() -> None:
    data = collated(encoded(*TEXTS), Noise(characters=0.9), FIRST_RARE, np.random.default_rng(0))
    lengths = data["character_lengths"]
    inside = torch.arange(len(data["characters"])).unsqueeze(1) < lengths
    assert (data["characters"][inside] == UNKNOWN).double().mean() > 0.5
    assert data["characters"][~inside].eq(0).all()
    assert (data["characters"] == BORDER).sum() == 1
