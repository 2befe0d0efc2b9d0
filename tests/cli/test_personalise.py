"""Adapting to a writer, by the command of its own and by --personal."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from .running import complaint, unrolled


@pytest.fixture(scope="module")
def sent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sent") / "sent.txt"
    path.write_text("Thank you for the agenda, please find the report attached.\n" * 40, encoding="utf-8")
    return path


def test_the_result_is_another_model_that_knows_the_writer(model: Path, sent: Path, tmp_path: Path) -> None:
    out = tmp_path / "mine"
    before = (model / "config.json").read_bytes()
    result = unrolled("personalise", model, sent, "--out", out, "--method", "cache", "--threads", 1)
    assert result.code == 0, result.err
    assert f"unrolled predict {out}" in result.out
    assert json.loads((out / "config.json").read_text("utf-8"))["fitted"]["personal"]["method"] == "cache"
    assert (model / "config.json").read_bytes() == before
    [general] = unrolled("evaluate", model, sent, "--json", "--no-completion").json
    [own] = unrolled("evaluate", out, sent, "--json", "--no-completion").json
    assert own["metrics"]["loss"] < general["metrics"]["loss"] / 2
    again = unrolled("personalise", model, sent, "--out", out, "--overwrite", "--threads", 1)
    assert again.code == 0, again.err
    # nothing of what was replaced lies about
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_the_writer_may_be_named_before_the_model(model: Path, sent: Path) -> None:
    result = unrolled("predict", "--personal", sent.parent, model, "Thank you for yo", "--threads", 1, "--json")
    assert result.code == 0, result.err
    assert result.json
    assert "--prompt" in unrolled("predict", "--personal", sent.parent, model, "--help").out


def test_folders_are_guarded(model: Path, sent: Path, tmp_path: Path) -> None:
    assert "is the model itself" in complaint(unrolled("personalise", model, sent, "--out", model, "--overwrite"))
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    assert "exists already" in complaint(unrolled("personalise", model, sent, "--out", tmp_path / "full"))
    wrong = unrolled("personalise", model, sent, "--out", tmp_path / "new", "--method", "magic")
    assert wrong.code == 2
    assert "--method: 'magic' is not possible" in complaint(wrong)


def test_train_adapts_at_the_end(text: Path, sent: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from unrolled.tasks import Model

    whole = Model.personalise
    monkeypatch.setattr(Model, "personalise", lambda self, paths, **o: whole(self, paths, method="cache", **o))
    command = ("train", "generate", text, "--personal", sent, "--steps", 3, "--hidden-size", 8, "--threads", 1)
    result = unrolled(*command, "--out", tmp_path / "m", "--quiet")
    assert result == (0, "", "")
    assert "personal" in json.loads((tmp_path / "m" / "config.json").read_text("utf-8"))["fitted"]
    assert unrolled("predict", tmp_path / "m", "Thank you", "--personal", sent, "--threads", 1).code == 0
