"""`unrolled inspect` and `unrolled compare`: show what happens inside a model, and compare models."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from unrolled.cli.arguments import AsJson, ModelFolder, Threads, use_threads
from unrolled.cli.console import print_json, progress_line
from unrolled.errors import ArgumentError
from unrolled.terminal import say
from unrolled.types import Json

if TYPE_CHECKING:
    from unrolled.inspection.comparison import Compared


Input = Annotated[str | None, typer.Argument(metavar="INPUT", help="a text, or the path of a file, as for predict")]
ReportFile = Annotated[Path, typer.Option(metavar="FILE", help="the report, one HTML file that needs no network")]
At = Annotated[int, typer.Option(help="the step of the output that attributions explain; -1 the last")]
Limit = Annotated[int, typer.Option(help="the most steps to inspect, the last ones of a longer input")]
Search = Annotated[
    list[str] | None,
    typer.Option(metavar="REGEX", help="find units that track what this matches; may be repeated", show_default=False),
]
Pictures = Annotated[bool, typer.Option("--pictures", help="also write each figure as PNG and SVG")]
Try = Annotated[bool, typer.Option("--try", help="train a fresh copy for some steps, as it is and with each remedy")]
Steps = Annotated[int, typer.Option(help="steps of each try")]


def inspect(
    model: ModelFolder,
    given: Input = None,
    out: ReportFile = Path("report.html"),
    at: At = -1,
    limit: Limit = 256,
    search: Search = None,
    pictures: Pictures = False,
    try_: Try = False,
    steps: Steps = 60,
    as_json: AsJson = False,
    threads: Threads = None,
) -> None:
    """
      unrolled inspect my-model "Thank you for your help."
      unrolled inspect my-model --search 'ing' "Going there, I was singing." --out ing.html --pictures
      unrolled inspect my-model "Some text" --try             remedies, before and after
      unrolled inspect my-model "Some text" --json > arrays.json

    Show what happens inside a model on one input: the network unfolded over its steps, forwards and backwards; gates
    and saturation; whether gradients vanish or explode, from which lag, and what to do; which steps matter; what units
    track.
    """
    use_threads(threads)
    from unrolled.tasks import load

    with progress_line() as line:
        loaded = load(model)
        tries = None
        if try_:
            from unrolled.inspection.remedies import Tries

            # fail here, if at all: the report takes its time
            tries = Tries(loaded, steps)
        report = None
        if given is not None:
            from unrolled.inspection.report import inspect as look

            report = look(loaded, given, at=at, limit=limit, patterns=search or (), progress=line)
        elif not try_:
            raise ArgumentError("INPUT: give a text, or the path of a file, to inspect")
        written = report.write(out, pictures) if report is not None and not as_json else []
        trials = tries.run(line) if tries is not None else []
    if as_json:
        results: Json = dict(report.arrays) if report is not None else {}
        print_json(results | ({"trials": [trial.as_json() for trial in trials]} if trials else {}))
        return
    if report is not None:
        if report.probe.note:
            say(report.probe.note)
        for verdict in report.verdicts:
            say(str(verdict))
            if verdict.remedies:
                say("  try: " + "; ".join(verdict.remedies))
        say(f"written: {', '.join(map(str, written))}")
    for trial in trials:
        kinds = ", ".join(f"{v.layer} {v.kind}" + (f" from lag {v.lag}" if v.lag else "") for v in trial.verdicts)
        say(f"{trial.name}: loss {trial.first:.4g} → {trial.last:.4g}, largest gradient {trial.largest:.3g}; {kinds}")


def compare(
    models: Annotated[list[Path], typer.Argument(metavar="MODEL", help="folders of models")],
    given: Annotated[
        str | None,
        typer.Option("--input", metavar="INPUT", help="an input to time predictions on", show_default=False),
    ] = None,
    data: Annotated[
        list[Path] | None,
        typer.Option(metavar="PATH", help="data to evaluate all models on; may be repeated", show_default=False),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="plot their learning curves, as PNG and SVG", show_default=False),
    ] = None,
    as_json: AsJson = False,
    threads: Threads = None,
) -> None:
    """
      unrolled compare lstm gru rnn
      unrolled compare lstm gru --input "Thank you for" --data held-out.txt --out curves.png

    Compare models: size, training, metrics on the development data, and, on request, the time of a prediction and
    metrics on your data.
    """
    use_threads(threads)
    from unrolled.inspection.comparison import compare as look
    from unrolled.tasks import load

    with progress_line() as line:
        compared = look([load(folder) for folder in models], given=given, data=data or (), progress=line)
    if out is not None:
        from unrolled.inspection.plot import plot_curves, save

        save(plot_curves(compared), out)
    if as_json:
        for model in compared:
            print_json(model.as_json())
        return
    print_table(rows_of(compared, timed=given is not None))


def rows_of(compared: Sequence[Compared], *, timed: bool) -> list[tuple[str, ...]]:
    """Return the rows of a comparison: a name, and a cell for each model."""
    rows = [("model", *(model.name for model in compared))]
    rows += [("task", *(model.task for model in compared))]
    rows += [("parameters", *(f"{model.parameters:,}" for model in compared))]
    rows += [("weights", *(f"{model.bytes / 1e6:.2f} MB" for model in compared))]
    rows += [("training", *(f"{model.steps:,} steps, {model.minutes:.1f} min" for model in compared))]
    for name in dict.fromkeys(name for model in compared for name in model.dev):
        rows.append((f"dev {name}", *(_number(model.dev.get(name)) for model in compared)))
    if timed:
        rows.append(("a prediction", *(f"{1000 * (model.speed or 0):.1f} ms" for model in compared)))
    for name in dict.fromkeys(n for model in compared if model.evaluation for n in model.evaluation["metrics"]):
        values = [(model.evaluation or {"metrics": {}})["metrics"].get(name) for model in compared]
        if all(isinstance(value, (int, float)) for value in values):
            rows.append((f"data {name}", *(_number(value) for value in values)))
    for name in dict.fromkeys(name for model in compared for name in model.network):
        values = [model.network.get(name) for model in compared]
        if any(value != values[0] for value in values):
            rows.append((f"network {name}", *(json.dumps(value) for value in values)))
    return rows


def print_table(rows: Sequence[tuple[str, ...]]) -> None:
    """Print rows with their columns aligned."""
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    for row in rows:
        say("  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip())


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"
