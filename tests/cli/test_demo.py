"""`unrolled demo`: the whole show, shortened to a few seconds."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest

from unrolled.cli import demo
from unrolled.tasks import Sources
from unrolled.tasks.uses.generate import demo as declared
from unrolled.tasks.uses.generate.demo import write_documentation
from unrolled.training import Snapshot

from .running import unrolled


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """The texts to learn from and to judge by."""
    folder = tmp_path_factory.mktemp("text")
    sources = write_documentation(folder)
    assert (sources.train, sources.dev) == ((folder / "train.txt",), (folder / "dev.txt",))
    return (folder / "train.txt").read_text("utf-8"), (folder / "dev.txt").read_text("utf-8")


def test_nothing_that_is_judged_was_learned_by_heart(written: tuple[str, str]) -> None:
    learned, judged = ({p.strip() for p in text.split("\n\n")} for text in written)
    assert learned & judged == set()
    assert len(written[0]) > 800_000
    assert 40_000 < len(written[1]) < len(written[0]) / 4


def test_the_show(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: tuple[str, str]) -> None:
    def shorter(folder: Path) -> Sources:
        folder.mkdir(parents=True, exist_ok=True)
        paths = folder / "train.txt", folder / "dev.txt"
        for path, text in zip(paths, written, strict=True):
            path.write_text(text[:12_000], encoding="utf-8")
        return Sources((paths[0],), (paths[1],))

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
