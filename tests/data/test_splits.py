"""Splits: nanoGPT's cut for one text, whole documents for many."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unrolled.data import Piece, read_documents, split_pieces
from unrolled.errors import ArgumentError, DataError


def pieces_of(text: str, size: int) -> list[Piece]:
    parts = [text[at : at + size] for at in range(0, len(text), size)]
    return [Piece(part, "f", n == len(parts) - 1) for n, part in enumerate(parts)]


@given(st.text("ab\n", min_size=2, max_size=200), st.integers(1, 50))
def test_one_text_is_cut_like_nanogpt(text: str, size: int) -> None:
    split = split_pieces(lambda: pieces_of(text, size))
    cut = int(0.9 * len(text))
    assert split.method == "characters"
    assert "".join(piece.text for piece in split.train()) == text[:cut]
    assert "".join(piece.text for piece in split.dev()) == text[cut:]
    assert (split.train_characters, split.dev_characters) == (cut, len(text) - cut)
    assert not any(piece.ends_document for piece in split.train())
    assert [piece.ends_document for piece in split.dev()][-1]


def test_many_documents_are_never_cut_and_equal_ones_stay_together() -> None:
    documents = [f"document {n % 500}: " + "word " * 20 for n in range(1000)]
    pieces = [piece for text in documents for piece in pieces_of(text, 1000)]
    split = split_pieces(lambda: iter(pieces), seed=3)
    train, dev = [p.text for p in split.train()], [p.text for p in split.dev()]
    assert split.method == "documents"
    assert sorted(train + dev) == sorted(documents)
    assert not set(train) & set(dev)
    assert 60 <= len(dev) <= 140
    assert split.dev_characters == sum(map(len, dev))
    other = {p.text for p in split_pieces(lambda: iter(pieces), seed=4).dev()}
    assert other != set(dev)
    # A document's side depends on nothing but itself.
    more = split_pieces(lambda: iter([*pieces_of("another", 99), *pieces]), seed=3)
    assert [p.text for p in more.dev() if p.text != "another"] == dev


def test_a_document_of_many_pieces_stays_whole() -> None:
    pieces = [piece for n in range(200) for piece in pieces_of(f"{n:03d}" * 5, 4)]
    split = split_pieces(lambda: iter(pieces))
    assert split.method == "documents"
    for part in (split.train(), split.dev()):
        texts = "".join(piece.text + "|" * piece.ends_document for piece in part).split("|")[:-1]
        assert all(len(text) == 15 and len({text[n : n + 3] for n in range(0, 15, 3)}) == 1 for text in texts)


def test_very_unequal_documents_are_cut_at_one_place() -> None:
    pieces = [*pieces_of("x" * 100_000, 1000), *(Piece("y", "f", True) for _ in range(100))]
    split = split_pieces(lambda: iter(pieces))
    assert split.method == "characters"
    assert split.train_characters == int(0.9 * 100_100)


def test_the_end_of_a_document_at_the_cut_is_kept() -> None:
    pieces = [Piece("a" * 9, "f", True), Piece("b", "g", True)]
    assert list(split_pieces(lambda: iter(pieces)).train()) == pieces[:1]


def test_it_reads_files_again_each_time(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("0123456789")
    split = split_pieces(lambda: read_documents(tmp_path))
    assert [[p.text for p in split.dev()] for _ in range(2)] == [["9"], ["9"]]


def test_bad_input() -> None:
    with pytest.raises(DataError, match="has 1 character, too few"):
        split_pieces(lambda: pieces_of("x", 1))
    with pytest.raises(ArgumentError, match="dev_share: must be between 0 and 1, found 1"):
        split_pieces(lambda: pieces_of("xyz", 1), dev_share=1)


def test_the_cut_of_tinyshakespeare(test_data: Path) -> None:
    # The counts that nanoGPT's data/shakespeare_char/prepare.py prints.
    split = split_pieces(lambda: read_documents(test_data / "tinyshakespeare" / "input.txt"))
    assert (split.train_characters, split.dev_characters) == (1_003_854, 111_540)
