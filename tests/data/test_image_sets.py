"""Images with classes: folders, archives, IDX and NPZ, and everything that may be wrong with them."""

from __future__ import annotations

import gzip
import io
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from unrolled.data import Findings
from unrolled.data.images.arrays import read_idx, read_npz
from unrolled.data.images.labelled import LabelledImage, read_labelled_images
from unrolled.errors import DataError, ShapeError, StorageError

PIXELS = np.arange(2 * 5 * 4, dtype=np.uint8).reshape(2, 5, 4)


def read(*paths: Path, strict: bool = True) -> list[LabelledImage]:
    return read_labelled_images(paths, Findings(strict=strict))


def png(array: Any) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(array).save(stream, "PNG")
    return stream.getvalue()


def idx(array: Any, kind: int = 8) -> bytes:
    return bytes([0, 0, kind, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def test_a_folder_per_class(tmp_path: Path) -> None:
    for name, image in (("cat/1.png", PIXELS[0]), ("cat/deep/2.png", PIXELS[1]), ("dog/1.png", PIXELS[1])):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(png(image))
    found = read(tmp_path)
    assert [(e.label, Path(e.path).name) for e in found] == [("cat", "1.png"), ("cat", "2.png"), ("dog", "1.png")]
    assert found[1].key == found[2].key != found[0].key
    assert found[0].labels == ("cat",)
    (tmp_path / "stray.png").write_bytes(png(PIXELS[0]))
    with pytest.raises(DataError, match=r"stray\.png: lies in no folder that names its class"):
        read(tmp_path)
    assert len(read(tmp_path, strict=False)) == 3


def test_an_archive_made_of_one_folder(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        archive.writestr("flowers/rose/a.png", png(PIXELS[0]))
        archive.writestr("flowers/tulip/b.png", png(PIXELS[1]))
    found = read(tmp_path / "set.zip")
    assert [e.label for e in found] == ["rose", "tulip"]
    assert np.array_equal(found[0].picture.pixels()[..., 0], PIXELS[0])


def test_images_without_classes(tmp_path: Path) -> None:
    (tmp_path / "1.png").write_bytes(png(PIXELS[0]))
    with pytest.raises(DataError, match="no folder for each class, only images"):
        read(tmp_path)


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_idx_with_its_labels_beside_it(tmp_path: Path, suffix: str) -> None:
    pack = gzip.compress if suffix else bytes
    images, labels = tmp_path / f"train-images-idx3-ubyte{suffix}", tmp_path / f"train-labels-idx1-ubyte{suffix}"
    images.write_bytes(pack(idx(PIXELS)))
    with pytest.raises(DataError, match="no labels beside these images"):
        read(images)
    labels.write_bytes(pack(idx(np.array([7, 3], np.uint8))))
    for found in (read(images), read(images, labels)):
        assert [e.label for e in found] == ["7", "3"]
        assert np.array_equal(found[1].picture.pixels()[..., 0], PIXELS[1])
        assert found[1].path == f"{images}[1]"
    with pytest.raises(DataError, match="these are labels; name the file of their images"):
        read(labels)
    labels.write_bytes(pack(idx(np.array([7], np.uint8))))
    with pytest.raises(DataError, match=r"2 images, but labels of shape \(1,\)"):
        read(images)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not an image set"),
        (b"hello, world", "not an image set"),
        (idx(PIXELS, kind=13), "IDX of type 0x0d; unsigned bytes"),
        (idx(PIXELS)[:10], "cut short within its sizes"),
        (idx(PIXELS)[:-1], r"is cut short: its sizes \(2, 5, 4\) make 40 bytes, found 39"),
        (idx(PIXELS) + b"!", "continues beyond its end"),
        (bytes([0, 0, 8, 3]) + struct.pack(">3I", 2**31, 2**31, 9), "more than the 8 GiB that are read"),
        (bytes([0, 0, 8, 2]) + struct.pack(">2I", 60_000, 60_000), "is cut short: its sizes"),
    ],
)
def test_bad_idx(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "x-images-idx3-ubyte").write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_idx(tmp_path / "x-images-idx3-ubyte")


@pytest.mark.parametrize(
    ("images", "labels"), [("images", "labels"), ("x", "y"), ("data", "target"), ("arr_0", "arr_1")]
)
def test_npz(tmp_path: Path, images: str, labels: str) -> None:
    np.savez(tmp_path / "a.npz", **{images: PIXELS, labels: np.array(["cat", "dog"])})
    assert [e.label for e in read(tmp_path / "a.npz")] == ["cat", "dog"]
    np.savez_compressed(tmp_path / "b.npz", **{images: np.stack([PIXELS] * 3, -1) / 255.0, labels: np.array([0, 1])})
    (one, two) = read(tmp_path / "b.npz")
    assert np.array_equal(one.picture.pixels(1)[..., 0], PIXELS[0])
    assert two.label == "1"


def test_bad_npz(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, pictures=PIXELS)
    with pytest.raises(
        DataError, match=r"expected arrays called 'images' and 'labels', or 'x' and 'y'; found pictures"
    ):
        read(path)
    np.savez(path, images=PIXELS[:, :, 0], labels=np.zeros(2))
    with pytest.raises(ShapeError, match=r"\(N, H, W\)"):
        read(path)
    np.savez(path, images=PIXELS.astype(np.int16), labels=np.zeros(2))
    with pytest.raises(DataError, match="images of int16"):
        read(path)
    path.write_bytes(b"PK\x03\x04 no")
    with pytest.raises(DataError, match=r"not a usable \.npz file"):
        read(path)
    with pytest.raises(StorageError, match="no such file"):
        read(tmp_path / "b.npz")


def test_nothing_in_an_npz_is_unpickled(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", images=np.array([{"a": 1}], dtype=object), labels=np.zeros(1))
    with pytest.raises(DataError, match=r"'images\.npy' holds Python objects, which are never unpickled"):
        read_npz(tmp_path / "a.npz")


def test_an_npz_that_claims_more_than_it_holds(tmp_path: Path) -> None:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": (2**20, 2**18)})
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("images.npy", header.getvalue() + b"few")
    with pytest.raises(DataError, match="claims 274,877,906,944 bytes"):
        read_npz(tmp_path / "a.npz")


def test_a_format_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a text")
    with pytest.raises(DataError, match=r"a\.txt: not an image set: expected a folder per class"):
        read(tmp_path / "a.txt")


def test_a_folder_of_sets_says_to_name_one(tmp_path: Path) -> None:
    (tmp_path / "train-images-idx3-ubyte").write_bytes(idx(PIXELS))
    with pytest.raises(DataError, match=r"name those to read, such as .*train-images-idx3-ubyte"):
        read_labelled_images([tmp_path], Findings())
