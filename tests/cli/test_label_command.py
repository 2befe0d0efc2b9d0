"""`label` from the command line: checked, trained, evaluated, predicted."""

from __future__ import annotations

from pathlib import Path

import pytest

from .running import complaint, unrolled


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("label")
    for name, shift in (("a", 0), ("b", 2), ("c", 5)):
        rows = [f"{int((t + shift) % 6 < 3)},{t % 2},{'on' if (t + shift) % 6 < 3 else 'off'}" for t in range(24)]
        (folder / f"{name}.csv").write_text("x,y,state\n" + "\n".join(rows) + "\n")
    return folder


def test_the_whole_way(folder: Path) -> None:
    out = folder / "model"
    checked = unrolled("data", "check", "label", folder / "a.csv", folder / "b.csv", "--label-column", "state")
    assert checked.code == 0, checked.err
    result = unrolled(
        "train", "label", folder / "a.csv", folder / "b.csv", "--dev", folder / "c.csv", "--out", out,
        "--label-column", "state", "--background", "off", "--hidden-size", 8, "--dropout", 0, "--input-dropout", 0,
        "--augment", 0, "--epochs", 40, "--lr", 0.05, "--seed", 3, "--threads", 1, "--no-bidirectional",
    )  # fmt: skip
    assert result.code == 0, result.err
    [found] = unrolled("evaluate", out, folder / "c.csv", "--json").json
    assert found["metrics"]["accuracy"] > 0.95
    assert found["baseline"]["model"] == "each step alone, without recurrence"
    assert "edit" in unrolled("evaluate", out, folder / "c.csv", "--transition-weight", 0.5).out
    said = unrolled("predict", out, folder / "c.csv").out
    assert said.startswith("c: 1–4 on · 7–10 on")
    [json] = unrolled("predict", out, folder / "c.csv", "--json").json
    assert [s["label"] for s in json["segments"][:3]] == ["off", "on", "off"]


def test_what_is_wrong_is_said_in_a_line(folder: Path, tmp_path: Path) -> None:
    result = unrolled("train", "label", folder / "a.csv", "--out", tmp_path / "m", "--steps", 1)
    assert result.code == 2
    assert "no column 'label'; the columns are 'x', 'y', 'state'" in complaint(result)
