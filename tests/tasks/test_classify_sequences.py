"""`classify` of series and of sounds: what is read decides which, and each goes all the way."""

from __future__ import annotations

import base64
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.serving.servers import running

from unrolled.data import Findings
from unrolled.errors import ArgumentError, DataError
from unrolled.export.models import export
from unrolled.inspection import occlusion
from unrolled.tasks import Model, Sources, load, task_named, train
from unrolled.tasks.core.values import silent
from unrolled.tasks.inputs.series.noise import warped

from .speech_data import RATE, TONES, save, spoken

FAST: dict[str, Any] = {
    "steps": 40,
    "evaluate_every": 40,
    "save_every": 40,
    "sample_every": 0,
    "log_every": 20,
    "seed": 3,
}
CAUSAL: dict[str, Any] = {"bidirectional": False, "hidden_size": 16, "cell": "gru"}


# Series


def boat(label: str, draw: np.random.Generator) -> list[list[float]]:
    """Return a wave that is slow or fast and its mirror image, of any length, (T, 2)."""
    t = np.arange(int(draw.integers(14, 26))) * (1.6 if label == "fast" else 0.5) + draw.uniform(0, 6)
    wave = np.sin(t) + draw.normal(0, 0.05, len(t))
    return np.stack([wave, 1 - wave], 1).round(3).tolist()


def archive(path: Path, count: int, seed: int) -> Path:
    """Write a .ts file of boats."""
    draw = np.random.default_rng(seed)
    lines = ["@problemName Boats", "@classLabel true slow fast", "@data"]
    for n in range(count):
        label = ("slow", "fast")[n % 2]
        columns = zip(*boat(label, draw), strict=True)
        lines.append(":".join([",".join(map(str, column)) for column in columns] + [label]))
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture(scope="module")
def boats(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("boats")
    archive(folder / "Boats_TRAIN.ts", 40, 1)
    archive(folder / "Boats_TEST.ts", 12, 2)
    return folder


@pytest.fixture(scope="module")
def sailor(boats: Path) -> Model:
    """As loaded from its folder. Not to be changed."""
    test = boats / "Boats_TEST.ts"
    train("classify", boats / "Boats_TRAIN.ts", boats / "m", dev=test, options=CAUSAL, lr=0.03, **FAST)
    return load(boats / "m")


def test_a_series_has_a_label(sailor: Model, boats: Path) -> None:
    assert (sailor.task.name, sailor.input.name, sailor.input.width) == ("classify", "series", 2)
    result = sailor.evaluate(boats / "Boats_TEST.ts")
    assert result.metrics["accuracy"] == 1.0
    assert result.baseline["model"].startswith("logistic regression on each dimension at 16 places")
    predictions = sailor.predict(str(boats / "Boats_TEST.ts"))
    assert [p.label for p in predictions[:4]] == ["slow", "fast", "slow", "fast"]
    assert (predictions[1].name, len(predictions)) == ("Boats_TEST.ts:2", 12)
    rows = np.array(boat("fast", np.random.default_rng(9)))
    whole = sailor.predict(rows)
    session = sailor.stream()
    session.push(rows[:5])
    session.push(rows[5:])
    assert session.probabilities() == pytest.approx(whole.probabilities, abs=1e-5)
    assert len(occlusion(sailor.probe(rows)).values) == len(rows)
    card = (boats / "m" / "card.md").read_text()
    assert "On the same data logistic regression on each dimension" in card


def test_a_file_without_labels_is_predicted(sailor: Model, boats: Path, tmp_path: Path) -> None:
    text = (boats / "Boats_TEST.ts").read_text().replace("true slow fast", "false")
    (tmp_path / "new.ts").write_text("\n".join(line.rpartition(":")[0] or line for line in text.splitlines()))
    assert [p.label for p in sailor.predict(tmp_path / "new.ts")][:3] == ["slow", "fast", "slow"]
    rows = np.array(boat("slow", np.random.default_rng(5)))
    np.save(tmp_path / "one.npy", rows)
    (tmp_path / "one.csv").write_text("a,b\n" + "".join(f"{a},{b}\n" for a, b in rows.tolist()))
    assert [sailor.predict(tmp_path / name).label for name in ("one.npy", "one.csv")] == ["slow", "slow"]
    np.save(tmp_path / "wide.npy", np.zeros((4, 3)))
    with pytest.raises(DataError, match=r"expected an array \(T, F=2\) or \(N, T, F=2\), found \(4, 3\)"):
        sailor.predict(tmp_path / "wide.npy")


def test_series_are_learned_from_rows_in_memory_and_of_one_dimension(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    labels = ["slow", "fast"] * 12
    rows = [(np.array(boat(label, draw))[:, 0], label) for label in labels]
    train("classify", rows, tmp_path / "m", options=CAUSAL, lr=0.03, **FAST)
    model = load(tmp_path / "m")
    assert (model.input.name, model.input.width) == ("series", 1)
    assert model.evaluate(rows).metrics["accuracy"] > 0.9
    assert model.predict(rows[1][0]).label == "fast"
    assert [export(model, to, tmp_path / f"m.{to}")[0].is_file() for to in ("c", "onnx")] == [True, True]


def test_a_model_of_series_is_served(sailor: Model, boats: Path) -> None:
    rows = boat("fast", np.random.default_rng(4))
    with running({"boats": boats / "m"}) as server:
        about = server.ask("GET", "/v1/models/boats").json()
        assert (about["task"], about["widget"], about["view"]) == ("classify", "series", "label")
        answer = server.ask("POST", "/v1/models/boats/predict", json={"inputs": [{"features": rows}]}).json()
        assert answer["predictions"][0]["label"] == "fast"


# Sounds


@pytest.fixture(scope="module")
def tones(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, draw = tmp_path_factory.mktemp("tones"), np.random.default_rng(0)
    for part, count in (("train", 8), ("dev", 3)):
        for word in TONES:
            (folder / part / word).mkdir(parents=True)
            for n in range(count):
                save(folder / part / word / f"{n}.wav", spoken([word], draw))
    return folder


@pytest.fixture(scope="module")
def hearer(tones: Path) -> Model:
    """As loaded from its folder. Not to be changed."""
    options = {**CAUSAL, "bands": 16, "num_layers": 1}
    train("classify", tones / "train", tones / "m", dev=tones / "dev", options=options, lr=0.02, **FAST)
    return load(tones / "m")


def test_a_sound_has_a_label(hearer: Model, tones: Path) -> None:
    assert (hearer.task.name, hearer.input.name) == ("classify", "sound")
    assert hearer.evaluate(tones / "dev").metrics["accuracy"] == 1.0
    assert hearer.predict(tones / "dev" / "re" / "0.wav").label == "re"
    samples = spoken(["mi"], np.random.default_rng(7))
    session = hearer.stream()
    for at in range(0, len(samples), 777):
        session.push(samples[at : at + 777])
    assert session.prediction().label == hearer.predict((samples, RATE)).label == "mi"


def test_a_model_of_sounds_is_served(hearer: Model, tones: Path) -> None:
    data = (tones / "dev" / "mi" / "2.wav").read_bytes()
    with running({"tones": tones / "m"}) as server:
        about = server.ask("GET", "/v1/models/tones").json()
        assert (about["task"], about["widget"], about["labels"]) == ("classify", "sound", ["do", "mi", "re"])
        body = {"inputs": [{"sound": base64.b64encode(data).decode()}]}
        answer = server.ask("POST", "/v1/models/tones/predict", json=body).json()
        assert answer["predictions"][0]["label"] == "mi"


# What decides


def test_the_data_decides_which_input_is_read(tones: Path, boats: Path, tmp_path: Path) -> None:
    task = task_named("classify")
    text = tmp_path / "reviews.tsv"
    text.write_text("text\tlabel\n" + "so good\tgood\nso bad\tbad\n" * 3)
    kinds = {path: task.for_data(path, {}).input.name for path in (text, tones / "dev", boats / "Boats_TRAIN.ts")}
    assert list(kinds.values()) == ["text", "sound", "series"]
    assert task.for_data(tmp_path / "nowhere", {}).input.name == "text"
    with pytest.raises(ArgumentError, match=r"--bands: .*reviews\.tsv is read as text, for which classify has no such"):
        train("classify", text, tmp_path / "m", options={"bands": 20})
    assert not (tmp_path / "m").exists()


def test_checks_look_at_what_the_data_is(boats: Path) -> None:
    task, findings = task_named("classify"), Findings(strict=False)
    use = task.for_data(boats / "Boats_TRAIN.ts", {})
    counts = use.check(Sources((boats / "Boats_TRAIN.ts",)), use.options(), findings, silent)
    assert (counts, findings.errors) == ({"train": 40, "dev": 0}, 0)
    path = boats / "Boats_TRAIN.ts"
    assert findings.understood == [f"{path}: a file of series: 40 of 2 dimensions, 14 to 25 steps"]


def test_a_network_behind_its_baseline_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    draw = np.random.default_rng(0)
    rows = [(draw.normal(3 * (n % 2), 1, size=(9, 1)), str(n % 2)) for n in range(40)]
    settings = {**FAST, "steps": 1, "lr": 1e-6}
    with caplog.at_level(logging.WARNING, "unrolled.tasks"):
        model = train("classify", rows, tmp_path / "m", options=CAUSAL, **settings)
    assert model.config.result["baseline"]["accuracy"] > model.config.result["dev"]["accuracy"]
    assert "the network is behind its baseline" in caplog.text


def test_warped_series_keep_their_ends_and_lengths() -> None:
    x = np.linspace(0, 1, 30, dtype=np.float32)[:, None]
    assert warped(x, np.random.default_rng(0), 0.0) is x
    varied = warped(x, np.random.default_rng(0), 0.01)
    assert varied.dtype == np.float32
    np.testing.assert_allclose(varied, x, atol=0.02)
    assert np.abs(warped(x, np.random.default_rng(0), 1.0) - x).max() > 0.02
