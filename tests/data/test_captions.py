"""Captions and the images they are about, in every format, and what may be wrong with them."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from unrolled.data import Findings, load_tokenizer
from unrolled.data.images.captions import CaptionedImage, read_captions
from unrolled.data.images.files import png
from unrolled.data.text.plain_words import WordTokenizer, plain_words
from unrolled.errors import ArgumentError, DataError, StorageError

LINES = "a.png#0\tA dog runs .\na.png#1\tThe dog is running\nb.png#0\tTwo cats\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """a.png and b.png in a folder of images."""
    (tmp_path / "images").mkdir()
    for n, name in enumerate(("a.png", "b.png")):
        (tmp_path / "images" / name).write_bytes(png(np.full((4, 5, 3), n * 90, np.uint8)))
    return tmp_path


def read(path: Path, *, strict: bool = True, **options: object) -> list[CaptionedImage]:
    return read_captions([path], Findings(strict=strict), **options)  # type: ignore[arg-type]


def said(found: list[CaptionedImage]) -> list[tuple[str, tuple[str, ...]]]:
    return [(example.name, example.captions) for example in found]


EXPECTED = [("a.png", ("A dog runs .", "The dog is running")), ("b.png", ("Two cats",))]


def test_words() -> None:
    assert plain_words("Two T-shirts , don’t you think ? é_1") == ["two", "t-shirts", "don't", "you", "think", "é_1"]
    assert plain_words(" . !") == []


def test_token_files(folder: Path) -> None:
    (folder / "c.token.txt").write_text(LINES)
    found = read(folder / "c.token.txt", images=folder / "images")
    assert said(found) == EXPECTED
    assert (found[1].path, found[1].line) == (str(folder / "c.token.txt"), 3)
    assert found[0].picture is not None
    assert found[0].picture.pixels().shape == (4, 5, 3)
    assert found[0].key == found[0].picture.digest != found[1].key
    # images beside the captions, or below them
    assert said(read(folder / "c.token.txt")) == EXPECTED
    assert said(read(folder)) == EXPECTED


def test_names_without_numbers_and_with_folders(folder: Path) -> None:
    (folder / "c.txt").write_text("images/a.png\tone dog\n\nb.png\ttwo cats\n")
    assert said(read(folder / "c.txt")) == [("images/a.png", ("one dog",)), ("b.png", ("two cats",))]


def test_coco(folder: Path) -> None:
    content = {
        "images": [{"id": 7, "file_name": "a.png"}, {"id": 8, "file_name": "b.png"}],
        "annotations": [
            {"image_id": 7, "caption": "A dog runs ."},
            {"image_id": 8, "caption": "Two cats"},
            {"image_id": 7, "caption": "The dog is running"},
        ],
    }
    (folder / "captions.json").write_text(json.dumps(content))
    assert said(read(folder / "captions.json")) == EXPECTED
    del content["images"][0]["id"]
    (folder / "captions.json").write_text(json.dumps(content))
    with pytest.raises(DataError, match=r"captions\.json: not COCO captions: KeyError\('id'\)"):
        read(folder / "captions.json")
    (folder / "captions.json").write_text("{")
    with pytest.raises(DataError, match="not valid JSON"):
        read(folder / "captions.json")


def test_tables(folder: Path) -> None:
    rows = 'file,text\na.png,"A dog runs ."\na.png,The dog is running\nb.png,Two cats\n'
    (folder / "c.csv").write_text(rows)
    assert said(read(folder / "c.csv", image_column="file", caption_column="text")) == EXPECTED
    with pytest.raises(DataError, match="no column 'image'"):
        read(folder / "c.csv")


def test_images_in_an_archive(folder: Path) -> None:
    with zipfile.ZipFile(folder / "i.zip", "w") as archive:
        for name in ("a.png", "b.png"):
            archive.write(folder / "images" / name, f"set/{name}")
    (folder / "c.txt").write_text(LINES)
    assert said(read(folder / "c.txt", images=folder / "i.zip")) == EXPECTED


def test_features(folder: Path) -> None:
    (folder / "c.txt").write_text(LINES)
    features = np.arange(12, dtype=np.float64).reshape(2, 2, 3)
    np.savez(folder / "f.npz", names=np.array(["b.png", "a.png"]), features=features)
    found = read(folder / "c.txt", images=folder / "f.npz")
    assert said(found) == EXPECTED
    assert found[0].picture is None
    assert found[0].features is not None
    assert found[0].features.tolist() == features[1].tolist()
    np.savez(folder / "f.npz", names=np.array(["b.png", "a.png"]), features=features[:, 0])
    (one, _) = read(folder / "c.txt", images=folder / "f.npz")
    assert one.features is not None
    assert one.features.shape == (1, 3)
    features[1, 0, 0] = np.nan
    np.savez(folder / "f.npz", names=np.array(["b.png", "a.png"]), features=features)
    with pytest.raises(DataError, match=r"features of a\.png are not finite"):
        read(folder / "c.txt", images=folder / "f.npz")
    np.savez(folder / "f.npz", names=np.array(["b.png"]), features=features)
    with pytest.raises(DataError, match=r"expected names \(N,\) and floating-point features"):
        read(folder / "c.txt", images=folder / "f.npz")
    np.savez(folder / "f.npz", features=features)
    with pytest.raises(DataError, match="expected arrays 'names' and 'features', found features"):
        read(folder / "c.txt", images=folder / "f.npz")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("a.png a dog", r"c\.txt:4: expected NAME#N, a tab and a caption"),
        ("a.png#3\t . ", r"c\.txt:4: a caption without any word"),
        ("c.png#0\tA bird", r"c\.txt:4: no image 'c\.png' in "),
        ("../images/a.png#0\tA bird", r"c\.txt:4: no image '\.\./images/a\.png' in "),
    ],
)
def test_a_bad_line_is_named_or_left_out(folder: Path, line: str, message: str) -> None:
    (folder / "c.txt").write_text(LINES + line + "\n")
    with pytest.raises(DataError, match=message):
        read(folder / "c.txt")
    findings = Findings(strict=False)
    assert said(read_captions([folder / "c.txt"], findings)) == EXPECTED
    assert [item.severity for item in findings.items] == ["error"]


def test_two_images_of_one_name_are_neither(folder: Path) -> None:
    (folder / "more").mkdir()
    (folder / "more" / "a.png").write_bytes(png(np.zeros((2, 2, 3), np.uint8)))
    (folder / "c.txt").write_text("images/a.png\ta dog\n")
    assert len(read(folder / "c.txt")) == 1
    (folder / "c.txt").write_text("a.png\ta dog\n")
    with pytest.raises(DataError, match=r"no image 'a\.png'"):
        read(folder / "c.txt")


def test_paths_that_are_not_there(folder: Path) -> None:
    with pytest.raises(StorageError, match="no such file or folder"):
        read(folder / "none.txt")
    (folder / "c.txt").write_text(LINES)
    with pytest.raises(StorageError, match=r"nowhere: no such file or folder"):
        read(folder / "c.txt", images=folder / "nowhere")
    with pytest.raises(StorageError, match=r"f\.npz: no such file"):
        read(folder / "c.txt", images=folder / "f.npz")
    (folder / "d.txt").write_text(LINES)
    with pytest.raises(DataError, match=r"expected one file of captions in this folder, found c\.txt, d\.txt"):
        read(folder)


def test_words_as_tokens(tmp_path: Path) -> None:
    words = WordTokenizer.fit(["a dog", "A cat.", "b, a dog"])
    assert words.words == ("a", "dog", "b", "cat")
    assert words.vocabulary_size == 6
    assert words.encode("Dog, a bird").tolist() == [3, 2, 1]
    assert words.words_of([3, 1, 0]) == ["dog", "?"]
    assert words.decode([2, 3, 0]) == "A dog."
    assert (words.token_text(4), words.token_bytes(0)) == ("b", b"")
    assert WordTokenizer.fit(["a dog", "a cat"], least=2).words == ("a",)
    assert WordTokenizer.fit(["a dog", "a cat"], most=2).words == ("a", "cat")
    words.save(tmp_path / "t.json")
    assert load_tokenizer(tmp_path / "t.json").fingerprint == words.fingerprint
    for wrong in (["a", "a"], ["a", 1]):
        with pytest.raises(ArgumentError, match="twice"):
            WordTokenizer(wrong)  # type: ignore[arg-type]
