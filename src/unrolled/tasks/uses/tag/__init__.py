"""`tag`: learn to label tokens, such as the names in a text, from text in columns or with spans."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np
from pydantic import Field
from torch import Tensor, nn

from unrolled.data import Arrays, ExampleStore, Findings
from unrolled.data.tagged.read import TaggedText, in_context, read_tagged
from unrolled.data.tagged.schemes import Span, spans_of
from unrolled.data.text.vectors import read_vectors
from unrolled.errors import ArgumentError, DataError
from unrolled.metrics.entities import entity_scores, token_accuracy
from unrolled.networks.tagging import TaggingNetwork
from unrolled.settings import Settings
from unrolled.tasks.core.example_task import ExampleTask, Material, Scored, on_device, read_json, write_json
from unrolled.tasks.core.fitted import Fitted
from unrolled.tasks.core.probe import Probe
from unrolled.tasks.core.probes import last_steps, probe_tagged_text
from unrolled.tasks.core.values import Evaluation, Plan, Progress
from unrolled.tasks.inputs.words.collate import Noise, collated, word_batch
from unrolled.tasks.inputs.words.encode import TagEncoders
from unrolled.tasks.uses.tag.baseline import PhraseLookup, WordLookup, lookup_from_json
from unrolled.tasks.uses.tag.decode import EAGER, EAGERNESS, ROUGHLY, Tagger, tagged_inputs, untagged
from unrolled.tasks.uses.tag.plan import CONTEXT, ReadingOptions, TagOptions, context_of, plan_tagger, tagging_network
from unrolled.tasks.uses.tag.results import Tagging
from unrolled.tasks.uses.tag.scoring import entity_metrics, tag_metrics
from unrolled.tasks.uses.tag.session import TagSession

if TYPE_CHECKING:
    from unrolled.tasks.core.api import Wire

BASELINE = "baseline.json"


class TagEvaluateOptions(ReadingOptions):
    """How to evaluate."""

    skip_bad: bool = Field(False, description="leave out sentences that can't be used, and name them")


class TagPredictOptions(Settings):
    """What is asked of a prediction."""

    n_best: Annotated[int, Field(ge=1, le=1000)] = Field(1, description="readings of the whole text, for --json")


class Tag(ExampleTask):
    """Text in, a label for each token out."""

    name: ClassVar[str] = "tag"
    summary: ClassVar[str] = "learn to find names in text, or to label tokens in any other way"
    shape: ClassVar[str] = "synced many-to-many"
    options: ClassVar[type[Settings]] = TagOptions
    evaluate_options: ClassVar[type[Settings]] = TagEvaluateOptions
    predict_options: ClassVar[type[Settings]] = TagPredictOptions
    length_of: ClassVar[str | None] = "words"
    baseline_files: ClassVar[tuple[str, ...]] = (BASELINE,)

    def read(self, paths: tuple[Path, ...], options: TagOptions, findings: Findings) -> list[TaggedText]:
        """Sentences, or stretches of documents where sentences are read in context."""
        texts = read_tagged(
            paths,
            findings,
            format=options.format,
            token_column=options.token_column,
            label_column=options.label_column,
            separator=options.separator,
            scheme=options.scheme,
            encoding=options.encoding,
            errors=options.errors,
        )
        context = options.context
        if context is None:
            context = CONTEXT if any(text.document for text in texts) else 0
        return in_context(texts, context) if context else texts

    def check_examples(
        self,
        train: Sequence[TaggedText],
        dev: Sequence[TaggedText],
        options: TagOptions,
        findings: Findings,
        progress: Progress,
    ) -> None:
        """Look for labels of two kinds, and for data without any entity."""
        for text in dev[:1]:
            if train and text.kind != train[0].kind:
                raise DataError(
                    f"holds {text.kind}, the training data {train[0].kind}; see --label-column and --scheme",
                    text.path,
                    text.line,
                )
        for part, texts in (("training", train), ("development", dev)):
            if texts and texts[0].kind == "entities" and not any(text.labels for text in texts):
                findings.warning("no entity", f"no entity in the {part} data: every token is O", texts[0].path)

    def fit(self, train: Sequence[Any], options: TagOptions, progress: Progress) -> TagEncoders:
        """Count words, shapes and characters; read the published vectors, if there are any."""
        vectors = None
        if options.vectors is not None:
            vectors = read_vectors(options.vectors, told=lambda done: progress("reading the vectors", done, None))
        return TagEncoders.fit(train, vectors)

    def save_encoders(self, encoders: TagEncoders, folder: Path) -> None:
        """encoders.json, vectors.safetensors."""
        encoders.save(folder)

    def load_encoders(self, folder: Path) -> TagEncoders:
        """encoders.json, vectors.safetensors."""
        return TagEncoders.load(folder)

    def encode(self, example: TaggedText, encoders: TagEncoders) -> Arrays:
        """Words, shapes, characters and labels as numbers."""
        return encoders.encode(example)

    def count(self, train: Sequence[TaggedText], dev: Sequence[TaggedText], encoders: TagEncoders) -> dict[str, Any]:
        """Sentences, tokens, labels."""
        return {
            "kind": encoders.kind,
            "labels": encoders.types,
            "train_sentences": sum(len(text.ends) for text in train),
            "dev_sentences": sum(len(text.ends) for text in dev),
            "train_tokens": sum(len(text.tokens) for text in train),
            "dev_tokens": sum(len(text.tokens) for text in dev),
            "words": len(encoders.words),
        }

    def plan(self, material: Material, options: TagOptions, training: Mapping[str, Any]) -> Plan:
        """A tagger and a schedule by how many tokens there are."""
        return plan_tagger(material, options, training)

    def build_network(self, network: Mapping[str, Any], encoders: TagEncoders) -> TaggingNetwork:
        """Words, recurrent stack, labels."""
        return tagging_network(network, encoders)

    def collate(self, model: Fitted, examples: list[Arrays], draw: np.random.Generator | None) -> dict[str, Tensor]:
        """Texts side by side; while training some words are forgotten, so that spelling and context count."""
        rates = model.config.batching
        noise = Noise(
            words=rates.get("word_dropout", 0.0),
            rare=rates.get("rare_dropout", 0.0),
            characters=rates.get("character_dropout", 0.0),
            alone=rates.get("alone", 0.0),
        )
        return collated(examples, noise, model.encoders.rare_from(rates.get("rare", 1)), draw)

    def score(self, network: nn.Module, data: dict[str, Tensor]) -> Scored:
        """−ln p of each sentence's labels, a token."""
        lengths = data["sentence_lengths"]
        emissions = network.emissions(word_batch(data), data["lengths"], data["places"])  # type: ignore[operator]
        nats = network.losses(emissions, data["targets"], lengths).sum()  # type: ignore[operator]
        count = int(lengths.sum())
        return Scored(nats / max(count, 1), nats.detach(), count)

    def dev_metrics(self, model: Fitted, dev: ExampleStore) -> dict[str, float]:
        """Loss, and the accuracy of labels or the F1 of entities, found as eagerly as is best for it."""
        tagger, texts = Tagger(model), [dev[n] for n in range(len(dev))]
        if model.encoders.kind == "entities":
            tagger.fit_eagerness(texts, ROUGHLY)
        found = tagger.tag(texts)
        gold = [list(map(model.encoders.tag, targets)) for text in found for targets in text.targets]
        tags = [list(map(model.encoders.tag, labels)) for text in found for labels in text.labels]
        metrics = {"loss": sum(text.nats for text in found) / max(sum(text.counted for text in found), 1)}
        if model.encoders.kind == "entities":
            scores = entity_scores([*map(spans_of, gold)], [*map(spans_of, tags)]).overall
            metrics |= {"f1": scores.f1, "precision": scores.precision, "recall": scores.recall}
        return metrics | {"accuracy": token_accuracy(gold, tags)}

    def finish(self, model: Fitted, material: Material, progress: Progress) -> None:
        """Fit how eagerly entities are found, for the best F1 on the development data."""
        model.fitted.clear()
        if model.encoders.kind == "entities":
            dev = [material.dev[n] for n in range(len(material.dev))]
            sentence = "fitting how eagerly entities are found"
            best = Tagger(model).fit_eagerness(dev, EAGER, lambda done: progress(sentence, done, len(EAGER)))
            model.fitted[EAGERNESS] = best

    def check_fitted(self, fitted: Mapping[str, Any]) -> None:
        """It is a number of nats."""
        value = fitted.get(EAGERNESS, 0.0)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            raise ArgumentError(f"{EAGERNESS}: expected a number of nats, found {value!r}")

    def fit_baseline(
        self,
        train: Sequence[TaggedText],
        dev: Sequence[TaggedText],
        encoders: TagEncoders,
        folder: Path,
        progress: Progress,
    ) -> None:
        """What the training text knows by heart."""
        parts = [(t.tokens[a:b], t.tags[a:b]) for t in train for a, b in t.sentences()]
        lookup: PhraseLookup | WordLookup
        if encoders.kind == "entities":
            lookup = PhraseLookup.fit((tokens, spans_of(tags)) for tokens, tags in parts)
        else:
            lookup = WordLookup.fit(parts)
        write_json(folder / BASELINE, lookup.as_json())

    def evaluate(self, model: Fitted, paths: tuple[Path, ...], progress: Progress, **options: Any) -> Evaluation:
        """Entities' precision, recall and F1, of each type and of surface forms; or the accuracy of labels.

        Args:
            model: the model.
            paths: text as `train` reads it.
            progress: told how far it has come.
            options: the fields of `TagEvaluateOptions`.

        Raises:
            ArgumentError: an option is unknown or out of range.
            DataError, StorageError: the text can't be read, or has a label that the model does not know: file and line.
        """
        started = time.perf_counter()
        changes = TagEvaluateOptions(**options).model_dump()
        if not context_of(model):
            # it never saw a border between sentences
            changes["context"] = 0
        texts: list[TaggedText] = self.read_for_evaluation(model, paths, progress, **changes)
        check_labels(texts, model.encoders)
        progress("tagging", 0, len(texts))
        tagger = Tagger(model)
        found = tagger.tag(
            [model.encoders.encode(text) for text in texts], lambda n: progress("tagging", n, len(texts))
        )
        tokens = [text.tokens[a:b] for text in texts for a, b in text.sentences()]
        gold = [text.tags[a:b] for text in texts for a, b in text.sentences()]
        tags = [[model.encoders.tag(k) for k in labels] for text in found for labels in text.labels]
        loss = sum(text.nats for text in found) / max(sum(text.counted for text in found), 1)
        metrics = {"loss": loss, **tag_metrics(tokens, gold, tags, model.encoders.kind)}
        beside: dict[str, Any] = {}
        path = None if model.folder is None else model.folder / BASELINE
        if path is not None and path.is_file():
            lookup = lookup_from_json(read_json(path), str(path))
            beside = {"model": lookup.name}
            if isinstance(lookup, PhraseLookup):
                known = [[Span(*entity) for entity in lookup.entities(words)] for words in tokens]
                beside |= entity_metrics(tokens, gold, known)
            else:
                beside |= tag_metrics(tokens, gold, [lookup.labels(words) for words in tokens], "labels")
        return Evaluation(self.name, [str(p) for p in paths], metrics, beside, time.perf_counter() - started)

    def predict(self, model: Fitted, inputs: Iterable[Any], **options: Any) -> Iterator[Tagging]:
        """The entities, or labels, of each input.

        Args:
            model: the model.
            inputs: a text each, cut into tokens by `unrolled.data.text.words`, each line a sentence; or the tokens
                of a sentence, as a list or under "tokens" of a mapping; or several of a document, under "sentences".
                Sentences of one text are read in context if the model was trained so.
            options: the fields of `TagPredictOptions`.

        Raises:
            ArgumentError: for what is no text, and for an option out of range.
        """
        chosen = TagPredictOptions(**options)
        tagger = Tagger(model)
        if chosen.n_best > 1 and not model.network.chained:
            raise ArgumentError("n_best: a model of independent labels has one reading; train with --output crf")
        for texts in tagged_inputs(inputs):
            yield from tagger.predict(texts, chosen.n_best)

    def probe(self, model: Fitted, given: Any, limit: int) -> Probe:
        """A sentence by its words, asked about the label of each."""
        [[(_, words, _)]] = tagged_inputs([given])
        if not words:
            raise ArgumentError("input: a sentence of at least one token is needed to look into")
        first, note = last_steps(len(words), limit, "tokens")
        shown = [word.text for word in words[first:]]
        arrays = model.encoders.encode(untagged(shown, model.encoders))
        data = on_device(model.network, collated([arrays], Noise(), model.encoders.first_rare, None))
        return probe_tagged_text(model, shown, data, word_batch(data), note)

    def wire(self) -> Wire:
        """How it is spoken to over HTTP."""
        from unrolled.tasks.uses.tag.api import TagWire

        return TagWire()

    def stream(self, model: Fitted) -> TagSession:
        """A session that labels tokens as they come.

        Raises:
            ArgumentError: the model looks ahead.
        """
        return TagSession(model)


def check_labels(texts: Sequence[TaggedText], encoders: TagEncoders) -> None:
    """See that a model knows the labels of some text.

    Raises:
        DataError: it does not; naming file and line.
    """
    for text in texts:
        if text.kind != encoders.kind:
            message = f"holds {text.kind}, the model was trained on {encoders.kind}; see --label-column and --scheme"
            raise DataError(message, text.path, text.line)
        for at, tag in enumerate(text.tags):
            if not encoders.knows(tag):
                known = ", ".join(encoders.types)
                raise DataError(
                    f"label {tag!r} is unknown to the model, which has {known}", text.path, text.line_of(at)
                )
