"""Runs that are watched: what their files say is told once, in order, whatever happens to the files."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from servers import Running, problem, running

from unrolled.errors import ArgumentError
from unrolled.serving import Limits
from unrolled.serving.http.naming import named_folders
from unrolled.serving.routes import training as route
from unrolled.serving.training.run import CHARACTERS, CHUNK, RunAbout, RunWatch, about_run, thinned
from unrolled.tasks.core.folder.config import ModelConfig, write_config


def configured(folder: Path, **more: Any) -> None:
    folder.mkdir(exist_ok=True)
    given = {"task": "generate", "options": {"cell": "gru"}, "network": {"hidden_size": 8}, "training": {"steps": 100}}
    write_config(folder, ModelConfig(**{**given, **more}))


def line(step: int, split: str = "train", **more: Any) -> str:
    return json.dumps({"step": step, "split": split, "loss": 1 / (1 + step), **more}) + "\n"


def add(path: Path, text: str) -> None:
    with path.open("a", encoding="utf-8") as stream:
        stream.write(text)


def sample(step: int, text: str, fence: str = "```", loss: str = " · dev loss 1.2500") -> str:
    return f"\n## Step {step} · epoch 0.50{loss}\n\n{fence}text\n{text}\n{fence}\n"


def steps(events: list[tuple[str, Any]]) -> list[int]:
    return [one["step"] for name, data in events if name == "metrics" for one in data["lines"]]


def of(events: list[tuple[str, Any]], wanted: str) -> list[Any]:
    return [data for name, data in events if name == wanted]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    configured(folder)
    return folder


def test_what_was_written_comes_first_and_then_what_is_new(run: Path) -> None:
    add(run / "metrics.jsonl", line(1) + line(2) + line(2, "dev", accuracy=0.5))
    watch = RunWatch("run", run)
    events = watch.poll()
    assert [name for name, _ in events] == ["run", "metrics"]
    told = RunAbout.model_validate(events[0][1])
    assert (told.name, told.task, told.shape, told.state) == (
        "run",
        "generate",
        "synced many-to-many, shifted by one",
        "running",
    )
    assert (told.options, told.training) == ({"cell": "gru"}, {"steps": 100})
    assert events[1][1]["anew"] is False
    assert events[1][1]["lines"][2] == {"step": 2, "split": "dev", "loss": 1 / 3, "accuracy": 0.5}
    assert watch.poll() == []
    add(run / "metrics.jsonl", line(3))
    add(run / "samples.md", "# What the model produced as it learned\n" + sample(3, "to be"))
    found = watch.poll()
    assert steps(found) == [3]
    assert of(found, "samples") == [
        {"samples": [{"step": 3, "epoch": 0.5, "loss": 1.25, "text": "to be"}], "anew": False}
    ]
    assert watch.poll() == []


def test_a_torn_line_waits_until_it_is_whole(run: Path) -> None:
    whole = line(2)
    add(run / "metrics.jsonl", line(1) + whole[:9])
    watch = RunWatch("run", run)
    assert steps(watch.poll()) == [1]
    add(run / "metrics.jsonl", whole[9:-1])
    assert watch.poll() == []
    add(run / "metrics.jsonl", "\n")
    assert steps(watch.poll()) == [2]


def test_lines_that_are_taken_back_are_void(run: Path) -> None:
    path = run / "metrics.jsonl"
    add(path, "".join(map(line, range(1, 7))))
    watch = RunWatch("run", run)
    watch.poll()
    # shorter
    path.write_text("".join(map(line, range(1, 4))), encoding="utf-8")
    found = watch.poll()
    assert of(found, "metrics")[0]["anew"] is True
    assert steps(found) == [1, 2, 3]
    # cut, and longer again before anybody looked
    with path.open("r+", encoding="utf-8") as stream:
        stream.truncate(len(line(1)))
    add(path, "".join(line(n, seconds=9.5) for n in range(2, 9)))
    found = watch.poll()
    assert of(found, "metrics")[0]["anew"] is True
    assert steps(found) == list(range(1, 9))
    # nothing left at all
    path.write_text("", encoding="utf-8")
    assert of(watch.poll(), "metrics") == [{"lines": [], "anew": True}]


def test_a_run_that_is_replaced_begins_anew(run: Path) -> None:
    add(run / "metrics.jsonl", line(1) + line(2))
    add(run / "samples.md", sample(2, "old"))
    watch = RunWatch("run", run)
    watch.poll()
    shutil.rmtree(run)
    found = watch.poll()
    assert of(found, "run")[0]["state"] == "waiting"
    assert of(found, "metrics") == [{"lines": [], "anew": True}]
    assert of(found, "samples") == [{"samples": [], "anew": True}]
    configured(run)
    add(run / "metrics.jsonl", line(1, loss=5.0))
    found = watch.poll()
    assert of(found, "run")[0]["state"] == "running"
    assert of(found, "metrics")[0]["lines"][0]["loss"] == 5.0


def test_the_end_is_told_once_and_a_resumed_run_goes_on(run: Path) -> None:
    watch = RunWatch("run", run)
    assert of(watch.poll(), "run")[0]["state"] == "running"
    add(run / "metrics.jsonl", line(50))
    configured(run, result={"step": 50, "interrupted": True, "dev": {"loss": float("nan")}})
    found = watch.poll()
    assert [name for name, _ in found] == ["run", "metrics", "done"]
    assert of(found, "done") == [
        {"result": {"step": 50, "interrupted": True, "dev": {"loss": None}}, "interrupted": True}
    ]
    assert watch.poll() == []
    add(run / "metrics.jsonl", line(60))
    found = watch.poll()
    assert [name for name, _ in found] == ["run", "metrics"]
    assert (found[0][1]["state"], found[0][1]["result"]) == ("running", {})
    configured(run, result={"step": 60, "interrupted": False})
    found = watch.poll()
    assert found[0][1]["state"] == "finished"
    assert of(found, "done") == [{"result": {"step": 60, "interrupted": False}, "interrupted": False}]


def test_a_long_run_is_thinned_and_what_is_rare_stays(run: Path) -> None:
    text = "".join(line(n) + (line(n, "dev") if n % 100 == 0 else "") for n in range(1, 20_001))
    flowing = "".join(line(n, flow={"l0": {"verdict": "healthy"}}) for n in range(20_001, 20_051))
    found = thinned((text + flowing + line(20_051)).encode().splitlines())
    assert len(found) <= 2_000
    kept = [one["step"] for one in found if one["split"] == "train" and "flow" not in one]
    assert kept[0] == 1
    assert kept[-1] == 20_051
    assert len(kept) > 600
    assert max(b - a for a, b in itertools.pairwise(kept)) <= 80
    assert sum(one["split"] == "dev" for one in found) == 200
    assert sum("flow" in one for one in found) == 50
    assert [one["step"] for one in found] == sorted(one["step"] for one in found)


def test_lines_that_are_none_are_left_out(run: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = run / "metrics.jsonl"
    add(path, '{"step": 1, "spl\n[1]\n"text"\n{"loss": 3}\n\n' + line(4, loss=float("inf")))
    with path.open("ab") as stream:
        stream.write(b"\xff\xfe\n")
    add(path, line(5, "dev", note="x" * (2 * CHUNK)) + line(6))
    watch = RunWatch("run", run)
    found = watch.poll()
    assert steps(found) == [4, 6]
    assert of(found, "metrics")[0]["lines"][0]["loss"] is None
    assert "is left out" in caplog.text
    add(path, line(7))
    assert steps(watch.poll()) == [7]


def test_samples_are_read_whole_whatever_is_in_them(run: Path) -> None:
    path = run / "samples.md"
    inner = sample(9, "inside")
    add(
        path,
        sample(0, "", loss="") + sample(10, inner, "````") + sample(20, "é" * (CHARACTERS + 5), loss=" · dev loss nan"),
    )
    torn = sample(30, "half")
    add(path, torn[:-3])
    watch = RunWatch("run", run)
    [told] = of(watch.poll(), "samples")
    assert [(one["step"], one["loss"]) for one in told["samples"]] == [(0, None), (10, 1.25), (20, None)]
    assert told["samples"][1]["text"] == inner
    assert told["samples"][2]["text"] == "é" * CHARACTERS
    add(path, torn[-3:])
    [told] = of(watch.poll(), "samples")
    assert [one["text"] for one in told["samples"]] == ["half"]


def test_nothing_there_yet_is_waited_for(tmp_path: Path) -> None:
    told = about_run("later", tmp_path / "later")
    assert (told["state"], told["updated"]) == ("waiting", None)
    (tmp_path / "later").mkdir()
    (tmp_path / "later" / "config.json").write_text("{", encoding="utf-8")
    assert about_run("later", tmp_path / "later")["state"] == "waiting"


def test_runs_have_distinct_names(tmp_path: Path) -> None:
    named = named_folders([tmp_path / "a", f"b={tmp_path / 'x' / 'a'}"], "run")
    assert named == {"a": tmp_path / "a", "b": tmp_path / "x" / "a"}
    with pytest.raises(ArgumentError, match="there is a run 'a' already; name it, as in other="):
        named_folders([tmp_path / "a", tmp_path / "x" / "a"], "run", "--watch")


def told(watch: RunWatch, closing: asyncio.Event, count: int, alive: float = 60.0) -> Any:
    async def collect() -> list[str]:
        found: list[str] = []
        async for one in route.run_events(watch, closing, every=0.01, alive=alive):
            found.append(one)
            if len(found) == count:
                closing.set()
        return found

    return asyncio.run(collect())


def test_without_news_a_comment_keeps_the_connection_alive(run: Path) -> None:
    found = told(RunWatch("run", run), asyncio.Event(), 3, alive=0.0)
    assert found[0].startswith("event: run\n")
    assert found[1:] == [": alive\n\n", ": alive\n\n"]


def test_files_that_can_not_be_read_are_a_problem_that_passes(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    watch, poll, calls = RunWatch("run", run), RunWatch.poll, []

    def failing(self: RunWatch) -> Any:
        calls.append(1)
        if len(calls) < 4:
            raise OSError(5, "Input/output error")
        return poll(self)

    monkeypatch.setattr(RunWatch, "poll", failing)
    found = told(watch, asyncio.Event(), 2)
    assert found[0].startswith("event: error\n")
    assert "the files of the run 'run' can't be read now: Input/output error" in found[0]
    assert found[1].startswith("event: run\n")


@pytest.fixture
def server(run: Path) -> Iterator[Running]:
    with running({}, runs={"run": run, "later one": run / "none"}, limits=Limits(grace=5, watchers=2)) as found:
        yield found


class Events:
    """Server-sent events as they come."""

    def __init__(self, response: httpx.Response) -> None:
        self._lines = response.iter_lines()

    def next(self) -> tuple[str, Any]:
        name = next(one for one in self._lines if one.startswith("event: "))[7:]
        return name, json.loads(next(self._lines)[6:])

    def rest(self) -> list[str]:
        return [one[7:] for one in self._lines if one.startswith("event: ")]


def test_runs_are_listed(server: Running) -> None:
    found = server.ask("GET", "/v1/training").json()["runs"]
    assert [(one["name"], one["state"], one["task"]) for one in found] == [
        ("run", "running", "generate"),
        ("later one", "waiting", None),
    ]
    assert [RunAbout.model_validate(one).options for one in found] == [{"cell": "gru"}, {}]
    problem(server.ask("GET", "/v1/training/..%2Frun/events"), 404)
    detail = problem(server.ask("GET", "/v1/training/no/events"), 404)["detail"]
    assert detail == "no run of the name 'no'; there are run, later one"


def test_a_run_is_told_as_it_goes_until_the_server_stops(run: Path, server: Running) -> None:
    add(run / "metrics.jsonl", line(1))
    with server.http() as client, client.stream("GET", "/v1/training/run/events") as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        assert response.headers["cache-control"] == "no-store"
        events = Events(response)
        assert events.next()[0] == "run"
        assert events.next() == ("metrics", {"lines": [json.loads(line(1))], "anew": False})
        add(run / "metrics.jsonl", line(2))
        assert events.next() == ("metrics", {"lines": [json.loads(line(2))], "anew": False})
        # what was written right before the server stops is still told
        configured(run, result={"step": 2, "interrupted": False})
        server.server.stop()
        assert events.rest() == ["run", "done"]


def test_watchers_are_counted_and_leave(server: Running) -> None:
    with server.http() as client, contextlib.ExitStack() as stack:
        places = ("/v1/training/run/events", "/v1/training/later%20one/events")
        told = [Events(stack.enter_context(client.stream("GET", place))) for place in places]
        assert [one.next()[0] for one in told] == ["run", "run"]
        assert server.state.watchers == 2
        response = server.ask("GET", places[0])
        problem(response, 503)
        assert int(response.headers["retry-after"]) > 0
    deadline = time.monotonic() + 10
    while server.state.watchers and time.monotonic() < deadline:
        time.sleep(0.01)
    assert server.state.watchers == 0
