"""A training run as its folder tells of it: config.json, metrics.jsonl and samples.md, read as they grow.

The run knows nothing of who reads: a watcher only opens its files. A run that is resumed takes lines back, one that
overwrites begins anew, and a last line may be half written; all three are seen here.
"""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Literal

from pydantic import BaseModel, Field

from unrolled.errors import ArgumentError, UnrolledError
from unrolled.storage import plain_json
from unrolled.tasks.core.catalog import task_named
from unrolled.tasks.core.config import CONFIG, ModelConfig, read_config

log = logging.getLogger(__name__)

METRICS, SAMPLES = "metrics.jsonl", "samples.md"
#: lines of metrics that are sent at once, whatever has been written: of training, of development, of gradient flow
TRAINED, EVALUATED, FLOWED = 1_400, 400, 200
#: samples that are sent at once, and characters of each
SAMPLED, CHARACTERS = 100, 4_000
#: bytes that are read in one go; a line longer than this is left out
CHUNK = 1 << 20
#: bytes before where was read last that are looked at again: a run that was resumed has others there
MARK = 64

#: a name and what is told: `run`, `metrics`, `samples`, `done`
Event = tuple[str, dict[str, Any]]
State = Literal["waiting", "running", "finished", "interrupted"]


class RunAbout(BaseModel):
    """A run that is watched."""

    name: str
    state: State = Field(description="waiting: nothing is there yet; running: also if its process was killed")
    task: str | None
    shape: str | None = Field(description="which of the five shapes the network has")
    options: dict[str, Any] = Field(description="what was chosen of the task's options")
    training: dict[str, Any] = Field(description="the training settings; steps, epochs and minutes say when it ends")
    network: dict[str, Any]
    data: dict[str, Any] = Field(description="counts and fingerprints of what it learns from")
    result: dict[str, Any] = Field(description="what came of it; empty while it goes on")
    updated: float | None = Field(description="when something was written last, seconds since 1970 UTC")


def about_run(name: str, folder: Path) -> dict[str, Any]:
    """What can be said of a run now, as `RunAbout`."""
    times = [status[2] for file in (CONFIG, METRICS, SAMPLES) if (status := _status(folder / file))]
    told: dict[str, Any] = {"name": name, "state": "waiting", "task": None, "shape": None}
    told |= {"options": {}, "training": {}, "network": {}, "data": {}, "result": {}}
    told["updated"] = max(times) / 1e9 if times else None
    try:
        config = read_config(folder)
    except UnrolledError:
        # a run that has not come so far, or is just being replaced
        return told
    told |= {"task": config.task, "shape": _shape(config.task), "options": config.options, "data": config.data}
    told |= {"training": config.training, "network": config.network, "state": _state(config, folder)}
    if told["state"] != "running":
        told["result"] = config.result
    clean: dict[str, Any] = plain_json(told)
    return clean


def _state(config: ModelConfig, folder: Path) -> State:
    """A run that was resumed has the result of before, and has taken steps since."""
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


class Watch:
    """One watcher's view of a run: what it has been told, and what is new.

    Args:
        name: the run's.
        folder: the run's; it need not be there yet.
    """

    def __init__(self, name: str, folder: Path) -> None:
        self.name, self.folder = name, folder
        self._metrics, self._samples = Tail(folder / METRICS), Tail(folder / SAMPLES)
        self._told: dict[str, Any] = {}
        self._seen: list[tuple[int, int, int] | None] | None = None

    def poll(self) -> list[Event]:
        """What is new since the last time.

        Returns:
            Events: `run` (as `RunAbout`, the first time and whenever it changes but for `updated`), `metrics`
            (`{"lines", "anew"}`; where `anew`, what was told before is void), `samples` (`{"samples", "anew"}`), and
            `done` (`{"result", "interrupted"}`) once when the run has come to its end.

        Raises:
            OSError: a file can't be read.
        """
        found: list[Event] = []
        seen = [_status(self.folder / file) for file in (CONFIG, METRICS, SAMPLES)]
        if seen == self._seen:
            return found
        # looked at before the files: what it is said to have come to has been written by then
        now = about_run(self.name, self.folder)
        lasting = {key: value for key, value in now.items() if key != "updated"}
        is_news = lasting != self._told
        over = is_news and now["state"] in ("finished", "interrupted")
        if is_news:
            found.append(("run", now))
        anew = self._metrics.look()
        lines = thinned(self._metrics.lines())
        if lines or anew:
            found.append(("metrics", {"lines": lines, "anew": anew}))
        anew = self._samples.look()
        samples = spread(self._samples.samples(), SAMPLED)
        if samples or anew:
            found.append(("samples", {"samples": samples, "anew": anew}))
        if over:
            found.append(("done", {"result": now["result"], "interrupted": now["state"] == "interrupted"}))
        self._told, self._seen = lasting, seen
        return found


class Tail:
    """A file that grows, from where it was read last.

    Args:
        path: of the file; it need not be there yet.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._at, self._mark = 0, b""
        # inode, size and time as they were when it was read last, and as they are
        self._read: tuple[int, int, int] | None = None
        self._now: tuple[int, int, int] | None = None

    def look(self) -> bool:
        """See whether there is something new, and whether it follows on what was read.

        Returns:
            True if all that was read before is void; then reading begins anew.
        """
        self._now = _status(self.path)
        if self._now == self._read or not self._at or (self._now is not None and self._follows(self._now)):
            return False
        self._at, self._mark, self._read = 0, b"", None
        return True

    def lines(self) -> Iterator[bytes]:
        """Whole lines that are new."""
        if self._now == self._read or self._now is None:
            return
        with self.path.open("rb") as stream:
            stream.seek(self._at)
            while chunk := stream.read(CHUNK):
                end = chunk.rfind(b"\n") + 1
                if end:
                    self._take(chunk[:end])
                    yield from chunk[: end - 1].split(b"\n")
                elif len(chunk) == CHUNK:
                    self._skip(stream, chunk)
                else:
                    # a last line that is not whole yet
                    break
                stream.seek(self._at)
        self._read = self._now

    def samples(self) -> Iterator[dict[str, Any]]:
        """What is new of a samples.md; of very much, the end."""
        if self._now == self._read or self._now is None:
            return
        begin = max(self._at, self._now[1] - 16 * CHUNK)
        with self.path.open("rb") as stream:
            stream.seek(begin)
            data = stream.read(16 * CHUNK)
        for found in _BLOCK.finditer(data):
            self._at, self._mark = begin + found.end(), data[max(0, found.end() - MARK) : found.end()]
            loss = found["loss"]
            yield {
                "step": int(found["step"]),
                "epoch": float(found["epoch"]),
                "loss": plain_json(float(loss)) if loss else None,
                "text": found["text"].decode("utf-8", "replace")[:CHARACTERS],
            }
        self._read = self._now

    def _follows(self, now: tuple[int, int, int]) -> bool:
        """Whether the file is the same one, and has what was read last where it was read."""
        if self._read is None or now[0] != self._read[0] or now[1] < self._at:
            return False
        with self.path.open("rb") as stream:
            stream.seek(self._at - len(self._mark))
            return stream.read(len(self._mark)) == self._mark

    def _take(self, data: bytes) -> None:
        """So much has been read."""
        self._at += len(data)
        self._mark = (self._mark + data)[-MARK:]

    def _skip(self, stream: BinaryIO, chunk: bytes) -> None:
        """A line too long to be kept: go on behind it."""
        log.warning("%s: a line of more than %d bytes is left out", self.path, CHUNK)
        while chunk and b"\n" not in chunk:
            self._take(chunk)
            chunk = stream.read(CHUNK)
        self._take(chunk[: chunk.find(b"\n") + 1])


#: as training/run.py writes them; a fence ends only with one as long
_BLOCK = re.compile(
    rb"^## Step (?P<step>\d+) \xc2\xb7 epoch (?P<epoch>[\d.]+)(?: \xc2\xb7 dev loss (?P<loss>[\w.+-]+))?\n\n"
    rb"(?P<fence>`{3,})text\n(?P<text>.*?)\n(?P=fence)\n",
    re.DOTALL | re.MULTILINE,
)


def thinned(lines: Iterable[bytes]) -> list[dict[str, Any]]:
    """Lines of a metrics.jsonl, at most 2,000: evenly spread over all, the newest among them.

    Lines of other splits than train, and those that tell of gradient flow, are rarer and are kept for longer.
    """
    kept = [Spread(TRAINED), Spread(EVALUATED), Spread(FLOWED)]
    for number, line in enumerate(lines):
        # looked for in the text: to parse every line of a long run would take a training's time
        group = 2 if b'"flow"' in line else 0 if b'"split": "train"' in line else 1
        kept[group].add((number, line))
    chosen = sorted(one for group in kept for one in group.all())
    return [record for _, line in chosen if (record := _parsed(line)) is not None]


class Spread:
    """So many of a long row, evenly spread, the last always among them.

    >>> row = Spread(5)
    >>> for n in range(100):
    ...     row.add(n)
    >>> row.all()
    [0, 32, 64, 96, 99]

    Args:
        most: how many.
    """

    def __init__(self, most: int) -> None:
        self._most, self._every, self._count = most - 1, 1, 0
        self._kept: list[Any] = []
        self._last: Any = None

    def add(self, one: Any) -> None:
        """One more."""
        if self._count % self._every == 0:
            self._kept.append(one)
            if len(self._kept) > self._most:
                self._kept = self._kept[::2]
                self._every *= 2
        self._count, self._last = self._count + 1, one

    def all(self) -> list[Any]:
        """Those that are kept."""
        if (self._count - 1) % self._every:
            return [*self._kept, self._last]
        return list(self._kept)


def spread(row: Iterable[Any], most: int) -> list[Any]:
    """At most so many of a row, evenly, the last among them."""
    kept = Spread(most)
    for one in row:
        kept.add(one)
    return kept.all()


def _parsed(line: bytes) -> dict[str, Any] | None:
    """A line as an object; None for what is none, as after a disk that was full."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return plain_json(found) if isinstance(found, dict) and isinstance(found.get("step"), int) else None


def _status(path: Path) -> tuple[int, int, int] | None:
    """Inode, size and time of the last change, ns; None if it is not there."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns
