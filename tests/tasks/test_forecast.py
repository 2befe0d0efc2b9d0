"""`forecast` from tables to forecasts, and everything that may be wrong with either."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tests.cli.running import complaint, unrolled
from tests.strangers import without_digests

from unrolled.data import Findings
from unrolled.data.series.read import as_series
from unrolled.errors import ArgumentError, DataError, ModelError
from unrolled.metrics.forecasts import mae, mse, smape
from unrolled.tasks import Model, load
from unrolled.tasks.core.catalog import task_named
from unrolled.tasks.core.results import result_type
from unrolled.tasks.core.values import Sources, silent
from unrolled.tasks.outputs.numbers.baseline import seasonal_naive
from unrolled.tasks.outputs.numbers.results import Forecast
from unrolled.tasks.uses.forecast import Forecasting
from unrolled.tasks.uses.forecast.encode import ShownSeries

from .forecast_data import FAST, METHODS, TINY, Trained, hours, learn, losses, wave, wide


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("series") / "wide.csv"
    path.write_text(wide(), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def trained(table: Path, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """The model of a method, loaded from its folder; trained on all but the last 24 steps, when first asked for."""
    folder = tmp_path_factory.mktemp("forecasters")

    def model(method: str) -> Model:
        if not (folder / method).exists():
            options = {"method": method, "test_from": "96", "likelihood": "gaussian"}
            learn(table, folder / method, options=options, steps=120)
        return load(folder / method)

    return model


# Looked into


def test_what_a_step_by_step_forecaster_expects_is_what_it_would_be_least_surprised_by(
    trained: Trained, table: Path
) -> None:
    model = trained("autoregressive")
    probe = model.probe(str(table))
    assert probe.steps[-2:] == ("-1", "0")
    assert probe.outputs[-2:] == ("0", "+1")
    expected = probe.logits().detach()[:, 0]
    task, network = model.task, model.network
    assert isinstance(task, Forecasting)
    given = next(model.input.each(model, str(table), task.predict_options()))
    data = model.input.collate(model, [model.input.encode(given, task.predict_options())])
    past, future = data["values"][: network.reach], torch.full((network.horizon - 1, 1), torch.nan)

    def surprise(value: torch.Tensor) -> float:
        values = torch.cat([past, value.view(1, 1), future])
        with torch.no_grad():
            nats, _ = network.nats(values, data["known"], data["channel"], data["static"])
        return float(nats[network.context, 0])

    # −ln p of a Gaussian is least at its middle, and alike on both sides
    below, at, above = (surprise(expected[-1] + off) for off in (-0.02, 0.0, 0.02))
    assert below == pytest.approx(above, rel=1e-2)
    assert at < min(below, above) - 0.01


# From tables to forecasts


@pytest.mark.parametrize("method", METHODS)
def test_it_beats_seasonal_naive(trained: Trained, table: Path, method: str) -> None:
    found = trained(method).evaluate(table, stride=1)
    said = json.loads(json.dumps(found.as_json()))
    own, beside = said["metrics"], said["baseline"]
    assert beside["model"] == "seasonal naive, season 6"
    # 2 series of 24 new steps, in which a horizon of 6 has 19 origins
    assert (own["windows"], beside["windows"], own["series"]) == (38, 38, 2)
    # the season is exact: naive is wrong by the trend of one season, which is 6 · 0.02
    assert beside["mae"] == pytest.approx(0.12, abs=1e-3)
    # from a few dozen windows, nobody gets as close; but far closer than the swing of 5
    assert own["scaled_mse"] < 0.05
    assert own["coverage_80"] <= 1


def test_metrics_are_those_of_the_forecasts(trained: Trained, table: Path) -> None:
    model = trained("direct")
    task = model.task
    assert isinstance(task, Forecasting)
    found = model.evaluate(table, stride=5, start="96")
    values = np.array([[float(x) for x in line.split(",")[1:]] for line in table.read_text().splitlines()[1:]])
    actual, forecast, naive = [], [], []
    for column, name in enumerate("ab"):
        for origin in range(96, 120 - 6 + 1, 5):
            history = values[:origin, column]
            actual.append(values[origin : origin + 6, column])
            prediction = model.predict({"values": history, "name": name, "start": hours(1)[0]})
            forecast.append(prediction.point)
            naive.append(seasonal_naive(history[None], 6, 6)[0])
    assert found.metrics["windows"] == len(actual) == 8
    for metric, name in ((mse, "mse"), (mae, "mae"), (smape, "smape")):
        assert found.metrics[name] == pytest.approx(metric(actual, forecast), rel=1e-4)
        assert found.baseline[name] == pytest.approx(metric(actual, naive), rel=1e-9)


def test_scaled_errors_are_in_units_of_the_training_part(trained: Trained, table: Path) -> None:
    model = trained("direct")
    values = np.array([[float(x) for x in line.split(",")[1:]] for line in table.read_text().splitlines()[1:]])
    # a tenth of 96 steps is held out: 86 are learned from
    assert model.config.data["train_steps"] == 2 * 86
    assert model.input.mean == pytest.approx(values[:86].mean(0).tolist())
    assert model.input.std == pytest.approx(values[:86].std(0).tolist())
    assert model.input.phases == []


@pytest.mark.parametrize("method", METHODS)
def test_one_by_one_is_as_all_together(trained: Trained, table: Path, method: str) -> None:
    model = trained(method)
    together = model.predict(str(table))
    assert [f.series for f in together] == ["a", "b"]
    lines = table.read_text().splitlines()[1:]
    for column, forecast in enumerate(together, 1):
        values = [float(line.split(",")[column]) for line in lines]
        alone = model.predict({"values": values, "name": forecast.series, "start": hours(1)[0]})
        assert alone.times == forecast.times == tuple(hours(126)[120:])
        assert alone.point == pytest.approx(forecast.point, rel=1e-5)
        assert np.array(alone.quantiles) == pytest.approx(np.array(forecast.quantiles), rel=1e-5)


def test_a_forecast_prints_is_json_and_draws_itself(trained: Trained, table: Path) -> None:
    forecast = trained("direct").predict([str(table)])[0]
    assert isinstance(forecast, Forecast)
    lines = str(forecast).splitlines()
    assert len(lines) == 8
    assert lines[1].split() == ["time", "forecast", "0.1", "to", "0.9"]
    assert lines[2].startswith("2020-01-06 00:00  ")
    said = json.loads(json.dumps(forecast.as_json()))
    assert said["series"] == "a"
    assert said["quantiles"]["0.5"] == said["point"] == list(forecast.quantile(0.5))
    assert list(said["quantiles"]) == ["0.1", "0.25", "0.5", "0.75", "0.9"]
    again = type(forecast).model_validate_json(json.dumps(said), strict=True)
    assert (again.quantiles, again.point, again.times) == (forecast.quantiles, forecast.point, forecast.times)
    with pytest.raises(KeyError, match=r"level 0.3: there are 0.1"):
        forecast.quantile(0.3)
    picture = forecast._repr_html_()
    assert (picture.count("<polygon"), picture.count("<polyline"), "<script" in picture) == (2, 2, False)


def test_a_name_is_no_markup() -> None:
    result: Any = result_type(ShownSeries, Forecast)
    history = (float("nan"), 1.0, float("nan"), 3.0, 4.0)
    forecast = result(series="<b>&", times=("1", "2"), point=(1.0, 2.0), quantiles={}, history=history)
    assert forecast.quantiles == ((), ())
    assert "<b>" not in forecast._repr_html_()
    assert forecast._repr_html_().count("<polyline") == 3
    assert len(str(forecast).splitlines()) == 4


def test_arrays_of_several_series(trained: Trained) -> None:
    both = np.stack([wave(40), wave(40, 2, 300.0)], 1)
    found = trained("direct").predict(both)
    assert [f.series for f in found] == ["a", "b"]
    assert np.mean(found[1].point) == pytest.approx(300, abs=15)


def test_a_series_that_training_never_saw(trained: Trained) -> None:
    found = trained("direct").predict({"values": wave(40, 1, 5000.0), "name": "new"})
    assert np.mean(found.point) == pytest.approx(5000, abs=20)
    # what was before the window changes nothing
    again = trained("direct").predict({"values": np.concatenate([np.full(9, 1e6), wave(40, 1, 5000.0)]), "name": "new"})
    assert again.point == pytest.approx(found.point, rel=1e-6)


def test_samples_can_be_had_again_and_go_on_beyond_training(trained: Trained) -> None:
    model = trained("autoregressive")
    first, again, other = (model.predict(wave(30), seed=seed, samples=20) for seed in (1, 1, 2))
    assert first.point == again.point != other.point
    longer = model.predict(wave(30), seed=1, samples=20, horizon=9)
    assert longer.point[:6] == pytest.approx(first.point)
    assert len(longer) == 9
    assert len(trained("direct").predict(wave(30), horizon=2)) == 2


# The course of training


@pytest.mark.parametrize("method", METHODS)
def test_overfits_a_tiny_batch(tmp_path: Path, method: str) -> None:
    (tmp_path / "s.csv").write_text("v\n" + "\n".join(str(x) for x in [1, 5, 2, 8, 3, 9, 4, 7] * 5))
    options = {"method": method, "horizon": 2, "context": 6, "season": 1, "holdout": 0.05, "likelihood": "gaussian"}
    learn(tmp_path / "s.csv", tmp_path / "m", options={**options, "hidden_size": 24}, steps=150, lr=0.03)
    found = losses(tmp_path / "m")
    assert found[150] < (0.05 if method == "direct" else -0.5)
    assert found[1] > 0.4


@pytest.mark.parametrize(
    ("method", "golden"),
    [
        ("direct", [0.7923, 0.7925, 0.7875, 0.7851, 0.7767, 0.7813, 0.7742, 0.7676, 0.7659, 0.7546]),
        ("autoregressive", [1.5676, 1.5647, 1.5608, 1.5589, 1.5498, 1.5448, 1.535, 1.5263, 1.5163, 1.5028]),
    ],
)
def test_the_first_ten_steps_are_as_they_were(tmp_path: Path, table: Path, method: str, golden: list[float]) -> None:
    learn(table, tmp_path / "m", options={"method": method}, steps=10, schedule="constant")
    assert list(losses(tmp_path / "m").values()) == pytest.approx(golden, rel=2e-3)


@pytest.mark.parametrize("method", METHODS)
def test_resumed_equals_uninterrupted(tmp_path: Path, table: Path, method: str) -> None:
    options = {"method": method, "dropout": 0.2, "num_layers": 2}
    given: dict[str, Any] = {"schedule": "constant", "save_every": 2, "options": options}
    learn(table, tmp_path / "whole", steps=8, **given)
    learn(table, tmp_path / "parts", steps=4, **given)
    learn(table, tmp_path / "parts", steps=8, resume=True, **given)
    assert losses(tmp_path / "whole") == losses(tmp_path / "parts")
    whole, parts = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "parts"))
    assert all(torch.equal(whole[name], parts[name]) for name in whole)


def test_a_model_saved_elsewhere_is_the_same(trained: Trained, table: Path, tmp_path: Path) -> None:
    model = trained("direct")
    model.save(tmp_path / "copy")
    copy = load(tmp_path / "copy")
    assert copy.evaluate(table).metrics == model.evaluate(table).metrics
    assert copy.predict(wave(20)).point == model.predict(wave(20)).point


@pytest.mark.parametrize(
    "options",
    [{"loss": "mse"}, {"loss": "mae", "normalise": "instance", "cell": "lstm"}, {"cell": "rnn", "num_layers": 2},
     {"segment": 5, "embed_series": False}, {"method": "autoregressive", "cell": "gru", "lags": [2, 6]}],
)  # fmt: skip
def test_every_choice_trains_and_comes_back(tmp_path: Path, table: Path, options: dict[str, Any]) -> None:
    model = learn(table, tmp_path / "m", options=options)
    found = load(tmp_path / "m").predict(str(table))
    assert [f.point for f in found] == [f.point for f in model.predict(str(table))]
    assert np.isfinite(model.evaluate(table, start="100").metrics["mse"])
    if options.get("loss") in ("mse", "mae"):
        assert found[0].levels == ()


def test_counts(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    (tmp_path / "s.csv").write_text("n\n" + "\n".join(map(str, draw.poisson(4, 80))))
    options = {"method": "autoregressive", "likelihood": "negative-binomial"}
    found = learn(tmp_path / "s.csv", tmp_path / "m", options=options, steps=20).predict(str(tmp_path / "s.csv"))
    assert all(value == int(value) >= 0 for value in found.quantile(0.9))
    (tmp_path / "s.csv").write_text("n\n" + "\n".join(["1", "2.5"] * 30))
    with pytest.raises(
        DataError, match=r"has the value 2.5, and a negative-binomial counts; take --likelihood student-t"
    ):
        learn(tmp_path / "s.csv", tmp_path / "n", options=options)


# What may be wrong


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("v\n" + "1\n2\n" * 8, {}, r"s.csv:2: series 'v' has 10 steps to learn from, 6 being held out; "
                                  r"a horizon of 6 and a context of 12 need 18: give more of it, or a shorter --h"),
        ("v\n" + "1\n2\n" * 30, {"dev_from": "60"}, "nothing is left to choose by: --dev-from is where the series end"),
        ("v\n" + "1\n2\n" * 30, {"dev_from": "May"}, "'May': expected a time or a number of steps"),
        ("v\n" + "1\n2\n" * 30, {"hidden_size": 13}, "--hidden-size: 13 is odd"),
        ("v\n" + "1\n2\n" * 30, {"quantiles": [0.1, 0.9]}, r"--quantiles: .*0.5 among them"),
        ("v\n" + "1\n2\n" * 30, {"horizon": 0}, "--horizon: 0 is not possible"),
        ("v\n" + "1\n2\n" * 30, {"values": ["w"]}, "no column 'w'; the columns are 'v'"),
    ],
)  # fmt: skip
def test_what_can_not_be_learned(tmp_path: Path, text: str, options: dict[str, Any], message: str) -> None:
    (tmp_path / "s.csv").write_text(text)
    with pytest.raises((DataError, ArgumentError), match=message):
        learn(tmp_path / "s.csv", tmp_path / "m", options=options)
    assert not (tmp_path / "m").exists()


def test_short_series_are_left_out_when_asked(tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_text("id,v\n" + "x,1\nx,2\n" * 30 + "y,1\ny,2\n" * 6)
    model = learn(tmp_path / "s.csv", tmp_path / "m", options={"skip_bad": True})
    assert model.input.series_names == ["x"]
    findings = Findings(strict=False)
    task = task_named("forecast")
    task.check(Sources((tmp_path / "s.csv",)), task.options(**TINY), findings, silent)
    assert [(f.kind, f.line) for f in findings.items] == [("too short", 62)]


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        (np.ones(5), DataError, "series 'series' has 5 steps, and the model reads the last 12; give more of its past"),
        (np.ones((2, 3, 4)), ArgumentError, r"expected \(T,\) or \(T, series\), found shape \(2, 3, 4\)"),
        (7, ArgumentError, "reads paths and arrays of numbers, found 7"),
        ({"value": [1, 2]}, DataError, "no column of numbers"),
        ([["x", "y"]], ArgumentError, "reads paths and arrays of numbers"),
        (np.array([1.0, np.inf] * 10), DataError, "step 1 is infinite"),
        (np.array([]), DataError, "a series without values"),
        ({"values": np.ones(20), "start": "soon"}, ArgumentError, "start: 'soon' is no time"),
        ({"values": np.ones(20), "start": "7"}, ArgumentError, "start: '7' is no time of the kind"),
    ],
)
def test_what_can_not_be_forecast(trained: Trained, given: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        trained("direct").predict(given)


def test_options_out_of_range(trained: Trained, table: Path) -> None:
    model = trained("direct")
    with pytest.raises(ArgumentError, match="--horizon: expected 1 to 6, for which it was trained, found 7"):
        model.predict(wave(20), horizon=7)
    with pytest.raises(ArgumentError, match="--samples: 1 is not possible"):
        model.predict(wave(20), samples=1)
    with pytest.raises(ArgumentError, match="--stride: 0 is not possible"):
        model.evaluate(table, stride=0)
    with pytest.raises(ArgumentError, match="'May': expected a time"):
        model.evaluate(table, start="May")


def test_series_of_another_step_are_refused(trained: Trained, tmp_path: Path) -> None:
    days = [f"2020-01-{d:02d},{d},{d}" for d in range(1, 31)]
    (tmp_path / "days.csv").write_text("time,a,b\n" + "\n".join(days))
    with pytest.raises(DataError, match="a step of days, the model was trained on hours"):
        trained("direct").evaluate(tmp_path / "days.csv")
    with pytest.raises(DataError, match="a step of steps, the model was trained on hours"):
        trained("direct").predict([as_series(np.ones(30))])


def test_a_damaged_folder_is_refused(trained: Trained, tmp_path: Path) -> None:
    trained("direct").save(tmp_path / "m")
    path = without_digests(tmp_path / "m") / "series.json"
    whole = json.loads(path.read_text())
    for broken in ({"std": [0.0, 1.0]}, {"mean": [1.0]}, {"unit": "fortnight"}, {"phases": ["moon"]}, {"more": 1}):
        path.write_text(json.dumps({**whole, **broken}))
        with pytest.raises(ModelError, match=r"series.json: corrupt"):
            load(tmp_path / "m")
    path.write_text(json.dumps({**whole, "known": ["x"], "known_mean": [0], "known_std": [1]}))
    with pytest.raises(ModelError, match=r"network: made for other inputs than series.json"):
        load(tmp_path / "m")


def test_the_command_from_end_to_end(tmp_path: Path, table: Path) -> None:
    given = {**TINY, **FAST, "test_from": "96"}
    del given["calendar"]
    flags = ["--no-calendar", *(f"--{name.replace('_', '-')}={value}" for name, value in given.items())]
    out = tmp_path / "m"
    result = unrolled("train", "forecast", table, "--out", out, "--steps", 5, "--quiet", *flags)
    assert result.code == 0, result.err
    result = unrolled("evaluate", out, table, "--json", "--stride", 6)
    assert result.code == 0, result.err
    assert result.json[0]["metrics"]["windows"] == 2 * 4
    result = unrolled("predict", out, table, "--json", "--horizon", 3)
    assert result.code == 0, result.err
    assert [(f["series"], len(f["point"])) for f in result.json] == [("a", 3), ("b", 3)]
    (tmp_path / "bad.csv").write_text(wide().replace("2020-01-02 00:00", "2020-01-02 00:10"))
    result = unrolled("train", "forecast", tmp_path / "bad.csv", "--out", tmp_path / "n", *flags)
    assert result.code == 2
    assert "bad.csv:26: series 'a': 2020-01-02 00:10 is off the grid of hours" in complaint(result)


def test_real_temperatures(real_data: Path, tmp_path: Path) -> None:
    path = real_data / "small_series" / "daily-min-temperatures.csv"
    if not path.is_file():
        pytest.skip("small_series is not here")
    options = {"horizon": 7, "context": 28, "season": 7, "gaps": "interpolate", "test_from": "1990-01-01"}
    model = learn(path, tmp_path / "m", options={**options, "calendar": True}, steps=40)
    assert (model.config.data["frequency"], model.input.phases) == ("days", ["week", "year"])
    found = model.evaluate(path, stride=7)
    assert found.metrics["windows"] == 52
    assert found.metrics["mae"] < found.baseline["mae"]
