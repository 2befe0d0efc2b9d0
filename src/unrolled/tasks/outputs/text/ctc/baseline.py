"""The baseline of a text: always the most frequent one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from unrolled.metrics.speech import speech_metrics
from unrolled.tasks.core.folder.files import read_json, write_json
from unrolled.types import Json

BASELINE = "baseline.json"


def fit_most_frequent(texts: Iterable[str], folder: Path) -> None:
    """Write the most frequent text into a model's folder."""
    write_json(folder / BASELINE, {"text": Counter(texts).most_common(1)[0][0]})


def evaluate_most_frequent(references: list[str], folder: Path | None) -> Json:
    """Return the error rates of always saying it; nothing for a model that lies in no folder."""
    if folder is None:
        return {}
    usual = str(read_json(folder / BASELINE).get("text", ""))
    return {"model": "most frequent transcript", **speech_metrics(references, [usual] * len(references))}
