"""Words that are tones, so that a tiny network learns to hear them in seconds; shared by the tests of `transcribe`."""

from __future__ import annotations

import json
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from unrolled.tasks import Model, load, train

TONES = {"do": 400.0, "re": 800.0, "mi": 1500.0}
RATE = 8000
TINY: dict[str, Any] = {"hidden_size": 24, "num_layers": 1, "bands": 16, "batch_size": 4, "dropout": 0.0}
FAST: dict[str, Any] = {"lr": 0.02, "log_every": 1, "evaluate_every": 100, "sample_every": 0, "averaging": "none"}
MILD: dict[str, Any] = {"input_dropout": 0.175, "speed": 0.05, "noise": 0.0, "hide_time": 0.0, "hide_bands": 0.0}


def spoken(words: list[str], draw: np.random.Generator, rate: int = RATE) -> np.ndarray:
    parts = [np.zeros(rate // 20)]
    for word in words:
        t = np.arange(round(rate * draw.uniform(0.11, 0.15))) / rate
        parts += [0.3 * np.sin(2 * np.pi * TONES[word] * t), np.zeros(rate // 20)]
    whole = np.concatenate(parts)
    return np.asarray(whole + draw.normal(size=len(whole)) * 0.003, np.float32)


def save(path: Path, samples: np.ndarray, rate: int = RATE) -> None:
    stereo = samples if samples.ndim == 2 else samples[:, None]
    with wave.open(str(path), "wb") as file:
        file.setparams((stereo.shape[1], 2, rate, 0, "NONE", ""))
        file.writeframes((stereo * 32767).round().astype("<i2").tobytes())


def manifest(path: Path, rows: list[tuple[str, str]]) -> Path:
    path.write_text("".join(json.dumps({"audio": a, "text": t}) + "\n" for a, t in rows), encoding="utf-8")
    return path


def make_corpus(folder: Path) -> Path:
    """train.jsonl and dev.jsonl beside their sound."""
    draw = np.random.default_rng(0)
    for part, count in (("train", 30), ("dev", 6)):
        rows = []
        for n in range(count):
            words = [str(w) for w in draw.choice(list(TONES), size=int(draw.integers(1, 4)))]
            save(folder / f"{part}{n}.wav", spoken(words, draw))
            rows.append((f"{part}{n}.wav", " ".join(words)))
        manifest(folder / f"{part}.jsonl", rows)
    return folder


def learn(corpus: Path, out: Path, *, options: dict[str, Any] | None = None, **given: Any) -> Model:
    chosen = {**TINY, **MILD, **(options or {})}
    dev = given.pop("dev", corpus / "dev.jsonl")
    path = given.pop("path", corpus / "train.jsonl")
    return train("transcribe", path, out, dev=dev, options=chosen, **{**FAST, "steps": 3, "seed": 5, **given})


def make_trained(corpus: Path, folder: Path) -> Callable[[str], Model]:
    """Models loaded from their folders, trained when first asked for. Not to be changed."""
    kinds = {"words": {}, "causal": {"bidirectional": False, "units": "characters", "hidden_size": 32}}

    def model(kind: str) -> Model:
        if not (folder / kind).exists():
            learn(corpus, folder / kind, options=kinds[kind], steps=160 if kind == "words" else 260)
        return load(folder / kind)

    return model


def losses(folder: Path, split: str = "train") -> list[float]:
    lines = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
    return [line["loss"] for line in lines if line["split"] == split]
