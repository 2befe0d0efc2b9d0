"""The catalogue, against a server on this machine and folders that stand in for it."""

from __future__ import annotations

import gzip
import hashlib
import re
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from unrolled.data import CATALOGUE, DataSet, RemoteFile, cache_folder, find, get
from unrolled.errors import ArgumentError, DataError, StorageError

ONE, TWO = b"first file\n" * 1000, b"second\n"


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """What the server serves: one file plain, the other compressed."""
    folder = tmp_path / "site" / "toy"
    folder.mkdir(parents=True)
    (folder / "one.txt").write_bytes(ONE)
    (folder / "two.txt.gz").write_bytes(gzip.compress(TWO))
    return folder


@pytest.fixture
def server(site: Path) -> Iterator[str]:
    handler = partial(Quiet, directory=str(site.parent))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def toy(monkeypatch: pytest.MonkeyPatch) -> None:
    def file(name: str, content: bytes, published_as: str = "") -> RemoteFile:
        return RemoteFile(name, len(content), hashlib.sha256(content).hexdigest(), published_as)

    files = (file("one.txt", ONE), file("two.txt", TWO, "two.txt.gz"))
    monkeypatch.setitem(CATALOGUE, "toy", DataSet("toy", "a toy", "public domain", "http://127.0.0.1:9/toy/", files))
    for variable in ("UNROLLED_MIRROR", "UNROLLED_CACHE"):
        monkeypatch.delenv(variable, raising=False)


def right(folder: Path) -> bool:
    names = sorted(path.name for path in folder.iterdir())
    return names == ["one.txt", "two.txt"] and [(folder / name).read_bytes() for name in names] == [ONE, TWO]


def test_fetched_from_where_it_is_published(tmp_path: Path, server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    toy = CATALOGUE["toy"]
    monkeypatch.setitem(CATALOGUE, "toy", DataSet("toy", "", "", f"{server}/toy/", toy.files))
    assert right(get("toy", cache=tmp_path / "cache"))


def test_fetched_from_a_mirror_with_progress(tmp_path: Path, server: str) -> None:
    seen: list[tuple[str, int, int]] = []
    folder = get("toy", mirror=server + "/", cache=tmp_path / "cache", progress=lambda *done: seen.append(done))
    assert folder == tmp_path / "cache" / "toy"
    assert right(folder)
    assert ("one.txt", len(ONE), len(ONE)) in seen
    assert all(done <= total for _, done, total in seen)


def test_a_folder_stands_in_for_the_network(tmp_path: Path, site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNROLLED_MIRROR", str(site.parent))
    monkeypatch.setenv("UNROLLED_CACHE", str(tmp_path / "cache"))
    assert cache_folder() == tmp_path / "cache"
    assert right(get("toy"))


def test_what_is_in_the_cache_is_used_if_it_is_right(tmp_path: Path, site: Path) -> None:
    folder = get("toy", mirror=site.parent, cache=tmp_path / "cache")
    # No mirror now, and nothing listens at its address.
    assert right(get("toy", cache=tmp_path / "cache"))
    (folder / "one.txt").write_bytes(ONE[:-1] + b"!")
    with pytest.raises(
        StorageError, match=r"one\.txt: can't be fetched \(ConnectionError\); without a network .*mirror"
    ):
        get("toy", cache=tmp_path / "cache")
    assert right(get("toy", mirror=site.parent, cache=tmp_path / "cache"))


@pytest.mark.parametrize("wrong", [ONE[:-1] + b"!", ONE[:-1], ONE + b"more", b""])
def test_a_wrong_checksum_is_refused_and_leaves_nothing(tmp_path: Path, site: Path, server: str, wrong: bytes) -> None:
    (site / "one.txt").write_bytes(wrong)
    for mirror in (server, site.parent):
        with pytest.raises(DataError, match=r"toy/one\.txt: does not have the checksum of the published one\.txt"):
            get("toy", mirror=mirror, cache=tmp_path / "cache")
    assert list((tmp_path / "cache" / "toy").iterdir()) == []


def test_damaged_compression_is_refused(tmp_path: Path, site: Path) -> None:
    (site / "two.txt.gz").write_bytes(gzip.compress(TWO)[:-5])
    with pytest.raises(DataError, match=r"two\.txt\.gz: compressed data is damaged"):
        get("toy", mirror=site.parent, cache=tmp_path / "cache")


def test_what_a_mirror_does_not_have(tmp_path: Path, site: Path, server: str) -> None:
    (site / "one.txt").unlink()
    with pytest.raises(StorageError, match=r"one\.txt\.gz: the server answers 404"):
        get("toy", mirror=server, cache=tmp_path / "cache")
    with pytest.raises(StorageError, match=r"the mirror has no toy/one\.txt"):
        get("toy", mirror=site.parent, cache=tmp_path / "cache")


def test_unknown_name_and_unusable_cache(tmp_path: Path, site: Path) -> None:
    with pytest.raises(ArgumentError, match=r"no data set 'nope'; there are .*tinyshakespeare"):
        get("nope")
    (tmp_path / "file").write_text("x")
    with pytest.raises(StorageError, match="can't be written"):
        get("toy", mirror=site.parent, cache=tmp_path / "file")


@pytest.mark.parametrize("data_set", CATALOGUE.values(), ids=lambda data_set: data_set.name)
def test_entries_are_well_formed(data_set: DataSet) -> None:
    assert find(data_set.name) is data_set
    assert data_set.description
    assert data_set.licence
    assert data_set.address.startswith("https://")
    assert data_set.address.endswith("/")
    for file in data_set.files:
        assert re.fullmatch(r"[0-9a-f]{64}", file.sha256)
        assert file.size > 0
        assert file.name == Path(file.name).name


@pytest.mark.parametrize("data_set", CATALOGUE.values(), ids=lambda data_set: data_set.name)
def test_checksums_hold_for_real_copies(data_set: DataSet, tmp_path: Path, test_data: Path) -> None:
    folder = get(data_set.name, mirror=test_data, cache=tmp_path)
    assert sorted(path.name for path in folder.iterdir()) == sorted(file.name for file in data_set.files)
