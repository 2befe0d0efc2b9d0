"""`generate`: learn to write from text, write on from a prompt, and complete what somebody is typing."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from safetensors.numpy import save as save_arrays
from torch import nn

from unrolled.data import (
    Findings,
    Piece,
    TokenFile,
    Tokenizer,
    Windows,
    encode_corpus,
    fit_tokenizer,
    load_tokenizer,
    read_documents,
    split_pieces,
)
from unrolled.decoding import SamplingOptions, choose
from unrolled.errors import ArgumentError, DataError
from unrolled.networks import SyncedNetwork
from unrolled.settings import Settings
from unrolled.storage import write_whole
from unrolled.tasks.core.fitted import Fitted
from unrolled.tasks.core.probe import Probe
from unrolled.tasks.core.task import Task
from unrolled.tasks.core.values import DATA, Evaluation, Plan, Progress, Sources
from unrolled.tasks.outputs.next.network import LanguageModelLearner, device_of, language_model, score, unigram_bias
from unrolled.tasks.outputs.next.ngram import NGram
from unrolled.tasks.outputs.next.results import Completion, GeneratedText
from unrolled.tasks.outputs.next.scoring import BASELINE, load_baseline, ngram_nats, temporary_corpus, text_metrics
from unrolled.tasks.outputs.next.session import TextSession
from unrolled.tasks.outputs.next.streams import suggest_together
from unrolled.tasks.uses.generate.check import check_text
from unrolled.tasks.uses.generate.options import EvaluateOptions, GenerateOptions, Suggesting, Writing
from unrolled.tasks.uses.generate.plan import plan_language_model
from unrolled.training import Batches, Learner, TrainingSettings

if TYPE_CHECKING:
    from unrolled.tasks.core.api import Wire

#: where a corpus becomes large enough, and its alphabet rich enough, for byte-pair tokens to be the better choice
CHARACTERS_BELOW, ALPHABET_BELOW = 30_000_000, 1_000
#: byte-pair encoding learns its merges from at most this many characters
MERGES_FROM = 64_000_000
#: the n-gram counts at most this many tokens
BASELINE_FROM = 10_000_000
#: texts completed in one search
SIDE_BY_SIDE = 32
BASELINE_ORDER = {"char": 6, "byte": 6, "bpe": 4}


@dataclass(frozen=True)
class Corpus:
    """Encoded text: the material of this task."""

    tokenizer: Tokenizer
    train: TokenFile
    dev: TokenFile
    baseline: NGram


class Generate(Task):
    """Text in, text out: a language model."""

    name: ClassVar[str] = "generate"
    summary: ClassVar[str] = "learn to write from text or mail; write on from a prompt, complete what is typed"
    shape: ClassVar[str] = "synced many-to-many, shifted by one"
    options: ClassVar[type[Settings]] = GenerateOptions
    evaluate_options: ClassVar[type[Settings]] = EvaluateOptions
    predict_options: ClassVar[type[Settings]] = Suggesting
    writing_options: ClassVar[type[Settings] | None] = Writing

    def check(
        self, sources: Sources, options: GenerateOptions, findings: Findings, progress: Progress
    ) -> dict[str, Any]:
        """Repeated documents, documents in both parts, characters that training never sees."""
        dev = self._read(sources.dev, options) if sources.dev else None
        return check_text(self._read(sources.train, options), dev, findings, progress)

    def _read(self, paths: tuple[Path, ...], options: GenerateOptions) -> Iterator[Piece]:
        return read_documents(
            paths,
            encoding=options.encoding,
            errors=options.errors,
            text_key=options.text_key,
            format=options.format,
        )

    def prepare(self, sources: Sources, options: GenerateOptions, folder: Path, progress: Progress) -> Corpus:
        """Choose a tokeniser, encode the text once into memory-mapped files, count the n-gram."""
        if sources.dev:
            train, dev = lambda: self._read(sources.train, options), lambda: self._read(sources.dev, options)
        else:
            split = split_pieces(lambda: self._read(sources.train, options), dev_share=options.holdout)
            train, dev = split.train, split.dev
        tokenizer = self._tokenizer(train, options, progress)
        tokenizer.save(folder / "tokenizer.json")
        files = []
        for name, part in (("train", train), ("dev", dev)):

            def encoded(done: int, name: str = name) -> None:
                progress(f"encoding the {name} text", done, None)

            files.append(encode_corpus(part(), tokenizer, folder / DATA / f"{name}.tokens", progress=encoded))
            if len(files[-1]) < 2:
                raise DataError(
                    f"the {name} text has {len(files[-1])} token, and a model needs at least 2 to learn from"
                )
        progress("counting n-grams", 0, None)
        counted = np.asarray(files[0].tokens[:BASELINE_FROM], dtype=np.int64)
        baseline = NGram.fit(counted, BASELINE_ORDER[tokenizer.kind], tokenizer.vocabulary_size)
        write_whole(folder / BASELINE, save_arrays(baseline.to_arrays()))
        return Corpus(tokenizer, files[0], files[1], baseline)

    def reopen(self, options: GenerateOptions, folder: Path) -> Corpus:
        """Map the files that `prepare` wrote."""
        tokenizer = load_tokenizer(folder / "tokenizer.json")
        train, dev = (TokenFile.open(folder / DATA / f"{name}.tokens", tokenizer) for name in ("train", "dev"))
        for tokens in (train, dev):
            tokens.verify()
        return Corpus(tokenizer, train, dev, load_baseline(folder))

    def _tokenizer(self, read: Any, options: GenerateOptions, progress: Progress) -> Tokenizer:
        kind, size = options.tokens, options.vocabulary_size
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
        ending = "\n" if kind == "bpe" else ""
        texts = (piece.text + ending * piece.ends_document for piece in read())
        # merges settle early: more text than this costs memory and changes nothing that matters
        return fit_tokenizer(kind, first_characters(texts, MERGES_FROM) if kind == "bpe" else texts, size)

    def plan(self, material: Corpus, options: GenerateOptions, training: Mapping[str, Any]) -> Plan:
        """A network and a schedule by how many tokens there are, and how long they may be trained on."""
        return plan_language_model(material.tokenizer, len(material.train), options, training)

    def describe(self, material: Corpus) -> dict[str, Any]:
        """What the model is trained on: counts, and fingerprints that bind checkpoints to it."""
        train, dev = material.train, material.dev
        return {
            "train": train.fingerprint,
            "dev": dev.fingerprint,
            "tokenizer": material.tokenizer.kind,
            "vocabulary_size": material.tokenizer.vocabulary_size,
            "documents": train.documents,
            "train_tokens": len(train),
            "train_characters": train.characters,
            "dev_tokens": len(dev),
            "dev_characters": dev.characters,
        }

    def encoders(self, material: Corpus) -> Tokenizer:
        """The tokeniser."""
        return material.tokenizer

    def save_encoders(self, encoders: Tokenizer, folder: Path) -> None:
        """tokenizer.json."""
        encoders.save(folder / "tokenizer.json")

    def load_encoders(self, folder: Path) -> Tokenizer:
        """tokenizer.json."""
        return load_tokenizer(folder / "tokenizer.json")

    def save_extras(self, model: Fitted, folder: Path) -> None:
        """The n-gram beside which the model is judged, and the cache of a model that was adapted to a writer."""
        if model.folder is not None and model.folder != folder and (model.folder / BASELINE).is_file():
            write_whole(folder / BASELINE, save_arrays(load_baseline(model.folder).to_arrays()))
        from unrolled.tasks.uses.generate.personal import PERSONAL

        if model.cache is not None:
            model.cache.save(folder)
        else:
            # one of an earlier model in this folder would be mixed into predictions that it was not weighed for
            (folder / PERSONAL).unlink(missing_ok=True)

    def load_cache(self, folder: Path, parts: Any) -> Any:
        """A writer's n-gram."""
        from unrolled.tasks.uses.generate.personal import Cache

        return Cache.load(folder, parts.input.vocabulary_size)

    def personalise(self, model: Fitted, paths: tuple[Path, ...], progress: Progress, **options: Any) -> Fitted:
        """Adapt the model to a writer; options are `unrolled.tasks.uses.generate.personal.PersonalOptions`."""
        from unrolled.tasks.uses.generate.personal import personalise

        return personalise(model, paths, progress, **options)

    def _score(self, model: Fitted, text: TokenFile) -> tuple[float, int]:
        """−Σ ln p over a text, nats, and how many tokens that is."""
        if model.cache is None:
            return score(model.network, text)
        log_probs = model.cache.log_probabilities(model.network, text)
        return -float(log_probs.sum()), len(log_probs)

    def check_fitted(self, fitted: Mapping[str, Any]) -> None:
        """The threshold is a number or None, and the number of words is one."""
        limit, words = fitted.get("threshold"), fitted.get("max_words", 1)
        if not (limit is None or (isinstance(limit, (int, float)) and limit <= 0)):
            raise ArgumentError(f"threshold: expected nats per token, at most 0, found {limit!r}")
        if not isinstance(words, int) or words < 1:
            raise ArgumentError(f"max_words: expected an integer of at least 1, found {words!r}")

    def build_network(self, network: Mapping[str, Any], encoders: Tokenizer) -> SyncedNetwork:
        """Embedding, recurrent stack, output."""
        return language_model(network, encoders)

    def initialise(self, network: nn.Module, material: Corpus) -> None:
        """Start from the tokens' frequencies."""
        sample = np.asarray(material.train.tokens[:BASELINE_FROM], dtype=np.int64)
        unigram_bias(network, sample, material.tokenizer.vocabulary_size)  # type: ignore[arg-type]

    def learner(self, model: Fitted, material: Corpus, training: TrainingSettings) -> Learner:
        """Truncated BPTT over windows of text."""
        options = GenerateOptions(**model.config.options)

        def sampler(network: nn.Module) -> str:
            session = TextSession(model).push(options.prompt)
            length = {"char": 320, "byte": 320, "bpe": 90}[material.tokenizer.kind]
            pieces = session.generate(length, options=SamplingOptions(temperature=0.8), seed=training.seed)
            return (options.prompt + "".join(pieces)).strip("\n")

        dev = material.dev
        return LanguageModelLearner(model.network, dev.tokens, dev.characters / len(dev), sampler)  # type: ignore[arg-type]

    def batches(self, model: Fitted, material: Corpus, training: TrainingSettings) -> Batches:
        """Lanes of the corpus, window after window."""
        plan = model.config.batching
        return Windows(material.train, plan["batch_size"], plan["window"], seed=training.seed)

    def finish(self, model: Fitted, material: Corpus, progress: Progress) -> None:
        """Fit the threshold above which suggestions are shown, for the coverage asked for, on development text."""
        from unrolled.tasks.outputs.next.completion import fit_threshold

        options = GenerateOptions(**model.config.options)
        # what a run that goes on had been adapted to, its new weights are not
        model.fitted.clear()
        model.fitted["max_words"] = options.max_words
        model.fitted.update(fit_threshold(model, material.dev.tokens, options.coverage, progress))

    def evaluate(self, model: Fitted, paths: tuple[Path, ...], progress: Progress, **options: Any) -> Evaluation:
        """Nats and bits per character, perplexity, and how good completion is, beside the n-gram.

        Args:
            model: the model.
            paths: text as `train` reads it.
            progress: told how far it has come.
            options: the fields of `EvaluateOptions`.

        Raises:
            ArgumentError: an option is unknown or out of range.
            DataError, StorageError: the text can't be read, or is too short.
        """
        from unrolled.tasks.outputs.next.completion import study_completion

        started = time.perf_counter()
        chosen = EvaluateOptions(**options)
        as_trained = GenerateOptions(**model.config.options)
        reading: dict[str, Any] = {
            name: getattr(as_trained if getattr(chosen, name) is None else chosen, name)
            for name in ("encoding", "errors", "text_key", "format")
        }
        tokenizer: Tokenizer = model.encoders
        with temporary_corpus(read_documents(paths, **reading), tokenizer) as text:
            if len(text) < 2:
                raise DataError(f"the text has {len(text)} token; at least 2 are needed to predict any", str(paths[0]))
            progress("scoring the text", 0, None)
            nats, count = self._score(model, text)
            ids = text.tokens
            baseline = load_baseline(model.folder) if model.folder else None
            metrics = text_metrics(nats, count, text, tokenizer)
            beside: dict[str, Any] = {}
            if baseline is not None:
                beside = {"model": f"{baseline.order}-gram, modified Kneser-Ney"}
                beside |= text_metrics(ngram_nats(baseline, ids), count, text, tokenizer)
            if chosen.completion:
                own, other = study_completion(model, baseline, ids, chosen.positions, progress)
                metrics["completion"] = own
                if baseline is not None:
                    beside["completion"] = other
        return Evaluation(self.name, [str(p) for p in paths], metrics, beside, time.perf_counter() - started)

    def predict(self, model: Fitted, inputs: Iterable[str], **options: Any) -> Iterator[Any]:
        """For each text what completes it, or with `generate=True` a text written on from it.

        Args:
            model: the model.
            inputs: texts as typed.
            options: for completion `threshold`, `max_words`, `beam_size`, `n`; for generation `max_tokens`, `seed`,
                `stop`, `samples` and the fields of `SamplingOptions`.
        """
        writes = bool(options.pop("generate", False))
        # as they come, unless they are all there
        together = SIDE_BY_SIDE if isinstance(inputs, (list, tuple)) else 1
        waiting = iter(inputs)
        while some := list(islice(waiting, together)):
            for text in some:
                if not isinstance(text, str):
                    raise ArgumentError(f"input: the task 'generate' reads text, found {type(text).__name__}")
            sessions = [self.stream(model).push(text) for text in some]
            if not writes:
                yield from self._completed(model, sessions, some, dict(options))
                continue
            for session, text in zip(sessions, some, strict=True):
                yield from self._written(session, text, dict(options))

    def _written(self, session: TextSession, prompt: str, options: dict[str, Any]) -> Iterator[GeneratedText]:
        n, seed = int(options.pop("samples", 1)), int(options.pop("seed", 0))
        length, stop = int(options.pop("max_tokens", 400)), tuple(options.pop("stop", ()))
        shaped = SamplingOptions(**options)
        for k, pieces in enumerate(session.generate_many(n, length, options=shaped, seed=seed, stop=stop)):
            yield GeneratedText(prompt, "".join(pieces), seed + k)

    def _completed(
        self, model: Fitted, sessions: list[TextSession], texts: list[str], options: dict[str, Any]
    ) -> Iterator[Completion]:
        limit = options.pop("threshold", None)
        limit = model.fitted.get("threshold") if limit is None else limit
        given = {name: value for name, value in options.items() if value is not None}
        for text, found in zip(texts, suggest_together(sessions, **given), strict=True):
            yield Completion(text, None if limit is None else choose(found, limit), limit, tuple(found))

    def probe(self, model: Fitted, given: Any, limit: int) -> Probe:
        """A text: at each token the network is asked about the next one."""
        if not isinstance(given, str):
            raise ArgumentError(f"input: the task 'generate' reads text, found {type(given).__name__}")
        tokenizer: Tokenizer = model.encoders
        tokens = tokenizer.encode(given).astype(np.int64)
        if len(tokens) < 2:
            raise ArgumentError(f"input: a text of at least 2 tokens is needed to look into, found {len(tokens)}")
        ids = torch.as_tensor(tokens, device=device_of(model.network))
        left_out = max(0, len(ids) - 1 - limit)
        state, network = None, model.network
        with torch.no_grad():
            if left_out:
                _, state = network(ids[:left_out].unsqueeze(1))
        ids = ids[left_out:]
        names = tuple(tokenizer.decode([int(token)]) for token in tokens[left_out:])
        return Probe(
            network=network,
            input_layer=network.get_submodule("inputs"),
            steps=names[:-1],
            run=lambda: network(ids[:-1].unsqueeze(1), state)[0].squeeze(1),
            outputs=names[1:],
            classes=lambda token: tokenizer.decode([token]),
            targets=ids[1:],
            note=f"the first {left_out:,} tokens were read and are not shown" if left_out else "",
            synced=True,
            separator="",
        )

    def wire(self) -> Wire:
        """Suggestions, streams of people who type, texts written on."""
        from unrolled.tasks.uses.generate.api import GenerateWire

        return GenerateWire()

    def stream(self, model: Fitted) -> TextSession:
        """A text in progress."""
        return TextSession(model)


def first_characters(texts: Iterable[str], most: int) -> Iterator[str]:
    """The beginning of a text that comes in pieces of any size, short documents above all: `most` characters of it."""
    for text in texts:
        if most <= 0:
            return
        yield text[:most]
        most -= len(text)
