"""`unrolled inspect` and `unrolled compare`: what happens inside a model, and models side by side."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from unrolled.cli.arguments import AsJson, ModelFolder, Threads, use_threads
from unrolled.cli.console import print_json, progress_line, show
from unrolled.errors import ArgumentError


def inspect(
    model: ModelFolder,
    given: Annotated[
        str | None, typer.Argument(metavar="INPUT", help="a text, or the path of a file, as for predict")
    ] = None,
    out: Annotated[Path, typer.Option(metavar="FILE", help="the report, one HTML file that needs no network")] = Path(
        "report.html"
    ),
    at: Annotated[int, typer.Option(help="the step of the output that is asked what mattered; -1 the last")] = -1,
    limit: Annotated[int, typer.Option(help="steps that are looked at, the last ones of a longer input")] = 256,
    search: Annotated[
        list[str] | None,
        typer.Option(
            metavar="REGEX", help="find units that track what this matches; may be repeated", show_default=False
        ),
    ] = None,
    pictures: Annotated[bool, typer.Option("--pictures", help="each picture as PNG and SVG beside the report")] = False,
    try_: Annotated[
        bool, typer.Option("--try", help="train a fresh copy for some steps, as it is and with each remedy")
    ] = False,
    steps: Annotated[int, typer.Option(help="of each try")] = 60,
    as_json: AsJson = False,
    threads: Threads = None,
) -> None:
    """
      unrolled inspect my-model "Thank you for your help."
      unrolled inspect my-model --search 'ing' "Going there, I was singing." --out ing.html --pictures
      unrolled inspect my-model "Some text" --try             remedies, before and after
      unrolled inspect my-model "Some text" --json > arrays.json

    What happens inside a model on one input: the network unfolded over its steps, forwards and backwards; gates and
    saturation; whether gradients vanish or explode, from which lag, and what to do; what mattered; what units track.
    """
    use_threads(threads)
    from unrolled.tasks import load

    with progress_line() as line:
        loaded = load(model)
        tries = None
        if try_:
            from unrolled.inspection.remedies import Tries

            # refused now, if at all: what follows takes its time
            tries = Tries(loaded, steps)
        report = None
        if given is not None:
            from unrolled.inspection.report import inspect as look

            report = look(loaded, given, at=at, limit=limit, patterns=search or (), progress=line)
        elif not try_:
            raise ArgumentError("INPUT: a text, or the path of a file, is needed to look at")
        written = report.write(out, pictures) if report is not None and not as_json else []
        trials = tries.run(line) if tries is not None else []
    if as_json:
        found: dict[str, Any] = dict(report.arrays) if report is not None else {}
        print_json(found | ({"trials": [trial.as_json() for trial in trials]} if trials else {}))
        return
    if report is not None:
        if report.probe.note:
            show(report.probe.note)
        for verdict in report.verdicts:
            show(str(verdict))
            if verdict.remedies:
                show("  try: " + "; ".join(verdict.remedies))
        show(f"written: {', '.join(map(str, written))}")
    for trial in trials:
        kinds = ", ".join(f"{v.layer} {v.kind}" + (f" from lag {v.lag}" if v.lag else "") for v in trial.verdicts)
        show(f"{trial.name}: loss {trial.first:.4g} → {trial.last:.4g}, largest gradient {trial.largest:.3g}; {kinds}")


def compare(
    models: Annotated[list[Path], typer.Argument(metavar="MODEL", help="folders of models")],
    given: Annotated[
        str | None, typer.Option("--input", metavar="INPUT", help="time a prediction of this", show_default=False)
    ] = None,
    data: Annotated[
        list[Path] | None,
        typer.Option(metavar="PATH", help="evaluate all of them on this; may be repeated", show_default=False),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="draw their curves, as PNG and SVG", show_default=False),
    ] = None,
    as_json: AsJson = False,
    threads: Threads = None,
) -> None:
    """
      unrolled compare lstm gru rnn
      unrolled compare lstm gru --input "Thank you for" --data held-out.txt --out curves.png

    Models side by side: size, training, metrics on the development data, and, where asked for, the time of a prediction
    and metrics on data of yours.
    """
    use_threads(threads)
    from unrolled.inspection.comparison import compare as look
    from unrolled.tasks import load

    with progress_line() as line:
        found = look([load(folder) for folder in models], given=given, data=data or (), progress=line)
    if out is not None:
        from unrolled.inspection.plot import plot_curves, save

        save(plot_curves(found), out)
    if as_json:
        for one in found:
            print_json(one.as_json())
        return
    rows = [("model", *(one.name for one in found))]
    rows += [("task", *(one.task for one in found))]
    rows += [("parameters", *(f"{one.parameters:,}" for one in found))]
    rows += [("weights", *(f"{one.bytes / 1e6:.2f} MB" for one in found))]
    rows += [("training", *(f"{one.steps:,} steps, {one.minutes:.1f} min" for one in found))]
    for name in dict.fromkeys(name for one in found for name in one.dev):
        rows.append((f"dev {name}", *(_number(one.dev.get(name)) for one in found)))
    if given is not None:
        rows.append(("a prediction", *(f"{1000 * (one.speed or 0):.1f} ms" for one in found)))
    for name in dict.fromkeys(n for one in found if one.evaluation for n in one.evaluation["metrics"]):
        values = [(one.evaluation or {"metrics": {}})["metrics"].get(name) for one in found]
        if all(isinstance(value, (int, float)) for value in values):
            rows.append((f"data {name}", *(_number(value) for value in values)))
    for name in dict.fromkeys(name for one in found for name in one.network):
        values = [one.network.get(name) for one in found]
        if any(value != values[0] for value in values):
            rows.append((f"network {name}", *(json.dumps(value) for value in values)))
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    for row in rows:
        show("  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip())


def _number(value: Any) -> str:
    return "–" if value is None else f"{value:.4g}"
