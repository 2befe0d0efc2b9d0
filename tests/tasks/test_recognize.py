"""`recognize` from files to predictions, seen as a whole and read row by row; and everything that may be wrong."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.strangers import without_digests

from unrolled.data import Findings
from unrolled.data.images.arrays import read_idx
from unrolled.data.images.files import png
from unrolled.errors import ArgumentError, DataError, ModelError, ShapeError, StateError, StorageError
from unrolled.tasks import Model, Sources, load, task_named, train
from unrolled.tasks.core.values import silent
from unrolled.tasks.outputs.label.decode import log_probabilities
from unrolled.tasks.outputs.label.results import Classification

TINY: dict[str, dict[str, Any]] = {
    "image": {"widths": (6, 8), "batch_size": 8, "dropout": 0.0},
    "rows": {"reading": "rows", "hidden_size": 12, "batch_size": 8, "dropout": 0.0, "bidirectional": False},
}
FAST = {"lr": 0.02, "log_every": 1, "seed": 5}
LABELS = ["down", "left", "up"]


def bars(count: int, seed: int) -> tuple[Any, Any]:
    """White bars on black, 10 × 10: lying low, lying high, or standing left; never touching the border."""
    draw = np.random.default_rng(seed)
    images, labels = np.zeros((count, 10, 10), np.uint8), draw.integers(0, 3, count)
    for image, label in zip(images, labels, strict=True):
        at = draw.integers(1, 3)
        light = draw.integers(180, 256)
        if label == 0:
            image[7:9, at : at + 7] = light
        elif label == 1:
            image[at : at + 7, 1:3] = light
        else:
            image[1:3, at : at + 7] = light
    return images, np.array([LABELS[k] for k in labels])


@pytest.fixture(scope="session")
def bar_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """train.npz and dev.npz."""
    folder = tmp_path_factory.mktemp("bars")
    for name, count, seed in (("train", 48, 1), ("dev", 18, 2)):
        images, labels = bars(count, seed)
        np.savez(folder / f"{name}.npz", images=images, labels=labels)
    return folder


def learn(data: Path, out: Path, reading: str = "image", **given: Any) -> Model:
    options = {**TINY[reading], "augment": False, **given.pop("options", {})}
    chosen = {**FAST, "dev": data / "dev.npz", "steps": 3, **given}
    return train("recognize", data / "train.npz", out, options=options, **chosen)


Trained = Callable[[str], Model]


@pytest.fixture(scope="session")
def recognizer(bar_files: Path, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """The model of a reading, as loaded from its folder; trained when first asked for. Not to be changed."""
    folder = tmp_path_factory.mktemp("recognizers")

    def model(reading: str) -> Model:
        if not (folder / reading).exists():
            learn(bar_files, folder / reading, reading, steps=150, evaluate_every=50, save_every=150)
        return load(folder / reading)

    return model


READINGS = ["image", "rows"]


@pytest.mark.parametrize("reading", READINGS)
def test_it_learns_what_it_is_shown(recognizer: Trained, reading: str, bar_files: Path) -> None:
    model = recognizer(reading)
    found = json.loads(json.dumps(model.evaluate(bar_files / "dev.npz").as_json()))
    assert found["task"] == "recognize"
    assert found["metrics"]["accuracy"] == found["metrics"]["macro_f1"] == 1.0
    assert found["metrics"]["loss"] < 0.3
    assert found["metrics"]["examples"] == 18
    assert sum(map(sum, found["metrics"]["confusion"])) == 18
    assert found["baseline"]["model"] == "logistic regression on pixels"
    assert found["baseline"]["accuracy"] > 0.9
    assert model.config.result["dev"]["accuracy"] == 1.0


def test_the_baseline_is_a_logistic_regression(recognizer: Trained, bar_files: Path) -> None:
    from sklearn.linear_model import LogisticRegression

    images, labels = bars(48, 1)
    model = recognizer("image")
    x = model.input.features([{"image": image} for image in images[..., None]])
    dev_images, dev_labels = bars(18, 2)
    found = model.evaluate(bar_files / "dev.npz").baseline
    mean, std = x.mean(0), np.maximum(x.std(0), 0.05 * x.std(0).max())
    # sklearn minimises Σ loss + ‖W‖² / 2C, ours the mean + l2/2 ‖W‖²
    theirs = LogisticRegression(C=1 / (1e-3 * 48), max_iter=2000, tol=1e-8).fit((x - mean) / std, labels)
    dev_x = model.input.features([{"image": image} for image in dev_images[..., None]])
    log_probs = theirs.predict_log_proba((dev_x - mean) / std)
    expected = -np.mean([row[LABELS.index(label)] for row, label in zip(log_probs, dev_labels, strict=True)])
    assert found["loss"] == pytest.approx(expected, abs=2e-3)


@pytest.mark.parametrize("reading", READINGS)
def test_together_or_one_by_one_or_loaded_it_is_the_same(recognizer: Trained, reading: str) -> None:
    model = recognizer(reading)
    images, labels = bars(7, 3)
    together = model.predict(list(images))
    assert [p.label for p in together] == labels.tolist()
    for prediction, image in zip(together, images, strict=True):
        alone = model.predict(image)
        assert alone.probabilities == pytest.approx(prediction.probabilities, abs=1e-5)
    raw = log_probabilities(model, [{"image": image} for image in images[..., None]])
    assert together[0].probability == pytest.approx(float(np.exp(raw[0].max())), rel=1e-5)


def test_predictions_print_well_and_are_json(recognizer: Trained) -> None:
    found = recognizer("image").predict(bars(1, 3)[0][0])
    assert isinstance(found, Classification)
    assert str(found).startswith(f"input: {found.label} ")
    assert sum(found.probabilities.values()) == pytest.approx(1)
    assert list(found.probabilities.values()) == sorted(found.probabilities.values(), reverse=True)
    said = json.loads(json.dumps(found.as_json()))
    assert said["label"] == found.label
    assert set(said["probabilities"]) == set(LABELS)
    assert "data:image/png;base64," in found._repr_html_()
    assert "&lt;" in found.model_copy(update={"label": "<b>", "probabilities": {"<b>": 1.0}})._repr_html_()


def test_a_drawing_of_any_size_and_polarity(recognizer: Trained, tmp_path: Path) -> None:
    model = recognizer("image")
    image, label = (part[0] for part in bars(1, 3))
    page = np.full((90, 70, 3), 235, np.uint8)
    page[20:70, 10:60] = 235 - np.kron(image, np.ones((5, 5), np.uint8))[..., None] // 2
    Image.fromarray(page).save(tmp_path / "page.png")
    # a bar says by its place what it is, and a drawing is centred: what matters is that it is seen as in training
    placed = model.predict(str(tmp_path / "page.png"))
    assert model.input.format.ink.ground == 0
    assert placed.image == str(tmp_path / "page.png")
    assert placed.seen.shape == (10, 10, 1)
    assert placed.seen[0].max() == placed.seen[-1].max() == 0
    assert placed.seen.max() > 150
    # stretched as it is, the bar stays where it was drawn
    plain = model.predict(np.kron(image, np.ones((3, 3), np.uint8)), place=False)
    assert plain.label == label
    with pytest.raises(ArgumentError, match="no such option"):
        model.predict(image, centre=True)


def test_ten_steps_are_always_the_same(bar_files: Path, tmp_path: Path) -> None:
    for reading, expected in GOLDEN.items():
        learn(bar_files, tmp_path / reading, reading, steps=10, options={"augment": True})
        assert losses(tmp_path / reading) == pytest.approx(expected, rel=2e-3)


GOLDEN: dict[str, list[float]] = {
    "image": [1.07215, 1.19606, 1.07925, 1.04015, 0.97395, 0.92349, 0.88164, 0.85588, 0.8284, 0.79981],
    "rows": [1.12299, 1.1545, 1.04995, 1.01828, 0.91247, 0.86446, 0.75997, 0.70049, 0.69495, 0.62988],
}


@pytest.mark.parametrize("reading", READINGS)
def test_a_resumed_run_is_an_uninterrupted_one(bar_files: Path, tmp_path: Path, reading: str) -> None:
    given = {"options": {"augment": True, "dropout": 0.3}, "save_every": 2, "schedule": "constant"}
    learn(bar_files, tmp_path / "whole", reading, steps=9, **given)
    learn(bar_files, tmp_path / "parts", reading, steps=4, **given)
    learn(bar_files, tmp_path / "parts", reading, steps=9, resume=True, **given)
    assert losses(tmp_path / "whole") == losses(tmp_path / "parts")


def losses(folder: Path) -> list[float]:
    lines = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
    return [line["loss"] for line in lines if line["split"] == "train"]


def test_saved_elsewhere_it_is_whole(recognizer: Trained, bar_files: Path, tmp_path: Path) -> None:
    model = recognizer("image")
    before = model.evaluate(bar_files / "dev.npz")
    load(model.folder or "").save(tmp_path / "copy")
    after = load(tmp_path / "copy").evaluate(bar_files / "dev.npz")
    assert (after.metrics, after.baseline) == (before.metrics, before.baseline)


# Rows that come one after the other


def test_rows_can_be_streamed(recognizer: Trained, tmp_path: Path) -> None:
    model = recognizer("rows")
    image = bars(1, 3)[0][0]
    whole = model.predict(image)
    session = model.stream()
    with pytest.raises(ArgumentError, match="nothing was read yet"):
        session.probabilities()
    fork = None
    for row in image[:6]:
        session.push(row)
    fork = session.fork()
    session.save(tmp_path / "state")
    for one in (session, fork, model.stream().load(tmp_path / "state"), model.stream().push(image[:6])):
        assert one.position == 6
        one.push(image[6:])
        assert one.probabilities() == pytest.approx(whole.probabilities, abs=1e-5)
    assert session.reset().position == 0
    with pytest.raises(ShapeError, match=r"rows: expected shape \(n, I=10\)"):
        session.push(image[0, :7])
    with pytest.raises(ArgumentError, match="rows: expected uint8, found float64"):
        session.push(image / 255.0)


def test_what_can_not_be_streamed_says_what_to_train(recognizer: Trained, bar_files: Path, tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="--reading rows --no-bidirectional"):
        recognizer("image").stream()
    both = learn(bar_files, tmp_path / "m", "rows", options={"bidirectional": True})
    with pytest.raises(ArgumentError, match="reads in both directions"):
        both.stream()
    recognizer("rows").stream().push(np.zeros(10, np.uint8)).save(tmp_path / "state")
    one_way = learn(bar_files, tmp_path / "n", "rows")
    with pytest.raises(StateError, match="belongs to another model"):
        one_way.stream().load(tmp_path / "state")


def test_pixel_by_pixel(bar_files: Path, tmp_path: Path) -> None:
    model = learn(bar_files, tmp_path / "m", "rows", options={"reading": "pixels", "cell": "gru", "pooling": "last"})
    image = bars(1, 3)[0][0]
    assert model.stream().push(image).probabilities() == pytest.approx(model.predict(image).probabilities, abs=1e-5)


# Colour, folders and what may be wrong


def make_folder(folder: Path) -> Path:
    draw = np.random.default_rng(0)
    for k, (label, colour) in enumerate((("red", (200, 20, 20)), ("green", (20, 200, 20)))):
        (folder / label).mkdir(parents=True)
        for n in range(8):
            image = np.clip(draw.normal(colour, 20, (9 + n, 12 + k, 3)), 0, 255).astype(np.uint8)
            (folder / label / f"{n}.png").write_bytes(png(image))
    return folder


def test_colour_photographs_in_folders(tmp_path: Path) -> None:
    data = make_folder(tmp_path / "data")
    options = {"widths": (4, 6), "image_size": 8, "batch_size": 4}
    model = train("recognize", data, tmp_path / "m", options=options, steps=40, save_every=40, **FAST)
    assert model.input.format.channels == 3
    assert model.input.format.ink is None
    assert len(model.config.data["labels"]) == 2
    assert model.evaluate(data).metrics["accuracy"] == 1.0
    assert model.predict(np.full((40, 30, 3), (210, 10, 30), np.uint8)).label == "red"
    with pytest.raises(ArgumentError, match="place: the model was not trained on drawings"):
        model.predict(np.zeros((9, 9, 3), np.uint8), place=True)


def test_an_image_that_can_not_be_read_is_named_or_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    data = make_folder(tmp_path / "data")
    whole = (data / "red" / "0.png").read_bytes()
    (data / "red" / "bad.png").write_bytes(whole[: len(whole) // 2])
    options = {"widths": (4, 6), "image_size": 8, "batch_size": 4}
    with pytest.raises(DataError, match=r"red/bad\.png: a damaged image"):
        train("recognize", data, tmp_path / "m", options=options, steps=1, **FAST)
    assert not (tmp_path / "m").exists()
    model = train("recognize", data, tmp_path / "m", options={**options, "skip_bad": True}, steps=1, **FAST)
    assert sum(model.config.data[f"{part}_examples"] for part in ("train", "dev")) == 16
    assert "bad.png: error: a damaged image" in caplog.text
    assert "(left out)" in caplog.text
    assert model.evaluate(data).metrics["examples"] == 16
    with pytest.raises(DataError, match=r"red/bad\.png: a damaged image"):
        model.evaluate(data, skip_bad=False)
    with pytest.raises(DataError, match=r"red/bad\.png: a damaged image"):
        model.predict(str(data / "red" / "bad.png"))


def test_the_check_finds_what_ruins_runs(tmp_path: Path) -> None:
    data = make_folder(tmp_path / "data")
    good = (data / "red" / "0.png").read_bytes()
    (data / "red" / "bad.png").write_bytes(good[:50])
    (data / "red" / "twin.png").write_bytes(good)
    (data / "green" / "twin.png").write_bytes(good)
    (data / "stray.png").write_bytes(good)
    (data / "blue").mkdir()
    (data / "blue" / "only.png").write_bytes((data / "green" / "1.png").read_bytes()[:-1] + b"\0")
    dev = tmp_path / "dev"
    (dev / "violet").mkdir(parents=True)
    (dev / "violet" / "a.png").write_bytes(good)
    task, findings = task_named("recognize"), Findings(strict=False)
    counts = task.check(Sources((data,), (dev,)), task.options(), findings, silent)
    assert counts == {"train": 20, "dev": 1}
    kinds = {(item.severity, item.kind) for item in findings.items}
    assert {
        ("error", "no class"),
        ("error", "unreadable"),
        ("warning", "duplicate"),
        ("warning", "leak"),
        ("warning", "unseen label"),
        ("warning", "rare label"),
    } <= kinds
    assert any("with another label" in item.message for item in findings.items)
    assert any(str(item.path).endswith("red/bad.png") for item in findings.items if item.kind == "unreadable")


def test_a_class_that_the_model_does_not_know(recognizer: Trained, tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", images=bars(2, 1)[0], labels=np.array(["up", "sideways"]))
    with pytest.raises(DataError, match=r"a\.npz\[1\]: label 'sideways' is unknown to the model"):
        recognizer("image").evaluate(tmp_path / "a.npz")


def test_one_class_is_none(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", images=bars(9, 1)[0], labels=np.array(["up"] * 9))
    with pytest.raises(DataError, match="all examples to learn from have one label, 'up'"):
        train("recognize", tmp_path / "a.npz", tmp_path / "m", steps=1)


def test_inputs_of_another_kind(recognizer: Trained, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="no such file"):
        recognizer("image").predict("a sentence")
    with pytest.raises(ShapeError):
        recognizer("image").predict(np.zeros((4, 4, 7), np.uint8))
    (tmp_path / "a.txt").write_text("a text")
    with pytest.raises(DataError, match="not an image set"):
        recognizer("image").evaluate(tmp_path / "a.txt")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a.txt", "a text")
    with pytest.raises(DataError, match="no image in this archive"):
        recognizer("image").evaluate(tmp_path / "a.zip")


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("labels.json", '["one"]', "expected a list of at least two labels"),
        ("images.json", '{"height": 3}', "images.json: corrupt, image format"),
        ("baseline.safetensors", "x", "corrupt or cut short"),
    ],
)
def test_a_damaged_model_is_named(
    recognizer: Trained, bar_files: Path, tmp_path: Path, file: str, content: str, message: str
) -> None:
    load(recognizer("image").folder or "").save(tmp_path / "m")
    without_digests(tmp_path / "m")
    (tmp_path / "m" / file).write_text(content)
    with pytest.raises(ModelError, match=message):
        load(tmp_path / "m").evaluate(bar_files / "dev.npz")


@pytest.mark.parametrize("change", [{"widths": [10**9, 3]}, {"reading": "smell"}, {"widths": []}, {"what": 1}])
def test_a_strange_network_is_refused(recognizer: Trained, tmp_path: Path, change: dict[str, Any]) -> None:
    load(recognizer("image").folder or "").save(tmp_path / "m")
    config = json.loads((tmp_path / "m" / "config.json").read_text())
    config["network"] |= change
    without_digests(tmp_path / "m")
    (tmp_path / "m" / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError):
        load(tmp_path / "m")


def test_digits_of_mnist(real_data: Path, tmp_path: Path) -> None:
    source = real_data / "mnist" / "t10k-images-idx3-ubyte.gz"
    if not source.is_file():
        pytest.skip("no MNIST here")
    images, labels = read_idx(source), read_idx(source.with_name("t10k-labels-idx1-ubyte.gz"))
    np.savez(tmp_path / "train.npz", images=images[:400], labels=labels[:400])
    np.savez(tmp_path / "dev.npz", images=images[400:600], labels=labels[400:600])
    options = {"widths": (8, 16, 32), "batch_size": 16, "augment": False}
    few = {"epochs": 4, "lr": 0.01, "save_every": 1000, "evaluate_every": 50, "dev": tmp_path / "dev.npz"}
    model = train("recognize", tmp_path / "train.npz", tmp_path / "m", options=options, **few)
    # chance is 0.1, and it has seen each of 400 digits four times
    assert model.config.result["dev"]["accuracy"] > 0.5
    ink = model.input.format.ink
    assert (ink.ground, ink.lighter, ink.centre) == (0, True, "mass")
    assert ink.extent == pytest.approx(20 / 28)
    # black on white, three times as large, in a corner; after 400 digits it may be sure and wrong once
    sure = [n for n in range(800, 840) if model.predict(images[n]).probability > 0.9]
    assert len(sure) >= 5
    agree = []
    for n in sure:
        page = np.full((200, 150), 250, np.uint8)
        # in all its greys: black and white alone would thin the strokes
        page[5:89, 40:124] = 250 - np.kron(images[n], np.ones((3, 3))) / 255 * 240
        stream = io.BytesIO()
        Image.fromarray(page).save(stream, "PNG")
        agree.append(model.predict(stream.getvalue()).label == model.predict(images[n]).label)
    assert np.mean(agree) >= 0.9
