"""What units are searched for: in texts alone, whether their steps are characters, tokens or words."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.inspection import test_every_task

from unrolled.errors import ArgumentError
from unrolled.inspection import hypotheses
from unrolled.inspection.report import inspect


def found(steps: list[str], *patterns: str, separator: str = "") -> dict[str, list[float]]:
    return {h.name: h.values.tolist() for h in hypotheses(steps, patterns, separator)}


def test_words_stand_apart() -> None:
    words = ["He", "said", '"go', 'away"', "twice"]
    of_words = found(words, "d .g", separator=" ")
    assert of_words["inside quotes"] == [0, 0, 1, 0, 0]
    assert of_words["capital letter"] == [1, 0, 0, 0, 0]
    assert of_words["position in the word"] == [2, 4, 3, 5, 5]
    assert "/d .g/" not in found(words, "d .g")
    assert found(["sing", "a", "song"], "ing", separator=" ")["/ing/"] == [1, 0, 0]


def test_steps_without_characters_have_what_was_before_them() -> None:
    assert found(["", "a", "1", ""])["digit"] == [0, 0, 1, 0]
    assert found(["", '"', "", "a"])["inside quotes"] == [0, 1, 1, 1]
    for steps in ([""], ["", ""], []):
        with pytest.raises(ArgumentError, match=f"steps: expected text, found {len(steps)} steps without"):
            hypotheses(steps)


def test_times_and_numbers_are_no_text(tmp_path: Path) -> None:
    model, given = test_every_task.label(tmp_path)
    report = inspect(model, given)
    assert "units" not in [section.name for section in report.sections]
    assert "units" not in report.arrays
    with pytest.raises(ArgumentError, match="patterns: the steps of this input are not a text"):
        inspect(model, given, patterns=["1"])
