"""The commands put together, and the door they are entered by."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from unrolled.cli.bench import bench_app
from unrolled.cli.data import data_app
from unrolled.cli.demo import demo
from unrolled.cli.doctor import doctor
from unrolled.cli.evaluate import evaluating
from unrolled.cli.export import export
from unrolled.cli.failures import debugging, exit_code
from unrolled.cli.inspect import compare, inspect
from unrolled.cli.lab import lab_app
from unrolled.cli.layout import CONTEXT, Command, Group, new_group
from unrolled.cli.personalise import personalise
from unrolled.cli.predict import predicting
from unrolled.cli.serve import serving
from unrolled.cli.train import TrainGroup

ROOT_HELP = """
  unrolled train generate mail.mbox --out my-mail --minutes 10
  unrolled predict my-mail                            type, Tab accepts
  unrolled predict my-mail --prompt "Dear all,"       let it write
  unrolled evaluate my-mail held-out.mbox
  unrolled inspect my-mail "Thank you for"            look inside
  unrolled serve my-mail                              try it in a browser, and put it behind a product
  unrolled export my-mail --to onnx --out mail.onnx   take it elsewhere

Recurrent neural networks, whole: train one on your own sequences, look inside it, stream it, ship it.
"""

#: these take the options of the model that is named
FOLLOWING = {command.name: command for command in (predicting, evaluating)}

ORDER = (
    "train",
    "evaluate",
    "predict",
    "inspect",
    "compare",
    "personalise",
    "serve",
    "export",
    "data",
    "lab",
    "bench",
    "doctor",
    "demo",
)

TRAIN_HELP = """
  unrolled train generate books/ --out my-model --minutes 10
  unrolled train generate --help                      every option of a task

Train a model and leave it in a folder. No option is needed for a good one: what is left open is chosen by how much
data there is. Each task is a command of its own.
"""


class Root(Group):
    """Lists the commands in the order in which they are needed."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Their names."""
        known = super().list_commands(ctx)
        return [name for name in ORDER if name in known] + [name for name in known if name not in ORDER]

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """The command that is named; of those that follow a model, the one for its task."""
        name, command, rest = super().resolve_command(ctx, args)
        if command is not None and name in FOLLOWING:
            command = FOLLOWING[name].for_arguments(command, rest)
        return name, command, rest


app = new_group(ROOT_HELP, Root)
app.add_typer(new_group(TRAIN_HELP, TrainGroup), name="train", short_help="train a model on your own data")
for _command, _help in (
    (evaluating.general(), "the metrics of a model on some data, beside a baseline's"),
    (predicting.general(), "predictions from arguments, a file, standard input, or as you type"),
    (inspect, "what happens inside a model on one input, as one HTML file"),
    (compare, "models side by side: sizes, speeds, curves, metrics"),
    (personalise, "adapt a model to one writer"),
    (serving, "models behind an HTTP API, streams, and a page where they can be tried"),
    (export, "a model for another runtime: ONNX"),
):
    app.command(cls=Command, context_settings=CONTEXT, short_help=_help)(_command)
app.add_typer(data_app, name="data", short_help="the standard data sets: list them, get one")
app.add_typer(lab_app, name="lab", short_help="experiments: who remembers how far, what explodes and vanishes")
app.add_typer(bench_app, name="bench", short_help="our layers against those of other libraries, on this machine")
for _command, _help in (
    (doctor, "what is installed, which engine serves which layer, and why"),
    (demo, "watch a network learn to write, in a few minutes"),
):
    app.command(cls=Command, context_settings=CONTEXT, short_help=_help)(_command)

_asked = {"traceback": False}


def show_version(asked: bool) -> None:
    """Print the version, if it was asked for, and end."""
    if asked:
        from unrolled import __version__

        print(f"unrolled {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", help="show the version and exit", is_eager=True, callback=show_version)
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="say what is chosen and why")] = False,
    traceback: Annotated[bool, typer.Option("--traceback", help="show where an error arose")] = False,
) -> None:
    """Options that go before a command."""
    _asked["traceback"] = traceback
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
        arguments: those after the command's name; by default this process's.

    Returns:
        The exit code: 0, 1 for a defect of ours, 2 for the user's fault, 130 after Ctrl-C.
    """
    _asked["traceback"] = False
    command = typer.main.get_command(app)
    given = sys.argv[1:] if arguments is None else list(arguments)
    return exit_code(
        lambda: command.main(args=given, prog_name="unrolled", standalone_mode=False),
        lambda: _asked["traceback"] or debugging(),
    )
