"""`transcribe` of images: lines of text with their texts beside them go all the way."""

from __future__ import annotations

import base64
from pathlib import Path

import numpy as np
import pytest
from tests.serving.servers import running

from unrolled.data import Findings
from unrolled.data.images.files import png
from unrolled.data.images.lines import holds_lines, read_text_lines
from unrolled.errors import ArgumentError, DataError
from unrolled.tasks import Model, load, task_named, train

from . import speech_data
from .test_image_lines import drawn, write_lines


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lines")
    write_lines(folder / "train", 60, 1)
    write_lines(folder / "dev", 12, 2)
    return folder


@pytest.fixture(scope="module")
def reader(corpus: Path) -> Model:
    """A causal model, as loaded from its folder. Not to be changed."""
    options = {"bidirectional": False, "image_size": 9, "hidden_size": 32, "num_layers": 1, "dropout": 0.0}
    settings = {"steps": 300, "seed": 3, "lr": 0.01, "evaluate_every": 150, "sample_every": 0}
    train("transcribe", corpus / "train", corpus / "m", dev=corpus / "dev", options=options, **settings)
    return load(corpus / "m")


def test_a_line_is_read(reader: Model, corpus: Path) -> None:
    assert (reader.task.name, reader.input.name) == ("transcribe", "image")
    result = reader.evaluate(corpus / "dev")
    assert result.metrics["cer"] < 0.1 < result.baseline["cer"]
    image = drawn("late net all", 77)
    assert reader.predict(image).text == "late net all"
    assert reader.predict(corpus / "dev" / "00.png").text == (corpus / "dev" / "00.txt").read_text()
    session = reader.stream()
    session.push(image.T)
    session.finish()
    assert session.transcript().text == "late net all"


def test_a_line_is_served(reader: Model, corpus: Path) -> None:
    with running({"lines": corpus / "m"}) as server:
        about = server.ask("GET", "/v1/models/lines").json()
        assert (about["task"], about["widget"], about["view"]) == ("transcribe", "image", "transcript")
        body = {"inputs": [{"image": base64.b64encode(png(drawn("all tea", 4)[..., None])).decode()}]}
        [answer] = server.ask("POST", "/v1/models/lines/predict", json=body).json()["predictions"]
        assert answer["text"] == "all tea"


def test_the_data_decides_between_sound_and_images(corpus: Path, tmp_path: Path) -> None:
    task = task_named("transcribe")
    assert task.for_data(corpus / "train", {}).input.name == "image"
    speech_data.save(tmp_path / "1.wav", speech_data.spoken(["do"], np.random.default_rng(0)))
    sound = speech_data.manifest(tmp_path / "s.jsonl", [("1.wav", "do")])
    assert task.for_data(sound, {}).input.name == task.for_data(tmp_path, {}).input.name == "sound"
    with pytest.raises(ArgumentError, match=r"--bands: .* is read as image, for which transcribe has no such option"):
        train("transcribe", corpus / "train", tmp_path / "m", options={"bands": 20})


def test_texts_beside_images_and_in_tables(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / f"{name}.png").write_bytes(png(drawn("tea")[..., None]))
    (tmp_path / "a.txt").write_text(" Tea, please. \n")
    (tmp_path / "b.gt.txt").write_text("net\n")
    findings = Findings(strict=False)
    lines = read_text_lines([tmp_path], findings)
    assert [(line.picture.path.name, line.target) for line in lines] == [("a.png", "Tea, please."), ("b.png", "net")]
    assert [item.message for item in findings.items] == ["there is no c.txt beside it"]
    table = tmp_path / "lines.csv"
    table.write_text("file_name,text\na.png,tea\nd.png,net\n")
    assert holds_lines(table)
    assert holds_lines(tmp_path)
    findings = Findings(strict=False)
    assert [line.target for line in read_text_lines([table], findings)] == ["tea"]
    assert [(item.kind, item.line) for item in findings.items] == [("missing image", 3)]
    table.write_text("a,b\na.png,tea\n")
    with pytest.raises(DataError, match="which column holds the images"):
        read_text_lines([table], Findings())
