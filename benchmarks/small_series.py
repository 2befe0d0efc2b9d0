"""Two short series with the last year held out: airline passengers by month, and lowest temperatures by day.

python benchmarks/small_series.py --data DATA/small_series --method direct
python benchmarks/small_series.py --data DATA/small_series --series temperatures
"""

from __future__ import annotations

from typing import Any

from uses import arguments, parsed, write_result

from unrolled.tasks import load, train

SERIES: dict[str, dict[str, Any]] = {
    "passengers": {"file": "airline-passengers.csv", "test": "1960-01", "dev": "1959-01", "horizon": 12, "stride": 12},
    "temperatures": {
        "file": "daily-min-temperatures.csv",
        "test": "1990-01-01",
        "dev": "1989-01-01",
        "horizon": 14,
        "stride": 1,
    },
}


def main() -> None:
    """Train with the task's defaults, forecast the last year, write the result."""
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--series", default="passengers", choices=sorted(SERIES))
    parser.add_argument("--method", default="autoregressive", choices=("direct", "autoregressive"))
    parser.add_argument("--steps", type=int, default=None)
    args = parsed(parser)
    chosen = SERIES[args.series]
    path, name = args.data / chosen["file"], f"{args.series}-{args.method}"
    folder = args.out / name
    if not (folder / "model.safetensors").is_file():
        options = {"horizon": chosen["horizon"], "method": args.method, "dev_from": chosen["dev"]}
        options |= {"test_from": chosen["test"], "gaps": "interpolate"}
        settings: dict[str, Any] = {"steps": args.steps} if args.steps else {}
        train("forecast", path, folder, resume=args.resume, options=options, seed=args.seed, **settings)
    model = load(folder)
    if args.split == "test":
        evaluation = model.evaluate(path, start=chosen["test"], stride=chosen["stride"])
    else:
        # only the development part, without the year after it
        part = args.out / f"{args.series}-dev.csv"
        lines = path.read_text().splitlines(keepends=True)
        part.write_text(lines[0] + "".join(line for line in lines[1:] if line.strip('"') < chosen["test"]))
        evaluation = model.evaluate(part, start=chosen["dev"], stride=chosen["stride"])
    own, beside = evaluation.metrics, evaluation.baseline
    write_result(
        name,
        args,
        model,
        evaluation,
        title=f"{chosen['file']}, {args.method} (`forecast`)",
        data=f"{chosen['file']}: the last year, {chosen['horizon']} steps ahead",
        measured=f"RMSE {own['rmse']:.2f}, sMAPE {own['smape']:.2f}, MASE {own['mase']:.3f}",
        beside=f"seasonal naive {beside['rmse']:.2f}, {beside['smape']:.2f}, {beside['mase']:.3f}",
        goal="reported",
    )


if __name__ == "__main__":
    main()
