"""M4 hourly: 414 series of 700 to 960 hours, each forecast 48 hours ahead.

    python benchmarks/m4_hourly.py --data DATA/m4_hourly                  on the last 48 hours of the training part
    python benchmarks/m4_hourly.py --data DATA/m4_hourly --split test     on the 48 hours of the test part

One network for all series, which sees only their values; the data set has no times.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from uses import arguments, parsed, write_result

from unrolled.data import Findings
from unrolled.data.series.read import SeriesOptions, read_series
from unrolled.metrics.forecasts import mase, owa, seasonal_error, smape
from unrolled.tasks import load, train
from unrolled.tasks.outputs.numbers.baseline import naive2

HORIZON, SEASON = 48, 24
PUBLISHED = {
    "ES-RNN (Smyl 2020), the winner: sMAPE": 9.328,
    "ES-RNN: MASE": 0.893,
    "ES-RNN: OWA": 0.440,
    "seasonal naive: sMAPE": 13.912,
    "Naive 2: sMAPE": 18.383,
}


def naive2_scores(paths: list[Any]) -> tuple[float, float]:
    """Return sMAPE and MASE of Naive 2 on the last 48 hours of the files."""
    scores = []
    for series in read_series(paths, SeriesOptions(), Findings()):
        past, actual = series.values[:-HORIZON], series.values[-HORIZON:]
        forecast = naive2(past, HORIZON, SEASON)
        scores.append((smape(actual, forecast), mase(actual, forecast, seasonal_error(past, SEASON))))
    means = np.mean(scores, axis=0)
    return float(means[0]), float(means[1])


def main() -> None:
    """Train, forecast the last 48 hours of every series, write the result."""
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--option", action="append", default=[], metavar="NAME=VALUE", help="an option of the task")
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--name", default="", help="name of a trial, whose result is printed but not saved")
    args = parsed(parser)
    folder = args.out / f"m4-hourly{args.name}"
    paths = [args.data / "Hourly-train.csv.gz"]
    if not (folder / "model.safetensors").is_file():
        options: dict[str, Any] = {"horizon": HORIZON, "season": SEASON, "dev_from": f"-{HORIZON}", "layout": "rows"}
        options |= {"context": 168, "hidden_size": 128, "dropout": 0.2, "normalise": "instance", "batch_size": 512}
        options |= dict(option.split("=", 1) for option in args.option)
        end = {"minutes": args.minutes} if args.minutes else {"steps": args.steps}
        settings = {"lr": args.lr, "seed": args.seed, "evaluate_every": 200, "save_every": 200, "sample_every": 0}
        train("forecast", paths, folder, resume=args.resume, options=options, **settings, **end)
    model = load(folder)
    if args.split == "test":
        # the test part continues the training part, and the forecast covers what training has not seen
        paths.append(args.data / "Hourly-test.csv.gz")
        evaluation = model.evaluate(*paths)
    else:
        evaluation = model.evaluate(*paths, start=f"-{HORIZON}")
    own, beside = evaluation.metrics, evaluation.baseline
    if own["windows"] != 414:
        raise SystemExit(f"expected one window of each of 414 series, found {own['windows']}")
    naive = naive2_scores(paths)
    scores = {
        "owa": owa(own["smape"], own["mase"], *naive),
        "owa_seasonal": owa(beside["smape"], beside["mase"], *naive),
    }
    measured = f"sMAPE **{own['smape']:.2f}**, MASE {own['mase']:.3f}, OWA {scores['owa']:.3f}"
    other = f"seasonal naive {beside['smape']:.2f}, {beside['mase']:.3f}, {scores['owa_seasonal']:.3f}"
    if args.name:
        print(f"trial {args.name}: {args.split} {measured}; {other}; 80 %: {own['coverage_80']:.3f}")
        return
    write_result(
        "m4-hourly",
        args,
        model,
        evaluation,
        title="M4 hourly, 414 series (`forecast`)",
        data="M4 hourly: 414 series, 48 hours ahead; one network for all",
        measured=measured,
        beside=other,
        goal="better than seasonal naive",
        published=PUBLISHED,
        naive2={"smape": naive[0], "mase": naive[1]},
        **scores,
    )


if __name__ == "__main__":
    main()
