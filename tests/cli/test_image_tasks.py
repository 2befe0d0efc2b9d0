"""`recognize` and `caption` on the command line, once from files to predictions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from unrolled.data.images.files import png

from .running import complaint, unrolled

COLOURS = {"red": (220, 30, 30), "blue": (30, 30, 220)}


@pytest.fixture(scope="module")
def coloured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for each of two colours, and a sentence about each image."""
    folder = tmp_path_factory.mktemp("coloured")
    draw = np.random.default_rng(0)
    lines = []
    for label, colour in COLOURS.items():
        (folder / "images" / label).mkdir(parents=True)
        for n in range(10):
            image = np.clip(draw.normal(colour, 15, (8, 8, 3)), 0, 255).astype(np.uint8)
            (folder / "images" / label / f"{label}{n}.png").write_bytes(png(image))
            lines.append(f"{label}{n}.png#0\tThis is all {label} .")
    (folder / "captions.txt").write_text("\n".join(lines) + "\n")
    return folder


def test_recognize_from_files_to_predictions(coloured: Path, tmp_path: Path) -> None:
    images, out = coloured / "images", tmp_path / "m"
    result = unrolled("data", "check", "recognize", images)
    assert result.code == 0, result.err
    result = unrolled(
        "train", "recognize", images, "--out", out, "--widths", 4, "--widths", 6, "--image-size", 8,
        "--batch-size", 4, "--steps", 25, "--lr", 0.02, "--no-augment", "--save-every", 1000, "--threads", 1,
    )  # fmt: skip
    assert result.code == 0, result.err
    result = unrolled("evaluate", out, images, "--json", "--skip-bad")
    assert result.code == 0, result.err
    assert result.json[0]["metrics"]["accuracy"] == 1.0
    some = [images / "red" / "red3.png", images / "blue" / "blue4.png"]
    result = unrolled("predict", out, *some, "--json")
    assert [line["label"] for line in result.json] == ["red", "blue"]
    result = unrolled("predict", out, some[0])
    assert result.out.startswith(f"{some[0]}: red ")
    (tmp_path / "bad.png").write_bytes(some[0].read_bytes()[:50])
    result = unrolled("predict", out, tmp_path / "bad.png")
    assert result.code == 2
    assert complaint(result).startswith(f"{tmp_path}/bad.png: a damaged image")
    result = unrolled("predict", out, some[0], "--place")
    assert "place: the model was not trained on drawings" in complaint(result)


def test_caption_from_files_to_predictions(coloured: Path, tmp_path: Path) -> None:
    out = tmp_path / "m"
    result = unrolled(
        "train", "caption", coloured / "captions.txt", "--images", coloured / "images", "--out", out,
        "--widths", 4, "--widths", 6, "--image-size", 8, "--margin", 1, "--hidden-size", 12, "--embedding-size", 8,
        "--batch-size", 4, "--steps", 40, "--lr", 0.02, "--dropout", 0, "--image-dropout", 0, "--save-every", 1000,
        "--evaluate-every", 20, "--sample-every", 20, "--threads", 1,
    )  # fmt: skip
    assert result.code == 0, result.err
    result = unrolled("evaluate", out, coloured / "captions.txt", "--json", "--beam-size", 2)
    assert result.code == 0, result.err
    assert result.json[0]["metrics"]["bleu4"] > 0.5
    image = coloured / "images" / "red" / "red3.png"
    result = unrolled("predict", out, image, "--n", 2, "--json")
    (line,) = result.json
    assert len(line["captions"]) == 2
    assert line["captions"][0]["log_prob"] <= 0
    result = unrolled("predict", out, image)
    assert result.out == f"{image}: This is all red.\n"
