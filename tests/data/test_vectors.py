"""Files of word vectors, good and bad."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from unrolled.data.text.vectors import read_vectors
from unrolled.errors import DataError, StorageError


def test_glove_word2vec_and_names_of_several_words(tmp_path: Path) -> None:
    path = tmp_path / "v.txt"
    path.write_text("the 1 2.5 -3\n. . 4 5 6\nthe 7 8 9\n\nof 0 0 1e-3 \n")
    found = read_vectors(path)
    assert found.words == ["the", ". .", "of"]
    assert found.vectors.ravel().tolist() == pytest.approx([1, 2.5, -3, 4, 5, 6, 0, 0, 1e-3])
    assert found.vectors.dtype.name == "float32"
    headed = tmp_path / "w.txt.gz"
    headed.write_bytes(gzip.compress(b"2 3\nthe 1 2 3\nof 4 5 6\n"))
    assert read_vectors(headed, size=3).vectors.shape == (2, 3)
    assert read_vectors(headed, wanted={"of"}).words == ["of"]
    assert read_vectors(headed, limit=1).words == ["the"]


@pytest.mark.parametrize(
    "content, size, says",
    [
        ("the 1 2 3\nof 1 2\n", None, ":2: 2 numbers after the word, expected 3"),
        ("the 1 2 3\nof 1 2 3 4\n", None, ":2: 4 numbers after the word, expected 3"),
        ("the 1 2 3\n", 50, ":1: 3 numbers after the word, expected 50"),
        ("2 3\nthe 1 2 3\n", 50, ":1: vectors of 3 numbers, expected 50"),
        ("the 1 x 3\n", None, ":1: 'x' is no number"),
        ("the 1 nan 3\n", None, ":1: a number of this vector is not finite"),
        ("the\n", None, ":1: 0 numbers after the word"),
        ("2 3\n", None, "no word vector in this file"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(tmp_path: Path, content: str, size: int | None, says: str) -> None:
    (tmp_path / "v.txt").write_text(content)
    with pytest.raises(DataError) as caught:
        read_vectors(tmp_path / "v.txt", size=size)
    assert f"{tmp_path / 'v.txt'}{says}" in str(caught.value) or says in str(caught.value)


def test_no_word_of_the_data_and_no_file(tmp_path: Path) -> None:
    (tmp_path / "v.txt").write_text("the 1 2\n")
    with pytest.raises(DataError, match="no word vector in this file for a word of the data"):
        read_vectors(tmp_path / "v.txt", wanted=set())
    with pytest.raises(StorageError, match="no such file"):
        read_vectors(tmp_path / "w.txt")
