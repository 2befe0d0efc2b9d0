"""A search for settings: what is tried, given up, kept, and continued."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from unrolled.errors import ArgumentError, OutputExistsError
from unrolled.tasks import load, task_named, task_names
from unrolled.tasks.core.tuning.space import RECURRENT, Among, Between
from unrolled.tasks.core.tuning.trial import Task, Trial, keep_best, run_trial, table
from unrolled.training import TrainingSettings

optuna = pytest.importorskip("optuna")

from unrolled.tasks.core.tuning import search  # noqa: E402

#: too little to learn anything, but enough to train
SMALL = {"steps": 4, "evaluate_every": 2, "sample_every": 0}


@pytest.fixture
def reviews(tmp_path: Path) -> Path:
    path = tmp_path / "reviews.tsv"
    lines = [f"{'good' if n % 2 else 'bad'}\tthis is {'fine' if n % 2 else 'poor'} and text {n}" for n in range(40)]
    path.write_text("\n".join(lines), "utf-8")
    return path


def tune(data: Path, out: Path, trials: int, **given: Any) -> search.Tuned:
    options = {"votes": False, "parts": False, "batch_size": 16}
    return search.tune("classify", data, out, trials=trials, options=options, **{**SMALL, **given})


@pytest.mark.parametrize("name", task_names())
def test_what_is_searched_are_options_of_the_task_within_their_bounds(name: str) -> None:
    task = task_named(name)
    plan = __import__(f"unrolled.tasks.uses.{name}.plan", fromlist=["SPACE"])
    assert task.space is getattr(plan, "SPACE", RECURRENT)
    for setting, values in task.space.items():
        for value in values.values if isinstance(values, Among) else (values.low, values.high):
            if setting in task.options.model_fields:
                assert getattr(task.options(**{setting: value}), setting) == value
            else:
                assert getattr(TrainingSettings(**{setting: value}), setting) == value


def test_the_best_of_all_trials_is_kept(reviews: Path, tmp_path: Path) -> None:
    ended: list[Trial] = []
    tuned = tune(reviews, tmp_path / "out", 3, on_trial=ended.append)
    assert [trial.number for trial in ended] == [0, 1, 2]
    assert ended[0].settings == {}
    assert set(ended[1].settings) == set(task_named("classify").space)
    best = min(ended, key=lambda trial: trial.value or 9e9)
    assert tuned.best is not None
    assert load(tmp_path / "out/best").config.result["dev"]["loss"] == best.value
    assert list((tmp_path / "out/trials").iterdir()) == []
    assert (tmp_path / "out/trials.md").read_text("utf-8") == table(ended)


def test_a_search_is_continued_and_a_trial_that_was_stopped_too(
    reviews: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[int, Any]] = []
    usual = search.run_trial

    def stopped(task: Any, number: int, settings: Any, *rest: Any) -> Trial:
        calls.append((number, settings))
        if len(calls) == 2:
            raise KeyboardInterrupt
        return usual(task, number, settings, *rest)

    monkeypatch.setattr(search, "run_trial", stopped)
    with pytest.raises(KeyboardInterrupt):
        tune(reviews, tmp_path / "out", 3)
    tuned = tune(reviews, tmp_path / "out", 3)
    # the second is tried again with its settings, and counts once
    assert calls[1] == calls[2]
    assert [call[0] for call in calls] == [0, 1, 1, 2]
    assert [trial.number for trial in tuned.trials] == [0, 1, 2]
    assert len(tune(reviews, tmp_path / "out", 3).trials) == 3
    assert len(calls) == 4
    with pytest.raises(OutputExistsError, match="holds another search, its training is"):
        tune(reviews, tmp_path / "out", 4, steps=5)


def test_ctrl_c_keeps_what_a_trial_has_trained(reviews: Path, tmp_path: Path) -> None:
    task = Task.of(task_named("classify"), reviews, (), {"batch_size": 16}, dict(SMALL))

    def interrupt(evaluation: int, cost: float) -> bool:
        if evaluation == 2:
            signal.raise_signal(signal.SIGINT)
        return False

    with pytest.raises(KeyboardInterrupt):
        run_trial(task, 0, {}, tmp_path / "trial", interrupt)
    trial = run_trial(task, 0, {}, tmp_path / "trial", lambda evaluation, cost: False)
    assert trial.state == "complete"
    # the evaluations of before are not made again
    assert trial.evaluations == 1


def test_a_trial_that_falls_behind_is_given_up(reviews: Path, tmp_path: Path) -> None:
    task = Task.of(task_named("classify"), reviews, (), {"batch_size": 16}, {**SMALL, "steps": 400})
    seen: list[int] = []

    def second(evaluation: int, cost: float) -> bool:
        seen.append(evaluation)
        return evaluation == 2

    trial = run_trial(task, 5, {"lr": 0.01}, tmp_path / "trial", second)
    assert (trial.state, trial.evaluations, seen) == ("pruned", 2, [1, 2])
    assert trial.value is not None
    assert trial.cost is None


def test_what_was_given_is_not_searched_and_must_leave_something(reviews: Path) -> None:
    space = task_named("classify").space
    task = Task.of(task_named("classify"), reviews, (), {"hidden_size": 8}, {"lr": 0.1})
    assert set(task.space) == set(space) - {"hidden_size", "lr"}
    given = {name: values.values[0] if isinstance(values, Among) else values.low for name, values in space.items()}
    training = {"lr": given.pop("lr")}
    with pytest.raises(ArgumentError, match="nothing is left to search: leave out one of --lr"):
        assert Task.of(task_named("classify"), reviews, (), given, training).space


def test_settings_that_can_not_be_tried_fail_that_trial_alone(reviews: Path, tmp_path: Path) -> None:
    task = Task.of(task_named("classify"), reviews, (), {}, dict(SMALL))
    trial = run_trial(task, 1, {"lr": -1.0}, tmp_path / "trial", lambda evaluation, cost: False)
    assert (trial.state, trial.value) == ("failed", None)
    assert "--lr: -1.0 is not possible" in trial.reason
    with pytest.raises(ArgumentError, match="--trials: expected at least 1, found 0"):
        tune(reviews, tmp_path / "out", 0)
    (tmp_path / "other").mkdir()
    (tmp_path / "other/file").write_text("mine", "utf-8")
    with pytest.raises(OutputExistsError, match="holds no search"):
        tune(reviews, tmp_path / "other", 1)


def test_the_best_replaces_the_one_before(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "which").write_text(name, "utf-8")
    keep_best(tmp_path, tmp_path / "a", True)
    keep_best(tmp_path, tmp_path / "b", False)
    keep_best(tmp_path, tmp_path / "c", True)
    assert (tmp_path / "best/which").read_text("utf-8") == "c"
    assert [path.name for path in tmp_path.iterdir()] == ["best"]


def test_more_may_be_better() -> None:
    trials = [Trial(0, "complete", {}, "f1", 0.5), Trial(1, "complete", {"lr": 0.25}, "f1", 0.75, 3, 1.5)]
    assert [trial.cost for trial in trials] == [-0.5, -0.75]
    assert table(trials).splitlines()[2:] == [
        "| 1 | complete | 0.7500 | 1.50 | 0.25 |",
        "| 0 | complete | 0.5000 | 0.00 | as planned |",
    ]
    assert json.loads(json.dumps(trials[1].as_json()))["settings"] == {"lr": 0.25}


def test_values_are_drawn_from_the_whole_space() -> None:
    space = {"a": Between(1, 3), "b": Between(0.1, 10.0, log=True), "c": Among(("x", None))}
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    drawn = [search.suggested(study.ask(), space) for _ in range(40)]
    assert {values["a"] for values in drawn} == {1, 2, 3}
    assert {values["c"] for values in drawn} == {"x", None}
    assert all(0.1 <= values["b"] <= 10 for values in drawn)
    assert sum(values["b"] < 1 for values in drawn) in range(10, 31)
