"""A search on this machine: Optuna chooses what is tried, and a pruner gives up what falls behind."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unrolled.errors import ArgumentError, MissingDependencyError
from unrolled.storage import locked, write_whole
from unrolled.tasks.core.catalog import task_named
from unrolled.tasks.core.contract import AnyUse
from unrolled.tasks.core.folder.load import load
from unrolled.tasks.core.tuning.claim import claim
from unrolled.tasks.core.tuning.space import Among, Space
from unrolled.tasks.core.tuning.trial import (
    BEST,
    FIRST_EVALUATIONS,
    FIRST_TRIALS,
    TABLE,
    TRIALS,
    Task,
    Trial,
    Tuned,
    describe,
    keep_best,
    run_trial,
    table,
)
from unrolled.types import Json

if TYPE_CHECKING:
    import optuna

log = logging.getLogger("unrolled.tasks")

#: what Optuna keeps of a search
_JOURNAL = "trials.log"


def tune(
    task: str | AnyUse,
    paths: object,
    out: str | Path,
    *,
    trials: int,
    dev: object = (),
    options: Mapping[str, Any] | None = None,
    on_trial: Callable[[Trial], None] = lambda trial: None,
    **training: Any,
) -> Tuned:
    """Search for the settings of a task that are best for some data; a search in `out` is continued.

    The first trial has the settings that the data chooses. Those that follow are drawn from the task's `space`, without
    the ones that are given here, by Optuna's tree-structured Parzen estimator. A trial whose metric, after some
    evaluation, is worse than the median of those before it at the same one is given up.

    Args:
        task: a task, or its name.
        paths, dev: as for `train`.
        out: the folder of the search. Its `best` is the best model, `trials.md` a table, `trials.log` Optuna's journal.
        trials: how many, those of an earlier call with this folder included.
        options: the task's own options, which are not searched.
        on_trial: called with each trial that has ended.
        training: fields of `TrainingSettings`, which are not searched; `minutes` holds for each trial.

    Raises:
        ArgumentError: an option is out of range, or nothing is left to search.
        OutputExistsError: `out` holds something else, or another search.
        KeyboardInterrupt: all is saved; the same call continues.
        MissingDependencyError: Optuna is not installed.
    """
    try:
        import optuna
    except ImportError as error:
        raise MissingDependencyError("optuna", "tune", "a search for settings") from error
    if trials < 1:
        raise ArgumentError(f"--trials: expected at least 1, found {trials}")
    use, out = task_named(task) if isinstance(task, str) else task, Path(out)
    given, own = ({k: v for k, v in dict(some or {}).items() if v is not None} for some in (training, options))
    searched = Task.of(use, paths, dev, own, given)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with locked(out):
        claim(out, searched)
        study = _study(out, int(given.get("seed", 0)))
        for text in describe(searched.space):
            log.info("searching %s", text)
        ended = [Trial(**trial.user_attrs["result"]) for trial in study.trials if "result" in trial.user_attrs]
        while len(ended) < trials:
            trial = study.ask()
            number = int(trial.user_attrs.get("number", len(ended)))
            trial.set_user_attr("number", number)
            result = _tried(study, trial, searched, number, out)
            ended.append(result)
            write_whole(out / TABLE, table(ended).encode())
            on_trial(result)
    return Tuned(load(out / BEST) if (out / BEST).is_dir() else None, ended)


def _tried(study: optuna.Study, trial: optuna.Trial, task: Task, number: int, out: Path) -> Trial:
    """Run a trial, tell Optuna, and keep its model if it is the best."""

    def watch(evaluation: int, value: float) -> bool:
        trial.report(value, evaluation)
        return bool(trial.should_prune())

    from optuna.trial import TrialState

    settings = suggested(trial, task.space) if number else {}
    folder = out / TRIALS / f"{number:04d}"
    result = run_trial(task, number, settings, folder, watch)
    before = [t.value for t in study.get_trials(states=(TrialState.COMPLETE,)) if t.value is not None]
    # its model is in its place before it counts: a kill in between tries it again
    keep_best(out, folder, result.cost is not None and all(result.cost < value for value in before))
    trial.set_user_attr("result", result.as_json())
    _tell(study, trial.number, result)
    return result


def _tell(study: optuna.Study, number: int, result: Trial) -> None:
    """Tell Optuna how its trial of a number ended."""
    from optuna.trial import TrialState

    if result.cost is not None:
        study.tell(number, result.cost)
    else:
        study.tell(number, state=TrialState.PRUNED if result.state == "pruned" else TrialState.FAIL)


def _study(out: Path, seed: int) -> optuna.Study:
    """Return the search in a folder; trials that a killed process left are tried again, where they stopped."""
    import optuna
    from optuna.storages.journal import JournalFileBackend
    from optuna.trial import TrialState

    storage = optuna.storages.JournalStorage(JournalFileBackend(str(out / _JOURNAL)))
    study = optuna.create_study(
        storage=storage,
        study_name="unrolled",
        load_if_exists=True,
        pruner=optuna.pruners.MedianPruner(FIRST_TRIALS, FIRST_EVALUATIONS),
    )
    # another seed after each resumption, or the same settings would be drawn again
    study.sampler = optuna.samplers.TPESampler(seed=seed + len(study.trials), n_startup_trials=6)
    for left in study.get_trials(states=(TrialState.RUNNING,)):
        if "result" in left.user_attrs:
            _tell(study, left.number, Trial(**left.user_attrs["result"]))
        else:
            study.enqueue_trial(left.params, user_attrs=left.user_attrs)
            study.tell(left.number, state=TrialState.FAIL)
    return study


def suggested(trial: optuna.Trial, space: Space) -> Json:
    """Return a value for each setting, chosen by Optuna."""
    chosen: Json = {}
    for name, values in space.items():
        if isinstance(values, Among):
            chosen[name] = trial.suggest_categorical(name, values.values)
        elif isinstance(values.low, int) and isinstance(values.high, int):
            chosen[name] = trial.suggest_int(name, values.low, values.high, log=values.log)
        else:
            chosen[name] = trial.suggest_float(name, values.low, values.high, log=values.log)
    return chosen
