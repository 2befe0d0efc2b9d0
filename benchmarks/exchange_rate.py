"""Exchange rates: eight currencies by day, forecast 3, 6, 12 and 24 days ahead from the last 168.

    python benchmarks/exchange_rate.py --data DATA/exchange_rate

The protocol of Lai et al. 2018: 60 / 20 / 20 % in order; only the value at the horizon counts, for every day of the
part. One network forecasts all 24 days, of which the third, sixth, twelfth and last are scored.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from uses import arguments, parsed, write_result

from unrolled.data import Findings
from unrolled.data.series.read import SeriesOptions, read_series
from unrolled.metrics.forecasts import corr, rse
from unrolled.tasks import Evaluation, load, train
from unrolled.tasks.outputs.numbers.baseline import seasonal_naive
from unrolled.tasks.outputs.numbers.decode import backtest

HORIZONS, LONGEST = (3, 6, 12, 24), 24
PUBLISHED = {
    "LSTNet-skip (Lai et al. 2018), RSE at 3": 0.0226,
    "LSTNet-skip, CORR at 3": 0.9735,
}


def main() -> None:
    """Train, forecast, write the result."""
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=600)
    args = parsed(parser)
    path = args.data / "exchange_rate.txt.gz"
    series = read_series([path], SeriesOptions(), Findings())
    length = len(series[0])
    dev, test = int(0.6 * length), int(0.8 * length)
    folder = args.out / "exchange-rate"
    if not (folder / "model.safetensors").is_file():
        options: dict[str, Any] = {"horizon": LONGEST, "context": 168, "dev_from": str(dev), "test_from": str(test)}
        options |= {"hidden_size": 128, "segment": 24, "dropout": 0.3, "normalise": "last", "batch_size": 512}
        settings = {"lr": 1e-3, "steps": args.steps, "evaluate_every": 100, "save_every": 100, "sample_every": 0}
        train("forecast", path, folder, resume=args.resume, options=options, seed=args.seed, **settings)
    model = load(folder)
    begin, end = (dev, test) if args.split == "dev" else (test, length)
    actual, own, naive = (np.full((LONGEST, end - begin, len(series)), np.nan) for _ in range(3))
    for n, currency in enumerate(series):
        # days after the part are unknown, but the last days of the part still need whole windows
        values = np.concatenate([currency.values[:end], np.zeros(LONGEST - 1)])
        longer = replace(currency, values=values, times=np.arange(len(values)), known=np.zeros((len(values), 0)))
        encoded = model.input.encode(replace(longer, first=begin - LONGEST + 1))
        encoded["values"][end:] = np.nan
        for window in backtest(model, encoded):
            last = seasonal_naive(window.past, LONGEST, 1)
            for step in range(LONGEST):
                days = window.origins + step - begin
                within = (days >= 0) & (days < end - begin)
                for part, estimates in ((actual, window.actual), (own, window.drawn.point), (naive, last)):
                    part[step, days[within], n] = estimates[within, step]
    metrics, baseline = {}, {"model": "the last value"}
    for horizon in HORIZONS:
        for scores, estimates in ((metrics, own), (baseline, naive)):
            target, forecast = actual[horizon - 1], estimates[horizon - 1]
            if np.isnan(target).any() or np.isnan(forecast).any():
                raise SystemExit(f"horizon {horizon}: not every day was forecast")
            scores[f"rse_{horizon}"] = rse(target, forecast)
            scores[f"corr_{horizon}"] = corr(target, forecast)
    write_result(
        "exchange-rate",
        args,
        model,
        Evaluation("forecast", [str(path)], metrics, baseline),
        title="Exchange rates, 3 / 6 / 12 / 24 days ahead (`forecast`)",
        data="exchange_rate, 8 series, 60 / 20 / 20 % in order; the value at the horizon alone",
        measured="RSE " + " / ".join(f"{metrics[f'rse_{h}']:.4f}" for h in HORIZONS),
        beside="last value " + " / ".join(f"{baseline[f'rse_{h}']:.4f}" for h in HORIZONS),
        goal="reported",
        published=PUBLISHED,
    )


if __name__ == "__main__":
    main()
