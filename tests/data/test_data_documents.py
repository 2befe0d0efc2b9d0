"""Documents: formats by name and content, pieces of bounded size, JSONL errors with their line."""

from __future__ import annotations

import gzip
import json
import tracemalloc
import zipfile
from pathlib import Path

import pytest

from unrolled.data import Piece, read_documents
from unrolled.data.text import documents as module
from unrolled.errors import ArgumentError, DataError, EncodingError, StorageError

MESSAGE = b"From: Ann <ann@example.org>\nTo: Bob\nSubject: S\n\nHello Bob,\nsee you.\n"
MBOX = b"From ann@example.org Mon Jan  5 10:00:00 2004\n" + MESSAGE


def texts(path: Path, **options: str) -> list[str]:
    """Whole documents."""
    documents, parts = [], []
    for piece in read_documents(path, **options):
        assert piece.text
        parts.append(piece.text)
        if piece.ends_document:
            documents.append("".join(parts))
            parts = []
    assert not parts
    return documents


def test_a_text_file_is_one_document_in_pieces(tmp_path: Path) -> None:
    text = "".join(f"line {n}: é你\r\n" for n in range(150_000))
    path = tmp_path / "a.txt"
    path.write_bytes(text.encode())
    pieces = list(read_documents(path))
    assert len(pieces) == 3
    assert [piece.ends_document for piece in pieces] == [False, False, True]
    assert {piece.source for piece in pieces} == {str(path)}
    assert "".join(piece.text for piece in pieces) == path.read_text(encoding="utf-8")


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    (tmp_path / "a.gz").write_bytes(gzip.compress(b"0123456789abcde\n" * (1 << 21)))
    tracemalloc.start()
    size = sum(len(piece.text) for piece in read_documents(tmp_path / "a.gz"))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert size == 32 << 20
    assert peak < 10 << 20


def test_one_character(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("x")
    assert list(read_documents(tmp_path / "a.txt")) == [Piece("x", str(tmp_path / "a.txt"), True)]


def test_files_of_a_folder_are_documents_in_order(tmp_path: Path) -> None:
    for name in ("b", "a", "c"):
        (tmp_path / f"{name}.txt").write_text(name)
    assert texts(tmp_path) == ["a", "b", "c"]
    assert texts(tmp_path / "b.txt") == ["b"]


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("x.mbox", MBOX),
        ("mbox", MBOX),
        ("Inbox", MBOX),
        ("x.eml", MESSAGE),
        ("1.", MESSAGE),
        ("x.jsonl", json.dumps({"text": "Hello Bob,\nsee you."}).encode()),
        ("x.ndjson", json.dumps("Hello Bob,\r\nsee you.").encode()),
        ("x.txt", b"Hello Bob,\nsee you."),
        ("README", b"Hello Bob,\nsee you."),
    ],
)
def test_the_format_is_told_by_name_and_content(tmp_path: Path, name: str, data: bytes, packed: bool) -> None:
    path = tmp_path / (name + ".gz" if packed else name)
    path.write_bytes(gzip.compress(data) if packed else data)
    assert texts(path) == ["Hello Bob,\nsee you."]
    with zipfile.ZipFile(tmp_path / "z.zip", "w") as archive:
        archive.write(path, path.name)
    assert texts(tmp_path / "z.zip") == ["Hello Bob,\nsee you."]


def test_a_text_that_quotes_a_mail_is_text(tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_bytes(b"He wrote:\n" + MBOX)
    assert texts(tmp_path / "x.txt") == ["He wrote:\n" + MBOX.decode()]
    (tmp_path / "x.txt").write_bytes(MBOX)
    assert texts(tmp_path / "x.txt") == ["Hello Bob,\nsee you."]
    assert texts(tmp_path / "x.txt", format="text") == [MBOX.decode()]


def test_a_maildir_with_subfolders(tmp_path: Path) -> None:
    for folder in ("cur", "new", "tmp", ".Sent/cur", ".Sent/new"):
        (tmp_path / folder).mkdir(parents=True)
    for name in ("cur/1.a:2,S", "new/2.b", "tmp/3.c", ".Sent/cur/4.d"):
        (tmp_path / name).write_bytes(MESSAGE.replace(b"Bob,", name.encode() + b","))
    (tmp_path / "dovecot-uidlist").write_text("3 V1")
    assert texts(tmp_path) == [f"Hello {name},\nsee you." for name in (".Sent/cur/4.d", "cur/1.a:2,S", "new/2.b")]


def test_jsonl_lines_are_documents_with_their_place(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "one", "id": 1}\n\n"two"\n{"text": ""}\n')
    assert list(read_documents(path)) == [Piece("one", f"{path}:1", True), Piece("two", f"{path}:3", True)]
    path.write_text('{"body": "b"}')
    assert texts(path, text_key="body") == ["b"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "not valid JSON"),
        ("[" * 200_000, "not valid JSON"),
        ("3", "expected a string, or an object with a string under 'text', found int"),
        ('{"text": null}', "found NoneType"),
        ('{"body": "x", "id": 1}', r"no key 'text' in this object \(keys: 'body', 'id'\)"),
    ],
)
def test_bad_jsonl_names_the_line(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(f'"fine"\n{line}\n')
    with pytest.raises(DataError, match=message) as caught:
        texts(path)
    assert str(caught.value).startswith(f"{path}:2: ")


def test_half_a_surrogate_pair_in_json(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('"a\\ud800b"')
    with pytest.raises(DataError, match=r"a\.jsonl:1: half a surrogate pair"):
        texts(path)
    assert texts(path, errors="replace") == ["a\ufffdb"]


def test_long_documents_of_any_format_come_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PIECE", 4)
    path = tmp_path / "a.jsonl"
    path.write_text('"0123456789"')
    assert [tuple(piece)[::2] for piece in read_documents(path)] == [("0123", False), ("4567", False), ("89", True)]


def test_bad_input_is_told_before_the_first_piece(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="no such file"):
        read_documents(tmp_path / "none")
    with pytest.raises(DataError, match="no text file in this folder"):
        read_documents(tmp_path)
    (tmp_path / "a").write_text("x")
    with pytest.raises(ArgumentError, match="format 'pdf': must be one of auto, text"):
        read_documents(tmp_path / "a", format="pdf")
    with pytest.raises(ArgumentError, match="--encoding"):
        read_documents(tmp_path / "a", encoding="nope")


def test_files_without_any_text_in_them(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('\n""\n')
    with pytest.raises(DataError, match="no document with any text"):
        texts(tmp_path / "a.jsonl")


def test_invalid_utf8_in_a_folder_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("fine")
    (tmp_path / "b.txt").write_bytes(b"not \xff")
    with pytest.raises(EncodingError, match=r"b\.txt:1: not valid UTF-8 at byte 4"):
        texts(tmp_path)
