"""`transcribe` from the command line, over sound made here."""

from __future__ import annotations

import json
import wave
from pathlib import Path

import numpy as np
import pytest

from .running import complaint, unrolled


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """train.jsonl and dev.jsonl beside their sound: a high and a low tone."""
    draw = np.random.default_rng(0)
    for part, count in (("train", 8), ("dev", 2)):
        lines = []
        for n in range(count):
            samples = 0.3 * np.sin(2 * np.pi * (1500 if n % 2 else 400) * np.arange(3000) / 8000)
            with wave.open(str(tmp_path / f"{part}{n}.wav"), "wb") as file:
                file.setparams((1, 2, 8000, 0, "NONE", ""))
                file.writeframes(((samples + draw.normal(size=3000) * 0.01) * 32767).astype("<i2").tobytes())
            lines.append(json.dumps({"audio": f"{part}{n}.wav", "text": "High." if n % 2 else "Low."}) + "\n")
        (tmp_path / f"{part}.jsonl").write_text("".join(lines))
    return tmp_path


def test_the_command(corpus: Path, tmp_path: Path) -> None:
    begun = unrolled(
        "train", "transcribe", corpus / "train.jsonl", "--dev", corpus / "dev.jsonl", "--out", tmp_path / "m",
        "--steps", 4, "--hidden-size", 16, "--num-layers", 1, "--bands", 16, "--no-bidirectional", "--quiet",
    )  # fmt: skip
    assert begun.code == 0, begun.err
    scored = unrolled("evaluate", tmp_path / "m", corpus / "dev.jsonl", "--json", "--beam-size", 2)
    assert scored.json[0]["metrics"]["texts"] == 2
    heard = unrolled("predict", tmp_path / "m", corpus / "dev0.wav", corpus / "dev1.wav", "--json", "--n-best", 2)
    assert [sorted(one) for one in heard.json] == [
        ["alternatives", "log_prob", "notes", "score", "seconds", "text", "words"]
    ] * 2
    (tmp_path / "bad.wav").write_bytes(b"no sound")
    refused = unrolled("predict", tmp_path / "m", tmp_path / "bad.wav")
    assert refused.code == 2
    assert "bad.wav: not a sound file" in complaint(refused)
    checked = unrolled("data", "check", "transcribe", corpus / "train.jsonl", "--dev", corpus / "dev.jsonl")
    assert (checked.code, checked.out.splitlines()[-1]) == (0, "0 errors, 0 warnings (train 8, dev 2)")
