"""Problems that ruin a language model without a word: documents that repeat, or that are in both parts."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator

from unrolled.data import Findings, Piece
from unrolled.errors import DataError
from unrolled.tasks.core.values import Progress
from unrolled.types import Json

#: a character is worth naming when the development text has it at least this often
OFTEN = 3


def check_text(train: Iterator[Piece], dev: Iterator[Piece] | None, findings: Findings, progress: Progress) -> Json:
    """Warn of repeated documents, of those in both parts, and of characters that the training text lacks.

    Args:
        train, dev: as `read_documents` yields them; memory grows with their number, not with their length.
        findings: collects them.
        progress: is called with the number of characters that were read.

    Returns:
        The numbers of documents and characters of each part.
    """
    seen: dict[bytes, str] = {}
    known: set[str] = set()
    counts: Json = {}
    for name, pieces in (("train", train), ("dev", dev)):
        documents = characters = 0
        missing: Counter[str] = Counter()
        try:
            for source, digest, used, length in _documents(pieces or iter(())):
                documents, characters = documents + 1, characters + length
                progress(f"reading the {name} text", characters, None)
                first = seen.get(digest)
                if name == "train":
                    known |= used.keys()
                    if first is not None:
                        findings.warning("duplicate", f"the same document as {first}", source)
                    seen.setdefault(digest, source)
                else:
                    missing.update({c: n for c, n in used.items() if c not in known})
                    if first is not None:
                        message = f"also in the training data ({first}): what is measured on it is too good"
                        findings.warning("leak", message, source)
        except DataError as error:
            findings.caught(error, "unreadable")
        for character, count in missing.most_common():
            if count >= OFTEN:
                message = f"the character {character!r} stands in it {count} times, and never in the training text"
                findings.warning("unseen character", message)
        counts |= {f"{name}_documents": documents, f"{name}_characters": characters}
    return counts


def _documents(pieces: Iterator[Piece]) -> Iterator[tuple[str, bytes, Counter[str], int]]:
    """Yield source, hash, characters with their counts, and length of each document."""
    digest, used, length = hashlib.sha256(), Counter[str](), 0
    for piece in pieces:
        digest.update(piece.text.encode())
        used.update(piece.text)
        length += len(piece.text)
        if piece.ends_document:
            yield piece.source, digest.digest(), used, length
            digest, used, length = hashlib.sha256(), Counter[str](), 0
