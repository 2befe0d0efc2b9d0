"""The words of a text: what each is, how it is spelled, what shape it has; fitted on the training part."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, SkipValidation
from torch import Tensor

from unrolled.data import Arrays, Example, ExampleStore, Findings
from unrolled.data.core.tables import Table
from unrolled.data.tagged.spans import ONE_TOKEN, sentence_rows
from unrolled.data.text.labelled import TEXT_NAMES
from unrolled.data.text.vectors import WordVectors, load_vectors, read_vectors, save_vectors
from unrolled.data.text.words import Word, split_words
from unrolled.errors import ArgumentError, DataError, ModelError
from unrolled.layers import InputLayer
from unrolled.layers.inputs.words import WordBatch
from unrolled.settings import Settings
from unrolled.tasks.core import results
from unrolled.tasks.core.contract import Input
from unrolled.tasks.core.fitted import AnyFitted
from unrolled.tasks.core.folder.files import read_json, write_json
from unrolled.tasks.core.probe import last_steps
from unrolled.tasks.core.values import InputSteps, Progress, RowInput, joined
from unrolled.tasks.inputs.words.collate import BORDER, RESERVED, UNKNOWN, Noise, collated, sentences_of, word_batch
from unrolled.tasks.inputs.words.layer import WordsNetwork, words_layer
from unrolled.tasks.inputs.words.options import WordsOptions
from unrolled.tasks.inputs.words.sentences import Sentences, characters_of, normalised, sentences_in, shape_of
from unrolled.tasks.inputs.words.stream import TokenStream
from unrolled.tasks.inputs.words.unspaced import TokenCutter
from unrolled.types import Json

ENCODERS, VECTORS = "encoders.json", "vectors.safetensors"
#: shapes seen less often than this count as unknown
SHAPES_FROM = 3
#: how often a rare word is read as unknown while training, where no plan says
RARE_DROPOUT = 0.3


class ShownWords(results.Shown):
    """The text that a result is about."""

    text: str
    words: SkipValidation[tuple[Word, ...]] = Field((), exclude=True, repr=False)

    def steps(self, count: int) -> Sequence[tuple[str, int, int]]:
        """Return its words."""
        return self.words


class WordsInput(Input[Sentences]):
    """A text by its words: a text, each line of it a sentence; the tokens of a sentence, as a list or under "tokens" of
    a mapping; or several sentences, under "sentences".

    Args:
        words: as they are looked up, most frequent first.
        counts: how often each of these occurred.
        shapes, characters: most frequent first.
        vectors: published ones, or None.
    """

    name: ClassVar[str] = "words"
    reads: ClassVar[Literal["text", "path"]] = "text"
    role: ClassVar[str] = "text"
    column_names: ClassVar[tuple[str, ...]] = ("tokens", *TEXT_NAMES)
    keys: ClassVar[tuple[str, ...]] = ("sentences", "tokens", "text")
    length_of: ClassVar[str | None] = "words"
    options: ClassVar[type[Settings]] = WordsOptions
    Network: ClassVar[type[Settings]] = WordsNetwork
    Shown: ClassVar[type[results.Shown]] = ShownWords

    def __init__(
        self,
        words: Sequence[str],
        counts: Sequence[int],
        shapes: Sequence[str],
        characters: Sequence[str],
        vectors: WordVectors | None = None,
    ) -> None:
        self.counts, self.vectors = list(counts), vectors
        self.words, self.shapes, self.characters = list(words), list(shapes), list(characters)
        self._falling = [-count for count in self.counts]
        self._word, self._shape, self._character = (
            {entry: n for n, entry in enumerate(entries, RESERVED)}
            for entries in (self.words, self.shapes, self.characters)
        )
        self._vector = {word: n for n, word in enumerate(vectors.words, 1)} if vectors is not None else {}

    @classmethod
    def fit(cls, examples: Sequence[Example], options: Settings, progress: Progress) -> WordsInput:
        """Count words, shapes and characters; read the published vectors, if there are any."""
        chosen, vectors = WordsOptions.of(options), None
        if chosen.vectors is not None:
            vectors = read_vectors(chosen.vectors, on_progress=lambda done: progress("reading the vectors", done, None))
        words: Counter[str] = Counter()
        shapes: Counter[str] = Counter()
        characters: Counter[str] = Counter()
        for example in examples:
            for word in sentences_in(example.given, split_words).words:
                words[normalised(word.text)] += 1
                shapes[shape_of(word.text)] += 1
                characters.update(word.text)
        ranked = sorted(words, key=lambda word: (-words[word], word))
        kept = sorted((s for s, n in shapes.items() if n >= SHAPES_FROM), key=lambda s: (-shapes[s], s))
        letters = sorted(characters, key=lambda c: (-characters[c], c))
        return cls(ranked, [words[word] for word in ranked], kept, letters, vectors)

    @classmethod
    def load(cls, folder: Path) -> WordsInput:
        """Read encoders.json and the vectors."""
        return cls.from_json(read_json(folder / ENCODERS), folder)

    @classmethod
    def from_json(cls, content: Any, folder: Path) -> WordsInput:
        """Return what `as_json` describes; the vectors lie in a model's folder.

        Raises:
            ModelError, StorageError: naming the file.
        """
        lists = ("words", "shapes", "characters")
        whole = isinstance(content, dict) and all(is_list(content.get(name), str) for name in lists)
        counts: Any = content.get("counts") if whole else None
        if not is_list(counts, int) or len(counts) != len(content["words"]):
            raise not_whole(folder / ENCODERS)
        vectors = load_vectors(folder / VECTORS, content["vector_words"]) if "vector_words" in content else None
        return cls(content["words"], counts, content["shapes"], content["characters"], vectors)

    def save(self, folder: Path) -> None:
        """Write encoders.json, and the vectors."""
        write_json(folder / ENCODERS, self.as_json(folder))

    def as_json(self, folder: Path) -> Json:
        """Return all but the vectors as JSON; these go into a model's folder."""
        content: Json = {
            "counts": self.counts,
            "words": self.words,
            "shapes": self.shapes,
            "characters": self.characters,
        }
        if self.vectors is not None:
            content["vector_words"] = self.vectors.words
            save_vectors(folder / VECTORS, self.vectors)
        return content

    def extended(self, other: WordsInput) -> WordsInput:
        """Add the other's words, shapes and characters."""
        counts, rarest = dict(zip(other.words, other.counts, strict=True)), min(self.counts, default=1)
        words = joined(self.words, other.words)
        # counts never rise from word to word
        new = [min(counts[word], rarest) for word in words[len(self.words) :]]
        shapes, letters = joined(self.shapes, other.shapes), joined(self.characters, other.characters)
        return WordsInput(words, [*self.counts, *new], shapes, letters, self.vectors)

    @property
    def sizes(self) -> dict[str, int]:
        """How many words, shapes and characters the network must tell apart."""
        parts = {"vocabulary_size": self.words, "shapes": self.shapes, "alphabet": self.characters}
        return {name: len(part) + RESERVED for name, part in parts.items()}

    def rare_from(self, count: int) -> int:
        """Return the number from which on words occurred `count` times or less often."""
        return RESERVED + bisect_left(self._falling, -count)

    def of_table(self, model: AnyFitted, table: Table, column: str | None) -> Iterator[RowInput]:
        """Yield a text, or tokens, of each row; or the sentences of a table with a token a row."""
        has_text = column is not None or table.column_like(("tokens", "text")) is not None
        token = None if has_text else table.column_like(ONE_TOKEN)
        if token is None:
            yield from super().of_table(model, table, column)
            return
        for rows in sentence_rows(table, Findings()):
            tokens = [str(row.get(token) or "") for row in rows]
            empty = next((row for row, word in zip(rows, tokens, strict=True) if not word), None)
            if empty is not None:
                raise DataError(f"column {token!r}: the token is empty", empty.path, empty.line)
            yield RowInput(tokens, rows, by_step=True)

    def given(self, value: object) -> Sentences:
        """Return a text cut into words.

        Raises:
            ArgumentError: it is neither text nor tokens.
        """
        return sentences_in(value, self.cutter)

    @cached_property
    def cutter(self) -> TokenCutter:
        """What cuts raw text into tokens like those of training."""
        return TokenCutter(dict(zip(self.words, self.counts, strict=True)))

    def encode(self, given: Sentences, options: Settings | None = None) -> Arrays:
        """Return the sentences of a text one after the other, as `encode_sentences`."""
        return self.encode_sentences(given.tokens())

    def encode_sentences(self, sentences: Sequence[Sequence[str]]) -> Arrays:
        """Return sentences one after the other, with a border between two.

        Returns:
            `words`, `shapes`, `vectors`, (T,); `characters` of all words in a row, and where each word's end,
            `spelled` (T,); `begins` and `ends` of the sentences.
        """
        tokens: list[str | None] = []
        begins, ends = [], []
        for sentence in sentences:
            if tokens:
                tokens.append(None)
            begins.append(len(tokens))
            tokens += sentence
            ends.append(len(tokens))
        spelled = [self._spelling(token) for token in tokens]
        lengths = np.array([len(word) for word in spelled], dtype=np.int32)
        return {
            "words": self._ids(self._word, [None if t is None else normalised(t) for t in tokens]),
            "shapes": self._ids(self._shape, [None if t is None else shape_of(t) for t in tokens]),
            "vectors": np.array([self._vector_of(token) for token in tokens], dtype=np.int32),
            "characters": np.array([c for word in spelled for c in word], dtype=np.int32),
            "spelled": np.cumsum(lengths, dtype=np.int32),
            "begins": np.array(begins, dtype=np.int32),
            "ends": np.array(ends, dtype=np.int32),
        }

    def collate(
        self, model: AnyFitted, examples: Sequence[Arrays], draw: np.random.Generator | None = None
    ) -> dict[str, Tensor]:
        """Return texts side by side; while training some words are forgotten, so that spelling and context count."""
        rates = model.config.batching
        noise = Noise(
            words=rates.get("word_dropout", 0.0),
            rare=rates.get("rare_dropout", RARE_DROPOUT),
            characters=rates.get("character_dropout", 0.0),
        )
        return collated(examples, noise, self.rare_from(int(rates.get("rare", 1))), draw)

    def feed(self, data: Mapping[str, Tensor]) -> tuple[WordBatch, Tensor]:
        """Return words and lengths."""
        return word_batch(data), data["lengths"]

    def layer(self, network: Mapping[str, Any]) -> InputLayer:
        """Return vectors of words."""
        return words_layer(WordsNetwork.picked(network), self.sizes, self.table())

    def plan(self, options: Settings, store: ExampleStore) -> Json:
        """Return the sizes, and those that were fitted."""
        return WordsNetwork(**{**self.sizes, **super().plan(options, store)}).model_dump()

    def facts(self, train: Sequence[Example], dev: Sequence[Example]) -> Json:
        """Count words."""
        return {"words": len(self.words)}

    def to_json(self, given: Sentences) -> str:
        """Return the text."""
        return given.text

    def shown(self, given: Sentences, arrays: Arrays) -> ShownWords:
        """Return the text."""
        return ShownWords(text=given.text, words=tuple(given.words))

    def content(self, arrays: Arrays) -> NDArray[np.integer[Any]] | None:
        """Return the places of the words, without the borders between sentences."""
        if len(arrays["begins"]) < 2:
            return None
        return np.concatenate([np.arange(begin, end) for begin, end in sentences_of(arrays)])

    def steps(self, model: AnyFitted, given: Sentences, limit: int) -> InputSteps:
        """Lay out a text by its words, as one sentence."""
        words = [word.text for word in given.words]
        if not words:
            raise ArgumentError("input: a sentence of at least one token is needed to look into")
        first, note = last_steps(len(words), limit, "tokens")
        data = collated([self.encode_sentences([words[first:]])], Noise(), 0, None)
        return InputSteps(data, tuple(words[first:]), note, " ")

    def stream(self, model: AnyFitted) -> TokenStream:
        """Return what turns characters as they come into words."""
        return TokenStream(lambda tokens: self.encode_sentences([tokens]), self.cutter)

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


def is_list(value: Any, kind: type) -> bool:
    """Return whether a value read from JSON is a list of such entries."""
    return isinstance(value, list) and all(isinstance(entry, kind) for entry in value)


def not_whole(path: Path) -> ModelError:
    """Return the error of an encoders.json that is damaged."""
    return ModelError(f"{path}: corrupt, not the encoders of a tagger; restore it from a copy of the model")
