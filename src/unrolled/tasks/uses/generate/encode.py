"""A text, encoded once into memory-mapped files of tokens: what a language model is trained on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from unrolled.data import Piece, TokenFile, Tokenizer, Windows, encode_corpus, fit_tokenizer, split_pieces
from unrolled.decoding import SamplingOptions
from unrolled.errors import DataError
from unrolled.tasks.core.fitted import AnyFitted, Parts
from unrolled.tasks.core.folder.files import write_arrays
from unrolled.tasks.core.values import DATA, Progress, Sources
from unrolled.tasks.inputs.text.tokens import TokenInput
from unrolled.tasks.outputs.next.encode import BASELINE, NextToken
from unrolled.tasks.outputs.next.mixture import NGramMixture, fit_weights, load_ngram, ngram_arrays
from unrolled.tasks.outputs.next.network import LanguageModelLearner, Penalties, start_from_frequencies, token_scores
from unrolled.tasks.outputs.next.ngram import NGram
from unrolled.tasks.outputs.next.session import TextSession
from unrolled.tasks.uses.generate.options import GenerateOptions
from unrolled.types import Json

#: where a corpus becomes large enough, and its alphabet rich enough, for byte-pair tokens to be the better choice
CHARACTERS_BELOW, ALPHABET_BELOW = 30_000_000, 1_000
#: byte-pair encoding learns its merges from at most this many characters
MERGES_FROM = 64_000_000
#: the n-gram counts at most this many tokens, and keeps this many n-grams, of which one takes 4 to 14 bytes
BASELINE_FROM, MOST_NGRAMS = 10_000_000, 6_000_000
#: its weights are fitted on at most this many tokens of development text
WEIGHED_ON = 250_000
BASELINE_ORDER = {"char": 6, "byte": 6, "bpe": 4, "word": 5}


@dataclass(frozen=True)
class Corpus:
    """Encoded text: what this use is trained on.

    Attributes:
        parts: the tokens that are read, and those that are answered.
        train, dev: to learn from, and to choose by.
    """

    parts: Parts[TokenInput, NextToken]
    train: TokenFile
    dev: TokenFile

    @classmethod
    def prepare(cls, sources: Sources, options: GenerateOptions, folder: Path, progress: Progress) -> Corpus:
        """Choose a tokeniser, encode the text into a model's folder, and count the n-gram beside it.

        Raises:
            DataError, StorageError: the text can't be read, or is too short.
        """
        if sources.dev:
            texts = {"train": lambda: options.read(sources.train), "dev": lambda: options.read(sources.dev)}
        else:
            split = split_pieces(lambda: options.read(sources.train), dev_share=options.holdout)
            texts = {"train": split.train, "dev": split.dev}
        source = TokenInput(tokenizer_for(texts["train"], options, progress))
        if sources.parts is not None:
            source = sources.parts.input.extended(source)
        source.save(folder)
        files = []
        for name, pieces in texts.items():

            def encoded(done: int, name: str = name) -> None:
                progress(f"encoding the {name} text", done, None)

            path = folder / DATA / f"{name}.tokens"
            files.append(encode_corpus(pieces(), source.tokenizer, path, progress=encoded))
            if len(files[-1]) < 2:
                tokens = f"{len(files[-1])} token"
                raise DataError(f"the {name} text has {tokens}, and a model needs at least 2 to learn from")
        corpus = cls(Parts(source, NextToken()), *files)
        progress("counting n-grams", 0, None)
        counted = corpus.beginning()
        order = options.ngram or BASELINE_ORDER[source.tokenizer.kind]
        ngram = NGram.fit(counted, order, source.tokenizer.vocabulary_size).compact(MOST_NGRAMS)
        write_arrays(folder / BASELINE, ngram_arrays(ngram), {"tokenizer": source.tokenizer.fingerprint})
        return corpus

    @classmethod
    def reopen(cls, folder: Path) -> Corpus:
        """Map the files that `prepare` wrote.

        Raises:
            ModelError: they are not whole.
        """
        source = TokenInput.load(folder)
        train, dev = (TokenFile.open(folder / DATA / f"{name}.tokens", source.tokenizer) for name in ("train", "dev"))
        for text in (train, dev):
            text.verify()
        return cls(Parts(source, NextToken()), train, dev)

    @property
    def tokenizer(self) -> Tokenizer:
        """The input's."""
        return self.parts.input.tokenizer

    def beginning(self) -> NDArray[np.int64]:
        """Return the tokens that are counted, (N,)."""
        return np.asarray(self.train.tokens[:BASELINE_FROM], dtype=np.int64)

    def initialise(self, network: nn.Module) -> None:
        """Start from the tokens' frequencies."""
        start_from_frequencies(network, self.beginning(), self.tokenizer.vocabulary_size)

    def batches(self, batching: Json, seed: int) -> Windows:
        """Return lanes of the text, window after window."""
        return Windows(self.train, batching["batch_size"], batching["window"], seed=seed)

    def learner(self, model: AnyFitted, options: GenerateOptions, seed: int) -> LanguageModelLearner:
        """Return truncated BPTT over windows of the text, with samples that a seed decides."""

        def sample() -> str:
            length = {"char": 320, "byte": 320, "bpe": 90, "word": 64}[self.tokenizer.kind]
            session = TextSession(model).push(options.prompt)
            pieces = session.generate(length, options=SamplingOptions(temperature=0.8), seed=seed)
            return (options.prompt + "".join(pieces)).strip("\n")

        network: Any = model.network
        penalties = Penalties(options.activation_penalty, options.temporal_penalty)
        return LanguageModelLearner(network, self.dev, sample, penalties=penalties)

    def mixture(self, model: AnyFitted, folder: Path) -> NGramMixture:
        """Return the n-gram of the training text, weighed against the model's network on development text.

        Raises:
            ModelError, StorageError: the n-gram is missing or damaged.
        """
        ngram, dev = load_ngram(folder / BASELINE), np.asarray(self.dev.tokens[:WEIGHED_ON], dtype=np.int64)
        log_probs, entropies = token_scores(model.network, dev)
        weights = fit_weights(log_probs, ngram, dev[1:], entropies=entropies)
        return NGramMixture(ngram, weights, self.tokenizer.fingerprint)

    def describe(self) -> Json:
        """Return counts, and fingerprints that bind checkpoints to this text."""
        train, dev, tokenizer = self.train, self.dev, self.tokenizer
        return {
            "train": train.fingerprint,
            "dev": dev.fingerprint,
            "tokenizer": tokenizer.kind,
            "vocabulary_size": tokenizer.vocabulary_size,
            "documents": train.documents,
            "train_tokens": len(train),
            "train_characters": train.characters,
            "dev_tokens": len(dev),
            "dev_characters": dev.characters,
        }


def tokenizer_for(read: Callable[[], Iterator[Piece]], options: GenerateOptions, progress: Progress) -> Tokenizer:
    """Return a tokeniser fitted to a text: of characters, or of byte pairs where it is long or its alphabet rich."""
    kind = options.tokens
    if kind == "auto":
        progress("looking at the text", 0, None)
        alphabet: set[str] = set()
        count = 0
        for piece in read():
            alphabet.update(piece.text)
            count += len(piece.text)
        kind = "char" if count < CHARACTERS_BELOW and len(alphabet) < ALPHABET_BELOW else "bpe"
    progress(f"fitting the {kind} tokenizer", 0, None)
    # a document's last word and the next one's first are no neighbours
    ending = "\n" if kind in ("bpe", "word") else ""
    texts: Iterator[str] = (piece.text + ending * piece.ends_document for piece in read())
    # merges settle early: more text than this costs memory and changes nothing that matters
    return fit_tokenizer(
        kind, first_characters(texts, MERGES_FROM) if kind == "bpe" else texts, options.vocabulary_size
    )


def first_characters(texts: Iterable[str], most: int) -> Iterator[str]:
    """Yield the beginning of a text that comes in pieces of any size: `most` characters of it."""
    for text in texts:
        if most <= 0:
            return
        yield text[:most]
        most -= len(text)
