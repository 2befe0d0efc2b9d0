"""Images that are read by columns, each as wide as it is: `recognize` on drawings of many widths."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from unrolled.data.images.files import Picture, png
from unrolled.data.images.format import MOST_COLUMNS, ImageFormat
from unrolled.errors import LimitError, ShapeError
from unrolled.tasks import Model, load, train
from unrolled.tasks.inputs.image.encode import varied_line
from unrolled.tasks.inputs.image.options import ImageOptions


def slope(label: str, seed: int) -> np.ndarray:
    """A line that rises or falls from left to right, (8, W), W from 8 to 20."""
    draw = np.random.default_rng(seed)
    width = int(draw.integers(8, 21))
    image = draw.integers(0, 40, (8, width)).astype(np.uint8)
    rows = np.linspace(1, 6, width).round().astype(int)
    image[rows if label == "falling" else rows[::-1], np.arange(width)] = 230
    return image


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    folder = tmp_path_factory.mktemp("slopes")
    for part, count in (("train", 24), ("dev", 8)):
        for label in ("falling", "rising"):
            (folder / part / label).mkdir(parents=True)
            for n in range(count):
                (folder / part / label / f"{n}.png").write_bytes(png(slope(label, 100 * n + len(part))[..., None]))
    options = {"reading": "columns", "bidirectional": False, "hidden_size": 16, "batch_size": 8, "dropout": 0.0}
    train("recognize", folder / "train", folder / "m", dev=folder / "dev", options=options, steps=120, lr=0.02, seed=1)
    return load(folder / "m")


def test_images_of_any_width_have_a_class(model: Model) -> None:
    given = [(label, slope(label, 7000 + n)) for n in range(8) for label in ("falling", "rising")]
    assert len({image.shape for _, image in given}) > 3
    found = [model.predict(image) for _, image in given]
    assert [one.label for one in found] == [label for label, _ in given]
    # whatever is beside it in a batch
    together = model.predict([image for _, image in given])
    for one, other in zip(found, together, strict=True):
        assert one.probability == pytest.approx(other.probability, abs=1e-5)


def test_column_by_column_it_is_the_whole(model: Model) -> None:
    image = slope("rising", 42)
    session = model.stream()
    for at in range(0, image.shape[1], 3):
        session.push(image[:, at : at + 3].T)
    assert session.position == image.shape[1]
    whole = model.predict(image)
    assert session.probabilities() == pytest.approx(whole.probabilities, abs=1e-5)
    assert model.probe(image).steps[-1] == f"column {image.shape[1]}"
    with pytest.raises(ShapeError, match=r"rows: expected shape \(n, I=8\), found \(8, 4\)"):
        session.push(image[:, :4])


def test_what_is_drawn_spans_some_columns(model: Model) -> None:
    images = [np.full((8, width, 1), 200, np.uint8) for width in (12, 9)]
    images[0][2:4, 3:10] = 0
    # a faint speck is not what is drawn
    images[0][5, 11] = 190
    images[1][:, 4] = np.arange(0, 160, 20)[:, None]
    data = model.input.collate(model, [{"image": image} for image in images])
    assert data["lengths"].tolist() == [12, 9]
    assert model.input.spans(data).tolist() == [[3, 10], [4, 5]]


def test_the_format_keeps_the_aspect_ratio() -> None:
    pictures = [Picture(Path(f"{n}"), content=np.full((10 + n, 30), 100 + n, np.uint8)) for n in range(3)]
    seen = ImageFormat.fitted(pictures, size=5, any_width=True)
    assert (seen.height, seen.width, seen.any_width, seen.ink) == (5, 0, True, None)
    assert seen.resized(np.zeros((10, 30, 1), np.uint8)).shape == (5, 15, 1)
    # over all pixels, wide images counting more: 15, 14 and 12 columns
    values = np.repeat([100.0, 101.0, 102.0], [15, 14, 12])
    assert seen.mean == pytest.approx([values.mean()])
    assert seen.std == pytest.approx([values.std()])
    assert ImageFormat.from_json(seen.as_json()) == seen
    # where all are of one height, that is it; else a usual one
    assert ImageFormat.fitted(pictures[:1], any_width=True).height == 10
    assert ImageFormat.fitted(pictures, any_width=True).height == 32
    with pytest.raises(LimitError, match=f"and no more than {MOST_COLUMNS:,} are read; cut it into parts"):
        seen.resized(np.zeros((1, MOST_COLUMNS // 5 + 1, 1), np.uint8))


def test_a_varied_line_keeps_what_is_to_be_read() -> None:
    image, draw = slope("rising", 3)[..., None], np.random.default_rng(0)
    options = ImageOptions(scale=0.3, shift=0.1)
    widths = {varied_line(image, draw, options, 0).shape[1] for _ in range(40)}
    assert min(widths) < image.shape[1] < max(widths)
    assert math.isclose(min(widths), 0.7 * image.shape[1], abs_tol=1.5)
    assert all(varied_line(image, draw, options, 19).shape[1] >= 19 for _ in range(40))
    still = varied_line(image, draw, ImageOptions(scale=0.0, shift=0.0), 0)
    np.testing.assert_allclose(still, image, atol=1e-3)
