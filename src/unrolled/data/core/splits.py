"""Training and development data out of one corpus."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from unrolled.data.text.documents import Piece
from unrolled.errors import ArgumentError, DataError

FEWEST_DOCUMENTS = 50
"""With fewer documents than this the corpus is cut at one place instead of drawn document by document."""

Read = Callable[[], Iterable[Piece]]


@dataclass(frozen=True)
class Split:
    """A corpus in two parts that can be read any number of times.

    Attributes:
        method: ``characters`` (one cut) or ``documents`` (each document wholly on one side).
        characters, documents: of the whole corpus.
        train_characters, dev_characters: of the parts.
    """

    method: str
    characters: int
    documents: int
    train_characters: int
    dev_characters: int
    _read: Read
    _seed: int
    _share: float

    def train(self) -> Iterator[Piece]:
        """Yield the pieces to train on."""
        return self._part(dev=False)

    def dev(self) -> Iterator[Piece]:
        """Yield the pieces held out."""
        return self._part(dev=True)

    def _part(self, dev: bool) -> Iterator[Piece]:
        if self.method == "characters":
            return _after(self._read(), self.train_characters) if dev else _before(self._read(), self.train_characters)
        return (piece for piece, held in _drawn(self._read(), self._seed, self._share) if held is dev)


def split_pieces(read: Read, *, dev_share: float = 0.1, seed: int = 0) -> Split:
    """Hold out a share of a corpus for development. Reads the corpus once, to count.

    Fewer than FEWEST_DOCUMENTS documents, such as one file of text, are cut at one place: of n characters the first
    int((1 - dev_share) · n) are for training, as nanoGPT splits its data. More documents are drawn one by one, by a
    hash of the seed and their text (its first piece): equal documents fall on the same side, and adding documents moves
    no other. If that puts less than half or more than twice the share asked for on the dev side (documents of very
    unequal length), the corpus is cut at one place after all; `Split.method` says which it was.

    Args:
        read: returns the pieces from the start, each time it is called, such as
            ``lambda: read_documents(paths)``.
        dev_share: between 0 and 1.
        seed: of the hash.
    Raises:
        ArgumentError: dev_share is not between 0 and 1.
        DataError: the corpus is too short to have a character on both sides.
    """
    if not 0 < dev_share < 1:
        raise ArgumentError(f"dev_share: must be between 0 and 1, found {dev_share}")
    characters = documents = held = 0
    for piece, in_dev in _drawn(read(), seed, dev_share):
        characters += len(piece.text)
        documents += piece.ends_document
        held += len(piece.text) * in_dev
    wanted = dev_share * characters
    if documents >= FEWEST_DOCUMENTS and wanted / 2 <= held <= wanted * 2:
        method = "documents"
    else:
        # 1 - 0.1 is the double 0.9, so the cut is exactly int(0.9 · n).
        method, held = "characters", characters - int(characters * (1 - dev_share))
    if not 0 < held < characters:
        raise DataError(
            f"the corpus has {characters} character{'s' * (characters != 1)}, too few to hold out a share of "
            f"{dev_share:g} for development; give more text, or name development data with --dev"
        )
    return Split(method, characters, documents, characters - held, held, read, seed, dev_share)


def _drawn(pieces: Iterable[Piece], seed: int, share: float) -> Iterator[tuple[Piece, bool]]:
    starts, in_dev = True, False
    for piece in pieces:
        if starts:
            digest = hashlib.blake2b(piece.text.encode("utf-8", "replace"), digest_size=8, key=str(seed).encode())
            in_dev = int.from_bytes(digest.digest(), "big") < share * 2**64
        yield piece, in_dev
        starts = piece.ends_document


def _before(pieces: Iterable[Piece], count: int) -> Iterator[Piece]:
    for piece in pieces:
        if len(piece.text) >= count:
            # The document goes on behind the cut, unless it ends right there.
            whole = len(piece.text) == count and piece.ends_document
            yield Piece(piece.text[:count], piece.source, whole)
            return
        count -= len(piece.text)
        yield piece


def _after(pieces: Iterable[Piece], count: int) -> Iterator[Piece]:
    for piece in pieces:
        if count < len(piece.text):
            yield Piece(piece.text[count:], piece.source, piece.ends_document)
        count = max(0, count - len(piece.text))
