"""`signal`: numbers out for each step of numbers in, beside a linear filter, whole and as they come."""

from __future__ import annotations

import csv
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.serving.servers import running

from unrolled.data import Findings
from unrolled.data.series.signals import SignalOptions, read_signals
from unrolled.data.sound.files import Sound, read_sound, wav
from unrolled.errors import ArgumentError, DataError, ModelError
from unrolled.export.models import export
from unrolled.inspection import occlusion
from unrolled.layers import StreamState
from unrolled.metrics.signals import emphasised, signal_metrics
from unrolled.tasks import Model, load, train
from unrolled.tasks.outputs.values.baseline import Filter
from unrolled.tasks.outputs.values.network import SignalLoss

RATE = 8000
FAST: dict[str, Any] = {
    "steps": 60,
    "evaluate_every": 60,
    "save_every": 60,
    "sample_every": 0,
    "log_every": 30,
    "seed": 3,
    "lr": 0.02,
}
SMALL: dict[str, Any] = {"hidden_size": 12, "window": 96, "left": 2, "batch_size": 16}


def device(x: np.ndarray) -> np.ndarray:
    """Return what a nonlinear device makes of its input, (T,): the step before, rectified."""
    return np.asarray(np.abs(np.concatenate([[0.0], x[:-1]])))


def noise(count: int, seed: int) -> np.ndarray:
    """Return smooth noise from −1 to 1, (T,)."""
    draw = np.random.default_rng(seed).normal(size=count + 3)
    return np.convolve(draw, np.ones(4) / 4, "valid").clip(-1, 1)


def recorded(path: Path, samples: np.ndarray, rate: int = RATE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(wav(Sound(samples.astype(np.float32), rate)))
    return path


def table(path: Path, count: int, seed: int) -> Path:
    """Write a table whose target is a product of two columns, late by one row."""
    a, b = noise(count, seed), noise(count, seed + 100)
    target = np.concatenate([[0.0], (a * b)[:-1]])
    lines = [f"{n},{x:.5f},{y:.5f},{z:.5f}" for n, (x, y, z) in enumerate(zip(a, b, target, strict=True))]
    path.write_text("\n".join(["when,a,b,c", *lines]) + "\n")
    return path


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("box")
    for part, count, seed in (("train", 6000, 1), ("test", 1500, 2)):
        x = noise(count, seed)
        recorded(folder / f"{part}-in.wav", x)
        recorded(folder / f"{part}-out.wav", device(x))
    return folder


@pytest.fixture(scope="module")
def model(box: Path) -> Model:
    """A model that reads four steps at a time and answers two steps late, as loaded. Not to be changed."""
    options = {**SMALL, "stride": 4, "delay": 2, "left": 6}
    train("signal", [box / "train-in.wav", box / "train-out.wav"], box / "m", options=options, **FAST)
    return load(box / "m")


def test_a_device_is_learned_beside_a_linear_filter(model: Model, box: Path) -> None:
    result = model.evaluate(box / "test-in.wav", box / "test-out.wav")
    assert result.metrics["mse"] < 0.7 * result.baseline["mse"]
    assert result.baseline["model"] == "a linear filter (FIR), fitted by least squares"
    assert result.metrics["steps"] == 1500
    assert result.metrics["real_time"] == pytest.approx(RATE / result.metrics["steps_per_second"])
    assert model.config.result["baseline"]["mse"] > model.config.result["dev"]["mse"]
    assert (model.input.rate, model.config.data["train_examples"], model.config.data["dev_examples"]) == (RATE, 1, 1)


def test_a_prediction_has_every_step_and_is_written_as_sound(model: Model, box: Path, tmp_path: Path) -> None:
    prediction = model.predict(box / "test-in.wav")
    assert (len(prediction.values), prediction.rate, prediction.quantiles) == (1500, RATE, {})
    wanted = read_sound(box / "test-out.wav").samples
    assert np.corrcoef(np.array(prediction.values)[:, 0], wanted)[0, 1] > 0.8
    (tmp_path / "y.wav").write_bytes(prediction.as_file(".wav"))
    sound = read_sound(tmp_path / "y.wav")
    np.testing.assert_allclose(sound.samples, np.clip(np.array(prediction.values)[:, 0], -1, 1), atol=1e-4)
    assert sound.rate == RATE


@pytest.mark.parametrize("sizes", [(1,), (5,), (64,), (7, 1, 30)])
def test_in_pieces_and_whole_are_the_same(model: Model, sizes: tuple[int, ...]) -> None:
    x = noise(131, 5).astype(np.float32)
    whole = np.array(model.predict(x).values)
    session, parts, at, n = model.stream(), [], 0, 0
    while at < len(x):
        size = sizes[n % len(sizes)]
        parts.append(session.push(x[at : at + size]))
        at, n = at + size, n + 1
        known = sum(map(len, parts))
        # what is pushed is answered with a bounded delay
        assert min(at, len(x)) - known <= session.delay == 5
    data = session.state.to_bytes()
    resumed = model.stream().resume(StreamState.from_bytes(data, model.fingerprint))
    rest = session.finish()
    np.testing.assert_array_equal(resumed.finish(), rest)
    np.testing.assert_allclose(np.concatenate([*parts, rest]), whole, atol=1e-5)


def test_it_is_looked_into_exported_and_served(model: Model, box: Path, tmp_path: Path) -> None:
    x = noise(40, 6)
    probe = model.probe(x)
    assert (len(probe.steps), probe.unit) == (11, "value")
    assert len(occlusion(probe).values) == 11
    assert [export(model, to, tmp_path / f"m.{to}")[0].is_file() for to in ("onnx", "c")] == [True, True]
    with running({"box": box / "m"}) as server:
        about = server.ask("GET", "/v1/models/box").json()
        assert (about["task"], about["widget"], about["view"]) == ("signal", "series", "values")
        rows = {"features": x[:, None].tolist()}
        [answer] = server.ask("POST", "/v1/models/box/predict", json={"inputs": [rows]}).json()["predictions"]
        np.testing.assert_allclose(answer["values"], model.predict(x).values, atol=1e-5)
        begun = server.ask("POST", "/v1/models/box/streams", json={}).json()
        said = server.ask("POST", f"/v1/models/box/streams/{begun['stream']}", json=rows).json()
        np.testing.assert_allclose(said["values"], answer["values"][: len(said["values"])], atol=1e-5)
        assert len(said["values"]) >= 40 - 5


# Tables, losses


def test_a_soft_sensor_from_a_table(tmp_path: Path) -> None:
    path = table(tmp_path / "t.csv", 3000, 1)
    options = {**SMALL, "input": "a,b", "target": "c", "loss": "quantiles"}
    train("signal", path, tmp_path / "m", options=options, **FAST)
    model = load(tmp_path / "m")
    assert (model.input.columns, model.output.names, model.output.levels) == (("a", "b"), ("c",), (0.1, 0.5, 0.9))
    new = table(tmp_path / "new.csv", 400, 7)
    result = model.evaluate(new)
    assert result.metrics["mse"] < 0.7 * result.baseline["mse"]
    assert 0.4 < result.metrics["coverage"] <= 1
    assert "coverage" not in result.baseline
    assert model.predict_table(new, tmp_path / "out.csv") == 400
    with (tmp_path / "out.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["when", "a", "b", "c", "predicted_c", *(f"predicted_c_{q}" for q in ("0.1", "0.5", "0.9"))]
    values = model.predict(np.array([[float(row["a"]), float(row["b"])] for row in rows])).values
    np.testing.assert_allclose([float(row["predicted_c"]) for row in rows], np.array(values)[:, 0], atol=1e-5)


def test_losses_are_the_formulas() -> None:
    draw = torch.Generator().manual_seed(0)
    answer, wanted = torch.randn(9, 2, 1, generator=draw), torch.randn(9, 2, 1, generator=draw)
    lengths = torch.tensor([9, 6])
    pairs = [(answer[2:n, b, 0], wanted[2:n, b, 0]) for b, n in enumerate(lengths.tolist())]
    error = torch.cat([y - a for a, y in pairs])
    assert SignalLoss("mse", 0.0, 2)(answer, wanted, lengths).mean == pytest.approx(float((error**2).mean()))
    assert SignalLoss("mae", 0.0, 2)(answer, wanted, lengths).mean == pytest.approx(float(error.abs().mean()))

    def energy(x: torch.Tensor, n: int) -> float:
        return sum(float(x[t] - 0.9 * x[t - 1]) ** 2 for t in range(2, n))

    parts = [
        (energy((wanted - answer)[:, b, 0], n), energy(wanted[:, b, 0], n)) for b, n in enumerate(lengths.tolist())
    ]
    ratio = sum(p[0] for p in parts) / sum(p[1] for p in parts)
    assert SignalLoss("esr", 0.9, 2)(answer, wanted, lengths).mean == pytest.approx(ratio, rel=1e-5)
    three = torch.randn(9, 2, 3, generator=draw)
    levels = (0.1, 0.5, 0.9)
    each = [
        max(q * (y - a), (q - 1) * (y - a))
        for b, n in enumerate(lengths.tolist())
        for t in range(2, n)
        for q, a, y in ((q, float(three[t, b, k]), float(wanted[t, b, 0])) for k, q in enumerate(levels))
    ]
    mean = SignalLoss("quantiles", 0.0, 2, levels)(three, wanted, lengths).mean
    assert mean == pytest.approx(sum(each) / len(each), rel=1e-5)


def test_the_filter_is_the_least_squares_solution() -> None:
    x = noise(500, 3).astype(np.float32)
    past = [np.concatenate([np.zeros(lag), x[: len(x) - lag]]) for lag in range(3)]
    y = 0.5 * past[0] - 0.25 * past[2] + 0.1
    linear = Filter.fit([(x[:, None], y[:, None].astype(np.float32))], 0)
    np.testing.assert_allclose(linear.answer(x[:, None])[:, 0], y, atol=1e-3)
    ahead = Filter.fit([(x[:, None], np.append(x[1:], 0)[:, None])], 1)
    np.testing.assert_allclose(ahead.answer(x[:, None])[:-1, 0], x[1:], atol=1e-2)


def test_metrics_by_hand() -> None:
    wanted, answered = np.array([[1.0], [2.0], [-1.0]]), np.array([[1.0], [1.0], [-1.0]])
    metrics = signal_metrics([wanted], [answered], 0.5)
    # the error is 0, 1, 0; filtered 0, 1, −0.5; the signal filtered 1, 1.5, −2
    assert metrics["mse"] == pytest.approx(1 / 3)
    assert metrics["esr"] == pytest.approx(1.25 / (1 + 2.25 + 4))
    assert metrics["snr"] == pytest.approx(10 * np.log10(6), abs=1e-6)
    np.testing.assert_array_equal(emphasised(wanted, 0.5)[:, 0], [1, 1.5, -2])


# Reading


def test_pairs_of_files_and_of_folders(tmp_path: Path) -> None:
    x = noise(800, 1)
    for name in ("1.wav", "2.wav"):
        recorded(tmp_path / "noisy" / name, x)
        recorded(tmp_path / "clean" / name, device(x))
    recorded(tmp_path / "noisy" / "3.wav", x)
    findings = Findings(strict=False)
    signals = read_signals([tmp_path / "noisy", tmp_path / "clean"], SignalOptions(), findings)
    assert [(s.name, s.values.shape, s.wanted.shape, s.rate) for s in signals] == [
        ("1.wav", (800, 1), (800, 1), 8000.0),
        ("2.wav", (800, 1), (800, 1), 8000.0),
    ]
    assert [item.kind for item in findings.items] == ["no target"]


def test_pairs_that_are_none(tmp_path: Path) -> None:
    one = recorded(tmp_path / "1.wav", noise(800, 1))
    with pytest.raises(DataError, match="expected an input and its target: two sound files"):
        read_signals([one], SignalOptions(), Findings())
    other = recorded(tmp_path / "2.wav", noise(800, 1), 16_000)
    with pytest.raises(DataError, match=r"1\.wav: has 8000 Hz, and its target .*2\.wav 16000 Hz; resample one"):
        read_signals([one, other], SignalOptions(), Findings())
    longer = recorded(tmp_path / "3.wav", noise(900, 1))
    with pytest.raises(DataError, match=r"has 800 samples, and its target .* 900; are they of one recording"):
        read_signals([one, longer], SignalOptions(), Findings())
    bare = tmp_path / "t.csv"
    bare.write_text("a,b\n1,2\n3,4\n")
    with pytest.raises(DataError, match=r"which column is the target.*name it with --target"):
        read_signals([bare], SignalOptions(), Findings())
    gap = tmp_path / "g.csv"
    gap.write_text("a,y\n1,2\n,4\n")
    with pytest.raises(DataError, match=r"g\.csv:3: column 'a': the value is missing"):
        read_signals([gap], SignalOptions(), Findings())


def test_other_rates_and_widths_are_refused(model: Model, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="16000 Hz, and the model learned from 8000 Hz; resample it"):
        model.predict(recorded(tmp_path / "x.wav", noise(800, 1), 16_000))
    with pytest.raises(ArgumentError, match=r"expected increasing levels, 0\.5 among them"):
        train("signal", tmp_path / "x.wav", tmp_path / "m", options={"quantiles": (0.9, 0.1)})


def test_a_network_behind_the_filter_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    x = noise(1500, 1)
    paths = [recorded(tmp_path / "x.wav", x), recorded(tmp_path / "y.wav", 0.5 * x)]
    with caplog.at_level(logging.WARNING, "unrolled.tasks"):
        train("signal", paths, tmp_path / "m", options=SMALL, **{**FAST, "steps": 1, "lr": 1e-6})
    assert "the network is behind its baseline: a mean squared error of" in caplog.text
    (tmp_path / "m" / "filter.safetensors").write_bytes(b"")
    with pytest.raises(ModelError):
        load(tmp_path / "m").evaluate(*paths)


@pytest.mark.parametrize(("stride", "delay"), [(1, 0), (4, 3)])
def test_a_network_begins_as_the_linear_filter(tmp_path: Path, stride: int, delay: int) -> None:
    x = noise(900, 1)
    rows = [{"x": a, "y": b} for a, b in zip(x.tolist(), (device(x) + 0.3 * x).tolist(), strict=True)]
    options = {**SMALL, "left": 127 + delay, "stride": stride, "delay": delay, "holdout": 0.5}
    model = train("signal", rows, tmp_path / "m", options=options, **{**FAST, "steps": 1, "lr": 1e-9})
    for parameter in model.network.get_submodule("hidden").parameters():
        torch.nn.init.zeros_(parameter)
    frames: Any = model.network.get_submodule("inputs.frames")
    scaled = np.pad(((x[:, None] - frames.mean.numpy()) / frames.std.numpy()), ((0, delay), (0, 0))).astype(np.float32)
    half = 450
    late = model.output.encode((device(x) + 0.3 * x)[:half, None].astype(np.float32))["wanted"]
    linear = Filter.fit([(scaled[: len(late)] * (np.arange(len(late)) < half)[:, None], late)], 0, 128 + delay)
    answer = model.output.unscaled(linear.answer(scaled).astype(np.float32)[delay:, :, None])[..., 0]
    np.testing.assert_allclose(model.predict(x).values, answer, atol=0.02)
    assert np.abs(answer).max() > 0.2
