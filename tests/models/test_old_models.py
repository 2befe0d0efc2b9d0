"""Models that earlier versions wrote load, and answer what they answered then; `make.py` says how they came about.

The tests use nothing but the public names, so that they stay as they are however the package is arranged.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from unrolled import Model, load
from unrolled.layers import StreamState

from . import replay

HERE = Path(__file__).parent
STORED = {f"{path.parent.name}/{path.name}": path for path in sorted(HERE.glob("v*/*")) if path.is_dir()}
TASKS = {"caption", "classify", "forecast", "generate", "label", "recognize", "tag", "transcribe", "translate"}


def read_json(path: Path) -> Any:
    return json.loads(path.read_text("utf-8"))


def expected_of(folder: Path) -> dict[str, Any]:
    expected: dict[str, Any] = read_json(folder / "expected.json")
    return expected


STREAMED = {name: path for name, path in STORED.items() if expected_of(path)["stream"] is not None}

stored = pytest.mark.parametrize("folder", STORED.values(), ids=STORED)
streamed = pytest.mark.parametrize("folder", STREAMED.values(), ids=STREAMED)


def test_there_is_a_model_of_every_task() -> None:
    assert {read_json(folder / "model" / "config.json")["task"] for folder in STORED.values()} == TASKS
    assert {read_json(folder / "model" / "config.json")["task"] for folder in STREAMED.values()} == TASKS - {
        "caption",
        "translate",
    }


def differing_predictions(model: Model, folder: Path) -> list[str]:
    questions = expected_of(folder)["predictions"]
    pairs = [(replay.predict(model, question), question["answers"]) for question in questions]
    return [line for n, pair in enumerate(pairs) for line in replay.differences(*pair, f"predictions[{n}]")]


@stored
def test_it_predicts_what_it_predicted(folder: Path) -> None:
    assert not differing_predictions(load(folder / "model"), folder)


@streamed
def test_its_stream_answers_what_it_answered(folder: Path) -> None:
    session = load(folder / "model").stream()
    calls = expected_of(folder)["stream"]["calls"]
    answers = [replay.call(session, question) for question in calls]
    assert not replay.differences(answers, [question["answer"] for question in calls], "calls")


@streamed
def test_a_saved_state_is_resumed(folder: Path) -> None:
    model, expected = load(folder / "model"), expected_of(folder)["stream"]
    state = StreamState.from_bytes(base64.b64decode(expected["state"]), model.fingerprint)
    session = model.stream().resume(state)
    calls = expected["calls"][expected["saved_after"] :]
    answers = [replay.call(session, question) for question in calls]
    assert not replay.differences(answers, [question["answer"] for question in calls], "calls")


@stored
def test_it_is_evaluated_as_it_was(folder: Path) -> None:
    question = expected_of(folder)["evaluation"]
    expected = {name: question[name] for name in ("metrics", "baseline")}
    assert not replay.differences(replay.evaluate(load(folder / "model"), question, folder / "data"), expected)


@stored
def test_saved_again_it_is_the_same_model(folder: Path, tmp_path: Path) -> None:
    model = load(folder / "model")
    model.save(tmp_path / "model")
    before, after = (read_json(path / "config.json") for path in (folder / "model", tmp_path / "model"))
    del before["versions"], after["versions"]
    assert after == before
    again = load(tmp_path / "model")
    assert again.fingerprint == model.fingerprint
    assert not differing_predictions(again, folder)


def test_differences_are_noticed() -> None:
    expected = {"text": "a", "score": 2.0, "ends": [1, 2], "attention": [[0.1]], "best": None}
    assert not replay.differences({**expected, "score": 2.00001, "attention": [[0.1001]]}, expected)
    for name, other in {
        "text": "b",
        "score": 2.0001,
        "ends": [1],
        "attention": [[0.1003]],
        "best": 0,
    }.items():
        [line] = replay.differences({**expected, name: other}, expected)
        assert line.startswith(f"answer.{name}")
    assert replay.differences({"text": "a"}, expected)
