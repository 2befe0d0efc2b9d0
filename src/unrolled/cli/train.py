"""`unrolled train TASK`: a command for each task, made of its declaration."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unrolled.cli.arguments import TaskGroup, Threads, adapted, personal_option, use_threads
from unrolled.cli.console import progress_line
from unrolled.cli.failures import INTERRUPTED
from unrolled.cli.layout import Command, lone_command
from unrolled.errors import ArgumentError, MissingDependencyError

if TYPE_CHECKING:
    from unrolled.tasks import AnyUse, Model

#: what `--watch` stands for without a port
ANY_PORT = "any"
#: what most people want to set, shown before the rest
FIRST = ("steps", "epochs", "minutes", "until", "seed")

Paths = Annotated[list[Path], typer.Argument(metavar="PATH", help="files and folders to learn from")]
Out = Annotated[Path, typer.Option(metavar="DIR", help="the folder for the model", show_default=False)]
Dev = Annotated[
    list[Path] | None,
    typer.Option(metavar="PATH", help="development data, to choose by; may be repeated", show_default=False),
]
Resume = Annotated[bool, typer.Option("--resume", help="go on with the run in DIR, or begin one if there is none")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="replace the model in DIR")]
Watch = Annotated[
    str | None,
    typer.Option(
        metavar="[PORT]", help="show the run on a page of this machine, at port 8000 or the next free one",
        show_default=False,
    ),
]  # fmt: skip
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="say nothing but warnings")]


class TrainGroup(TaskGroup):
    """A command for each task."""

    def command_of(self, task: AnyUse) -> Any:
        """The training of one task."""
        return task_command(task)


class WatchCommand(Command):
    """A command whose option --watch may stand without its port."""

    def parse_args(self, ctx: Any, args: list[str]) -> Any:
        """As its parent; what follows --watch is its port only if it is a number."""
        given: list[str] = []
        for place, one in enumerate(args):
            given.append(one)
            if one == "--watch" and "--" not in args[:place] and not "".join(args[place + 1 : place + 2]).isdigit():
                given.append(ANY_PORT)
        return super().parse_args(ctx, given)


def task_command(task: AnyUse) -> Any:
    """A click command whose options are the task's own and those of training."""
    from unrolled.cli.options import accepting, parameters
    from unrolled.training import TrainingSettings

    def command(
        paths: Paths,
        out: Out,
        dev: Dev = None,
        resume: Resume = False,
        overwrite: Overwrite = False,
        watch: Watch = None,
        quiet: Quiet = False,
        threads: Threads = None,
        **given: Any,
    ) -> int:
        use_threads(threads)
        personal = given.pop("personal", None)
        own = {name: value for name, value in given.items() if name in task.options.model_fields}
        training = {name: value for name, value in given.items() if name not in own}
        return run(
            task,
            paths,
            out,
            dev or [],
            resume=resume,
            overwrite=overwrite,
            quiet=quiet,
            watch=watch,
            personal=personal,
            own=own,
            training=training,
        )

    extra = [
        *personal_option(task),
        *parameters(TrainingSettings, "Training", first=FIRST, sure=False),
        *parameters(task.options, f"The task {task.name}"),
    ]
    return lone_command(accepting(command, extra), task.name, task_help(task), task.summary, WatchCommand)


def task_help(task: AnyUse) -> str:
    """Examples, then what the task does."""
    begin = f"unrolled train {task.name} DATA… --out my-model"
    return f"""
  {begin}
  {begin} --minutes 10
  {begin} --dev HELD-OUT --until loss=1.5 --steps 20000
  {begin} --resume                  go on after Ctrl-C, a crash or a power cut
  {begin} --watch                   see it learn, in a browser

{task.summary[:1].upper()}{task.summary[1:]}. Network, batches and schedule are chosen by how much data there is and
how long it may train; options overrule that. DIR is a model at the end, and holds metrics.jsonl, samples.md, card.md
and plots/ besides.
"""


def run(
    task: AnyUse,
    paths: list[Path],
    out: Path,
    dev: list[Path],
    *,
    resume: bool,
    overwrite: bool,
    quiet: bool,
    watch: str | None,
    personal: list[Path] | None,
    own: dict[str, Any],
    training: dict[str, Any],
) -> int:
    """Train, draw the plots, and say what to do next. Returns the exit code."""
    from unrolled.data import find_sources
    from unrolled.tasks import train
    from unrolled.training import make_reporter

    if personal:
        # what is read last is missed first: training may take hours
        find_sources(personal)
    with shown(out, watch), progress_line(quiet) as line:
        model = train(
            task,
            paths,
            out,
            dev=dev,
            resume=resume,
            overwrite=overwrite,
            options=own,
            reporter=line.before(make_reporter(quiet)),
            progress=line,
            **training,
        )
        if personal and not model.config.result["interrupted"]:
            adapted(model, personal, line).save(out)
    draw(out)
    if model.config.result["interrupted"]:
        print(f"unrolled: all is saved; go on with the same command and --resume (--out {out})", file=sys.stderr)
        return INTERRUPTED
    if not quiet:
        print(next_commands(model, out))
    return 0


@contextmanager
def shown(out: Path, watch: str | None) -> Iterator[None]:
    """The run on a page, if that was asked for; its address goes to standard error.

    Raises:
        ArgumentError: a port that is none.
        StorageError: it can't be had.
        MissingDependencyError: the libraries of the server are not installed.
    """
    if watch is None:
        yield
        return
    if watch != ANY_PORT and not (watch.isascii() and watch.isdigit() and int(watch) < 65536):
        raise ArgumentError(f"--watch: expected a port, from 0 (any) to 65535, found {watch!r}")
    from unrolled.serving.training.page import training_page

    with training_page(out, None if watch == ANY_PORT else int(watch)) as address:
        print(f"unrolled: watch it at {address}#training", file=sys.stderr)
        yield


def draw(out: Path) -> None:
    """The run's plots, if matplotlib is there."""
    from unrolled.training import plot_run

    try:
        plot_run(out)
    except MissingDependencyError as error:
        print(f"unrolled: no plots: {error}", file=sys.stderr)


def next_commands(model: Model, out: Path) -> str:
    """What to type after training."""
    return f"next: unrolled predict {out}\n      unrolled evaluate {out} DATA"
