"""One trial of a search: a model trained with some settings, watched by a pruner, and kept only if it is the best."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from unrolled.data.core.folders import Place
from unrolled.data.core.memory import as_places
from unrolled.errors import ArgumentError, DivergenceError
from unrolled.settings import Settings
from unrolled.tasks.core.contract import AnyUse
from unrolled.tasks.core.folder.config import read_config
from unrolled.tasks.core.model import AnyModel
from unrolled.tasks.core.train import train
from unrolled.tasks.core.tuning.space import Among, Between, Space
from unrolled.training import MuteReporter, TrainingSettings
from unrolled.training.criteria import lower_is_better
from unrolled.types import Json

#: the best model of a search, and the trials in progress, in its folder
BEST, TRIALS = "best", "trials"
#: its trials for people
TABLE = "trials.md"
#: trials that are never given up, and evaluations of each before it may be
FIRST_TRIALS, FIRST_EVALUATIONS = 4, 2

#: called after the n-th evaluation, from 1, with the best cost so far; returns whether to give the trial up
Watch = Callable[[int, float], bool]


class Task(NamedTuple):
    """What is trained again and again.

    Attributes:
        use: the task.
        paths, dev: the data.
        options, training: the settings that are given, and so not searched.
    """

    use: AnyUse
    paths: tuple[Place, ...]
    dev: tuple[Place, ...]
    options: Mapping[str, Any]
    training: Mapping[str, Any]

    @classmethod
    def of(
        cls, use: AnyUse, paths: object, dev: object, options: Mapping[str, Any], training: Mapping[str, Any]
    ) -> Task:
        """Return the use that reads this data, with what was given.

        Raises:
            ArgumentError: an option or a setting is out of range.
            StorageError, DataError: the data can't be read.
        """
        places, dev_places = as_places(paths), as_places(dev, may_be_empty=True)
        use = use.for_data(places[0], options)
        # before the first trial, not in it
        use.options(**options)
        TrainingSettings(**training)
        return cls(use, places, dev_places, options, training)

    @property
    def space(self) -> Space:
        """The settings that are searched: those that the use declares and has, and that were not given.

        Raises:
            ArgumentError: there are none.
        """
        fields: dict[str, type[Settings]] = {
            **dict.fromkeys(TrainingSettings.model_fields, TrainingSettings),
            **dict.fromkeys(self.use.options.model_fields, self.use.options),
        }
        left = {
            name: values
            for name, values in self.use.space.items()
            if name in fields and name not in self.options and name not in self.training
        }
        if not left:
            names = ", ".join(f"--{name.replace('_', '-')}" for name in self.use.space)
            raise ArgumentError(f"nothing is left to search: leave out one of {names}")
        return left


@dataclass(frozen=True)
class Trial:
    """A trial that has ended.

    Attributes:
        number: from 0; the first has the settings that the data chooses.
        state: complete, pruned (given up early) or failed.
        settings: those that were tried, beside the given ones.
        metric: the name of what is judged by.
        value: of the best evaluation; None without one.
        evaluations, minutes: how long it took.
        reason: why it failed, or why training ended.
    """

    number: int
    state: str
    settings: Json
    metric: str = "loss"
    value: float | None = None
    evaluations: int = 0
    minutes: float = 0.0
    reason: str = ""

    @property
    def cost(self) -> float | None:
        """The value of a complete trial, with the other sign where more is better; None of another one."""
        return None if self.state != "complete" or self.value is None else _sign(self.metric) * self.value

    def as_json(self) -> Json:
        """Return the trial as a JSON object."""
        return asdict(self)


@dataclass(frozen=True)
class Tuned:
    """The result of a search.

    Attributes:
        best: the best model; None if no trial was completed.
        trials: all of them, in the order of their numbers.
    """

    best: AnyModel | None
    trials: list[Trial]


class _GivenUp(Exception):
    """The pruner gave a trial up."""


@dataclass
class _Watching(MuteReporter):
    """Tells the pruner of every evaluation.

    Attributes:
        folder: of the model, whose plan names the metric.
        watch: asks the pruner.
        metric, best: the metric, and the best value of it.
        count, seconds: evaluations and time.
    """

    folder: Path
    watch: Watch
    metric: str = "loss"
    best: float | None = None
    count: int = 0
    seconds: float = 0.0

    def logged(self, record: Mapping[str, Any]) -> None:
        """Raise `_GivenUp` where the pruner says so."""
        self.seconds = float(record.get("seconds") or 0.0)
        if record["split"] != "dev":
            return
        if not self.count:
            self.metric = str(read_config(self.folder).training["monitor"])
        self.count += 1
        value, sign = record.get(self.metric), _sign(self.metric)
        if value is not None and (self.best is None or sign * value < sign * self.best):
            self.best = value
        if self.best is not None and self.watch(self.count, sign * self.best):
            raise _GivenUp


def run_trial(task: Task, number: int, settings: Mapping[str, Any], folder: Path, watch: Watch) -> Trial:
    """Train a model with some settings; a run that was killed in the same folder is continued.

    A trial that diverges, or whose settings exclude each other, has failed; what is wrong with the data is an error.

    Raises:
        KeyboardInterrupt: Ctrl-C or SIGTERM; what was trained is kept, to be continued.
        UnrolledError: as `train`.
    """
    own = {name: value for name, value in settings.items() if name in task.use.options.model_fields}
    training = {**task.training, **{name: value for name, value in settings.items() if name not in own}}
    reporter = _Watching(folder, watch)
    trial = Trial(number, "failed", dict(settings))
    try:
        model = train(
            task.use,
            task.paths,
            folder,
            dev=task.dev,
            resume=folder.exists(),
            options={**task.options, **own},
            examples=True,
            reporter=reporter,
            **training,
        )
    except _GivenUp:
        trial = replace(trial, state="pruned", reason="worse than others had been by then")
    except (DivergenceError, ArgumentError) as error:
        if not settings:
            # what was given is wrong, not what was tried
            raise
        trial = replace(trial, reason=str(error))
    else:
        if model.config.result["interrupted"]:
            raise KeyboardInterrupt
        result, reporter.metric = model.config.result, model.config.training["monitor"]
        reporter.best, reporter.seconds = result["dev"].get(reporter.metric), result["seconds"]
        trial = replace(trial, state="complete", reason=result["reason"])
    trial = replace(trial, metric=reporter.metric, value=reporter.best)
    return replace(trial, evaluations=reporter.count, minutes=reporter.seconds / 60)


def keep_best(out: Path, folder: Path, is_best: bool) -> None:
    """Make a trial's model the best one of a search, or remove it. A kill in between leaves one of the two."""
    best, old = out / BEST, out / f".{BEST}.old"
    if is_best and folder.is_dir():
        shutil.rmtree(old, ignore_errors=True)
        if best.exists():
            best.rename(old)
        folder.rename(best)
        shutil.rmtree(old, ignore_errors=True)
    else:
        shutil.rmtree(folder, ignore_errors=True)


def table(trials: list[Trial]) -> str:
    """Return the trials as a Markdown table, the best first."""
    names = sorted({name for trial in trials for name in trial.settings})
    metric = next((trial.metric for trial in trials if trial.value is not None), "metric")
    head = ["trial", "state", metric, "minutes", *names]
    rows = [
        [
            str(trial.number),
            trial.state,
            "" if trial.value is None else f"{trial.value:.4f}",
            f"{trial.minutes:.2f}",
            *(short(trial.settings.get(name)) for name in names),
        ]
        for trial in sorted(trials, key=lambda trial: math.inf if trial.cost is None else trial.cost)
    ]
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def _sign(metric: str) -> int:
    return 1 if lower_is_better(metric) else -1


def short(value: object) -> str:
    """Return a setting's value for people."""
    return "as planned" if value is None else f"{value:.3g}" if isinstance(value, float) else str(value)


def describe(space: Space) -> list[str]:
    """Return each setting of a space and what it may be, for the log."""
    texts = []
    for name, values in space.items():
        if isinstance(values, Among):
            texts.append(f"{name}: {', '.join(map(str, values.values))}")
        elif isinstance(values, Between):
            texts.append(f"{name}: {values.low:g} to {values.high:g}{' by ratio' if values.log else ''}")
    return texts
