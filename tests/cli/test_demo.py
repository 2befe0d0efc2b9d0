"""`unrolled demo`: the whole show, shortened to a few seconds."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest

from unrolled.cli import demo
from unrolled.tasks import Sources
from unrolled.tasks.uses.generate import demo as declared
from unrolled.tasks.uses.generate.demo import write_text
from unrolled.training import Snapshot

from .running import unrolled


def test_nothing_that_is_judged_was_learned_by_heart(tmp_path: Path) -> None:
    (learned, judged) = [place for places in vars(write_text(tmp_path)).values() for place in places]
    paragraphs = [{p.strip() for p in path.read_text("utf-8").split("\n\n")} for path in (learned, judged)]
    assert paragraphs[0] & paragraphs[1] == set()
    assert learned.stat().st_size > 200_000
    assert 10_000 < judged.stat().st_size < learned.stat().st_size / 4


def test_the_show(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def shorter(folder: Path) -> Sources:
        sources = write_text(folder)
        for path in (folder / "train.txt", folder / "dev.txt"):
            path.write_text(path.read_text("utf-8")[:12_000], encoding="utf-8")
        return sources

    monkeypatch.setattr(declared, "DEMONSTRATIONS", (replace(declared.DEMONSTRATIONS[0], write=shorter),))
    out = tmp_path / "demo"
    for _ in range(2):  # it replaces what an earlier one left
        result = unrolled("demo", "--minutes", 0.02, "--out", out, "--threads", 1)
        assert result.code == 0, result.err
    assert result.out.count("── step") >= 1
    assert "── step 0 · loss" in result.out
    assert "this network" in result.out
    assert "-gram" in result.out
    assert result.out.count("\n  If the object does no[") == 1
    assert f"predict {out / 'model'}" in result.out
    assert "\x1b" not in result.out
    assert unrolled("predict", out / "model", "The ob", "--json").code == 0


def test_samples_are_shown_at_few_moments_and_the_last_always() -> None:
    stream = io.StringIO()
    watch = demo.DemoReporter(100, stream)
    for step in range(101):
        watch.stepped(Snapshot(step, 0.0, 1.0, 1.0, 0.1, 1.0, float(step), None, 0))
        watch.sampled(step, f"text {step}\x1b")
    watch.finished("done")
    shown = [line for line in stream.getvalue().splitlines() if line.startswith("── step")]
    assert [int(line.split()[2]) for line in shown] == [0, 4, 12, 30, 60, 100]
    assert "\x1b" not in stream.getvalue()
