"""`tag` on the command line, from files to predictions."""

from __future__ import annotations

import json
from pathlib import Path

from .running import unrolled

SENTENCES = ("Ann B-PER\nLee I-PER\nlives O\nin O\nRome B-LOC\n. O\n", "Bob B-PER\nleft O\nOslo B-LOC\n. O\n")


def test_from_files_to_predictions(tmp_path: Path) -> None:
    text = tmp_path / "names.txt"
    text.write_text("\n".join(SENTENCES * 12), encoding="utf-8")
    out = tmp_path / "model"
    result = unrolled(
        "train", "tag", text, "--dev", text, "--out", out, "--steps", 30, "--batch-size", 8, "--hidden-size", 16,
        "--embedding-size", 8, "--character-size", 4, "--spelling-size", 4, "--shape-size", 4, "--lr", 0.03,
        "--averaging", "none", "--evaluate-every", 15, "--sample-every", 0, "--dropout", 0, "--seed", 3,
        "--threads", 1, "--quiet",
    )  # fmt: skip
    assert result.code == 0, result.err
    result = unrolled("evaluate", out, text, "--json")
    [found] = result.json
    assert found["metrics"]["f1"] > 0.9
    assert found["baseline"]["f1"] == 1
    result = unrolled("predict", out, "Ann Lee left Rome.", "Bob left Oslo.")
    assert result.out.splitlines()[0].startswith("[Ann Lee PER] left [Rome LOC]")
    [found] = unrolled("predict", out, "Bob left Oslo.", "--json", "--n-best", 3).json
    assert [entity["text"] for entity in found["entities"]] == ["Bob", "Oslo"]
    assert len(found["alternatives"]) == 3
    (tmp_path / "new.txt").write_text("Mars B-PLANET\n")
    failed = unrolled("evaluate", out, tmp_path / "new.txt")
    assert failed.code == 2
    assert "new.txt:1: label 'S-PLANET' is unknown to the model" in failed.err


def test_the_check_finds_another_scheme(tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("Ann I-PER\n\nBob I-PER\n\nOslo I-LOC\n")
    result = unrolled("data", "check", "tag", tmp_path / "names.txt", "--scheme", "bio")
    assert "read as BIO, but 3 of 3 entities begin as only IOB1 lets them" in result.out + result.err
    assert json.dumps(result.out)
