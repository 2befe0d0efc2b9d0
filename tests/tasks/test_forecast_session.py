"""A series in progress: however it is pushed, the forecast is that of the whole."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from unrolled.errors import ArgumentError, DataError, ShapeError, StateError
from unrolled.tasks import Model, load, train

METHODS = ("direct", "autoregressive")
CONTEXT, HORIZON = 12, 4


def wave(steps: int) -> np.ndarray:  # type: ignore[type-arg]
    found: np.ndarray = 20 + 5 * np.sin(np.arange(steps)) + 0.1 * np.arange(steps)  # type: ignore[type-arg]
    return found


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Model]:
    folder = tmp_path_factory.mktemp("sessions")
    days = [str(np.datetime64("2020-01-01") + k) for k in range(80)]
    rows = [f"{d},{v:.4f},{k % 3}" for k, (d, v) in enumerate(zip(days, wave(80), strict=True))]
    (folder / "s.csv").write_text("date,v,p\n" + "\n".join(rows))

    def model(method: str) -> Model:
        if not (folder / method).exists():
            options = {"method": method, "horizon": HORIZON, "context": CONTEXT, "season": 3, "hidden_size": 12,
                       "known": ["p"], "calendar": True, "lags": [3, 5]}  # fmt: skip
            train("forecast", folder / "s.csv", folder / method, options=options, steps=20, lr=0.01, seed=1)
        return load(folder / method)

    return model


def price(begin: int, steps: int) -> np.ndarray:  # type: ignore[type-arg]
    return (np.arange(begin, begin + steps) % 3.0)[:, None]


def begun(model: Model):  # type: ignore[no-untyped-def]
    return model.stream().reset(series="v", start="2020-01-01")


@pytest.mark.parametrize("method", METHODS)
def test_a_session_forecasts_what_predict_does(trained: Callable[[str], Model], method: str) -> None:
    model = trained(method)
    session = begun(model).push(wave(CONTEXT), known=price(0, CONTEXT))
    found = session.forecast(known=price(CONTEXT, HORIZON), seed=3)
    expected = model.predict(
        {"values": wave(CONTEXT), "name": "v", "start": "2020-01-01", "known": price(0, CONTEXT + HORIZON)}, seed=3
    )
    assert found.times == expected.times == ("2020-01-13", "2020-01-14", "2020-01-15", "2020-01-16")
    assert found.point == pytest.approx(expected.point, rel=1e-5)
    assert found.history == pytest.approx(expected.history)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("pieces", [[1] * 30, [5, 0, 25], [12, 18], [13, 16, 1]])
def test_in_pieces_as_the_whole(trained: Callable[[str], Model], method: str, pieces: list[int]) -> None:
    model = trained(method)
    whole = begun(model).push(wave(30), known=price(0, 30)).forecast(known=price(30, HORIZON))
    session, at = begun(model), 0
    for size in pieces:
        session.push(wave(30)[at : at + size], known=price(at, size))
        at += size
    found = session.forecast(known=price(30, HORIZON))
    assert found.times == whole.times
    assert np.array(found.quantiles) == pytest.approx(np.array(whole.quantiles), rel=1e-4)


@pytest.mark.parametrize("method", METHODS)
def test_forks_and_saved_states_go_their_own_way(trained: Callable[[str], Model], method: str, tmp_path: Path) -> None:
    model = trained(method)
    session = begun(model).push(wave(20), known=price(0, 20))
    session.save(tmp_path / "state")
    before = session.forecast(known=price(20, HORIZON))
    fork = session.fork().push([99.0], known=price(20, 1))
    assert session.forecast(known=price(20, HORIZON)).point == before.point
    assert fork.forecast(known=price(21, HORIZON)).times[0] == "2020-01-22"
    again = model.stream().load(tmp_path / "state")
    assert again.forecast(known=price(20, HORIZON)).point == before.point
    assert again.push([99.0], known=price(20, 1)).forecast(known=price(21, HORIZON)).point == pytest.approx(
        fork.forecast(known=price(21, HORIZON)).point
    )
    other = trained(METHODS[1 - METHODS.index(method)])
    with pytest.raises(StateError, match="belongs to another model"):
        other.stream().load(tmp_path / "state")


def test_a_session_is_of_fixed_size(trained: Callable[[str], Model]) -> None:
    session = begun(trained("autoregressive"))
    for begin in range(0, 200, 20):
        session.push(wave(20), known=price(begin, 20))
    assert session.state.position == 200
    assert len(session.state.tensors[0][0]) == CONTEXT + 5


@pytest.mark.parametrize("method", METHODS)
def test_what_is_wrong_is_said(trained: Callable[[str], Model], method: str) -> None:
    model = trained(method)
    with pytest.raises(ArgumentError, match=r"start: the model reads the calendar \(week\)"):
        model.stream().push([1.0], known=price(0, 1))
    with pytest.raises(ArgumentError, match=r"known: the model reads 'p'; give \(2, 1\) of them"):
        begun(model).push([1.0, 2.0])
    with pytest.raises(ShapeError, match=r"known: expected shape \(T=2, K=1\), found \(3, 1\)"):
        begun(model).push([1.0, 2.0], known=price(0, 3))
    with pytest.raises(ShapeError, match=r"values: expected shape \(T,\), found \(1, 2\)"):
        begun(model).push([[1.0, 2.0]], known=price(0, 2))
    with pytest.raises(DataError, match="has 3 steps, and the model reads the last 12"):
        begun(model).push(wave(3), known=price(0, 3)).forecast(known=price(3, HORIZON))
    with pytest.raises(DataError, match="is missing, and the model was trained without --gaps mask"):
        begun(model).push([float("nan")], known=price(0, 1))
