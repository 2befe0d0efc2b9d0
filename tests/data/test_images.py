"""Decoding: every kind of file to upright 8-bit grey or colour, and what is no image named."""

from __future__ import annotations

import io
import struct
import sys
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from unrolled.data.images import files as images
from unrolled.data.images.files import (
    Picture,
    as_pixels,
    decode_image,
    find_pictures,
    picture_of,
    png,
    resize,
    with_channels,
)
from unrolled.errors import ArgumentError, DataError, MissingDependencyError, ShapeError, StorageError

GREY = np.arange(12, dtype=np.uint8).reshape(3, 4) * 20
COLOUR = np.stack([GREY, GREY[::-1], 255 - GREY], -1)


def encoded(image: Image.Image, format: str = "PNG", **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format, **options)
    return stream.getvalue()


def test_grey_and_colour_come_back_as_they_are() -> None:
    assert np.array_equal(decode_image(encoded(Image.fromarray(GREY)), "x")[..., 0], GREY)
    assert np.array_equal(decode_image(encoded(Image.fromarray(COLOUR)), "x"), COLOUR)
    assert np.array_equal(decode_image(png(COLOUR), "x"), COLOUR)
    assert np.array_equal(decode_image(png(GREY[..., None]), "x"), GREY[..., None])


@pytest.mark.parametrize("format", ["PNG", "BMP", "TIFF", "PPM"])
def test_lossless_formats(format: str) -> None:
    assert np.array_equal(decode_image(encoded(Image.fromarray(COLOUR), format), "x"), COLOUR)


@pytest.mark.parametrize("format", ["JPEG", "WEBP"])
def test_lossy_formats_are_near(format: str) -> None:
    flat = np.full((16, 16, 3), (200, 100, 50), np.uint8)
    found = decode_image(encoded(Image.fromarray(flat), format, quality=95), "x")
    assert np.abs(found.astype(int) - flat).max() <= 6


def test_transparency_is_laid_over_white() -> None:
    rgba = np.zeros((1, 3, 4), np.uint8)
    rgba[0, :, 3] = (0, 255, 128)
    found = decode_image(encoded(Image.fromarray(rgba)), "x")
    assert found[0, :2].tolist() == [[255] * 3, [0] * 3]
    assert abs(int(found[0, 2, 0]) - 127) <= 1
    grey = Image.fromarray(np.array([[[0, 0], [0, 255]]], np.uint8), "LA")
    assert decode_image(encoded(grey), "x").tolist() == [[[255], [0]]]


def test_palettes_become_colour_and_their_transparent_entry_white() -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([255, 0, 0, 0, 0, 255] + [0] * 750)
    image.putdata([0, 1])
    assert decode_image(encoded(image), "x").tolist() == [[[255, 0, 0], [0, 0, 255]]]
    assert decode_image(encoded(image, transparency=1), "x").tolist() == [[[255, 0, 0], [255, 255, 255]]]


def test_one_bit_and_sixteen_bits_are_scaled() -> None:
    assert decode_image(encoded(Image.fromarray(GREY > 100)), "x")[..., 0].tolist() == (255 * (GREY > 100)).tolist()
    wide = np.array([[0, 0x1234, 0xFFFF]], np.uint16)
    assert decode_image(encoded(Image.fromarray(wide)), "x")[..., 0].tolist() == [[0, 0x12, 255]]


def test_floating_point_pixels_are_refused() -> None:
    data = encoded(Image.fromarray(np.zeros((2, 2), np.float32)), "TIFF")
    with pytest.raises(DataError, match=r"x: a damaged image: floating-point pixels, whose range is not known"):
        decode_image(data, "x")


def test_cmyk() -> None:
    data = encoded(Image.fromarray(np.full((8, 8, 3), 120, np.uint8)).convert("CMYK"), "JPEG", quality=95)
    assert np.abs(decode_image(data, "x").astype(int) - 120).max() <= 4


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_says_which_side_is_up(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    held = {
        1: GREY,
        2: GREY[:, ::-1],
        3: GREY[::-1, ::-1],
        4: GREY[::-1],
        5: GREY.T,
        6: np.rot90(GREY, 1),
        7: GREY[::-1, ::-1].T,
        8: np.rot90(GREY, -1),
    }[orientation]
    found = decode_image(encoded(Image.fromarray(np.ascontiguousarray(held)), exif=exif), "x")
    assert np.array_equal(found[..., 0], GREY)


def test_luma_is_pillows() -> None:
    colours = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    assert np.array_equal(with_channels(colours, 1)[..., 0], np.asarray(Image.fromarray(colours).convert("L")))
    assert np.array_equal(with_channels(GREY[..., None], 3), np.stack([GREY] * 3, -1))
    assert np.array_equal(decode_image(png(colours), "x", 1), with_channels(colours, 1))


def test_a_cut_off_image_is_named() -> None:
    data = encoded(Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)), "JPEG")
    with pytest.raises(DataError, match=r"^cat\.jpg: a damaged image: .*truncated"):
        decode_image(data[: len(data) // 2], "cat.jpg")
    flipped = bytearray(encoded(Image.fromarray(COLOUR)))
    flipped[45] ^= 0xFF
    with pytest.raises(DataError, match=r"^cat\.png: "):
        decode_image(bytes(flipped), "cat.png")


@pytest.mark.parametrize(
    "data", [b"", b"not an image", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", b"\x89PNG\r\n"]
)
def test_what_is_no_image_is_refused(data: bytes) -> None:
    with pytest.raises(DataError, match=r"^x: not an image, or of a format that is not read"):
        decode_image(data, "x")


def test_a_small_file_that_unfolds_into_gigabytes_is_refused_unread() -> None:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    for side in (9_000, 12_000, 60_000):
        header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
        data = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
        with pytest.raises(DataError, match="pixels"):
            decode_image(data, "x")


def test_large_files_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.png").write_bytes(encoded(Image.fromarray(GREY)))
    monkeypatch.setattr(images, "MOST_BYTES", 20)
    with pytest.raises(DataError, match="are read as one image"):
        Picture(tmp_path / "a.png").pixels()


def test_without_pillow_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(MissingDependencyError, match=r"reading images needs pillow.*unrolled\[images\]"):
        decode_image(b"", "x")


def test_arrays_as_images() -> None:
    assert as_pixels(GREY).shape == (3, 4, 1)
    assert as_pixels(GREY > 100).max() == 255
    assert np.array_equal(as_pixels(GREY / 255.0)[..., 0], GREY)
    rgba = np.concatenate([COLOUR, np.full((3, 4, 1), 255, np.uint8)], -1)
    assert np.array_equal(as_pixels(rgba), COLOUR)
    with pytest.raises(ShapeError, match=r"input: expected shape \(H, W\)"):
        as_pixels(np.zeros((2, 3, 5), np.uint8), "input")
    with pytest.raises(ShapeError):
        as_pixels(np.zeros((0, 3), np.uint8))
    with pytest.raises(ArgumentError, match="from 0 to 1, found 0 to 255"):
        as_pixels(np.array([[0.0, 255.0]]))
    with pytest.raises(ArgumentError, match="from 0 to 1"):
        as_pixels(np.array([[0.0, np.nan]]))
    with pytest.raises(ArgumentError, match="expected uint8, or floating point from 0 to 1, found int64"):
        as_pixels(np.zeros((2, 2), np.int64))


def test_resizing() -> None:
    wide = np.zeros((10, 20, 1), np.uint8)
    wide[:, 5:15] = 200
    assert resize(wide, 10, 20) is wide
    assert resize(wide, 5, 10).shape == (5, 10, 1)
    # the filter looks a little beyond the edge that is cut
    assert resize(wide, 5, 5, "crop")[:, :, 0].tolist() == [[175, 200, 200, 200, 175]] * 5
    padded = resize(wide, 10, 10, "pad", 7)
    assert padded[:2].tolist() == [[[7]] * 10] * 2
    assert padded[8:].tolist() == [[[7]] * 10] * 2
    assert padded[3:7, 5].min() == 200
    assert resize(COLOUR, 6, 8).shape == (6, 8, 3)


def test_pictures_in_folders_and_archives(tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    (folder / "b").mkdir(parents=True)
    (folder / ".hidden").mkdir()
    data = encoded(Image.fromarray(GREY))
    for name in ("z.PNG", "b/a.png", ".hidden/c.png", "notes.txt"):
        (folder / name).write_bytes(data)
    found = find_pictures(folder)
    assert [p.path.relative_to(folder).as_posix() for p in found] == ["b/a.png", "z.PNG"]
    assert np.array_equal(found[0].pixels(1)[..., 0], GREY)
    with zipfile.ZipFile(tmp_path / "p.zip", "w") as archive:
        for name in ("x/2.png", "x/1.png", "__MACOSX/x/1.png", "x/read.me"):
            archive.writestr(name, data)
    members = find_pictures(tmp_path / "p.zip")
    assert [p.name for p in members] == [f"{tmp_path}/p.zip!x/1.png", f"{tmp_path}/p.zip!x/2.png"]
    assert members[0].parts == ("x", "1.png")
    assert members[0].digest == found[0].digest
    with pytest.raises(DataError, match="no image in this folder"):
        find_pictures(_empty(tmp_path))
    with pytest.raises(StorageError, match="no such file or folder"):
        find_pictures(tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"expected a folder of images, or a \.zip"):
        find_pictures(folder / "z.PNG")


def _empty(tmp_path: Path) -> Path:
    (tmp_path / "empty").mkdir()
    return tmp_path / "empty"


def test_a_damaged_member_is_named(tmp_path: Path) -> None:
    path = tmp_path / "p.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.png", encoded(Image.fromarray(GREY)))
    data = bytearray(path.read_bytes())
    data[60] ^= 0xFF
    path.write_bytes(bytes(data))
    with pytest.raises(DataError, match=r"p\.zip!a\.png: not a usable \.zip archive: Bad CRC"):
        find_pictures(path)[0].pixels()


def test_what_predict_takes_as_an_image(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(encoded(Image.fromarray(COLOUR)))
    for given in (tmp_path / "a.png", str(tmp_path / "a.png"), (tmp_path / "a.png").read_bytes(), COLOUR):
        assert np.array_equal(picture_of(given).pixels(), COLOUR)
    assert np.array_equal(picture_of(Image.fromarray(COLOUR)).pixels(), COLOUR)
    assert picture_of(Image.fromarray(COLOUR).convert("P")).pixels().shape == (3, 4, 3)
    with pytest.raises(StorageError, match="is a folder; name the images in it"):
        picture_of(tmp_path)
    with pytest.raises(StorageError, match="no such file"):
        picture_of(tmp_path / "b.png")
    with pytest.raises(ArgumentError, match="input: expected a path, an array or an image, found int"):
        picture_of(3)
    (tmp_path / "empty.png").touch()
    with pytest.raises(DataError, match="an empty file, not an image"):
        picture_of(tmp_path / "empty.png").pixels()
