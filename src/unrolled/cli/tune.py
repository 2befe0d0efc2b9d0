"""`unrolled tune TASK`: a command for each task, made from its declaration and its search space."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unrolled.cli.arguments import AsJson, TaskGroup, Threads, use_threads
from unrolled.cli.console import print_json
from unrolled.cli.layout import lone_command
from unrolled.cli.train import FIRST, Dev, Paths, Quiet
from unrolled.terminal import say

if TYPE_CHECKING:
    from unrolled.tasks import AnyUse
    from unrolled.tasks.core.tuning.trial import Trial

Out = Annotated[
    Path, typer.Option(metavar="DIR", help="the folder of the search; one in it is continued", show_default=False)
]
Trials = Annotated[int, typer.Option(metavar="N", help="trials, those of a search that is continued included")]


class TuneGroup(TaskGroup):
    """A command for each task."""

    def command_of(self, task: AnyUse) -> Any:
        """Return the command that searches the settings of one task."""
        return task_command(task)


def task_command(task: AnyUse) -> Any:
    """Return a click command whose options are the task's own and those of training."""
    from unrolled.cli.options import accepting, parameters
    from unrolled.training import TrainingSettings

    def command(
        paths: Paths,
        out: Out,
        trials: Trials = 20,
        dev: Dev = None,
        as_json: AsJson = False,
        quiet: Quiet = False,
        threads: Threads = None,
        **given: Any,
    ) -> None:
        use_threads(threads)
        from unrolled.tasks.core.tuning.search import tune
        from unrolled.tasks.core.tuning.trial import BEST, table

        own = {name: value for name, value in given.items() if name in task.options.model_fields}
        training = {name: value for name, value in given.items() if name not in own}

        def on_trial(trial: Trial) -> None:
            if as_json:
                print_json(trial.as_json())
            elif not quiet:
                say(sentence(trial))

        tuned = tune(task, paths, out, trials=trials, dev=dev or [], options=own, on_trial=on_trial, **training)
        if not as_json:
            say(table(tuned.trials), end="")
        if not quiet and not as_json and tuned.best is not None:
            say(f"next: unrolled evaluate {out / BEST} DATA")

    extra = [
        *parameters(TrainingSettings, "Training, of every trial", first=FIRST, sure=False, unset="may be searched"),
        *parameters(task.options, f"The task {task.name}, of every trial", unset="may be searched"),
    ]
    return lone_command(accepting(command, extra), task.name, task_help(task), f"tune: {task.summary}")


def task_help(task: AnyUse) -> str:
    """Return the help page: examples, then what is searched."""
    begin = f"unrolled tune {task.name} DATA… --out my-search"
    names = ", ".join(f"--{name.replace('_', '-')}" for name in task.space)
    return f"""
  {begin} --trials 20 --minutes 5
  {begin} --trials 40 --minutes 5         continue it, to 40 trials

Search for the settings that are best for this data. Searched are {names},
except those that are given. The first trial is the plan of `unrolled train`. Trials that fall behind are given up.
DIR/best is the best model, DIR/trials.md a table of all.
"""


def sentence(trial: Trial) -> str:
    """Return one line about a trial."""
    from unrolled.tasks.core.tuning.trial import short

    value = "no value" if trial.value is None else f"{trial.metric} {trial.value:.4f}"
    chosen = ", ".join(f"{name}={short(value)}" for name, value in trial.settings.items())
    why = f" ({trial.reason})" if trial.state != "complete" else ""
    return f"trial {trial.number}: {trial.state}{why}, {value}, {trial.minutes:.1f} min; {chosen or 'as planned'}"
