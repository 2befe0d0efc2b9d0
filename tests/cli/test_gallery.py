"""`unrolled demo --all`: time that is shared by what is left of it, data that every use reads, models that are kept."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from unrolled.cli import gallery
from unrolled.cli.gallery import Exhibit, TimeShares, exhibits
from unrolled.data import Findings
from unrolled.tasks import task_names
from unrolled.tasks.core.contract.demonstration import demonstrations_of
from unrolled.tasks.uses.caption import demo as pictures
from unrolled.tasks.uses.transcribe import demo as melodies

from .running import complaint, unrolled

SHOWN, WITHOUT = exhibits()


class Machine:
    """A clock, and a machine that needs so many seconds to prepare and finish a model."""

    def __init__(self, besides: float) -> None:
        self.now, self.besides = 100.0, besides

    def clock(self) -> float:
        return self.now

    def run(self, seconds: float, shares: list[float]) -> list[float]:
        time_shares, trained = TimeShares(seconds, shares, self.clock), []
        for _ in shares:
            trained.append(time_shares.next())
            self.now += trained[-1] + self.besides
            time_shares.done(trained[-1])
        return trained


def test_time_is_divided_by_shares() -> None:
    assert Machine(besides=0.0).run(900, [1, 2, 3]) == pytest.approx([150, 300, 450])


@pytest.mark.parametrize("besides", [1.0, 10.0, 30.0])
def test_a_slower_machine_trains_for_less_time_and_ends_in_time(besides: float) -> None:
    machine = Machine(besides)
    trained = machine.run(600, [1.0] * 9)
    # of the first model alone nothing is known yet
    assert 600 - besides < machine.now - 100 <= 600 + besides
    assert trained[0] == pytest.approx(600 / 9)
    # of the others as much is set aside as the first one took besides its training
    assert trained[1:] == pytest.approx([(600 - 600 / 9 - 9 * besides) / 8] * 8)


def test_a_model_that_is_late_still_learns_something() -> None:
    assert Machine(besides=50.0).run(60, [1, 1, 1])[1:] == [gallery.LEAST, gallery.LEAST]


def test_every_use_is_shown() -> None:
    assert WITHOUT == []
    assert {exhibit.use.name for exhibit in SHOWN} == set(task_names())
    names = [exhibit.shown.name for exhibit in SHOWN]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("exhibit", SHOWN, ids=lambda exhibit: exhibit.shown.name)
def test_its_use_reads_the_data(exhibit: Exhibit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "PICTURES", 36)
    monkeypatch.setattr(melodies, "MELODIES", 24)
    shown = exhibit.shown
    sources = shown.write(tmp_path)
    use = exhibit.use.for_data(sources.train[0], shown.options)
    options = use.options(**shown.options)
    counts = []
    for paths in (sources.train, sources.dev):
        findings = Findings()
        # `generate` reads a text without end, the others examples
        read = options.read if use.name == "generate" else lambda p, f=findings: use.read(p, options, f)  # type: ignore[attr-defined]
        counts.append(len(list(read(paths))) if paths else 0)
        assert findings.errors == 0
    assert counts[0] > 1 or use.name == "generate"
    assert not sources.dev or 0 < counts[1] <= counts[0]
    assert shown.label.startswith(("Public data: ", "Data made on the spot: "))


def test_the_same_data_is_written_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "PICTURES", 3)
    monkeypatch.setattr(melodies, "MELODIES", 3)
    written = []
    for folder in (tmp_path / "a", tmp_path / "b"):
        for exhibit in SHOWN:
            (folder / exhibit.shown.name).mkdir(parents=True)
            exhibit.shown.write(folder / exhibit.shown.name)
        files = sorted(path for path in folder.rglob("*") if path.suffix not in (".npz", "") and path.is_file())
        written.append({path.relative_to(folder): path.read_bytes() for path in files})
    assert written[0] == written[1]
    assert len(written[0]) >= len(SHOWN)


@pytest.fixture
def two(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """A gallery of two models that take a few steps; what would be served, instead of the page."""
    quick = {"steps": 4, "evaluate_every": 4, "sample_every": 0, "minutes": None}
    shown = [e._replace(shown=replace(e.shown, training=quick)) for e in SHOWN if e.use.name in ("tag", "label")]
    monkeypatch.setattr(gallery, "exhibits", lambda: (shown, ["other"]))
    served: list[dict[str, Any]] = []
    monkeypatch.setattr(
        "unrolled.serving.http.run.serve", lambda models, **options: served.append({"models": models, **options})
    )
    return served


def test_the_gallery(tmp_path: Path, two: list[dict[str, Any]]) -> None:
    out = tmp_path / "gallery"
    first = unrolled("demo", "--all", "--out", out, "--minutes", 1, "--port", 0, "--threads", 1)
    assert first.code == 0, first.err
    assert "other: declares no demonstration" in first.out
    assert [line[:5] for line in first.out.splitlines() if line.startswith("[")] == ["[1/2]", "[2/2]"]
    models = [f"travels={out}/travels/model", f"gestures={out}/gestures/model"]
    assert sorted(two[0]["models"]) == sorted(models)
    assert two[0]["port"] == 0
    about = json.loads((out / "travels" / "model" / "config.json").read_text("utf-8"))["about"]
    assert about.startswith("Data made on the spot: sentences about travels")
    assert f"\n{about}\n" in (out / "travels" / "model" / "card.md").read_text("utf-8")

    before = (out / "travels" / "model" / "model.safetensors").stat().st_mtime_ns
    again = unrolled("demo", "--all", "--out", out, "--port", 0, "--threads", 1)
    assert again.code == 0, again.err
    assert again.out.count("is kept from an earlier time") == 2
    assert "[1/" not in again.out
    assert (out / "travels" / "model" / "model.safetensors").stat().st_mtime_ns == before
    assert len(two) == 2


def test_a_port_in_use_is_refused_before_anything_is_trained(tmp_path: Path, two: list[dict[str, Any]]) -> None:
    from unrolled.serving.http.sockets import listen

    with listen("127.0.0.1", 0) as bound:
        port = bound.getsockname()[1]
        result = unrolled("demo", "--all", "--out", tmp_path / "gallery", "--port", port)
    assert result.code == 2
    assert complaint(result).startswith(f"--port {port}: can't listen on 127.0.0.1")
    assert not (tmp_path / "gallery").exists()
    assert two == []


def test_a_use_in_one_file_has_no_demonstration() -> None:
    class Alone:
        others = ()

    assert demonstrations_of(Alone()) == ()  # type: ignore[arg-type]
