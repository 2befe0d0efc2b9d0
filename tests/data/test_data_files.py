"""Reading bytes and text: every wrapping alike, every bad file named."""

from __future__ import annotations

import gzip
import io
import lzma
import os
import random
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unrolled.data.core import files
from unrolled.data.core.encodings import check_encoding, decode
from unrolled.data.core.files import text_lines
from unrolled.data.core.folders import find_sources
from unrolled.errors import ArgumentError, DataError, EncodingError, StorageError
from unrolled.storage import written_aside

TEXT = "Grüße\nan alle, 你好\n"


def content(path: Path) -> bytes:
    return b"".join(chunk for source in find_sources(path) for chunk in source.chunks())


def write_zip(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def test_plain_gz_xz_and_zip_read_alike(tmp_path: Path) -> None:
    data = TEXT.encode()
    (tmp_path / "a.txt").write_bytes(data)
    (tmp_path / "a.txt.gz").write_bytes(gzip.compress(data))
    (tmp_path / "a.txt.xz").write_bytes(lzma.compress(data))
    (tmp_path / "unnamed").write_bytes(gzip.compress(data))
    write_zip(tmp_path / "a.zip", {"in/a.txt": data})
    write_zip(tmp_path / "b.zip", {"a.txt.gz": gzip.compress(data)})
    for name in ("a.txt", "a.txt.gz", "a.txt.xz", "unnamed", "a.zip", "b.zip"):
        assert content(tmp_path / name) == data, name


def test_zip_members_come_sorted_without_hidden_and_binary_ones(tmp_path: Path) -> None:
    members = {"b.txt": b"B", "a.txt": b"A", ".hidden": b"H", "__MACOSX/x.txt": b"M", "i.png": b"\x89PNG", "e": b""}
    sources = find_sources(write_zip(tmp_path / "z.zip", members))
    assert [source.name for source in sources] == [f"{tmp_path}/z.zip!a.txt", f"{tmp_path}/z.zip!b.txt"]


def test_a_folder_is_walked_in_order_without_hidden_empty_and_binary_files(tmp_path: Path) -> None:
    for name, data in {"b.txt": b"b", "a/z.txt": b"z", "a/y": b"y", ".git/x": b"x", "e.txt": b"", "n": b"\0"}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(data)
    write_zip(tmp_path / "c.zip", {"m.txt": b"m"})
    names = [source.name.removeprefix(f"{tmp_path}/") for source in find_sources(tmp_path)]
    assert names == ["a/y", "a/z.txt", "b.txt", "c.zip!m.txt"]


def test_chunks_are_bounded_and_lines_whole(tmp_path: Path) -> None:
    data = os.urandom(5).hex().encode() * 1000 + b"\nlast"
    (tmp_path / "a.gz").write_bytes(gzip.compress(data))
    (source,) = find_sources(tmp_path / "a.gz")
    chunks = list(source.chunks(512))
    assert max(map(len, chunks)) == 512
    assert b"".join(chunks) == data
    assert list(source.lines()) == data.splitlines(keepends=True)


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("empty.txt", b"", "the file is empty"),
        ("empty.txt.gz", gzip.compress(b"", mtime=0), "the file is empty"),
        ("empty.zip", b"", "the file is empty"),
        ("b.bin", b"abc\0def", r"binary file, not text \(NUL byte at byte 3\)"),
        ("doc.pdf", b"%PDF-1.4\n", "binary file, not text"),
        ("x.zip", b"no archive", r"not a usable \.zip"),
        ("x.txt.gz", b"plain text", r"named \.gz but holds no \.gz data"),
        ("torn.gz", gzip.compress(random.Random(0).randbytes(5000).hex().encode())[:2000], "damaged or cut short"),
        ("torn.xz", lzma.compress(os.urandom(90000).hex().encode())[:60000], "damaged or cut short"),
    ],
)
def test_bad_files(tmp_path: Path, name: str, data: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(DataError, match=message) as caught:
        content(tmp_path / name)
    assert str(caught.value).startswith(str(tmp_path / name))


def test_an_archive_or_folder_without_text(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no text file in this archive"):
        find_sources(write_zip(tmp_path / "z.zip", {"a.png": b"\x89PNG\0"}))
    (tmp_path / "z.zip").unlink()
    (tmp_path / ".hidden.txt").write_text("x")
    with pytest.raises(DataError, match="no text file in this folder"):
        find_sources(tmp_path)


def test_an_encrypted_zip_is_named(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "z.zip", {"a.txt": b"secret"})
    raw = bytearray(path.read_bytes())
    # The encryption bit of the local header and of the directory entry.
    raw[6] |= 1
    raw[raw.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(raw)
    with pytest.raises(DataError, match=r"z\.zip!a\.txt: this \.zip member can't be read: .*(encrypted|password)"):
        find_sources(path)


def test_missing_and_unusable_paths(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"nowhere\.txt: no such file or folder"):
        find_sources(tmp_path / "nowhere.txt")
    with pytest.raises(ArgumentError, match="no file or folder was given"):
        find_sources([])
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(StorageError, match="not a regular file"):
        find_sources(tmp_path / "pipe")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_file(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("x")
    (tmp_path / "a.txt").chmod(0)
    with pytest.raises(StorageError, match=r"a\.txt: can't be read: Permission denied"):
        find_sources(tmp_path / "a.txt")


def test_a_read_error_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("x")
    (source,) = find_sources(tmp_path / "a.txt")
    (tmp_path / "a.txt").unlink()
    with pytest.raises(StorageError, match=r"a\.txt: can't be read"):
        list(source.chunks())


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")), st.integers(1, 7))
def test_decoding_in_pieces_equals_pythons_own_text_files(text: str, size: int) -> None:
    text = text.removeprefix("\ufeff")
    for encoding in ("utf-8", "utf-16", "utf-32-le"):
        raw = text.encode(encoding)
        pieces = decode((raw[at : at + size] for at in range(0, len(raw), size)), "f", encoding)
        assert "".join(pieces) == io.TextIOWrapper(io.BytesIO(raw), encoding, newline=None).read()


def test_a_byte_order_mark_is_dropped() -> None:
    assert "".join(decode([b"\xef\xbb\xbfa\r", b"\nb"], "f")) == "a\nb"


@pytest.mark.parametrize("size", [1, 2, 3, 100])
@pytest.mark.parametrize(
    ("raw", "byte", "line"),
    [
        (b"\xff", 0, 1),
        ("é\nab\n".encode() + b"x\xe9y", 7, 3),
        ("né\n".encode() + b"\xe2\x82", 4, 2),
        (b"\xef\xbb\xbfab\n\x80", 6, 2),
    ],
)
def test_invalid_utf8_says_where(raw: bytes, byte: int, line: int, size: int) -> None:
    if raw.startswith(b"\xef") and size < 3:
        pytest.skip("a chunk never cuts the byte-order mark: a file's first chunk is 1 MiB or all of it")
    chunks = [raw[at : at + size] for at in range(0, len(raw), size)]
    with pytest.raises(
        EncodingError, match=rf"^mail\.txt:{line}: not valid UTF-8 at byte {byte} .*--encoding.*--errors"
    ):
        list(decode(chunks, "mail.txt"))
    assert "".join(decode(chunks, "mail.txt", errors="replace")) == raw.decode("utf-8-sig", "replace")


def test_another_encoding_reads_it() -> None:
    assert "".join(decode([b"caf\xe9"], "f", "cp1252")) == "café"
    with pytest.raises(EncodingError, match="mark of UTF-16: try --encoding utf-16"):
        list(decode(["é".encode("utf-16")], "f"))


def test_a_nul_far_into_the_file_is_binary() -> None:
    with pytest.raises(DataError, match=r"^f:2: a binary file, not text \(NUL byte at byte 4\)"):
        list(decode([b"ab\n", b"c\0"], "f", errors="replace"))


def test_utf16_without_a_mark_can_be_named(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes("Hello, world".encode("utf-16-le"))
    (source,) = find_sources(tmp_path / "a.txt")
    assert "".join(decode(source.chunks(), source.name, "utf-16-le")) == "Hello, world"
    with pytest.raises(DataError, match="binary file"):
        list(decode(source.chunks(), source.name))


def test_options_out_of_range() -> None:
    with pytest.raises(ArgumentError, match="--encoding 'klingon': no such text encoding"):
        check_encoding("klingon", "strict")
    with pytest.raises(ArgumentError, match="--encoding 'hex'"):
        check_encoding("hex", "strict")
    with pytest.raises(ArgumentError, match="--errors 'ignore': must be strict or replace"):
        check_encoding("utf-8", "ignore")


@given(st.lists(st.text("ab\n", max_size=6)))
def test_lines_of_pieces(pieces: list[str]) -> None:
    whole = "".join(pieces)
    assert list(text_lines(pieces, "f")) == (whole.removesuffix("\n").split("\n") if whole else [])


def test_a_line_without_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "LONGEST_LINE", 3)
    with pytest.raises(DataError, match="f:2: a line longer than"):
        list(text_lines(["a\nbcde", "f"], "f"))
    (tmp_path / "a").write_bytes(b"a\nbcde")
    with pytest.raises(DataError, match="a:2: a line longer than"):
        list(find_sources(tmp_path / "a")[0].lines())


def test_a_file_written_aside_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "x"
    target.write_bytes(b"old")

    def fail_half_way() -> None:
        with written_aside(target) as stream:
            stream.write(b"half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_half_way()
    assert target.read_bytes() == b"old"
    with written_aside(target) as stream:
        stream.write(b"new")
        assert target.read_bytes() == b"old"
    assert target.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["x"]
    with pytest.raises(StorageError, match="No such file"), written_aside(tmp_path / "no" / "x"):
        pass


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_link_in_the_place_of_a_partial_file_is_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "victim").write_bytes(b"theirs")
    os.symlink(tmp_path / "victim", tmp_path / ".x.partial")
    with written_aside(tmp_path / "x") as stream:
        stream.write(b"ours")
    assert (tmp_path / "victim").read_bytes() == b"theirs"
    assert (tmp_path / "x").read_bytes() == b"ours"
    assert sorted(os.listdir(tmp_path)) == ["victim", "x"]
