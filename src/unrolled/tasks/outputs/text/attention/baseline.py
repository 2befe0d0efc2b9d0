"""The baseline of a written text: always the most frequent one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

from unrolled.errors import ModelError
from unrolled.tasks.core.folder.files import read_json

BASELINE = "baseline.json"

T = TypeVar("T", str, tuple[str, ...])
K = TypeVar("K", str, list[str])


def most_frequent(texts: Iterable[T]) -> tuple[T, int]:
    """Return the most frequent text, the first of equals in the alphabet, and how often it occurs.

    >>> most_frequent(["b", "a", "b", "a"])
    ('a', 2)
    """
    return min(Counter(texts).items(), key=lambda pair: (-pair[1], pair[0]))


def read_always(folder: Path, key: str, kind: type[K]) -> K:
    """Return the text of baseline.json, a string or a list of words.

    Raises:
        ModelError, StorageError: naming the file.
    """
    raw = read_json(folder / BASELINE)
    text = raw.get(key) if isinstance(raw, dict) else None
    if not isinstance(text, kind) or not text or not all(isinstance(part, str) for part in text):
        raise ModelError(f"{folder / BASELINE}: corrupt; restore it from a copy of the model")
    return text
