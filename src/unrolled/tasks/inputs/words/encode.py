"""What turns words into numbers and labels back into names, for `tag`; fitted on the training part."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unrolled.data import Arrays
from unrolled.data.tagged.read import Kind, TaggedText
from unrolled.data.tagged.schemes import OUTSIDE, UNTYPED, split_tag
from unrolled.data.text.vectors import WordVectors, load_vectors, save_vectors
from unrolled.errors import ModelError
from unrolled.tasks.core.example_task import read_json, write_json

ENCODERS, VECTORS = "encoders.json", "vectors.safetensors"
#: the first entries of every list: what pads, what training did not see, and what stands between two sentences
RESERVED = 3
UNKNOWN, BORDER = 1, 2
#: of a longer word the first and the last half of so many characters are read
LONGEST_WORD = 32
#: shapes seen less often than this count as unknown
SHAPES_FROM = 3
PREFIXES = "BIES"

_DIGIT = re.compile(r"\d")
_RUN = re.compile(r"(.)\1{2,}")


def normalised(word: str) -> str:
    """A word as it is looked up: lower case, every digit a 0.

    >>> normalised("Win32")
    'win00'
    """
    return _DIGIT.sub("0", word.lower())


def shape_of(word: str) -> str:
    """Kinds of characters, runs cut to two, eight in all.

    >>> shape_of("McDonald"), shape_of("1996-08-22"), shape_of("U.N."), shape_of("EU")
    ('XxXxx', 'dd-dd-dd', 'X.X.', 'XX')
    """
    kinds = "".join("X" if c.isupper() else "d" if c.isdigit() else "x" if c.isalpha() else c for c in word[:64])
    return _RUN.sub(r"\1\1", kinds)[:8]


def characters_of(word: str) -> str:
    """The characters that are read."""
    if len(word) <= LONGEST_WORD:
        return word
    return word[: LONGEST_WORD // 2] + word[-LONGEST_WORD // 2 :]


class TagEncoders:
    """Lists of labels, words, shapes and characters.

    Args:
        kind: what the labels are.
        labels: in the order of the network's outputs; of entities, O and four for each type.
        words: as they are looked up, most frequent first.
        counts: how often each of these occurred.
        shapes, characters: most frequent first.
        vectors: published ones, or None.
    """

    def __init__(
        self,
        kind: Kind,
        labels: Sequence[str],
        words: Sequence[str],
        counts: Sequence[int],
        shapes: Sequence[str],
        characters: Sequence[str],
        vectors: WordVectors | None = None,
    ) -> None:
        self.kind, self.labels, self.counts, self.vectors = kind, list(labels), list(counts), vectors
        self.words, self.shapes, self.characters = list(words), list(shapes), list(characters)
        self._falling = [-count for count in self.counts]
        self._label = {label: n for n, label in enumerate(self.labels)}
        self._word, self._shape, self._character = (
            {entry: n for n, entry in enumerate(entries, RESERVED)}
            for entries in (self.words, self.shapes, self.characters)
        )
        self._vector = {word: n for n, word in enumerate(vectors.words, 1)} if vectors is not None else {}

    @classmethod
    def fit(cls, texts: Iterable[TaggedText], vectors: WordVectors | None = None) -> TagEncoders:
        """Count what occurs in the training part."""
        words: Counter[str] = Counter()
        shapes: Counter[str] = Counter()
        characters: Counter[str] = Counter()
        labels: Counter[str] = Counter()
        kind: Kind = "entities"
        for text in texts:
            kind = text.kind
            words.update(map(normalised, text.tokens))
            shapes.update(map(shape_of, text.tokens))
            for token in text.tokens:
                characters.update(token)
            labels.update(text.tags)
        if kind == "entities":
            types = sorted({split_tag(tag)[1] for tag in labels if tag != OUTSIDE})
            names = [OUTSIDE, *(_tag(prefix, label) for label in types for prefix in PREFIXES)]
        else:
            names = sorted(labels)
        ranked = sorted(words, key=lambda word: (-words[word], word))
        counts = [words[word] for word in ranked]
        kept = sorted((s for s, n in shapes.items() if n >= SHAPES_FROM), key=lambda s: (-shapes[s], s))
        return cls(kind, names, ranked, counts, kept, sorted(characters, key=lambda c: (-characters[c], c)), vectors)

    @property
    def types(self) -> list[str]:
        """The types of entities, or the labels."""
        if self.kind == "labels":
            return self.labels
        return list(dict.fromkeys(split_tag(tag)[1] for tag in self.labels if tag != OUTSIDE))

    @property
    def sizes(self) -> dict[str, int]:
        """How many words, shapes, characters and labels the network must tell apart."""
        parts = {"vocabulary_size": self.words, "shapes": self.shapes, "alphabet": self.characters}
        return {name: len(part) + RESERVED for name, part in parts.items()} | {"labels": len(self.labels)}

    @property
    def first_rare(self) -> int:
        """The number from which on words occurred once."""
        return self.rare_from(1)

    def rare_from(self, count: int) -> int:
        """The number from which on words occurred `count` times or less often."""
        return RESERVED + bisect_left(self._falling, -count)

    def knows(self, tag: str) -> bool:
        """Whether training saw a tag."""
        return tag in self._label

    def label_ids(self, tags: Sequence[str]) -> NDArray[np.int32]:
        """The tags as numbers; one that training never saw is K or more, so that it counts as never found."""
        return np.array(
            [self._label[tag] if tag in self._label else self._foreign(tag) for tag in tags], dtype=np.int32
        )

    def tag(self, label: int) -> str:
        """A tag by its number."""
        if label < len(self.labels):
            return self.labels[label]
        return f"{PREFIXES[label - len(self.labels)]}-?" if self.kind == "entities" else "?"

    def _foreign(self, tag: str) -> int:
        return len(self.labels) + (PREFIXES.index(split_tag(tag)[0]) if self.kind == "entities" else 0)

    def encode(self, text: TaggedText) -> Arrays:
        """The sentences of a text one after the other, with a border between two.

        Returns:
            `words`, `shapes`, `vectors`, `targets`, (T,), the last −1 at borders; `characters` of all words in a row,
            and where each word's end, `spelled` (T,); `begins` and `ends` of the sentences.
        """
        tokens: list[str | None] = []
        targets: list[NDArray[np.int32]] = []
        begins, ends = [], []
        for begin, end in text.sentences():
            if tokens:
                tokens.append(None)
                targets.append(np.array([-1], dtype=np.int32))
            begins.append(len(tokens))
            tokens += text.tokens[begin:end]
            ends.append(len(tokens))
            targets.append(self.label_ids(text.tags[begin:end]))
        spelled = [self._spelling(token) for token in tokens]
        lengths = np.array([len(one) for one in spelled], dtype=np.int32)
        return {
            "words": self._ids(self._word, [None if t is None else normalised(t) for t in tokens]),
            "shapes": self._ids(self._shape, [None if t is None else shape_of(t) for t in tokens]),
            "vectors": np.array([self._vector_of(token) for token in tokens], dtype=np.int32),
            "targets": np.concatenate(targets) if targets else np.empty(0, dtype=np.int32),
            "characters": np.array([c for one in spelled for c in one], dtype=np.int32),
            "spelled": np.cumsum(lengths, dtype=np.int32),
            "begins": np.array(begins, dtype=np.int32),
            "ends": np.array(ends, dtype=np.int32),
        }

    @staticmethod
    def _ids(table: dict[str, int], entries: list[str | None]) -> NDArray[np.int32]:
        return np.array([BORDER if e is None else table.get(e, UNKNOWN) for e in entries], dtype=np.int32)

    def _spelling(self, token: str | None) -> list[int]:
        if token is None:
            return [BORDER]
        return [self._character.get(c, UNKNOWN) for c in characters_of(token)]

    def _vector_of(self, token: str | None) -> int:
        if token is None or not self._vector:
            return 0
        for form in (token, token.lower(), normalised(token)):
            if form in self._vector:
                return self._vector[form]
        return 0

    def table(self) -> NDArray[np.float32] | None:
        """The vectors with a row of zeros before them, (N, W), or None."""
        return None if self.vectors is None else self.vectors.table()

    def save(self, folder: Path) -> None:
        """Write encoders.json, and the vectors."""
        content: dict[str, Any] = {
            "kind": self.kind,
            "labels": self.labels,
            "counts": self.counts,
            "words": self.words,
            "shapes": self.shapes,
            "characters": self.characters,
        }
        if self.vectors is not None:
            content["vector_words"] = self.vectors.words
            save_vectors(folder / VECTORS, self.vectors)
        write_json(folder / ENCODERS, content)

    @classmethod
    def load(cls, folder: Path) -> TagEncoders:
        """Read what `save` wrote.

        Raises:
            ModelError, StorageError: naming the file.
        """
        path = folder / ENCODERS
        content = read_json(path)
        lists = ("labels", "words", "shapes", "characters")
        whole = isinstance(content, dict) and all(_is_list(content.get(name)) for name in lists)
        counts: Any = content.get("counts") if whole else None
        are_counts = isinstance(counts, list) and all(isinstance(count, int) for count in counts)
        if not are_counts or len(counts) != len(content["words"]) or content.get("kind") not in ("entities", "labels"):
            raise ModelError(f"{path}: corrupt, not the encoders of a tagger; restore it from a copy of the model")
        vectors = None
        if "vector_words" in content:
            vectors = load_vectors(folder / VECTORS, content["vector_words"])
        return cls(content["kind"], content["labels"], content["words"], counts, content["shapes"],
                   content["characters"], vectors)  # fmt: skip


def _tag(prefix: str, label: str) -> str:
    """B-LOC; or a bare B for entities of no type."""
    return f"{prefix}-{label}" if label else f"{prefix}-{UNTYPED}"


def _is_list(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(entry, str) for entry in value)
