"""`unrolled data`, against a server on this machine and folders that stand in for it."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from unrolled.data import CATALOGUE, DataSet, RemoteFile

from .running import complaint, unrolled

CONTENT = b"to be or not to be\n" * 100


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture(autouse=True)
def toy(monkeypatch: pytest.MonkeyPatch) -> None:
    file = RemoteFile("text.txt", len(CONTENT), hashlib.sha256(CONTENT).hexdigest())
    monkeypatch.setitem(CATALOGUE, "toy", DataSet("toy", "a toy", "CC0", "http://127.0.0.1:9/toy/", (file,)))


@pytest.fixture
def mirror(tmp_path: Path) -> Path:
    folder = tmp_path / "mirror"
    (folder / "toy").mkdir(parents=True)
    (folder / "toy" / "text.txt").write_bytes(CONTENT)
    return folder


@pytest.fixture
def server(mirror: Path) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(mirror))) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def test_list_says_size_and_licence() -> None:
    result = unrolled("data", "list")
    assert result.code == 0
    assert "licence: CC0" in result.out
    listed = {found["name"]: found for found in unrolled("data", "list", "--json").json}
    assert listed.keys() == CATALOGUE.keys()
    assert listed["toy"]["size"] == len(CONTENT)
    assert listed["toy"]["files"][0]["sha256"] == hashlib.sha256(CONTENT).hexdigest()


def test_get_from_a_server_prints_the_folder_alone(server: str, tmp_path: Path) -> None:
    result = unrolled("data", "get", "toy", "--mirror", server, "--cache", tmp_path / "cache")
    assert result.code == 0, result.err
    folder = Path(result.out.removesuffix("\n"))
    assert folder == tmp_path / "cache" / "toy"
    assert (folder / "text.txt").read_bytes() == CONTENT
    assert "CC0" in result.err
    assert hashlib.sha256(CONTENT).hexdigest() in result.err


def test_get_from_a_folder_and_then_from_the_cache(mirror: Path, tmp_path: Path) -> None:
    first = unrolled("data", "get", "toy", "--mirror", mirror, "--cache", tmp_path / "cache")
    again = unrolled("data", "get", "toy", "--cache", tmp_path / "cache")
    assert first.code == again.code == 0
    assert first.out == again.out


def test_variables_stand_in_for_the_options(mirror: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNROLLED_MIRROR", str(mirror))
    monkeypatch.setenv("UNROLLED_CACHE", str(tmp_path / "elsewhere"))
    assert unrolled("data", "get", "toy").out == f"{tmp_path / 'elsewhere' / 'toy'}\n"


def test_changed_content_and_no_network_are_named(mirror: Path, tmp_path: Path) -> None:
    (mirror / "toy" / "text.txt").write_bytes(CONTENT[:-1])
    cache = ("--cache", tmp_path / "cache")
    changed = unrolled("data", "get", "toy", "--mirror", mirror, *cache)
    offline = unrolled("data", "get", "toy", "--mirror", "http://127.0.0.1:9", *cache)
    assert (changed.code, offline.code) == (2, 2)
    assert "--mirror" in complaint(offline)
    assert "checksum" in complaint(changed)
