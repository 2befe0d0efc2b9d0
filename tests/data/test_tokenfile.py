"""Token files: what is in them, that pieces do not matter, and that nothing torn or foreign is opened."""

from __future__ import annotations

import json
import os
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unrolled.data import ByteTokenizer, CharTokenizer, Piece, TokenFile, Tokenizer, encode_corpus, fit_tokenizer
from unrolled.errors import DataError, StorageError

CHAR = CharTokenizer("abcdefgh ")
WORDS = "the cat we'll see doesn't sit on  the mat\n"
BPE = fit_tokenizer("bpe", [WORDS] * 20, 300)


def document(*texts: str) -> list[Piece]:
    return [Piece(text, "f", n == len(texts) - 1) for n, text in enumerate(texts)]


def test_one_document_is_just_its_text(tmp_path: Path) -> None:
    done: list[int] = []
    file = encode_corpus(document("ab", "c"), CHAR, tmp_path / "t", progress=done.append)
    assert file.tokens.tolist() == [2, 3, 4]
    assert (len(file), file.characters, file.bytes, file.documents) == (3, 3, 3, 1)
    assert file.tokens.dtype == np.uint8
    assert done == [2, 3]
    assert os.listdir(tmp_path) == ["t"]


def test_documents_are_each_followed_by_the_end_token(tmp_path: Path) -> None:
    file = encode_corpus([*document("ab"), *document("c", "é"), *document("d")], CHAR, tmp_path / "t")
    assert file.tokens.tolist() == [2, 3, 0, 4, 1, 0, 5, 0]
    assert (file.characters, file.bytes, file.documents) == (5, 6, 3)


def test_a_document_that_is_cut_off_has_no_end(tmp_path: Path) -> None:
    file = encode_corpus([*document("ab"), Piece("c", "f", False)], CHAR, tmp_path / "t")
    assert file.tokens.tolist() == [2, 3, 0, 4]


def test_tokens_in_a_row_are_looked_for(tmp_path: Path) -> None:
    file = encode_corpus(document("ab" * 9), ByteTokenizer(), tmp_path / "t")
    # two bytes an id: what begins between two ids is none
    assert file.holds(ByteTokenizer().encode("bab").tolist())
    assert not file.holds(ByteTokenizer().encode("abb").tolist())
    first = int(file.tokens[0])
    assert not file.holds([first << 8 & 0xFFFF])


@pytest.mark.parametrize(
    ("tokenizer", "dtype"),
    [
        (CharTokenizer("".join(map(chr, range(32, 32 + 254)))), np.uint8),
        (CharTokenizer("".join(map(chr, range(32, 32 + 255)))), np.uint16),
        (ByteTokenizer(), np.uint16),
        (CharTokenizer("".join(map(chr, range(0x10000, 0x20000 - 1)))), np.uint32),
    ],
)
def test_ids_take_as_few_bytes_as_the_vocabulary_allows(tmp_path: Path, tokenizer: Tokenizer, dtype: type) -> None:
    last = tokenizer.token_text(tokenizer.vocabulary_size - 1)
    file = encode_corpus(document("a" + last), tokenizer, tmp_path / "t")
    assert file.tokens.dtype == dtype
    assert file.tokens.tolist() == tokenizer.encode("a" + last).tolist()


@given(data=st.data())
def test_where_pieces_are_cut_does_not_matter(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    documents = data.draw(st.lists(st.text(" aet'l.\nhé", min_size=1, max_size=40), min_size=1, max_size=4))
    pieces = []
    for text in documents:
        cuts = sorted(data.draw(st.sets(st.integers(1, max(1, len(text) - 1)), max_size=4)))
        parts = [text[start:stop] for start, stop in zip([0, *cuts], [*cuts, len(text)], strict=True)]
        pieces += document(*filter(None, parts))
    expected = [token for text in documents for token in [*BPE.encode(text).tolist(), 0]]
    file = encode_corpus(pieces, BPE, tmp_path_factory.getbasetemp() / "t")
    assert file.tokens.tolist() == (expected if len(documents) > 1 else expected[:-1])


def test_bpe_text_without_a_space_is_cut_somewhere(tmp_path: Path) -> None:
    pieces = document(*["日本" * 50_000] * 5)
    file = encode_corpus(pieces, BPE, tmp_path / "t")
    assert BPE.decode(file.tokens) == "日本" * 250_000


def test_memory_does_not_grow_with_the_corpus(tmp_path: Path) -> None:
    def pieces() -> Iterator[Piece]:
        for n in range(16):
            yield Piece("abcdefgh" * (1 << 17), "f", n == 15)

    tracemalloc.start()
    file = encode_corpus(pieces(), CHAR, tmp_path / "t")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(file) == 16 << 20
    assert peak < 14 << 20


def test_opening_again(tmp_path: Path) -> None:
    written = encode_corpus(document("abc"), CHAR, tmp_path / "t")
    file = TokenFile.open(tmp_path / "t", CHAR)
    assert file.tokens.tolist() == [2, 3, 4]
    assert file.fingerprint == written.fingerprint
    file.verify()
    file.release()
    assert file.tokens.tolist() == [2, 3, 4]
    with pytest.raises(ValueError, match="read-only"):
        file.tokens[0] = 1
    with pytest.raises(DataError, match="t: was encoded with another tokenizer"):
        TokenFile.open(tmp_path / "t", CharTokenizer("abc"))


def test_damage_is_found(tmp_path: Path) -> None:
    path = tmp_path / "t"
    encode_corpus(document("abc"), CHAR, path)
    raw = path.read_bytes()
    path.write_bytes(raw[:-1] + b"\x07")
    with pytest.raises(DataError, match="t: damaged"):
        TokenFile.open(path, CHAR).verify()
    for torn in (raw[:-1], raw + b"x", raw[:4096]):
        path.write_bytes(torn)
        with pytest.raises(DataError, match=rf"t: torn: {len(torn)} bytes instead of {len(raw)}"):
            TokenFile.open(path, CHAR)
    for torn, message in ((b"", "not a file of tokens"), (raw[:100], "torn or corrupt header")):
        path.write_bytes(torn)
        with pytest.raises(DataError, match=message):
            TokenFile.open(path, CHAR)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 2}, "format version 2 is later than what this release reads, 1; upgrade"),
        ({"version": None}, "corrupt header"),
        ({"tokens": -1}, "corrupt header"),
        ({"tokens": True}, "corrupt header"),
        ({"dtype": "uint16"}, "corrupt header"),
        ({"sha256": 1}, "corrupt header"),
        ({"tokens": 1 << 60}, "torn"),
        ({"vocabulary_size": 9}, "its vocabulary is not its tokenizer's"),
    ],
)
def test_headers_from_a_stranger(tmp_path: Path, change: dict[str, object], message: str) -> None:
    path = tmp_path / "t"
    encode_corpus(document("abc"), CHAR, path)
    raw = path.read_bytes()
    magic, header, _ = raw[:4096].split(b"\n", 2)
    fields = json.dumps(json.loads(header) | change).encode()
    path.write_bytes((magic + b"\n" + fields + b"\n").ljust(4096) + raw[4096:])
    with pytest.raises(DataError, match=message):
        TokenFile.open(path, CHAR)


def test_nothing_is_left_of_a_corpus_that_fails(tmp_path: Path) -> None:
    def pieces() -> Iterator[Piece]:
        yield Piece("ab", "f", False)
        raise DataError("bad line", "f", 2)

    with pytest.raises(DataError, match="f:2: bad line"):
        encode_corpus(pieces(), CHAR, tmp_path / "t")
    with pytest.raises(DataError, match="there is no text"):
        encode_corpus([], CHAR, tmp_path / "t")
    assert os.listdir(tmp_path) == []
    with pytest.raises(StorageError, match="while writing it"):
        encode_corpus(document("ab"), CHAR, tmp_path / "no" / "t")
    with pytest.raises(StorageError, match="can't be read"):
        TokenFile.open(tmp_path / "t", CHAR)
