"""A model's folder from a stranger: nothing but files of a sensible size is read, and nothing outside is written."""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.models import replay
from tests.strangers import without_digests

import unrolled
from unrolled.errors import ModelError, StorageError, UnrolledError
from unrolled.storage import MANIFEST, write_whole
from unrolled.training import plot_run
from unrolled.training.saving.files import Journal

from .conftest import NAMES, STORED, Saved

MEBIBYTE = 1 << 20


@contextmanager
def bounded(seconds: int = 2, memory: int = 512 * MEBIBYTE) -> Iterator[None]:
    """Fail where more time or more memory is taken than a small model needs."""

    def late(number: int, frame: object) -> None:
        raise AssertionError(f"took more than {seconds} s")

    before = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    previous = signal.signal(signal.SIGALRM, late)
    resource.setrlimit(resource.RLIMIT_AS, (used + memory, before[1]))
    # of the process alone, as others may keep the machine busy
    signal.setitimer(signal.ITIMER_REAL, 30 * seconds)
    started = time.process_time()
    try:
        yield
        assert time.process_time() - started < seconds
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        resource.setrlimit(resource.RLIMIT_AS, before)
        signal.signal(signal.SIGALRM, previous)


def to_zeros(path: Path) -> None:
    path.symlink_to("/dev/zero")


def sparse(path: Path) -> None:
    with path.open("wb") as stream:
        stream.truncate(1 << 42)


SPECIAL = {
    "device": to_zeros,
    "fifo": os.mkfifo,
    "folder": Path.mkdir,
    "loop": lambda path: path.symlink_to(path.name),
    "four terabytes": sparse,
}


@pytest.mark.parametrize("make", SPECIAL.values(), ids=SPECIAL)
def test_files_that_are_none_are_refused(saved: Saved, make: Callable[[Path], object]) -> None:
    folder = saved("classify")
    rows = STORED / "classify" / "data" / "dev.tsv"
    for name in sorted(path.name for path in folder.iterdir() if path.suffix in (".json", ".safetensors")):
        content = (folder / name).read_bytes()
        (folder / name).unlink()
        make(folder / name)
        with bounded(), pytest.raises((ModelError, StorageError), match=name):
            unrolled.load(folder).evaluate(rows)
        (folder / name).rmdir() if make is Path.mkdir else (folder / name).unlink()
        (folder / name).write_bytes(content)
    assert unrolled.load(folder).evaluate(rows).metrics


def test_links_to_files_are_read(saved: Saved, tmp_path: Path) -> None:
    folder = saved("classify")
    for path in list(folder.iterdir()):
        path.rename(tmp_path / f"blob-{path.name}")
        path.symlink_to(tmp_path / f"blob-{path.name}")
    assert unrolled.load(folder).config.task == "classify"


# Writing


@pytest.fixture
def victim(tmp_path: Path) -> Iterator[Path]:
    """A file of the user's, which must stay as it is."""
    path = tmp_path / "victim"
    path.write_text("precious\n")
    yield path
    assert path.read_text() == "precious\n"


def test_a_link_in_the_place_of_a_partial_file_is_not_followed(victim: Path, tmp_path: Path) -> None:
    (tmp_path / ".a.txt.partial").symlink_to(victim)
    write_whole(tmp_path / "a.txt", b"new")
    assert (tmp_path / "a.txt").read_bytes() == b"new"
    assert not (tmp_path / "a.txt").is_symlink()
    (tmp_path / ".b.txt.partial").mkdir()
    with pytest.raises(StorageError, match=r"b\.txt"):
        write_whole(tmp_path / "b.txt", b"new")


def test_saving_into_a_folder_full_of_links_writes_through_none(
    saved: Saved, saved_once: Saved, victim: Path, tmp_path: Path
) -> None:
    folder = saved("classify")
    model = unrolled.load(saved_once("classify"))
    for path in [*folder.iterdir(), *(folder / f".{path.name}.partial" for path in folder.iterdir())]:
        path.unlink(missing_ok=True)
        path.symlink_to(victim)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "config.json").write_text("mine")
    for name in (".saving", ".saved"):
        (folder / name).symlink_to(tmp_path / "elsewhere")
    model.save(folder)
    assert not [path for path in folder.iterdir() if path.is_symlink() and not path.name.endswith(".partial")]
    assert unrolled.load(folder).fingerprint == model.fingerprint
    assert (tmp_path / "elsewhere" / "config.json").read_text() == "mine"


def test_logs_are_not_written_through_links(victim: Path, tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").symlink_to(victim)
    with pytest.raises(StorageError, match=r"metrics\.jsonl: a link"):
        Journal(tmp_path / "metrics.jsonl")
    os.mkfifo(tmp_path / "samples.md")
    with pytest.raises(StorageError, match=r"samples\.md"):
        Journal(tmp_path / "samples.md")


def test_plots_are_not_drawn_through_links(victim: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    (tmp_path / "metrics.jsonl").write_text('{"step": 1, "split": "train", "loss": 1.0}\n')
    (tmp_path / "plots").mkdir()
    (tmp_path / "plots" / "loss.png").symlink_to(victim)
    plot_run(tmp_path)
    assert (tmp_path / "plots" / "loss.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize("name", ["../victim", "/etc/passwd", "..", "", "a\\b", "a/b"])
def test_names_in_a_manifest_stay_in_the_folder(saved: Saved, victim: Path, name: str) -> None:
    folder = saved("classify")
    listed = json.loads((folder / MANIFEST).read_text())
    listed["files"][name] = {"bytes": 1, "sha256": "0"}
    (folder / MANIFEST).write_text(json.dumps(listed))
    with pytest.raises(ModelError, match="leads elsewhere"):
        unrolled.load(folder)


# Headers and numbers


def header(folder: Path, change: Callable[[dict[str, Any]], object], rest: bytes | None = None) -> None:
    """Change the header of the weights, and perhaps what follows it."""
    path = folder / "model.safetensors"
    data = path.read_bytes()
    length = struct.unpack("<Q", data[:8])[0]
    content = json.loads(data[8 : 8 + length])
    change(content)
    encoded = json.dumps(content).encode()
    path.write_bytes(struct.pack("<Q", len(encoded)) + encoded + (data[8 + length :] if rest is None else rest))


def first(content: dict[str, Any]) -> dict[str, Any]:
    return next(entry for name, entry in content.items() if name != "__metadata__")  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    "change",
    [
        lambda content: first(content).update(shape=[10**12]),
        lambda content: first(content).update(shape=[-1]),
        lambda content: first(content).update(shape=["x"]),
        lambda content: first(content).update(shape=3),
        lambda content: first(content).update(shape=[1.5]),
        lambda content: first(content).update(data_offsets=[0, 10**15]),
        lambda content: first(content).update(data_offsets=[8, 4]),
        lambda content: first(content).update(dtype="F63"),
        lambda content: first(content).clear(),
        lambda content: content.update({str(n): first(content) for n in range(1000)}),
        lambda content: content.clear(),
    ],
    ids=range(11),
)
def test_headers_that_lie_are_refused(saved: Saved, change: Callable[[dict[str, Any]], object]) -> None:
    folder = without_digests(saved("classify"))
    header(folder, change)
    with bounded(), pytest.raises(ModelError, match=r"model\.safetensors: "):
        unrolled.load(folder)


@pytest.mark.parametrize("length", [0, 1, 1 << 24, 1 << 40, (1 << 64) - 1])
def test_headers_without_end_are_refused(saved: Saved, length: int) -> None:
    folder = without_digests(saved("classify"))
    path = folder / "model.safetensors"
    path.write_bytes(struct.pack("<Q", length) + path.read_bytes()[8:])
    with bounded(), pytest.raises(ModelError, match=r"model\.safetensors: corrupt or cut short"):
        unrolled.load(folder)


def numbers(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield where numbers are in a nest of plain values: of long lists, in the first places."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from numbers(inner, (*path, key))
    elif isinstance(value, list):
        for place, inner in enumerate(value[:2]):
            yield from numbers(inner, (*path, place))
    elif isinstance(value, (int, float)):
        yield path


def replaced(value: Any, path: tuple[Any, ...], number: Any) -> Any:
    if not path:
        return number
    inner = value.copy()
    inner[path[0]] = replaced(value[path[0]], path[1:], number)
    return inner


#: what a number is replaced by
STRANGE = (-1, 0, 2**31, 10**12, 2**63, 10**400, 1e308, True, None, "x", [], {})


@pytest.mark.parametrize("name", NAMES)
def test_no_number_of_a_folder_takes_memory_or_time(saved: Saved, name: str) -> None:
    folder = without_digests(saved(name))
    question = json.loads((Path(__file__).parents[1] / "models" / "v0.1" / name / "expected.json").read_text())
    draw = random.Random(name)
    for file in sorted(folder.glob("*.json")):
        whole = file.read_text("utf-8")
        content = json.loads(whole)
        for path in numbers(content):
            if file.name == "config.json" and path[0] in ("result", "training", "versions", "sources"):
                continue
            number = draw.choice(STRANGE)
            file.write_text(json.dumps(replaced(content, path, number)), "utf-8")
            asked(folder, question, f"{file.name}: {'.'.join(map(str, path))} = {number!r}"[:200])
        file.write_text(whole, "utf-8")
    unrolled.load(folder)


def asked(folder: Path, question: Any, where: str) -> None:
    """Load a model and ask it everything; whatever comes, comes as an answer or as an error of ours, and soon."""
    try:
        with bounded(seconds=10, memory=2048 * MEBIBYTE):
            model = unrolled.load(folder)
            replay.predict(model, question["predictions"][0])
            if question["stream"]:
                session = model.stream()
                for call in question["stream"]["calls"][:2]:
                    replay.call(session, call)
    except UnrolledError as error:
        if "\n" in str(error):
            raise AssertionError(f"{where}: more than one line: {error}") from error
    except Exception as error:
        raise AssertionError(f"{where}: {type(error).__name__}: {error}") from error
