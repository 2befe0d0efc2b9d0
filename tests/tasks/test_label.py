"""`label` from files to predictions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from sklearn.metrics import accuracy_score, f1_score
from tests.strangers import without_digests

from unrolled.data import Findings
from unrolled.data.steps.read import read_steps
from unrolled.data.steps.recordings import Recording, StepOptions
from unrolled.errors import ArgumentError, ModelError, ShapeError
from unrolled.tasks import Model, load, train
from unrolled.tasks.core.fitted import Parts
from unrolled.tasks.core.results import result_type
from unrolled.tasks.inputs.frames.encode import FramesInput
from unrolled.tasks.inputs.series.arrays import ShownSteps
from unrolled.tasks.inputs.series.encode import RowsInput
from unrolled.tasks.outputs.labels.decode import log_probabilities
from unrolled.tasks.uses.label import Label
from unrolled.tasks.uses.label.baseline import load_comparison
from unrolled.tasks.uses.label.encode import SegmentLabels
from unrolled.tasks.uses.label.results import LabelledRecording, segmented

from .label_data import SMALL_FRAMES, learn, write_strip, write_table


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tables")
    for part, seeds in (("train", range(8)), ("dev", range(20, 23))):
        (folder / part).mkdir()
        for seed in seeds:
            write_table(folder / part / f"{seed}.csv", seed, steps=60 if seed % 2 else 45)
    return folder


@pytest.fixture(scope="module")
def strips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("strips")
    for part, seeds in (("train", range(10)), ("dev", range(20, 24))):
        (folder / part).mkdir()
        for seed in seeds:
            write_strip(folder / part, f"c{seed}", seed, frames=16 if seed % 3 else 13)
    return folder


@pytest.fixture(scope="module")
def model(tables: Path, tmp_path_factory: pytest.TempPathFactory) -> Model:
    """Over features. Not to be changed."""
    out = tmp_path_factory.mktemp("models") / "table"
    options = {"time_column": "seconds", "background": ("rest",)}
    learn(tables / "train", out, tables / "dev", options=options, epochs=30, sample_every=0)
    return load(out)


@pytest.fixture(scope="module")
def seer(strips: Path, tmp_path_factory: pytest.TempPathFactory) -> Model:
    """Over frames. Not to be changed."""
    out = tmp_path_factory.mktemp("models") / "strip"
    learn(strips / "train", out, strips / "dev", options=SMALL_FRAMES, epochs=20, sample_every=0)
    return load(out)


def labelled(
    name: str, labels: list[str], scores: list[float], rate: float | None, background: str | None
) -> LabelledRecording:
    kind: Any = result_type(ShownSteps, LabelledRecording)
    found: LabelledRecording = kind(name=name, rate=rate, **segmented(labels, scores, rate, background))
    return found


def losses(folder: Path) -> list[float]:
    lines = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
    return [line["loss"] for line in lines if line["split"] == "train"]


# From files to predictions


@pytest.mark.parametrize("kind", ["model", "seer"])
def test_it_learns_what_no_single_step_shows(kind: str, tables: Path, strips: Path, request: Any) -> None:
    found = request.getfixturevalue(kind).evaluate({"model": tables, "seer": strips}[kind] / "dev")
    said = json.loads(json.dumps(found.as_json()))
    assert said["metrics"]["accuracy"] > 0.9
    assert said["metrics"]["f1_50"] > 0.7
    assert said["baseline"]["model"] == "each step alone, without recurrence"
    assert said["baseline"]["accuracy"] < said["metrics"]["accuracy"] - 0.2
    assert 0.4 < said["baseline"]["majority"]["accuracy"] < 0.75
    assert said["metrics"]["recordings"] == {"model": 3, "seer": 4}[kind]


def test_metrics_are_those_of_the_predictions(model: Model, tables: Path) -> None:
    found = model.evaluate(tables / "dev").metrics
    paths = sorted((tables / "dev").iterdir())
    predicted = [label for p in model.predict([str(p) for p in paths]) for label in p.labels]
    gold = [line.rpartition(",")[2] for p in paths for line in p.read_text().splitlines()[1:]]
    assert found["steps"] == len(gold)
    assert found["accuracy"] == pytest.approx(accuracy_score(gold, predicted))
    assert found["f1"] == pytest.approx(f1_score(gold, predicted, average="macro"))


def test_the_baseline_sees_one_step_at_a_time(model: Model, tables: Path) -> None:
    beside = load_comparison(model)
    assert beside is not None
    [recording] = read_steps([tables / "dev" / "21.csv"], StepOptions(time_column="seconds"), Findings())
    example = Label().encode(recording, model.parts)
    shuffled = np.random.default_rng(0).permutation(len(example["x"]))
    mixed = {name: array[shuffled] for name, array in example.items()}
    straight, moved = log_probabilities(beside, [example, mixed])
    np.testing.assert_allclose(moved, straight[shuffled], atol=1e-6)
    assert model.fitted["per_frame"]["epochs"] >= 1


@pytest.mark.parametrize("kind", ["model", "seer"])
def test_a_recording_never_depends_on_its_neighbours(kind: str, tables: Path, strips: Path, request: Any) -> None:
    model = request.getfixturevalue(kind)
    folder = {"model": tables, "seer": strips}[kind] / "dev"
    reading = StepOptions(time_column="seconds" if kind == "model" else None, frame_height=12, rate=25.0)
    recordings = read_steps([folder], reading, Findings())
    examples = [Label().encode(r, model.parts) for r in recordings]
    together = log_probabilities(model, examples)
    for example, found in zip(examples, together, strict=True):
        [alone] = log_probabilities(model, [example])
        np.testing.assert_allclose(found, alone, atol=2e-5)
        assert np.exp(alone).sum(1) == pytest.approx(np.ones(len(alone)), abs=1e-5)


def test_predictions_print_well_and_are_json(seer: Model, strips: Path) -> None:
    found = seer.predict(str(strips / "dev" / "c20.png"))
    assert isinstance(found, LabelledRecording)
    assert len(found.labels) == len(found.scores) == 16
    assert str(found).startswith("c20: 0.00–")
    said = json.loads(json.dumps(found.as_json()))
    assert said["segments"][0]["begin"] == 0
    assert said["segments"][-1]["end"] == 16
    assert said["segments"][-1]["end_seconds"] == pytest.approx(16 / 25)
    for one, other in zip(said["segments"][:-1], said["segments"][1:], strict=True):
        assert one["end"] == other["begin"]
        assert one["label"] != other["label"]
    assert said["labels"] == list(found.labels)


def test_segments_by_hand() -> None:
    found = labelled("c", ["sil", "a", "a", "<b>"], [0.5, 0.9, 0.7, 1.0], 10.0, "sil")
    assert str(found) == "c: 0.10–0.30 s a · 0.30–0.40 s <b>"
    assert found.segments[1].score == pytest.approx(0.8)
    page = found._repr_html_()
    assert "&lt;b&gt;" in page
    assert "<b>" not in page
    assert "width:50.000%" in page
    assert str(labelled("c", ["a", "b"], [1, 1], None, None)) == "c: 0–1 a · 1–2 b"
    assert str(labelled("c", ["sil"], [1], None, "sil")) == "c: nothing but sil"


def test_arrays_are_recordings_too(model: Model, seer: Model, tables: Path, strips: Path) -> None:
    path = tables / "dev" / "21.csv"
    rows = [[float(v) for v in line.split(",")[:2]] for line in path.read_text().splitlines()[1:]]
    from_rows, from_path = model.predict(np.array(rows)), model.predict(str(path))
    assert from_rows.labels == from_path.labels
    clip = torch.from_numpy(_frames(strips / "dev" / "c21.png"))
    assert seer.predict(clip).labels == seer.predict(str(strips / "dev" / "c21.png")).labels
    with pytest.raises(ShapeError, match=r"steps: expected shape \(T, F=2\), found \(4, 3\)"):
        model.predict(np.zeros((4, 3)))
    with pytest.raises(ShapeError, match=r"steps: expected shape frames \(T, H, W\)"):
        seer.predict(np.zeros((4, 3)))
    with pytest.raises(ArgumentError, match="steps: step 1 is not finite"):
        model.predict(np.array([[0, 1], [np.nan, 1]]))
    with pytest.raises(ArgumentError, match="input: no step in it"):
        model.predict(np.zeros((0, 2)))
    with pytest.raises(ArgumentError, match="frame: expected uint8, or floating point from 0 to 1, found int64"):
        seer.predict(np.zeros((4, 3, 3), dtype=np.int64))


def _frames(path: Path) -> np.ndarray:
    [clip] = read_steps([path], StepOptions(frame_height=12), Findings(), labelled=False)
    assert clip.clip is not None
    return clip.clip.footage(channels=1).frames


def test_transitions_smooth_what_is_predicted(model: Model, tables: Path) -> None:
    path = str(tables / "dev" / "21.csv")
    counts = [len(model.predict(path, transition_weight=w).segments) for w in (0.0, 1.0, 50.0)]
    assert counts[0] >= counts[1] >= counts[2] == 1
    again = model.evaluate(tables / "dev", transition_weight=0.5).metrics
    assert set(again["without_transitions"]) == {"accuracy", "f1", "edit", "f1_10", "f1_25", "f1_50"}
    # a label lasts for about ten steps
    matrix = model.network.next_label.exp()
    assert matrix.sum(1).tolist() == pytest.approx([1, 1])
    assert matrix.diag().min() > 0.8


def test_a_model_saved_elsewhere_is_the_same(model: Model, tables: Path, tmp_path: Path) -> None:
    expected = model.evaluate(tables / "dev")
    copy = load(model.folder)
    copy.save(tmp_path / "copy")
    found = load(tmp_path / "copy").evaluate(tables / "dev")
    assert (found.metrics, found.baseline) == (expected.metrics, expected.baseline)


# The course of training


def test_overfits_a_tiny_batch(strips: Path, tmp_path: Path) -> None:
    clip = strips / "train" / "c1.png"
    options = {**SMALL_FRAMES, "bidirectional": False}
    learn(clip, tmp_path / "m", clip, options=options, steps=40, evaluate_every=40, sample_every=0, save_every=40)
    assert losses(tmp_path / "m")[-1] < 0.03


def test_the_first_ten_steps_are_as_they_were(tables: Path, tmp_path: Path) -> None:
    options = {"batch_size": 4}
    learn(tables / "train", tmp_path / "m", tables / "dev", options={**options, "time_column": "seconds"}, steps=10)
    golden = [0.716, 0.777, 0.6967, 0.6331, 0.6301, 0.5849, 0.5914, 0.5454, 0.5615, 0.5257]
    assert losses(tmp_path / "m") == pytest.approx(golden, rel=2e-3)


@pytest.mark.parametrize("kind", ["tables", "strips"])
def test_resumed_equals_uninterrupted(kind: str, tmp_path: Path, request: Any) -> None:
    data = request.getfixturevalue(kind)
    options = {"augment": 1.0, "dropout": 0.2, "input_dropout": 0.1, "batch_size": 4, "mirror": True}
    options |= SMALL_FRAMES if kind == "strips" else {"window": 20, "time_column": "seconds"}
    given: dict[str, Any] = {"schedule": "constant", "save_every": 2, "evaluate_every": 2, "options": options}
    learn(data / "train", tmp_path / "whole", data / "dev", steps=6, **given)
    learn(data / "train", tmp_path / "parts", data / "dev", steps=3, **given)
    learn(data / "train", tmp_path / "parts", data / "dev", steps=6, resume=True, **given)
    assert losses(tmp_path / "whole") == losses(tmp_path / "parts")
    whole, parts = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "parts"))
    assert all(torch.equal(whole[name], parts[name]) for name in whole)


def test_recordings_standardised_by_themselves(tables: Path, tmp_path: Path) -> None:
    options = {"standardise": "recording", "time_column": "seconds"}
    model = learn(tables / "train", tmp_path / "m", tables / "dev", options=options, steps=2)
    rows = np.random.default_rng(0).normal(size=(30, 2))
    one, other = model.predict(rows), model.predict(rows * 7 - 3)
    assert one.labels == other.labels
    assert one.scores == pytest.approx(other.scores, abs=1e-4)


@pytest.mark.parametrize("kind", ["tables", "strips"])
def test_defaults_fit_the_data(kind: str, tmp_path: Path, request: Any) -> None:
    data = request.getfixturevalue(kind)
    reading = {"time_column": "seconds"} if kind == "tables" else {"frame_height": 12}
    model = train("label", data / "train", tmp_path / "m", dev=data / "dev", options=reading, steps=1, sample_every=0)
    network, batching = model.config.network, model.config.batching
    assert (network["num_layers"], network["hidden_size"]) == {"tables": (1, 64), "strips": (2, 128)}[kind]
    assert network["differences"] == (kind == "strips")
    assert batching == {"batch_size": {"tables": 8, "strips": 4}[kind], "window": 0}
    assert model.config.training["monitor"] == "f1"
    assert model.config.training["evaluate_every"] == {"tables": 1, "strips": 3}[kind]
    assert set(model.config.result["dev"]) == {"loss", "accuracy", "f1", "edit", "f1_10", "f1_25", "f1_50"}


# What is varied while training


def test_variations_keep_steps_and_labels_together() -> None:
    x = np.repeat(np.arange(100, dtype=np.float32)[:, None], 2, axis=1)
    example, rows = {"x": x, "targets": np.arange(100)}, RowsInput(2)
    draw = np.random.default_rng(0)
    for _ in range(20):
        found = rows.varied(example, draw, 1.0)
        assert len(found["x"]) == len(found["targets"])
        assert 80 < len(found["targets"]) <= 100
        assert (np.diff(found["targets"]) >= 0).all()
        # a lost step shows an earlier one, and never one far away
        assert np.abs(found["x"][:, 0] - found["targets"]).max() <= 6
        assert (found["x"][:, 0] <= found["targets"]).all()
        assert (found["x"][:, 0] == found["targets"]).mean() > 0.8
    same = rows.varied(example, draw, 0.0)
    assert np.array_equal(same["x"], x)


def test_frames_are_varied_alike_within_a_clip() -> None:
    still = np.zeros((6, 12, 16, 1), np.uint8)
    still[:, 4:8, 3:9] = 200
    example, clips = {"x": still, "targets": np.zeros(6, np.int64)}, FramesInput((12, 16), 1)
    draw = np.random.default_rng(1)
    different = 0
    for _ in range(10):
        found = clips.varied(example, draw, 1.0, mirror=True)["x"]
        assert found.shape[1:] == still.shape[1:]
        assert (found == found[:1]).all()
        different += not np.array_equal(found[0], still[0])
    assert different == 10
    flips = {clips.varied(example, draw, 0.0, mirror=True)["x"].tobytes() for _ in range(20)}
    assert flips == {still.tobytes(), np.ascontiguousarray(still[:, :, ::-1]).tobytes()}


# What a model is made of


@pytest.mark.parametrize(
    "content, says",
    [
        ('{"labels": ["a", "a"], "features": 2}', "corrupt, labels"),
        ('{"labels": ["a", "b"], "features": 2, "background": "c"}', "with background 'c'"),
        ('{"labels": ["a", "b"]}', "neither frames nor features"),
        ('{"labels": ["a", "b"], "size": [8, 9], "channels": 2}', "neither frames nor features"),
        ('{"labels": ["a", "b"], "features": -1}', "corrupt, --features: -1 is not possible"),
        ('{"labels": 3}', "corrupt, --labels"),
        ("[1", "corrupt, not JSON"),
    ],
)
def test_labels_of_a_stranger_are_checked(tmp_path: Path, content: str, says: str) -> None:
    (tmp_path / "labels.json").write_text(content)
    with pytest.raises(ModelError, match=says):
        Label().load_parts(tmp_path)


def test_a_strangers_network_and_weight_are_checked(model: Model, tmp_path: Path) -> None:
    model_copy = load(model.folder)
    model_copy.save(tmp_path / "m")
    config = without_digests(tmp_path / "m") / "config.json"
    whole = json.loads(config.read_text())
    for changes, says in (
        ({"network": {**whole["network"], "hidden_size": 0}}, "network: --hidden-size: 0 is not possible"),
        ({"network": {**whole["network"], "cell": "tree"}}, "network: --cell"),
        (
            {"fitted": {"transition_weight": "much"}},
            "transition_weight: expected a number from 0 to 1000, found 'much'",
        ),
    ):
        config.write_text(json.dumps({**whole, **changes}))
        with pytest.raises(ModelError, match=says):
            load(tmp_path / "m")
    config.write_text(json.dumps(whole))
    (tmp_path / "m" / "baseline.safetensors").write_bytes(b"nothing")
    with pytest.raises(ModelError, match=r"baseline.safetensors: corrupt or cut short"):
        load_comparison(load(tmp_path / "m"))


def test_labels_are_numbered_and_backgrounds_are_one() -> None:
    output = SegmentLabels(("bin", "sil"), "sil", ("sp",))
    assert [output.number(label) for label in ("bin", "sil", "sp", "lay", None)] == [0, 1, 1, -1, -100]
    recording = Recording(path="r", name="r", features=np.zeros((4, 2)), steps=("sp", "bin", None, "lay"))
    assert Label().encode(recording, Parts(RowsInput(2), output))["targets"].tolist() == [1, 0, -100, -1]
