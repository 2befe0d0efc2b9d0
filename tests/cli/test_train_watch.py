"""`unrolled train … --watch`: a page beside the training, which neither slows nor breaks it."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

pytest.importorskip("fastapi", reason="the extra serve is not installed")
pytest.importorskip("uvicorn", reason="the extra serve is not installed")

from uvicorn import Server

from unrolled import tasks
from unrolled.serving.http.sockets import listen
from unrolled.serving.training import page

from .running import complaint, unrolled

SMALL = (
    "--steps", 3, "--log-every", 1, "--sample-every", 3,
    "--hidden-size", 8, "--window", 16, "--batch-size", 4, "--threads", 1,
)  # fmt: skip


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that somebody listens at."""
    with listen("127.0.0.1", 0) as bound:
        yield bound.getsockname()[1]


def told_of(address: str) -> list[tuple[str, Any]]:
    """Events of the only run, up to its end."""
    with urlopen(f"{address}v1/training", timeout=20) as response:
        [run] = json.loads(response.read())["runs"]
    found: list[tuple[str, Any]] = []
    with urlopen(f"{address}v1/training/{run['name']}/events", timeout=20) as response:
        name = ""
        for line in response:
            text = line.decode().rstrip()
            if text.startswith("event: "):
                name = text[7:]
            elif text.startswith("data: "):
                found.append((name, json.loads(text[6:])))
                if name == "done":
                    break
    return found


def test_the_run_is_shown_while_it_goes(text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out, original, watched = tmp_path / "m", tasks.train, page.training_page
    found: dict[str, Any] = {}

    @contextmanager
    def noting(folder: Path, port: int | None) -> Iterator[str]:
        with watched(folder, port) as address:
            found["address"] = address
            yield address

    def train(*given: Any, **more: Any) -> Any:
        model = original(*given, **more)
        found["threads"] = [one.name for one in threading.enumerate()]
        found["events"] = told_of(found["address"])
        return model

    monkeypatch.setattr(page, "training_page", noting)
    monkeypatch.setattr(tasks, "train", train)
    result = unrolled("train", "generate", text, "--out", out, "--watch", 0, "--quiet", *SMALL)
    assert result.code == 0, result.err
    assert "training page" in found["threads"]
    events = found["events"]
    assert [name for name, _ in events] == ["run", "metrics", "samples", "done"]
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text("utf-8").splitlines()]
    assert events[1][1]["lines"] == lines
    assert events[2][1]["samples"][-1]["step"] == 3
    assert events[3][1]["result"]["step"] == 3
    # with the training the page has ended
    assert "training page" not in [one.name for one in threading.enumerate()]


def test_the_address_is_said_and_the_next_free_port_is_taken(
    text: Path, tmp_path: Path, taken: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page, "PORT", taken)
    # what follows is no number, and so no port
    result = unrolled("train", "generate", "--watch", text, "--out", tmp_path / "m", "--quiet", *SMALL)
    assert result.code == 0, result.err
    found = re.fullmatch(r"unrolled: watch it at http://127\.0\.0\.1:(\d+)/#training\n", result.err)
    assert found is not None
    assert taken < int(found[1]) < taken + page.TRIED


def test_a_port_that_is_taken_is_said_before_anything_is_done(text: Path, tmp_path: Path, taken: int) -> None:
    result = unrolled("train", "generate", text, "--out", tmp_path / "m", f"--watch={taken}", *SMALL)
    assert result.code != 0
    assert f"--watch {taken}: can't listen on 127.0.0.1" in complaint(result)
    assert not (tmp_path / "m").exists()


def test_what_is_no_port_is_refused(text: Path, tmp_path: Path) -> None:
    for wrong in ("--watch=soon", "--watch=70000", "--watch=-1"):
        result = unrolled("train", "generate", text, "--out", tmp_path / "m", wrong, *SMALL)
        assert result.code == 2
        assert "--watch: expected a port, from 0 (any) to 65535" in complaint(result)
    assert not (tmp_path / "m").exists()


def test_no_port_is_free(monkeypatch: pytest.MonkeyPatch, text: Path, tmp_path: Path, taken: int) -> None:
    monkeypatch.setattr(page, "PORT", taken)
    monkeypatch.setattr(page, "TRIED", 1)
    result = unrolled("train", "generate", text, "--out", tmp_path / "m", *SMALL, "--watch")
    assert f"none of the ports {taken} to {taken} is free" in complaint(result)


def test_a_page_that_breaks_does_not_break_the_training(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(self: Server, sockets: Any = None) -> None:
        raise RuntimeError("out of ink")

    monkeypatch.setattr(Server, "serve", broken)
    result = unrolled("train", "generate", text, "--out", tmp_path / "m", "--watch", 0, "--quiet", *SMALL)
    assert result.code == 0, result.err
    assert (tmp_path / "m" / "model.safetensors").is_file()
    assert "the training goes on without it" in caplog.text
    assert "out of ink" in caplog.text


def test_the_losses_are_those_of_a_run_that_nobody_watches(text: Path, tmp_path: Path) -> None:
    def losses(name: str, *more: object) -> list[float]:
        result = unrolled("train", "generate", text, "--out", tmp_path / name, "--quiet", "--seed", 5, *SMALL, *more)
        assert result.code == 0, result.err
        lines = (tmp_path / name / "metrics.jsonl").read_text("utf-8").splitlines()
        return [json.loads(line)["loss"] for line in lines]

    assert losses("alone") == losses("watched", "--watch", 0)
