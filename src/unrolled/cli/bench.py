"""`unrolled bench`: this machine, against every library that is installed."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from unrolled.cli.arguments import Threads, use_threads
from unrolled.cli.console import progress_line
from unrolled.cli.layout import CONTEXT, Command, new_group
from unrolled.errors import ArgumentError

HELP = """
  unrolled bench layers
  unrolled bench layers --cell lstm --mode step --peers torch,onnxruntime

Measurements of this package against others, on this machine.
"""

bench_app = new_group(HELP)


@bench_app.callback()
def bench() -> None:
    """Makes this a group though it has one command."""


@bench_app.command("layers", cls=Command, context_settings=CONTEXT, short_help="recurrent layers, against each library")
def layers(
    cell: Annotated[str, typer.Option(metavar="NAME,…", help="some of lstm, gru, rnn")] = "lstm,gru,rnn",
    mode: Annotated[
        str, typer.Option(metavar="NAME,…", help="some of inference, training, step, ragged")
    ] = "inference,training,step,ragged",
    shapes: Annotated[
        str | None,
        typer.Option(metavar="BxH,…", help="batch and hidden size; 1x128 to 32x1024 if not given", show_default=False),
    ] = None,
    peers: Annotated[
        str, typer.Option(metavar="NAME,…", help="whom to measure against, if installed")
    ] = "torch,torch.compile,jax,onnxruntime,openvino",
    time: Annotated[int, typer.Option(metavar="T", help="steps in a sequence")] = 100,
    seconds: Annotated[float, typer.Option(metavar="S", help="time for the rounds of one row")] = 2.5,
    repeats: Annotated[int, typer.Option(metavar="N", help="the most rounds of one row")] = 200,
    threads: Threads = None,
    json_to: Annotated[
        Path | None,
        typer.Option(
            "--json",
            metavar="FILE|DIR",
            help="write the results here; in a folder as layers-MACHINE.json",
            show_default=False,
        ),
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(metavar="FILE|DIR", help="draw the ratios here, as a PNG", show_default=False),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="keep the rows that the --json file has already")] = False,
) -> None:
    """
      unrolled bench layers
      unrolled bench layers --cell gru --mode training --shapes 1x128,64x256 --seconds 10
      unrolled bench layers --json results/ --plot results/

    Time our layers and those of torch, torch.compile, JAX, ONNX Runtime and OpenVINO side by side: everyone's answer is
    held to float64 first, and one that is wrong gets no time; then they take turns, round after round. The table shows
    medians, how many times as long as ours the fastest of the others takes, and what share we reach of what this
    machine can do at best. Peers are installed by: pip install 'unrolled[bench]'. Takes about a quarter of an hour,
    more where other work disturbs it.
    """
    use_threads(threads)
    for option, value in (("--time", time), ("--repeats", repeats)):
        if value < 1:
            raise ArgumentError(f"{option}: expected 1 or more, found {value}")
    if not 0 <= seconds < float("inf"):
        raise ArgumentError(f"--seconds: expected 0 or more, found {seconds}")
    if resume and json_to is None:
        raise ArgumentError("--resume: give the file to resume with --json")

    import torch

    from unrolled.bench.grid import CELLS, MODES, SHAPES, grid, names
    from unrolled.bench.grid import shapes as parsed_shapes
    from unrolled.bench.layers import Plan, measure_layers
    from unrolled.bench.machine import machine
    from unrolled.bench.peers import PEERS
    from unrolled.bench.plot import check_plot, plot_ratios
    from unrolled.bench.report import footnotes, tables

    if plot is not None:
        check_plot()
    name = f"layers-{machine()['slug']}"
    plan = Plan(
        cases=grid(
            names(cell, CELLS, "--cell"),
            names(mode, MODES, "--mode"),
            SHAPES if shapes is None else parsed_shapes(shapes),
            time,
        ),
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

    from rich.console import Console

    # into a pipe or file as wide as it needs
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 160)
    for table in tables(results):
        console.print(table)
    for note in footnotes(results):
        print(note)
    drawing = _file(plot, f"{name}.png")
    if drawing is not None:
        plot_ratios(results, drawing)


def _file(path: Path | None, name: str) -> Path | None:
    """The file meant: `path`, or `name` in it if it is a folder."""
    return path / name if path is not None and path.is_dir() else path
