"""`unrolled clean`, and the figures that `evaluate` prints, on models that are stored or made here."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from unrolled import Model, load, train
from unrolled.cli.evaluate import PAGE

from .running import complaint, unrolled

STORED = Path(__file__).parents[1] / "models" / "v0.1"


@pytest.fixture
def classes(tmp_path: Path) -> tuple[Path, Path]:
    """A model of fifty classes, hardly trained, and its data."""
    data = tmp_path / "fifty.tsv"
    rows = [f"the word w{n} says it {k}\tclass{n:02}" for n in range(50) for k in range(3)]
    data.write_text("text\tlabel\n" + "\n".join(rows) + "\n")
    train("classify", data, tmp_path / "m", dev=data, options={"hidden_size": 4, "votes": False}, steps=2)
    return tmp_path / "m", data


def test_clean_leaves_a_model_that_predicts_as_before(classes: tuple[Path, Path], tmp_path: Path) -> None:
    folder, data = classes
    before = load(folder).predict("the word w7 says it").as_json()
    size = sum(path.stat().st_size for name in ("data", "checkpoints") for path in (folder / name).rglob("*"))
    result = unrolled("clean", folder)
    assert result.out == f"{size / 1e6:,.1f} MB freed in {folder}\n"
    assert not (folder / "data").exists()
    assert not (folder / "checkpoints").exists()
    assert load(folder).predict("the word w7 says it").as_json() == before
    assert unrolled("clean", folder).out == f"nothing to delete in {folder}\n"
    # there is nothing to be resumed, but training may go on from it
    assert train("classify", data, tmp_path / "next", dev=data, base=folder, steps=1).config.base["before"] == {}


def test_clean_keeps_what_a_run_needs_and_what_is_no_model(classes: tuple[Path, Path], tmp_path: Path) -> None:
    folder, _ = classes
    config = folder / "config.json"
    config.write_text(config.read_text().replace('"interrupted": false', '"interrupted": true'))
    (folder / "manifest.json").unlink(missing_ok=True)
    assert "training has not come to an end" in complaint(unrolled("clean", folder))
    assert (folder / "checkpoints").is_dir()
    (tmp_path / "empty").mkdir()
    assert "not a model folder" in complaint(unrolled("clean", tmp_path / "empty"))


def test_a_table_of_fifty_classes_is_a_page(classes: tuple[Path, Path]) -> None:
    folder, data = classes
    page, whole = unrolled("evaluate", folder, data), unrolled("evaluate", folder, data, "--all")
    shown, every = page.out.splitlines(), whole.out.splitlines()
    assert PAGE <= len(shown) <= PAGE + 4 < len(every)
    [rest] = [line for line in shown if line.startswith("… and ")]
    assert int(rest.split()[2]) == len(every) - len(shown) + 1
    assert any(line.startswith("accuracy") for line in shown)


def test_a_baseline_that_is_gone_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = shutil.copytree(STORED / "classify" / "model", tmp_path / "m")
    data = STORED / "classify" / "data" / "dev.tsv"
    assert load(folder).evaluate(data).baseline
    assert not caplog.records
    for name in ("majority.json", "tfidf.safetensors", "manifest.json"):
        (folder / name).unlink(missing_ok=True)
    model: Model = load(folder)
    assert model.evaluate(data).baseline == {}
    assert f"{folder / 'majority.json'}: missing, so that no baseline stands beside the model" in caplog.text


def test_sentences_are_counted_however_they_are_read(tmp_path: Path) -> None:
    path = tmp_path / "t.conll"
    path.write_text("-DOCSTART- O\n\n" + "Ann B-PER\nruns O\n\n" * 7)
    assert "train 7" in unrolled("data", "check", "tag", path).out
