"""Bringing images to what a network reads, placing drawings, and making images different while training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from unrolled.data.images.augmentation import affine, crop
from unrolled.data.images.files import Picture
from unrolled.data.images.format import ImageFormat
from unrolled.data.images.ink import Ink
from unrolled.errors import ArgumentError, DataError


def pictures(*arrays: Any) -> list[Picture]:
    return [Picture(Path("x"), content=np.asarray(a, dtype=np.uint8), number=n) for n, a in enumerate(arrays)]


def digit(height: int = 28, width: int = 28, top: int = 4, left: int = 9) -> Any:
    """Something like a 7, 20 pixels high."""
    image = np.zeros((height, width), np.uint8)
    image[top : top + 3, left : left + 12] = 255
    for row in range(3, 20):
        at = left + 11 - row // 3
        image[top + row, at - 2 : at + 1] = 230
    return image


def test_small_images_of_one_size_are_taken_as_they_are() -> None:
    found = ImageFormat.fitted(pictures(np.full((20, 30), 10), np.full((20, 30), 50)))
    assert (found.height, found.width, found.channels) == (20, 30, 1)
    assert (found.mean, found.std) == ((30.0,), (20.0,))


def test_others_are_brought_to_their_median_shape() -> None:
    some = pictures(np.zeros((100, 200, 3)), np.ones((110, 220, 3)), np.full((50, 60, 3), (9, 8, 7)))
    found = ImageFormat.fitted(some, size=32)
    assert (found.height, found.width, found.channels) == (32, 64, 3)
    assert found.read(some[2]).shape == (32, 64, 3)
    square = ImageFormat.fitted(some, size=32, fit="crop")
    assert (square.height, square.width) == (32, 32)


def test_colour_without_colours_is_grey() -> None:
    grey = np.repeat(np.arange(12, dtype=np.uint8).reshape(3, 4, 1), 3, axis=2)
    assert ImageFormat.fitted(pictures(grey)).channels == 1
    assert ImageFormat.fitted(pictures(grey), channels=3).channels == 3


def test_nothing_to_decode(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"none")
    with pytest.raises(DataError, match=r"a\.png: no image can be decoded"):
        ImageFormat.fitted([Picture(tmp_path / "a.png")])


def test_the_format_survives_json() -> None:
    found = ImageFormat.fitted(pictures(digit(), digit(left=5), digit(top=6)))
    assert found.ink is not None
    assert ImageFormat.from_json(found.as_json()) == found


@pytest.mark.parametrize(
    "change",
    [
        {"height": 0},
        {"height": 10**9},
        {"channels": 2},
        {"fit": "x"},
        {"mean": [1, 2]},
        {"mean": None},
        {"ink": {"a": 1}},
    ],
)
def test_a_strange_format_is_refused(change: dict[str, Any]) -> None:
    good = ImageFormat.fitted(pictures(digit(), digit(left=5))).as_json()
    with pytest.raises(ArgumentError):
        ImageFormat.from_json({**good, **change})


def test_ink_is_found_on_an_even_ground_only() -> None:
    draw = np.random.default_rng(0)
    centred = [digit(left=draw.integers(7, 10)) for _ in range(20)]
    ink = Ink.fit(np.stack(centred)[..., None])
    assert ink is not None
    assert (ink.ground, ink.lighter, ink.strength) == (0, True, 255)
    assert ink.extent == pytest.approx(20 / 28)
    dark = Ink.fit(255 - np.stack(centred)[..., None])
    assert dark is not None
    assert (dark.ground, dark.lighter) == (255, False)
    assert Ink.fit(draw.integers(0, 256, (20, 28, 28, 1), dtype=np.uint8)) is None


@pytest.mark.parametrize("inverted", [False, True])
@pytest.mark.parametrize("scale", [1, 4])
def test_a_drawing_anywhere_on_a_page_is_placed_as_in_training(inverted: bool, scale: int) -> None:
    train = [digit(left=left, top=4) for left in (7, 8, 9)]
    ink = Ink.fit(np.stack(train)[..., None])
    assert ink is not None
    page = np.zeros((300, 200), np.uint8)
    drawn = np.kron(digit(), np.ones((scale, scale), np.uint8))
    page[20 : 20 + drawn.shape[0], 60 : 60 + drawn.shape[1]] = drawn
    page = 240 - np.minimum(page, 240) if inverted else page
    placed = ink.place(np.repeat(page[..., None], 3, axis=2), 28, 28)
    assert placed.shape == (28, 28, 1)
    best = min(np.abs(placed[..., 0].astype(int) - image).mean() for image in train)
    assert best < 14


def test_a_blank_page_is_the_ground() -> None:
    ink = Ink(10, True, 0.7, "mass", 200)
    assert (ink.place(np.full((50, 40, 1), 250, np.uint8), 28, 28) == 10).all()


def test_no_change_changes_nothing() -> None:
    images = np.random.default_rng(1).integers(0, 256, (3, 7, 9, 3), dtype=np.uint8)
    assert np.allclose(affine(images, np.random.default_rng(0)), images, atol=1e-2)


class Fixed:
    """A generator that always draws the upper bound."""

    def uniform(self, low: float, high: float, size: Any) -> Any:
        return np.full(size, high)


def test_a_shift_moves_by_pixels() -> None:
    image = np.zeros((1, 6, 8, 1), np.uint8)
    image[0, 2, 3] = 200
    moved = affine(image, Fixed(), shift=2, fill=(5.0,))  # type: ignore[arg-type]
    assert moved[0, 0, 1, 0] == pytest.approx(200, abs=1e-2)
    # what comes in from outside has the value it is given
    assert moved[0, -2:].ravel() == pytest.approx([5.0] * 16, abs=1e-2)


def test_a_quarter_turn() -> None:
    image = np.random.default_rng(2).integers(0, 256, (1, 6, 6, 1), dtype=np.uint8)
    turned = affine(image, Fixed(), rotate=90)[0, ..., 0]  # type: ignore[arg-type]
    assert np.allclose(turned, np.rot90(image[0, ..., 0], 1), atol=1e-2)
    # also where sides differ: it turns around the middle
    wide = np.zeros((1, 5, 9, 1), np.uint8)
    wide[0, 2, 6] = 100
    assert affine(wide, Fixed(), rotate=90)[0, 0, 4, 0] == pytest.approx(100, abs=1e-2)  # type: ignore[arg-type]


def test_scaling_enlarges() -> None:
    image = np.zeros((1, 8, 8, 1), np.uint8)
    image[0, 3:5, 3:5] = 100
    grown = affine(image, Fixed(), scale=0.5)  # type: ignore[arg-type]
    assert grown.sum() == pytest.approx(image.sum() * 1.5**2, rel=0.1)


def test_amounts_out_of_range() -> None:
    with pytest.raises(ArgumentError, match="rotate"):
        affine(np.zeros((1, 2, 2, 1), np.uint8), np.random.default_rng(0), rotate=-1)
    with pytest.raises(ArgumentError, match="scale"):
        affine(np.zeros((1, 2, 2, 1), np.uint8), np.random.default_rng(0), scale=1)


def test_windows_are_cut_out_of_the_middle_or_anywhere() -> None:
    images = np.arange(2 * 6 * 5, dtype=np.uint8).reshape(2, 6, 5, 1)
    assert np.array_equal(crop(images, 4, 3, None), images[:, 1:5, 1:4])
    found = crop(images, 4, 3, np.random.default_rng(0), mirror=True)
    again = crop(images, 4, 3, np.random.default_rng(0), mirror=True)
    assert np.array_equal(found, again)
    for window, image in zip(found, images, strict=True):
        places = [image[t : t + 4, s : s + 3] for t in range(3) for s in range(3)]
        assert any(np.array_equal(window, p) or np.array_equal(window, p[:, ::-1]) for p in places)
    with pytest.raises(ArgumentError, match=r"at most \(6, 5\)"):
        crop(images, 7, 3, None)
