"""`unrolled train TASK`: a command for each task, made from its declaration."""

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
from unrolled.terminal import say

if TYPE_CHECKING:
    from unrolled.tasks import AnyUse, Model

#: the value of `--watch` without a port
ANY_PORT = "any"
#: the options that most people set, shown before the rest
FIRST = ("steps", "epochs", "minutes", "until", "seed")

Paths = Annotated[list[Path], typer.Argument(metavar="PATH", help="files and folders to learn from")]
Out = Annotated[Path, typer.Option(metavar="DIR", help="the folder for the model", show_default=False)]
Dev = Annotated[
    list[Path] | None,
    typer.Option(metavar="PATH", help="development data, for model selection; may be repeated", show_default=False),
]
Resume = Annotated[bool, typer.Option("--resume", help="continue the run in DIR, or begin one if there is none")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="replace the model in DIR")]
Watch = Annotated[
    str | None,
    typer.Option(
        metavar="[PORT]", help="show the run on a local page, at port 8000 or the next free one",
        show_default=False,
    ),
]  # fmt: skip
NoExamples = Annotated[bool, typer.Option("--no-examples", help="keep no inputs with the model for its page to show")]
About = Annotated[
    str, typer.Option(metavar="TEXT", help="what the data is, for the model's card and page", show_default=False)
]
From = Annotated[
    Path | None,
    typer.Option("--from", metavar="MODEL", help="an older model of this task to go on from", show_default=False),
]
Freeze = Annotated[bool, typer.Option("--freeze", help="with --from: train no more than the output layers")]
OldData = Annotated[
    list[Path] | None,
    typer.Option(
        metavar="PATH",
        help="with --from: measure before and after on this, to see what is forgotten; may be repeated",
        show_default=False,
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="print only warnings")]


class TrainGroup(TaskGroup):
    """A command for each task."""

    def command_of(self, task: AnyUse) -> Any:
        """Return the command that trains one task."""
        return task_command(task)


class WatchCommand(Command):
    """A command whose option --watch may be given without a port."""

    def parse_args(self, ctx: Any, args: list[str]) -> Any:
        """Parse the arguments; what follows --watch is its port only if it is a number."""
        given: list[str] = []
        for place, argument in enumerate(args):
            given.append(argument)
            if (
                argument == "--watch"
                and "--" not in args[:place]
                and not "".join(args[place + 1 : place + 2]).isdigit()
            ):
                given.append(ANY_PORT)
        return super().parse_args(ctx, given)


def task_command(task: AnyUse) -> Any:
    """Return a click command whose options are the task's own and those of training."""
    from unrolled.cli.options import accepting, parameters
    from unrolled.training import TrainingSettings

    def command(
        paths: Paths,
        out: Out,
        dev: Dev = None,
        resume: Resume = False,
        overwrite: Overwrite = False,
        watch: Watch = None,
        from_: From = None,
        freeze: Freeze = False,
        old_data: OldData = None,
        no_examples: NoExamples = False,
        about: About = "",
        quiet: Quiet = False,
        threads: Threads = None,
        **given: Any,
    ) -> int:
        use_threads(threads)
        personal = given.pop("personal", None)
        known = task.all_options.model_fields
        own = {name: value for name, value in given.items() if name in known}
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
            examples=not no_examples,
            about=about,
            start={"base": from_, "freeze": freeze, "old_data": old_data or ()},
            personal=personal,
            own=own,
            training=training,
        )

    extra = [
        *personal_option(task),
        *parameters(TrainingSettings, "Training", first=FIRST, sure=False),
        *parameters(task.all_options, f"The task {task.name}"),
    ]
    return lone_command(accepting(command, extra), task.name, task_help(task), task.summary, WatchCommand)


def task_help(task: AnyUse) -> str:
    """Return the help page: examples, then what the task does."""
    begin = f"unrolled train {task.name} DATA… --out my-model"
    return f"""
  {begin}
  {begin} --minutes 10
  {begin} --dev HELD-OUT --until loss=1.5 --steps 20000
  {begin} --from older-model        go on from an older model, with what is new in DATA
  {begin} --resume                  continue after Ctrl-C, a crash or a power cut
  {begin} --watch                   see it learn, in a browser

{task.summary[:1].upper()}{task.summary[1:]}. Network, batches and schedule are chosen by the amount of data and the
time limit; options override them. At the end DIR is a model, with metrics.jsonl, samples.md, card.md and plots/ beside
it.
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
    examples: bool,
    about: str,
    start: dict[str, Any],
    personal: list[Path] | None,
    own: dict[str, Any],
    training: dict[str, Any],
) -> int:
    """Train, draw the plots, print what to do next, and return the exit code."""
    from unrolled.data import find_sources
    from unrolled.tasks import train
    from unrolled.training import is_leader, make_reporter

    if personal:
        # fail before training, which may take hours, rather than after it
        find_sources(personal)
    leads = is_leader()
    with shown(out, watch if leads else None), progress_line(quiet or not leads) as line:
        model = train(
            task,
            paths,
            out,
            dev=dev,
            resume=resume,
            overwrite=overwrite,
            options=own,
            examples=examples,
            about=about,
            **start,
            reporter=line.before(make_reporter(quiet)),
            progress=line,
            **training,
        )
        if personal and leads and not model.config.result["interrupted"]:
            adapted(model, personal, line).save(out)
    if leads:
        draw(out)
    if model.config.result["interrupted"]:
        if leads:
            say(f"unrolled: all is saved; continue with the same command and --resume (--out {out})", file=sys.stderr)
        return INTERRUPTED
    if leads and not quiet:
        say(next_commands(model, out))
    return 0


@contextmanager
def shown(out: Path, watch: str | None) -> Iterator[None]:
    """Show the run on a page within the block, if requested, and print its address to standard error.

    Raises:
        ArgumentError: the port is not valid.
        StorageError: the port is in use.
        MissingDependencyError: the libraries of the server are not installed.
    """
    if watch is None:
        yield
        return
    if watch != ANY_PORT and not (watch.isascii() and watch.isdigit() and int(watch) < 65536):
        raise ArgumentError(f"--watch: expected a port, from 0 (any) to 65535, found {watch!r}")
    from unrolled.serving.training.page import training_page

    with training_page(out, None if watch == ANY_PORT else int(watch)) as address:
        say(f"unrolled: watch it at {address}#training", file=sys.stderr)
        yield


def draw(out: Path) -> None:
    """Draw the run's plots, if matplotlib is installed."""
    from unrolled.training import plot_run

    try:
        plot_run(out)
    except MissingDependencyError as error:
        say(f"unrolled: no plots: {error}", file=sys.stderr)


def next_commands(model: Model, out: Path) -> str:
    """Return what to type after training."""
    return f"next: unrolled predict {out}\n      unrolled evaluate {out} DATA"
