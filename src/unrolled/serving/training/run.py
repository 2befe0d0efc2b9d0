"""A training run as events, read from its files config.json, metrics.jsonl and samples.md as they grow.

The run knows nothing of its watchers, which only open its files. A run that is resumed removes lines, one that
overwrites begins again, and a last line may be half written; all three are handled here.
"""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Generic, Literal, TypeVar

from pydantic import BaseModel, Field

from unrolled.errors import ArgumentError, UnrolledError
from unrolled.storage import plain_json
from unrolled.tasks.core.catalog import task_named
from unrolled.tasks.core.folder.config import CONFIG, ModelConfig, read_config

log = logging.getLogger(__name__)

METRICS, SAMPLES = "metrics.jsonl", "samples.md"
#: lines of metrics that are sent at once, at most: of training, of development, of gradient flow
TRAINED, EVALUATED, FLOWED = 1_400, 400, 200
#: samples that are sent at once, at most, and characters of each
SAMPLED, CHARACTERS = 100, 4_000
#: bytes that are read at a time; a longer line is left out
CHUNK = 1 << 20
#: bytes before the position that are compared at each poll: a run that was resumed has others there
MARK = 64

#: a name (`run`, `metrics`, `samples`, `done`) and its data
Event = tuple[str, dict[str, Any]]
State = Literal["waiting", "running", "finished", "interrupted"]
#: inode, size, and time of the last change in ns
Status = tuple[int, int, int]
T = TypeVar("T")


class RunAbout(BaseModel):
    """A run that is watched."""

    name: str
    state: State = Field(description="waiting: nothing was written yet; running: also if its process was killed")
    task: str | None
    shape: str | None = Field(description="which of the five shapes the network has")
    options: dict[str, Any] = Field(description="options of the task")
    training: dict[str, Any] = Field(description="training settings; steps, epochs and minutes say when it ends")
    network: dict[str, Any]
    data: dict[str, Any] = Field(description="counts and fingerprints of the training data")
    result: dict[str, Any] = Field(description="the outcome; empty while it goes on")
    updated: float | None = Field(description="time of the last change, seconds since 1970 UTC")


def about_run(name: str, folder: Path) -> dict[str, Any]:
    """Return the description of a run, as the fields of `RunAbout`."""
    times = [status[2] for file in (CONFIG, METRICS, SAMPLES) if (status := _status(folder / file))]
    about: dict[str, Any] = {"name": name, "state": "waiting", "task": None, "shape": None}
    about |= {"options": {}, "training": {}, "network": {}, "data": {}, "result": {}}
    about["updated"] = max(times) / 1e9 if times else None
    try:
        config = read_config(folder)
    except UnrolledError:
        # the run has not come so far, or is just being replaced
        return about
    about |= {"task": config.task, "shape": _shape(config.task), "options": config.options, "data": config.data}
    about |= {"training": config.training, "network": config.network, "state": _state(config, folder)}
    if about["state"] != "running":
        about["result"] = config.result
    plain: dict[str, Any] = plain_json(about)
    return plain


def _state(config: ModelConfig, folder: Path) -> State:
    # a run that was resumed has the result of before, and has taken steps since
    if not config.result or _last_step(folder / METRICS) > config.result.get("step", 0):
        return "running"
    return "interrupted" if config.result.get("interrupted") else "finished"


def _last_step(path: Path) -> int:
    try:
        with path.open("rb") as stream:
            stream.seek(max(0, os.fstat(stream.fileno()).st_size - CHUNK))
            lines = stream.read().split(b"\n")[:-1]
    except OSError:
        return 0
    return next((record["step"] for line in reversed(lines) if (record := _parsed(line)) is not None), 0)


def _shape(task: str) -> str | None:
    try:
        return task_named(task).shape
    except ArgumentError:
        return None


class RunWatch:
    """A watcher of a run: knows what it has reported, and reports what is new.

    Args:
        name: the run's.
        folder: the run's; it need not exist yet.
    """

    def __init__(self, name: str, folder: Path) -> None:
        self.name, self.folder = name, folder
        self._metrics, self._samples = Tail(folder / METRICS), Tail(folder / SAMPLES)
        self._about: dict[str, Any] = {}
        self._seen: list[Status | None] | None = None

    def poll(self) -> list[Event]:
        """Return what is new since the last call.

        Returns:
            Events: `run` (as `RunAbout`, the first time and whenever it changes in more than `updated`), `metrics`
            (`{"lines", "anew"}`; where `anew`, all lines before are void), `samples` (`{"samples", "anew"}`), and
            `done` (`{"result", "interrupted"}`) once when the run has ended.

        Raises:
            OSError: a file can't be read.
        """
        seen = [_status(self.folder / file) for file in (CONFIG, METRICS, SAMPLES)]
        if seen == self._seen:
            return []
        events: list[Event] = []
        # before the files are read: what the result refers to was written by then
        now = about_run(self.name, self.folder)
        about = {key: value for key, value in now.items() if key != "updated"}
        changed = about != self._about
        if changed:
            events.append(("run", now))
        anew = self._metrics.look()
        lines = thinned(self._metrics.lines())
        if lines or anew:
            events.append(("metrics", {"lines": lines, "anew": anew}))
        anew = self._samples.look()
        samples = spread(self._samples.samples(), SAMPLED)
        if samples or anew:
            events.append(("samples", {"samples": samples, "anew": anew}))
        if changed and now["state"] in ("finished", "interrupted"):
            events.append(("done", {"result": now["result"], "interrupted": now["state"] == "interrupted"}))
        self._about, self._seen = about, seen
        return events


class Tail:
    """A file that grows, read from the position where the last read ended.

    Args:
        path: of the file; it need not exist yet.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._at, self._mark = 0, b""
        # when it was read last, and now
        self._read: Status | None = None
        self._now: Status | None = None

    def look(self) -> bool:
        """Check whether the file has changed, and whether it continues what was read.

        Returns:
            True if all that was read before is void; then reading begins again.
        """
        self._now = _status(self.path)
        if self._now == self._read or not self._at or (self._now is not None and self._follows(self._now)):
            return False
        self._at, self._mark, self._read = 0, b"", None
        return True

    def lines(self) -> Iterator[bytes]:
        """Yield whole lines that are new."""
        if self._now == self._read or self._now is None:
            return
        with self.path.open("rb") as stream:
            stream.seek(self._at)
            while chunk := stream.read(CHUNK):
                end = chunk.rfind(b"\n") + 1
                if end:
                    self._advance(chunk[:end])
                    yield from chunk[: end - 1].split(b"\n")
                elif len(chunk) == CHUNK:
                    self._skip(stream, chunk)
                else:
                    # the last line is not whole yet
                    break
                stream.seek(self._at)
        self._read = self._now

    def samples(self) -> Iterator[dict[str, Any]]:
        """Yield new samples of a samples.md: the last ones, if there are very many."""
        if self._now == self._read or self._now is None:
            return
        begin = max(self._at, self._now[1] - 16 * CHUNK)
        with self.path.open("rb") as stream:
            stream.seek(begin)
            data = stream.read(16 * CHUNK)
        for block in _BLOCK.finditer(data):
            self._at, self._mark = begin + block.end(), data[max(0, block.end() - MARK) : block.end()]
            loss = block["loss"]
            yield {
                "step": int(block["step"]),
                "epoch": float(block["epoch"]),
                "loss": plain_json(float(loss)) if loss else None,
                "text": block["text"].decode("utf-8", "replace")[:CHARACTERS],
            }
        self._read = self._now

    def _follows(self, now: Status) -> bool:
        """Return whether it is the same file, with what was read last where it was read."""
        if self._read is None or now[0] != self._read[0] or now[1] < self._at:
            return False
        with self.path.open("rb") as stream:
            stream.seek(self._at - len(self._mark))
            return stream.read(len(self._mark)) == self._mark

    def _advance(self, data: bytes) -> None:
        """Move the position behind what was read."""
        self._at += len(data)
        self._mark = (self._mark + data)[-MARK:]

    def _skip(self, stream: BinaryIO, chunk: bytes) -> None:
        """Move the position behind a line that is too long to be kept."""
        log.warning("%s: a line of more than %d bytes is left out", self.path, CHUNK)
        while chunk and b"\n" not in chunk:
            self._advance(chunk)
            chunk = stream.read(CHUNK)
        self._advance(chunk[: chunk.find(b"\n") + 1])


#: as training writes them; a fence ends only with one as long
_BLOCK = re.compile(
    rb"^## Step (?P<step>\d+) \xc2\xb7 epoch (?P<epoch>[\d.]+)(?: \xc2\xb7 dev loss (?P<loss>[\w.+-]+))?\n\n"
    rb"(?P<fence>`{3,})text\n(?P<text>.*?)\n(?P=fence)\n",
    re.DOTALL | re.MULTILINE,
)


def thinned(lines: Iterable[bytes]) -> list[dict[str, Any]]:
    """Return at most 2,000 lines of a metrics.jsonl, evenly spread, with the newest.

    Lines of other splits than train, and those of gradient flow, are rarer, and more of them are kept.
    """
    kept: list[Spread[tuple[int, bytes]]] = [Spread(TRAINED), Spread(EVALUATED), Spread(FLOWED)]
    for number, line in enumerate(lines):
        # searched for as text, since parsing every line of a long run takes long
        group = 2 if b'"flow"' in line else 0 if b'"split": "train"' in line else 1
        kept[group].add((number, line))
    chosen = sorted(pair for group in kept for pair in group.all())
    return [record for _, line in chosen if (record := _parsed(line)) is not None]


class Spread(Generic[T]):
    """Keeps so many of a long row of items, evenly spread, with the last.

    >>> row = Spread(5)
    >>> for n in range(100):
    ...     row.add(n)
    >>> row.all()
    [0, 32, 64, 96, 99]

    Args:
        most: items.
    """

    def __init__(self, most: int) -> None:
        self._most, self._every, self._count = most - 1, 1, 0
        self._kept: list[T] = []
        self._last: list[T] = []

    def add(self, item: T) -> None:
        """Add the next item."""
        if self._count % self._every == 0:
            self._kept.append(item)
            if len(self._kept) > self._most:
                self._kept = self._kept[::2]
                self._every *= 2
        self._count, self._last = self._count + 1, [item]

    def all(self) -> list[T]:
        """Return the items that are kept."""
        return self._kept + (self._last if (self._count - 1) % self._every else [])


def spread(items: Iterable[T], most: int) -> list[T]:
    """Return at most so many items, evenly spread, with the last."""
    kept: Spread[T] = Spread(most)
    for item in items:
        kept.add(item)
    return kept.all()


def _parsed(line: bytes) -> dict[str, Any] | None:
    """Return a line as an object; None if it is none, as after the disk was full."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return plain_json(record) if isinstance(record, dict) and isinstance(record.get("step"), int) else None


def _status(path: Path) -> Status | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns
