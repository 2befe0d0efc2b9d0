"""`unrolled bench`: measures our layers against every other library that is installed."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from unrolled.cli.arguments import Threads, use_threads
from unrolled.cli.console import progress_line
from unrolled.cli.layout import CONTEXT, Command, new_group
from unrolled.errors import ArgumentError
from unrolled.terminal import say

if TYPE_CHECKING:
    from unrolled.bench.report import Results

HELP = """
  unrolled bench layers
  unrolled bench layers --cell lstm --mode step --peers torch,onnxruntime

Measure this package against others, on this machine.
"""

bench_app = new_group(HELP)

Cells = Annotated[
    str, typer.Option(metavar="NAME,…", help="some of lstm, gru, rnn, mingru, minlstm, sru, rglru, lru, indrnn")
]
Dtypes = Annotated[str, typer.Option(metavar="NAME,…", help="float32, bfloat16, or both")]
Modes = Annotated[str, typer.Option(metavar="NAME,…", help="some of inference, training, step, ragged")]
Shapes = Annotated[
    str | None,
    typer.Option(metavar="BxH,…", help="batch and hidden sizes; by default 1x128 to 32x1024", show_default=False),
]
Peers = Annotated[str, typer.Option(metavar="NAME,…", help="the libraries to compare with, if installed")]
Time = Annotated[int, typer.Option(metavar="T", help="steps in a sequence")]
Seconds = Annotated[float, typer.Option(metavar="S", help="time for the rounds of a row")]
Repeats = Annotated[int, typer.Option(metavar="N", help="the most rounds of a row")]
JsonTo = Annotated[
    Path | None,
    typer.Option(
        "--json", metavar="FILE|DIR", help="where to write the results; in a folder as layers-MACHINE.json",
        show_default=False,
    ),
]  # fmt: skip
PlotTo = Annotated[
    Path | None,
    typer.Option(metavar="FILE|DIR", help="where to plot the ratios, as a PNG", show_default=False),
]
Resume = Annotated[bool, typer.Option("--resume", help="keep the rows already in the --json file")]


@bench_app.callback()
def bench() -> None:
    """Make this a group although it has a single command."""


@bench_app.command("layers", cls=Command, context_settings=CONTEXT, short_help="recurrent layers, against each library")
def layers(
    cell: Cells = "lstm,gru,rnn",
    mode: Modes = "inference,training,step,ragged",
    shapes: Shapes = None,
    dtype: Dtypes = "float32",
    peers: Peers = "torch,torch.compile,jax,onnxruntime,openvino",
    time: Time = 100,
    seconds: Seconds = 2.5,
    repeats: Repeats = 200,
    threads: Threads = None,
    json_to: JsonTo = None,
    plot: PlotTo = None,
    resume: Resume = False,
) -> None:
    """
      unrolled bench layers
      unrolled bench layers --cell gru --mode training --shapes 1x128,64x256 --seconds 10
      unrolled bench layers --cell lstm,mingru,sru --mode training --shapes 1x256,32x256 --time 1000
      unrolled bench layers --json results/ --plot results/

    Time our layers and those of torch, torch.compile, JAX, ONNX Runtime and OpenVINO side by side. Each result is first
    checked against float64, and a wrong one is not timed; then they take turns, round after round. The table shows
    medians, the ratio of the fastest other library to ours, and the share of this machine's peak. Install the others
    with: pip install 'unrolled[bench]'. It takes a quarter of an hour, or more on a busy machine.
    """
    use_threads(threads)
    for option, value, least in (("--time", time, 1), ("--repeats", repeats, 1), ("--seconds", seconds, 0)):
        if not least <= value < float("inf"):
            raise ArgumentError(f"{option}: expected {least} or more, found {value}")
    if resume and json_to is None:
        raise ArgumentError("--resume: give the file to resume with --json")

    import torch

    from unrolled.bench.grid import CELLS, DTYPES, ELEMENTWISE, MODES, SHAPES, grid, names
    from unrolled.bench.grid import shapes as parsed_shapes
    from unrolled.bench.layers import Plan, measure_layers
    from unrolled.bench.machine import machine
    from unrolled.bench.peers import PEERS
    from unrolled.bench.plot import check_plot, plot_ratios

    if plot is not None:
        check_plot()
    name = f"layers-{machine()['slug']}"
    sizes, dtypes = SHAPES if shapes is None else parsed_shapes(shapes), names(dtype, DTYPES, "--dtype")
    plan = Plan(
        cases=grid(names(cell, (*CELLS, *ELEMENTWISE), "--cell"), names(mode, MODES, "--mode"), sizes, time, dtypes),
        peers=names(peers, tuple(PEERS), "--peers"),
        seconds=seconds,
        repeats=repeats,
        threads=torch.get_num_threads(),
        command=shlex.join(["unrolled", *sys.argv[1:]]),
        path=_file(json_to, f"{name}.json"),
        resume=resume,
    )
    with progress_line() as line:
        results = measure_layers(plan, line)
    print_results(results)
    if drawing := _file(plot, f"{name}.png"):
        plot_ratios(results, drawing)


def print_results(results: Results) -> None:
    """Print the tables of a measurement and their footnotes."""
    from rich.console import Console

    from unrolled.bench.report import footnotes, tables

    # wide enough for the tables where there is no terminal to fit
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 160)
    for table in tables(results):
        console.print(table)
    for note in footnotes(results):
        say(note)


def _file(path: Path | None, name: str) -> Path | None:
    """Return `path`, or `name` in it if it is a folder."""
    return path / name if path is not None and path.is_dir() else path
