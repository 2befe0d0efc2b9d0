"""What `forecast` may see of time: parts held out, covariates, the calendar, gaps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from unrolled.data import Findings
from unrolled.errors import ArgumentError, DataError
from unrolled.tasks import load
from unrolled.tasks.core.catalog import task_named
from unrolled.tasks.core.values import Sources, silent

from .forecast_data import METHODS, TINY, hours, learn, losses, wave, wide


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("series") / "wide.csv"
    path.write_text(wide(), encoding="utf-8")
    return path


# Time: what is held out, and what a model has seen


def test_the_last_part_of_time_is_held_out(tmp_path: Path, table: Path) -> None:
    data = learn(table, tmp_path / "m", options={"dev_from": "2020-01-04", "test_from": "-24"}).config.data
    assert (data["train_steps"], data["dev_steps"]) == (2 * 72, 2 * 24)
    assert (data["train_from"], data["train_to"]) == ("2020-01-01 00:00", "2020-01-03 23:00")
    assert load(tmp_path / "m").evaluate(table, stride=6).metrics["windows"] == 2 * 4


def test_development_data_goes_on_from_training(tmp_path: Path) -> None:
    lines = wide().splitlines(keepends=True)
    (tmp_path / "train.csv").write_text("".join(lines[:97]))
    (tmp_path / "dev.csv").write_text(lines[0] + "".join(lines[97:]))
    model = learn(tmp_path / "train.csv", tmp_path / "m", dev=tmp_path / "dev.csv")
    assert (model.config.data["train_steps"], model.config.data["dev_steps"]) == (2 * 96, 2 * 24)
    # nothing comes after what training and development have seen
    with pytest.raises(DataError, match="nothing to forecast: no series goes on for 6 steps after what training saw"):
        model.evaluate(tmp_path / "train.csv", tmp_path / "dev.csv")
    assert model.evaluate(tmp_path / "train.csv", tmp_path / "dev.csv", start="96").metrics["windows"] == 38


def test_training_sees_nothing_of_what_is_held_out(tmp_path: Path, table: Path) -> None:
    lines = table.read_text().splitlines(keepends=True)
    spoiled = [lines[0], *lines[1:85], *(f"{t},{9e9},{-9e9}\n" for t in hours(120)[84:])]
    (tmp_path / "spoiled.csv").write_text("".join(spoiled))
    given: dict[str, Any] = {"options": {"dev_from": "84"}, "evaluate_every": 0}
    learn(table, tmp_path / "a", **given)
    learn(tmp_path / "spoiled.csv", tmp_path / "b", **given)
    assert losses(tmp_path / "a") == losses(tmp_path / "b")


# Covariates, gaps and masks


def test_covariates_that_are_known_decide(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    price = draw.choice([1.0, 3.0], 150)
    lines = [f"{d},{10 / p if k < 144 else ''},{p},big" for k, (d, p) in enumerate(zip(hours(150), price, strict=True))]
    (tmp_path / "s.csv").write_text("when,sold,price,kind\n" + "\n".join(lines))
    options = {"known": ["price"], "calendar": False, "layout": "wide", "time": "when", "values": ["sold"]}
    learn(tmp_path / "s.csv", tmp_path / "m", options={**options, "context": 6}, steps=120)
    model = load(tmp_path / "m")
    forecast = model.predict(str(tmp_path / "s.csv"))
    assert forecast.point == pytest.approx((10 / price[144:]).tolist(), abs=0.8)
    (tmp_path / "short.csv").write_text("when,sold,price,kind\n" + "\n".join(lines[:146]))
    # as far as the price is known
    assert model.predict(str(tmp_path / "short.csv")).point == pytest.approx(forecast.point[:2], rel=1e-4)
    (tmp_path / "short.csv").write_text("when,sold,price,kind\n" + "\n".join(lines[:144]))
    with pytest.raises(
        DataError, match=r"'price' must be known for 6 steps after its last value, there are 0; add rows"
    ):
        model.predict(str(tmp_path / "short.csv"))
    with pytest.raises(ArgumentError, match=r"known: the model reads price; expected shape \(T=20 \+ H, 1\)"):
        model.predict({"values": np.ones(20)})


def test_static_covariates_tell_series_apart(tmp_path: Path) -> None:
    rows = [f"{n},{t},{(1 if n == 'x' else -1) * k % 7},{'up' if n == 'x' else 'down'},{ord(n)}"
            for n in "xy" for k, t in enumerate(hours(60))]  # fmt: skip
    (tmp_path / "s.csv").write_text("id,time,v,kind,size\n" + "\n".join(rows))
    model = learn(tmp_path / "s.csv", tmp_path / "m", options={"static": ["kind", "size"], "embed_series": False})
    assert model.input.static_width == 3
    assert [d.kind for d in load(tmp_path / "m").input.static] == ["category", "number"]
    with pytest.raises(DataError, match="the model reads the static covariate 'kind'; give it as a column"):
        model.predict({"values": wave(20)})
    assert len(model.predict({"values": wave(20), "static": {"kind": "up", "size": 120}})) == 6


def test_the_calendar_is_read_where_it_was_seen(tmp_path: Path) -> None:
    lines = wide(400).splitlines(keepends=True)
    (tmp_path / "s.csv").write_text("".join(lines))
    model = learn(tmp_path / "s.csv", tmp_path / "m", options={"calendar": True})
    assert model.input.phases == ["day", "week"]
    with pytest.raises(ArgumentError, match=r"start: the model reads the calendar \(day, week\)"):
        model.predict(wave(20))
    midnight = model.predict(wave(20), start="2020-01-01 00:00")
    noon = model.predict(wave(20), start="2020-01-01 12:00")
    assert midnight.point != noon.point
    assert midnight.times[0] == "2020-01-01 20:00"


@pytest.mark.parametrize("method", METHODS)
def test_gaps_as_masks(tmp_path: Path, method: str) -> None:
    lines = wide().splitlines(keepends=True)
    del lines[40:43]
    (tmp_path / "s.csv").write_text("".join(lines))
    with pytest.raises(DataError, match=r"s.csv:41: series 'a': 3 of its hours missing before this row"):
        learn(tmp_path / "s.csv", tmp_path / "m", options={"method": method})
    model = learn(tmp_path / "s.csv", tmp_path / "m", options={"method": method, "gaps": "mask"}, steps=10)
    assert model.input.masked
    values = wave(30)
    values[25] = np.nan
    assert np.isfinite(model.predict(values).point).all()
    assert np.isfinite(model.evaluate(tmp_path / "s.csv", start="60").metrics["mse"])
    filled = learn(tmp_path / "s.csv", tmp_path / "n", options={"method": method, "gaps": "interpolate"})
    assert not filled.input.masked
    with pytest.raises(DataError, match="step 25 is missing, and the model was trained without --gaps mask"):
        filled.predict(values)


def test_a_constant_series_is_told_of_and_learned(tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_text("x,y\n" + "".join(f"5,{k % 7}\n" for k in range(60)))
    model = learn(tmp_path / "s.csv", tmp_path / "m", steps=30)
    found = model.predict({"values": np.full(20, 5.0), "name": "x"})
    assert found.point == pytest.approx([5] * 6, abs=2)
    metrics = model.evaluate(tmp_path / "s.csv", start="50").metrics
    assert metrics["windows_without_mase"] == metrics["windows"] / 2
    findings = Findings(strict=False)
    task = task_named("forecast")
    task.check(Sources((tmp_path / "s.csv",)), task.options(**TINY), findings, silent)
    assert [(f.kind, f.severity) for f in findings.items] == [("constant", "warning")]
