"""The command `unrolled`: its commands assembled, and its entry point."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from unrolled.cli.bench import bench_app
from unrolled.cli.clean import clean
from unrolled.cli.data import data_app
from unrolled.cli.demo import demo
from unrolled.cli.doctor import doctor
from unrolled.cli.evaluate import evaluating
from unrolled.cli.export import export
from unrolled.cli.failures import debugging, exit_code
from unrolled.cli.following import Deferred
from unrolled.cli.inspect import compare, inspect
from unrolled.cli.lab import lab_app
from unrolled.cli.layout import CONTEXT, Command, Group, new_group
from unrolled.cli.personalise import personalise
from unrolled.cli.predict import predicting
from unrolled.cli.serve import serving
from unrolled.cli.train import TrainGroup
from unrolled.cli.tune import TuneGroup
from unrolled.terminal import say

ROOT_HELP = """
  unrolled train generate mail.mbox --out my-mail --minutes 10
  unrolled predict my-mail                            type, Tab accepts
  unrolled predict my-mail --prompt "Dear all,"       let it write
  unrolled evaluate my-mail held-out.mbox
  unrolled inspect my-mail "Thank you for"            look inside

Recurrent neural networks, whole: train one on your own sequences, look inside it, stream it, ship it.
"""

#: commands whose options depend on the model they are given
FOLLOWING = {command.name: command for command in (predicting, evaluating)}
DEFERRED: dict[str, Deferred] = {**FOLLOWING, serving.name: serving}

ORDER = (
    "train",
    "tune",
    "evaluate",
    "predict",
    "inspect",
    "compare",
    "personalise",
    "serve",
    "export",
    "clean",
    "data",
    "lab",
    "bench",
    "doctor",
    "demo",
)

TRAIN_HELP = """
  unrolled train generate books/ --out my-model --minutes 10
  unrolled train generate --help                      every option of a task

Train a model and save it in a folder. A good model needs no option: what is left open is chosen by the amount of data.
Each task is a command of its own.
"""

TUNE_HELP = """
  unrolled tune classify reviews.tsv --out my-search --trials 20 --minutes 2
  unrolled tune classify --help                       every option of a task

Search for the settings of a task that are best for some data: train models, give up early those that fall behind, keep
the best one. Each task is a command of its own.
"""


class Root(Group):
    """Lists the commands in the order in which they are needed."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of the commands."""
        known = super().list_commands(ctx)
        return [name for name in ORDER if name in known] + [name for name in known if name not in ORDER]

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """Return the named command with all its options, those of the model's task included."""
        name, command, rest = super().resolve_command(ctx, args)
        if command is not None and name in DEFERRED:
            command = DEFERRED[name].for_arguments(command, rest)
        return name, command, rest


app = new_group(ROOT_HELP, Root)
app.add_typer(new_group(TRAIN_HELP, TrainGroup), name="train", short_help="train a model on your own data")
app.add_typer(new_group(TUNE_HELP, TuneGroup), name="tune", short_help="search for the best settings for your data")
for _command, _help in (
    (evaluating.general(), "measure a model on some data, beside a baseline"),
    (predicting.general(), "predict for arguments, a file or standard input, or as you type"),
    (inspect, "show what happens inside a model on one input, as one HTML file"),
    (compare, "compare models: sizes, speeds, curves, metrics"),
    (personalise, "adapt a model to one writer"),
    (serving.general(), "serve models over HTTP, with streams and a page to try them"),
    (export, "export a model to another runtime: ONNX, C, a page"),
    (clean, "delete what only the training of a model needed"),
):
    app.command(cls=Command, context_settings=CONTEXT, short_help=_help)(_command)
app.add_typer(data_app, name="data", short_help="list, fetch and check data sets")
app.add_typer(lab_app, name="lab", short_help="experiments on memory and on vanishing and exploding gradients")
app.add_typer(bench_app, name="bench", short_help="measure our layers against other libraries, on this machine")
for _command, _help in (
    (doctor, "show what is installed, and which engine serves which layer and why"),
    (demo, "watch a network learn to write, in a few minutes"),
):
    app.command(cls=Command, context_settings=CONTEXT, short_help=_help)(_command)

_options = {"traceback": False}


def show_version(requested: bool) -> None:
    """Print the version and exit, if requested."""
    if requested:
        from unrolled import __version__

        say(f"unrolled {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", help="show the version and exit", is_eager=True, callback=show_version)
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="log what is chosen and why")] = False,
    traceback: Annotated[bool, typer.Option("--traceback", help="show where an error arose")] = False,
) -> None:
    """Apply the options that precede a command."""
    _options["traceback"] = traceback
    log = logging.getLogger("unrolled")
    for handler in log.handlers[:]:
        log.removeHandler(handler)
    if verbose:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(logging.Formatter("%(name)s: %(message)s"))
        log.addHandler(handler)
    log.setLevel(logging.INFO if verbose else logging.NOTSET)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        arguments: the arguments after the command's name; by default this process's.

    Returns:
        The exit code: 0, 1 for a defect of ours, 2 for a user error, 130 after Ctrl-C.
    """
    _options["traceback"] = False
    command = typer.main.get_command(app)
    given = sys.argv[1:] if arguments is None else list(arguments)
    return exit_code(
        lambda: command.main(args=given, prog_name="unrolled", standalone_mode=False),
        lambda: _options["traceback"] or debugging(),
    )
