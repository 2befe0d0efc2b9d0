"""Tokenisers: round trips, hand-worked ids, the library's own encoding, files that are not ours."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tokenizers as library
from hypothesis import example, given
from hypothesis import strategies as st

from unrolled.data import (
    BPETokenizer,
    ByteTokenizer,
    CharTokenizer,
    Tokenizer,
    fit_tokenizer,
    load_tokenizer,
)
from unrolled.data.text.bpe import _segments
from unrolled.data.text.spaced_words import SpacedWordTokenizer
from unrolled.errors import ArgumentError, ModelError

CORPUS = ["the quick brown fox doesn't jump over the lazy dog; we'll see the Größe of 日本 and 🙂\n"] * 40
ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)

BPE = fit_tokenizer("bpe", CORPUS, 400)
CHAR = fit_tokenizer("char", CORPUS)
ALL = [CHAR, ByteTokenizer(), BPE]
KINDS = pytest.mark.parametrize("tokenizer", ALL, ids=lambda tokenizer: tokenizer.kind)


def test_hand_worked_ids() -> None:
    char = CharTokenizer("abé")
    assert char.vocabulary_size == 5
    assert char.encode("béx").tolist() == [3, 4, 1]
    assert char.encode("béx").dtype == np.int32
    assert char.decode([3, 4, 1, 0]) == "bé\ufffd"
    assert [char.token_text(n) for n in range(5)] == ["", "\ufffd", "a", "b", "é"]
    assert [char.token_bytes(n) for n in range(5)] == [b"", b"\xef\xbf\xbd", b"a", b"b", b"\xc3\xa9"]
    byte = ByteTokenizer()
    assert byte.encode("Aé").tolist() == [66, 196, 170]
    assert byte.decode([66, 196, 170, 0]) == "Aé"
    assert byte.token_bytes(196) == b"\xc3"
    assert byte.token_text(196) == "\ufffd"


def test_hand_worked_bpe() -> None:
    # "abab" is merged as (a, b), then (ab, ab), as its vocabulary says: "Ġ" is the space.
    alphabet = sorted(library.pre_tokenizers.ByteLevel.alphabet())
    bpe = BPETokenizer([*alphabet, "ab", "abab", "Ġabab"], [("a", "b"), ("ab", "ab"), ("Ġ", "abab")])
    assert bpe.vocabulary_size == 260
    assert bpe.encode("abab abab").tolist() == [258, 259]
    assert bpe.token_bytes(259) == b" abab"
    assert bpe.decode([258, 259, 0]) == "abab abab"
    assert bpe.unknown_id is None


def test_hand_worked_words() -> None:
    # the most frequent first, equals by the alphabet; what occurs once is unknown, unless the text has unknown words
    once = fit_tokenizer("word", ["the cat saw the", " dog\n", "the dog ran\n"])
    assert once.encode("the\tdog  \n bird cat").tolist() == [2, 4, 3, 1, 1]
    assert once.decode([2, 4, 3, 1, 0]) == " the dog\n <unk>"
    marked = fit_tokenizer("word", ["the <unk> saw the\n"])
    assert marked.encode("the <unk> saw dog").tolist() == [2, 1, 4, 1]
    assert fit_tokenizer("word", ["a a b b c c"], 4).encode("a b c").tolist() == [2, 3, 1]
    with pytest.raises(ArgumentError, match="at least 3"):
        fit_tokenizer("word", ["a a"], 2)
    with pytest.raises(ArgumentError, match="twice"):
        SpacedWordTokenizer(["a", "a"])
    with pytest.raises(ArgumentError, match="'a b' is no word"):
        SpacedWordTokenizer(["a b"])


@given(text=ANY_TEXT, more=ANY_TEXT)
@example(text="the ca", more="t sat\n")
@example(text="a \u00a0", more="\u2003b")
@example(text="end\n", more="")
def test_words_do_not_depend_on_where_a_text_is_cut(text: str, more: str) -> None:
    words = fit_tokenizer("word", [text + more] * 2)
    whole = words.encode(text + more).tolist()
    start, rest = words.encode_prefix(text)
    assert start.tolist() + words.encode(rest + more).tolist() == whole
    cut = words.safe_boundary(text)
    assert words.encode(text[:cut]).tolist() + words.encode(text[cut:] + more).tolist() == whole


@KINDS
@given(text=ANY_TEXT)
@example(text="")
@example(text="\x00\u2028 \ufeff e\u0301 🙂🙂 <|end|>")
def test_round_trip(tokenizer: Tokenizer, text: str) -> None:
    ids = tokenizer.encode(text)
    assert ids.ndim == 1
    assert ids.dtype == np.int32
    assert tokenizer.end_id not in ids
    known = "".join(c if tokenizer is not CHAR or c in CHAR.characters else "\ufffd" for c in text)
    assert tokenizer.decode(ids) == known
    assert b"".join(map(tokenizer.token_bytes, ids.tolist())).decode() == known
    decoder = tokenizer.decoder()
    assert "".join(map(decoder.feed, ids.tolist())) + decoder.flush() == known
    start, rest = tokenizer.encode_prefix(text)
    assert (tokenizer.decode(start) + rest).replace("\ufffd", "") == known.replace("\ufffd", "")


def test_the_stream_decoder_withholds_parts_of_a_character() -> None:
    decoder = ByteTokenizer().decoder()
    assert [decoder.feed(byte + 1) for byte in "é🙂".encode()] == ["", "é", "", "", "", "🙂"]
    assert decoder.feed(0xC3 + 1) == ""
    assert decoder.flush() == "\ufffd"
    assert decoder.feed(0x41 + 1) == "A"


def test_bpe_agrees_with_the_library() -> None:
    settings = BPE._settings()
    theirs = library.Tokenizer(
        library.models.BPE(
            vocab={token: n for n, token in enumerate(settings["vocabulary"])},
            merges=[tuple(pair) for pair in settings["merges"]],
        )
    )
    theirs.pre_tokenizer = library.pre_tokenizers.ByteLevel(add_prefix_space=False)
    theirs.decoder = library.decoders.ByteLevel()
    text = "".join(CORPUS)[:999] + "  unseen Wörter\t\n 123's"
    ids = theirs.encode(text).ids
    assert (BPE.encode(text) - 1).tolist() == ids
    assert theirs.decode(ids) == BPE.decode(BPE.encode(text)) == text


@given(st.text(" \n\tab'.é日1", max_size=80), st.integers(1, 12))
def test_cutting_at_a_safe_boundary_changes_no_id(text: str, size: int) -> None:
    whole = BPE._model.encode(text).ids
    boundary = BPE.safe_boundary(text)
    assert [*BPE.encode(text[:boundary]), *BPE.encode(text[boundary:])] == [n + 1 for n in whole]
    assert "".join(_segments(text)) == text


@given(st.text(" ab'lre.(é\n", max_size=20), st.text(" ab'lre.(é\n", max_size=6))
def test_ids_before_the_rest_hold_whatever_follows(text: str, continuation: str) -> None:
    ids, _ = BPE.encode_prefix(text)
    assert BPE.encode(text + continuation)[: ids.size].tolist() == ids.tolist()


@pytest.mark.parametrize(
    ("text", "rest"),
    [("the qui", " qui"), ("the", "the"), ("the ", " "), ("the  ", "  "), ("fox(do", "do"), ("we'l", "'l"), ("", "")],
)
def test_the_rest_is_the_open_word(text: str, rest: str) -> None:
    assert BPE.encode_prefix(text)[1] == rest


def test_long_texts_are_encoded_in_parts_alike() -> None:
    text = "".join(CORPUS) * 12
    assert len(list(_segments(text))) > 2
    assert (BPE.encode(text) - 1).tolist() == BPE._model.encode(text).ids


def test_fitting_does_not_depend_on_the_pieces() -> None:
    text = "".join(CORPUS)
    for size in (7, 100):
        pieces = [text[at : at + size] for at in range(0, len(text), size)]
        assert fit_tokenizer("bpe", pieces, 400).fingerprint == BPE.fingerprint
        assert fit_tokenizer("char", pieces).fingerprint == CHAR.fingerprint
    assert CHAR.characters == "".join(sorted(set(text)))


def test_rare_characters_become_unknown() -> None:
    assert fit_tokenizer("char", ["aabbbc", "c"], min_count=2).characters == "abc"
    assert fit_tokenizer("char", ["aabbbc"], min_count=2).characters == "ab"
    assert fit_tokenizer("char", ["aabbbcd"], vocabulary_size=5).characters == "abc"
    assert fit_tokenizer("char", ["a\ud800"]).characters == "a"
    assert fit_tokenizer("char", []).vocabulary_size == 2


@KINDS
def test_saved_and_loaded(tokenizer: Tokenizer, tmp_path: Path) -> None:
    tokenizer.save(tmp_path / "tokenizer.json")
    loaded = load_tokenizer(tmp_path / "tokenizer.json")
    assert type(loaded) is type(tokenizer)
    assert loaded.fingerprint == tokenizer.fingerprint
    assert len({other.fingerprint for other in ALL}) == 3
    assert loaded.encode(CORPUS[0]).tolist() == tokenizer.encode(CORPUS[0]).tolist()
    assert json.loads((tmp_path / "tokenizer.json").read_text(encoding="utf-8"))["kind"] == tokenizer.kind


def test_the_fingerprint_is_stable() -> None:
    # A change here makes every saved model and token file foreign: raise the format's version instead.
    assert ByteTokenizer().fingerprint == "15fc5c2069efd60f45d4bcd33bc9b70303e086aabd735aa119d71725797f5d18"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "other"}, "not a tokenizer of this library"),
        ({"version": 2}, "format version 2 is later than what this release reads, 1; upgrade"),
        ({"version": "1"}, "no valid format version"),
        ({"kind": "syllables"}, "unknown kind 'syllables'"),
        ({"characters": 3}, '"characters" is missing or of the wrong type'),
        ({"characters": "aa"}, "one occurs twice"),
        ({"characters": "a\ud800"}, "half a surrogate"),
        ({"more": 1}, "it holds more, which"),
        ({"kind": "bpe", "vocabulary": ["a"], "merges": []}, "it holds characters"),
    ],
)
def test_foreign_and_corrupt_files(tmp_path: Path, change: dict[str, object], message: str) -> None:
    path = tmp_path / "tokenizer.json"
    payload = {"format": "unrolled.tokenizer", "version": 1, "kind": "char", "characters": "ab"}
    path.write_text(json.dumps(payload))
    assert load_tokenizer(path).vocabulary_size == 4
    path.write_text(json.dumps(payload | change))
    with pytest.raises(ModelError, match=message) as caught:
        load_tokenizer(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("vocabulary", "merges", "message"),
    [
        (["a"], [], "one of the 256 bytes is missing"),
        (["a", "a"], [], "occurs twice"),
        (["a b"], [], "not in byte-level notation"),
        ([["a"]], [], "not in byte-level notation"),
        (None, [["a", "b"]], "no pair of tokens that makes a token"),
        (None, ["ab"], "no pair of tokens"),
        (None, [[["a"], "b"]], "no pair of tokens"),
    ],
)
def test_corrupt_bpe_files(tmp_path: Path, vocabulary: object, merges: object, message: str) -> None:
    path = tmp_path / "tokenizer.json"
    payload = {"format": "unrolled.tokenizer", "version": 1, "kind": "bpe", "merges": merges}
    alphabet = sorted(library.pre_tokenizers.ByteLevel.alphabet())
    path.write_text(json.dumps(payload | {"vocabulary": alphabet if vocabulary is None else vocabulary}))
    with pytest.raises(ModelError, match=message):
        load_tokenizer(path)


@pytest.mark.parametrize("raw", [b"", b"{", b"\xff", b"[" * 100_000, b"[]"])
def test_files_that_are_no_json(tmp_path: Path, raw: bytes) -> None:
    (tmp_path / "t.json").write_bytes(raw)
    with pytest.raises(ModelError, match=r"t\.json: (corrupt, not JSON|not a tokenizer)"):
        load_tokenizer(tmp_path / "t.json")


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="none: missing; restore it"):
        load_tokenizer(tmp_path / "none")


@KINDS
def test_ids_outside_the_vocabulary(tokenizer: Tokenizer) -> None:
    for wrong in (-1, tokenizer.vocabulary_size):
        with pytest.raises(ArgumentError, match=f"ids: {wrong} is not in the vocabulary"):
            tokenizer.decode([0, wrong])
        with pytest.raises(ArgumentError, match=f"ids: {wrong}"):
            tokenizer.token_bytes(wrong)


def test_options_out_of_range() -> None:
    with pytest.raises(ArgumentError, match="tokenizer 'words': must be one of char, byte, bpe, word"):
        fit_tokenizer("words", [])
    with pytest.raises(ArgumentError, match="at least 257 for bpe, found 256"):
        fit_tokenizer("bpe", [], 256)
    with pytest.raises(ArgumentError, match="always has 257"):
        fit_tokenizer("byte", [], 300)
    with pytest.raises(ArgumentError, match="at least 3 for characters"):
        fit_tokenizer("char", [], 2)
    with pytest.raises(ArgumentError, match="min_count: must be at least 1, found 0"):
        fit_tokenizer("char", [], min_count=0)
