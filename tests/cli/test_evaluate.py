"""`unrolled evaluate`: a table for people, one JSON object for scripts."""

from __future__ import annotations

from pathlib import Path

import pytest

from unrolled.cli.evaluate import flat

from .running import unrolled


def test_json_is_one_object_of_five_keys(model: Path, text: Path) -> None:
    result = unrolled("evaluate", model, text, "--json", "--positions", 60)
    assert result.code == 0, result.err
    [found] = result.json
    assert list(found) == ["task", "data", "metrics", "baseline", "seconds"]
    assert found["task"] == "generate"
    assert found["data"] == [str(text)]
    assert found["metrics"]["tokens"] == found["baseline"]["tokens"]
    assert found["metrics"]["loss"] < 0.5
    assert found["metrics"]["completion"]["places"] <= 60
    assert found["seconds"] > 0


def test_the_table_has_metrics_beside_the_baseline(model: Path, text: Path) -> None:
    [found] = unrolled("evaluate", model, text, "--json", "--no-completion").json
    assert "completion" not in found["metrics"]
    lines = unrolled("evaluate", model, text, "--no-completion").out.splitlines()
    assert lines[0].split() == ["model", *found["baseline"]["model"].split()]
    row = next(line.split() for line in lines if line.startswith("loss"))
    assert row == ["loss", f"{found['metrics']['loss']:.4g}", f"{found['baseline']['loss']:.4g}"]


def test_several_paths_are_one_text(model: Path, text: Path) -> None:
    [found] = unrolled("evaluate", model, text, text, "--json", "--no-completion").json
    [once] = unrolled("evaluate", model, text, "--json", "--no-completion").json
    assert found["data"] == [str(text), str(text)]
    assert found["metrics"]["characters"] == pytest.approx(2 * once["metrics"]["characters"], abs=2)


def test_options_of_reading_are_passed_on(model: Path, tmp_path: Path) -> None:
    path = tmp_path / "mail.jsonl"
    path.write_text('{"body": "Thank you for your help."}\n' * 3, encoding="utf-8")
    [found] = unrolled("evaluate", model, path, "--json", "--no-completion", "--text-key", "body").json
    assert found["metrics"]["characters"] == 3 * len("Thank you for your help.")


def test_nested_metrics_become_lines_and_lists_are_left_out() -> None:
    assert list(flat({"a": 1, "b_c": {"d": 2, "e": {"1": None}}, "f": [1, 2]})) == [
        ("a", 1),
        ("b c / d", 2),
        ("b c / e / 1", None),
    ]
