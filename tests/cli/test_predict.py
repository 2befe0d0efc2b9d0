"""`unrolled predict`: completing, writing, and from where inputs are read."""

from __future__ import annotations

import dataclasses
import gzip
import json
from pathlib import Path

import pytest

from unrolled.cli import console
from unrolled.decoding import SamplingOptions
from unrolled.tasks.outputs.next.options import Writing

from .running import unrolled


def test_one_result_a_line_for_each_argument(model: Path) -> None:
    result = unrolled("predict", model, "Thank you for your he", "Please find the ag", "--threshold", -2)
    assert result.code == 0, result.err
    first, second = result.out.splitlines()
    assert first.startswith("Thank you for your help")
    assert second.startswith("Please find the agenda")


def test_a_threshold_that_nothing_reaches_shows_nothing(model: Path) -> None:
    assert unrolled("predict", model, "Thank you", "--threshold", 0.5).out == "Thank you\n"


def test_json_is_an_object_a_line(model: Path) -> None:
    result = unrolled("predict", model, "Thank you for your he", "", "--json", "--n", 2, "--max-words", 2)
    assert len(result.json) == 2
    found = result.json[0]
    assert found["typed"] == "Thank you for your he"
    best = found["suggestions"][0]
    assert best.keys() == {"text", "log_prob", "score", "words"}
    assert best["log_prob"] < 0
    assert max(s["words"] for s in found["suggestions"]) <= 2


def test_standard_input_and_files_are_read_line_by_line(model: Path, tmp_path: Path) -> None:
    lines = ["Thank you for your he", "", "Please find the ag"]
    asked = unrolled("predict", model, *lines, "--json").json
    assert unrolled("predict", model, "--json", stdin="\r\n".join(lines).encode()).json == asked
    assert unrolled("predict", model, "--json", "--file", "-", stdin="\n".join(lines).encode()).json == asked
    packed = tmp_path / "lines.txt.gz"
    packed.write_bytes(gzip.compress("\n".join(lines).encode()))
    assert unrolled("predict", model, "--json", "--file", packed).json == asked


def test_standard_input_in_another_encoding(model: Path) -> None:
    content = "Café".encode("cp1252")
    result = unrolled("predict", model, stdin=content)
    assert result.code == 2
    assert "standard input:1: not valid UTF-8 at byte 3" in result.err
    assert unrolled("predict", model, "--json", "--encoding", "cp1252", stdin=content).json[0]["typed"] == "Café"


def test_writing_on_from_a_prompt(model: Path) -> None:
    command = ("predict", model, "--prompt", "Thank you", "--temperature", 0, "--max-tokens", 34)
    whole = unrolled(*command).out
    assert whole.startswith("Thank you")
    assert "help with the report." in whole
    assert unrolled(*command, stdin=b"ignored").out == whole
    [found] = unrolled(*command, "--json").json
    assert found["prompt"] + found["text"] + "\n" == whole
    assert unrolled(*command, "--stop", "help").out == whole[: whole.index("help")] + "\n"
    assert unrolled("predict", model, "--prompt", "-", *command[4:], stdin=b"Thank you\n").out == whole


def test_samples_differ_by_their_seed_and_repeat_with_it(model: Path) -> None:
    command = ("predict", model, "--prompt", "", "--samples", 3, "--max-tokens", 30, "--temperature", 2, "--json")
    texts = [found["text"] for found in unrolled(*command).json]
    assert len(set(texts)) == 3
    assert [found["text"] for found in unrolled(*command).json] == texts
    assert [found["text"] for found in unrolled(*command, "--seed", 5).json] != texts
    shown = unrolled(*command[:-1]).out
    assert shown.count("──") == 6
    assert all(text in shown for text in texts)


def test_characters_never_seen_and_long_prompts_are_no_crash(model: Path) -> None:
    assert unrolled("predict", model, "漢字 🙂 \x00\x1b[2J", "--json").code == 0
    long = ("word " * 20_000).encode()
    assert unrolled("predict", model, "--prompt", "-", "--max-tokens", 2, stdin=long).out.startswith("word word")


def test_every_way_of_sampling_has_its_option() -> None:
    fields = {field.name for field in dataclasses.fields(SamplingOptions)}
    assert set(Writing.model_fields) >= fields - {"window", "forbidden"}


def test_numbers_that_json_has_not_become_null(capsys: pytest.CaptureFixture[str]) -> None:
    console.print_json({"a": float("nan"), "b": [float("inf"), 1.5, {"c": -float("inf")}]})
    assert json.loads(capsys.readouterr().out) == {"a": None, "b": [None, 1.5, {"c": None}]}
