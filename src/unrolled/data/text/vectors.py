"""Word vectors out of a text file: a word and its numbers a line, as GloVe, fastText and word2vec publish them."""

from __future__ import annotations

from collections.abc import Callable, Container
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays

from unrolled.data.core.folders import find_sources
from unrolled.errors import DataError, ModelError
from unrolled.storage import write_whole

#: lines between two calls of `on_progress`
_EVERY = 10_000


class WordVectors(NamedTuple):
    """Words and their vectors.

    Attributes:
        words: in the order of the file, each once.
        vectors: (V, I) float32.
    """

    words: list[str]
    vectors: NDArray[np.float32]

    def table(self) -> NDArray[np.float32]:
        """The vectors with a row of zeros before them, for words that have none, (1 + V, I)."""
        return np.concatenate([np.zeros((1, self.vectors.shape[1]), dtype=np.float32), self.vectors])


def read_vectors(
    path: str | Path,
    *,
    size: int | None = None,
    wanted: Container[str] | None = None,
    limit: int | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> WordVectors:
    """Read a file of word vectors, which may be .gz, .xz or in a .zip.

    A first line of two whole numbers is word2vec's header. A word may hold spaces: the last I fields are its numbers.
    Of a word that occurs twice the first vector counts, since files are sorted by frequency.

    Args:
        path: the file.
        size: I that is expected; by default that of the first line.
        wanted: keep these words alone.
        limit: keep so many words at most.
        on_progress: called with the number of lines read, now and then.

    Raises:
        StorageError: the file can't be read.
        DataError: a line of another width, an entry that is no finite number, or no vector at all; file and line.
    """
    words: list[str] = []
    rows: list[NDArray[np.float32]] = []
    seen: set[str] = set()
    for source in find_sources(path):
        for number, line in source.text_lines():
            if on_progress is not None and number % _EVERY == 0:
                on_progress(number)
            fields = line.rstrip().split(" ")
            if number == 1 and len(fields) == 2 and all(f.isdigit() for f in fields):
                size = _agreed(size, int(fields[1]), source.name)
                continue
            if not line.strip():
                continue
            if size is None:
                size = len(fields) - 1
            if len(fields) - 1 < size or size < 1:
                raise DataError(
                    f"{len(fields) - 1} numbers after the word, expected {max(size, 1)}: a line is a word and its "
                    "vector, separated by spaces",
                    source.name,
                    number,
                )
            word = " ".join(fields[: len(fields) - size])
            vector = _numbers(fields[len(fields) - size :], source.name, number)
            if len(fields) - 1 > size and _is_number(fields[len(fields) - size - 1]):
                raise DataError(f"{len(fields) - 1} numbers after the word, expected {size}", source.name, number)
            if word in seen or (wanted is not None and word not in wanted):
                continue
            seen.add(word)
            words.append(word)
            rows.append(vector)
            if limit is not None and len(words) >= limit:
                return WordVectors(words, np.stack(rows))
    if not rows:
        raise DataError("no word vector in this file" + (" for a word of the data" if wanted is not None else ""), path)
    return WordVectors(words, np.stack(rows))


def save_vectors(path: Path, vectors: WordVectors) -> None:
    """Write vectors into a model's folder; their words are kept by the model's encoders.

    Raises:
        StorageError: the file can't be written.
    """
    write_whole(path, save_arrays({"vectors": vectors.vectors}))


def load_vectors(path: Path, words: object) -> WordVectors:
    """Read what `save_vectors` wrote.

    Args:
        path: the file.
        words: as the encoders kept them, which may be anything in a damaged file.

    Raises:
        ModelError: it is missing, damaged, or of other words.
    """
    try:
        rows = load_arrays(path.read_bytes())["vectors"]
    except FileNotFoundError as error:
        raise ModelError(f"{path}: missing; restore it from a copy of the model") from error
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise ModelError(f"{path}: corrupt or cut short ({error}); restore it from a copy of the model") from error
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise ModelError(f"{path}: the list of its words is damaged; restore both from a copy of the model")
    if rows.ndim != 2 or len(rows) != len(words) or rows.dtype != np.float32:
        raise ModelError(f"{path}: does not fit the list of its words; restore both from a copy of the model")
    return WordVectors(words, rows)


def _agreed(size: int | None, announced: int, name: str) -> int:
    if size is not None and size != announced:
        raise DataError(f"vectors of {announced} numbers, expected {size}", name, 1)
    return announced


def _numbers(fields: list[str], name: str, line: int) -> NDArray[np.float32]:
    try:
        vector = np.array(fields, dtype=np.float32)
    except ValueError as error:
        wrong = next(field for field in fields if not _is_number(field))
        raise DataError(f"{wrong!r} is no number", name, line) from error
    if not np.isfinite(vector).all():
        raise DataError("a number of this vector is not finite", name, line)
    return vector


def _is_number(field: str) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return True
