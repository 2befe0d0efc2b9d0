"""`classify`: what a text is, of a fixed list of labels: its sentiment, its topic, what somebody wants."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from unrolled.data import Arrays, ExampleStore, Findings
from unrolled.data.text.labelled import LabelledText, Reading, read_labelled
from unrolled.data.text.vectors import read_vectors
from unrolled.data.text.words import split_words
from unrolled.errors import ArgumentError, DataError, MissingDependencyError, ModelError
from unrolled.layers import CrossEntropy
from unrolled.layers.inputs.texts import WordVotes
from unrolled.metrics.classification import calibration_error, classification_metrics, fit_temperature
from unrolled.settings import Settings
from unrolled.tasks.core.contract import Evaluation, Plan, Progress
from unrolled.tasks.core.examples import ExampleOptions, ExampleTask, Material, Scored, on_device, read_json, write_json
from unrolled.tasks.core.model import Model
from unrolled.tasks.core.probe import Probe
from unrolled.tasks.core.probes import last_steps, probe_labelled_text
from unrolled.tasks.inputs.text.encode import ClassifyEncoders, collated, text_batch
from unrolled.tasks.outputs.label.decode import SIDE_BY_SIDE, beginnings, log_probabilities
from unrolled.tasks.outputs.label.results import AfterWord, Classification, ranked
from unrolled.tasks.uses.classify.baseline import TfidfRegression, majority
from unrolled.tasks.uses.classify.plan import (
    ClassifyEvaluateOptions,
    ClassifyNetwork,
    ClassifyOptions,
    ClassifyPredictOptions,
    classify_network,
    plan_classifier,
)
from unrolled.tasks.uses.classify.session import ClassifySession

if TYPE_CHECKING:
    from unrolled.tasks.core.api import Wire

log = logging.getLogger("unrolled.tasks")

MAJORITY, TFIDF = "majority.json", "tfidf.safetensors"
#: a label of fewer training texts than this is pointed out
FEW = 5
#: the vocabulary of small data keeps words that occur this often, if nothing else is asked for
MIN_COUNT = 2
#: texts in which words are counted
COUNTED = 100_000
#: published vectors that are read: files are sorted by frequency
MOST_VECTORS = 400_000


class Classify(ExampleTask):
    """Text in, label out."""

    name: ClassVar[str] = "classify"
    summary: ClassVar[str] = "tell what a text is: sentiment, topic, intent, any label"
    shape: ClassVar[str] = "many-to-one"
    options: ClassVar[type[ExampleOptions]] = ClassifyOptions
    evaluate_options: ClassVar[type[Settings]] = ClassifyEvaluateOptions
    predict_options: ClassVar[type[Settings]] = ClassifyPredictOptions
    reads: ClassVar[Literal["text", "path"]] = "text"
    length_of: ClassVar[str | None] = "words"
    baseline_files: ClassVar[tuple[str, ...]] = (MAJORITY, TFIDF)

    def read(self, paths: tuple[Path, ...], options: ClassifyOptions, findings: Findings) -> list[LabelledText]:
        """Tables, a folder for each label, fastText lines, lines that begin with a label."""
        reading = Reading(
            format=options.format,
            text_column=options.text_column,
            label_column=options.label_column,
            delimiter=options.delimiter,
            encoding=options.encoding,
            errors=options.errors,
        )
        return list(read_labelled(paths, findings, reading))

    def check_examples(
        self,
        train: Sequence[LabelledText],
        dev: Sequence[LabelledText],
        options: ClassifyOptions,
        findings: Findings,
        progress: Progress,
    ) -> None:
        """Refuse a single label; point out labels of very few texts, which are often misspelled ones."""
        counts = Counter(text.label for text in train)
        if len(counts) == 1:
            findings.error("one label", _one_label(train[0]), train[0].path)
            return
        for text in train:
            if (n := counts.pop(text.label, FEW)) < FEW:
                message = f"label {text.label!r} has {n} training text{'s' * (n != 1)}: too few to learn; misspelled?"
                findings.warning("rare label", message, text.path, text.line)

    def fit(self, train: Sequence[Any], options: ClassifyOptions, progress: Progress) -> ClassifyEncoders:
        """Count words and labels; read the published vectors, if there are any."""
        if len({text.label for text in train}) < 2:
            raise DataError(_one_label(train[0]), train[0].path)
        vectors = None
        if options.vectors is not None:
            vectors = read_vectors(
                options.vectors, limit=MOST_VECTORS, told=lambda n: progress("reading the vectors", n, None)
            )
        progress("counting words", 0, None)
        return ClassifyEncoders.fit(
            train,
            min_count=options.min_count or (MIN_COUNT if options.parts else 1),
            lowercase=options.lowercase,
            parts=options.parts,
            pairs=options.votes,
            longest=options.longest,
            vectors=vectors,
        )

    def save_encoders(self, encoders: ClassifyEncoders, folder: Path) -> None:
        """labels.json, encoders.json, vectors.safetensors."""
        encoders.save(folder)

    def load_encoders(self, folder: Path) -> ClassifyEncoders:
        """labels.json, encoders.json, vectors.safetensors."""
        return ClassifyEncoders.load(folder)

    def encode(self, example: LabelledText, encoders: ClassifyEncoders) -> Arrays:
        """Words, their parts and the label as numbers."""
        return encoders.encode([word.text for word in encoders.words_of(example.text)], example.label)

    def count(
        self, train: Sequence[LabelledText], dev: Sequence[LabelledText], encoders: ClassifyEncoders
    ) -> dict[str, Any]:
        """Labels and words."""
        counts = Counter(text.label for text in train)
        return {
            "labels": {label: counts[label] for label in encoders.labels},
            "words": len(encoders.words),
            "train_words": sum(len(encoders.words_of(text.text)) for text in train),
        }

    def plan(self, material: Material, options: ClassifyOptions, training: Mapping[str, Any]) -> Plan:
        """A classifier and a schedule by how many texts there are and how long they are."""
        return plan_classifier(material, options, training)

    def build(self, network: Mapping[str, Any], encoders: ClassifyEncoders) -> ClassifyNetwork:
        """Words and their parts, recurrent stack, pooling, labels."""
        return classify_network(network, encoders)

    def initialise(self, network: nn.Module, material: Material) -> None:
        """Start from the labels' frequencies; how telling a word is follows from how many texts have it."""
        counts = torch.tensor(list(material.facts["labels"].values()), dtype=torch.float32)
        with torch.no_grad():
            network.output.bias.copy_((counts / counts.sum()).clamp(min=1e-6).log())  # type: ignore[union-attr, operator]
            if isinstance(network, ClassifyNetwork) and isinstance(network.beside, WordVotes):
                for name in ("words", "pairs", "parts"):
                    idf = getattr(network.beside, f"idf_{name}")
                    idf.copy_(torch.from_numpy(inverse_frequencies(material.train, name, len(idf))))

    def collate(self, model: Model, examples: list[Arrays], draw: np.random.Generator | None) -> dict[str, Tensor]:
        """Texts side by side; while training rare words are read as unknown now and then, and texts perhaps twice."""
        batching = model.config.batching
        readings = int(batching.get("readings", 1)) if draw is not None else 1
        return collated(examples * readings, model.encoders.counts, float(batching.get("unknown", 0.0)), draw)

    def score(self, network: nn.Module, data: dict[str, Tensor]) -> Scored:
        """Cross entropy, nats a text; while training with what two readings of a text differ by, if that counts.

        Source: R-Drop, Liang et al. 2021, arXiv 2106.14448, equation 3.
        """
        logits = network(text_batch(data), data["lengths"])
        loss = CrossEntropy(smoothing=network.smoothing if network.training else 0.0)  # type: ignore[arg-type]
        mean, total, count = loss(logits, data["labels"])
        if network.training and network.consistency:
            mean = mean + network.consistency * difference(logits)  # type: ignore[operator]
        return Scored(mean, total, count)

    def dev_metrics(self, model: Model, dev: ExampleStore) -> dict[str, float]:
        """Loss, accuracy and macro F1."""
        texts, gold = known_texts(dev)
        if not texts:
            return {}
        found = classification_metrics(log_probabilities(model, texts, temperature=1.0), gold, model.encoders.labels)
        return {name: found[name] for name in ("loss", "accuracy", "macro_f1")}

    def sample(self, model: Model, dev: ExampleStore) -> str | None:
        """What the model makes of a few development texts."""
        texts = [dev[n] for n in range(min(4, len(dev)))]
        labels, words = model.encoders.labels, ["?", *model.encoders.words]
        lines = []
        for text, log_probs in zip(texts, log_probabilities(model, texts, temperature=1.0), strict=True):
            k, gold = int(log_probs.argmax()), int(text["label"][0])
            right = labels[gold] if 0 <= gold < len(labels) else "?"
            shown = " ".join(words[n] for n in text["words"][:16])
            lines.append(f"{labels[k]} {np.exp(log_probs[k]):.0%} ({right}): {shown}")
        return "\n".join(lines)

    def finish(self, model: Model, material: Material, progress: Progress) -> None:
        """Fit the temperature on the development data, so that probabilities mean what they say."""
        # that of weights before, in a run that goes on
        model.fitted.clear()
        texts, gold = known_texts(material.dev)
        if not texts:
            return
        progress("calibrating", 0, None)
        raw = log_probabilities(model, texts, temperature=1.0)
        temperature = fit_temperature(raw, gold)
        model.fitted["temperature"] = temperature
        model.fitted["ece_before"] = calibration_error(np.exp(raw), gold)
        model.fitted["ece_after"] = calibration_error(np.exp(log_probabilities(model, texts)), gold)

    def check_fitted(self, fitted: Mapping[str, Any]) -> None:
        """The temperature is a number above 0."""
        value = fitted.get("temperature", 1.0)
        if not (isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < 1e6):
            raise ArgumentError(f"temperature: expected a number above 0, found {value!r}")

    def fit_baseline(
        self,
        train: Sequence[LabelledText],
        dev: Sequence[LabelledText],
        encoders: ClassifyEncoders,
        folder: Path,
        progress: Progress,
    ) -> None:
        """The most frequent label; and logistic regression on TF-IDF, where scikit-learn is installed."""
        counts = Counter(text.label for text in train)
        write_json(folder / MAJORITY, [counts[label] for label in encoders.labels])
        progress("fitting TF-IDF and logistic regression", 0, None)
        words = [[words_for_baseline(encoders, text.text) for text in part] for part in (train, dev)]
        gold = [[_number(encoders, text.label) for text in part] for part in (train, dev)]
        try:
            fitted = TfidfRegression.fit(words[0], gold[0], len(encoders.labels), words[1], gold[1])
        except MissingDependencyError as error:
            log.warning("evaluations will stand beside the most frequent label alone: %s", error)
            return
        fitted.save(folder / TFIDF)

    def evaluate(self, model: Model, paths: tuple[Path, ...], progress: Progress, **options: Any) -> Evaluation:
        """Accuracy, macro F1, calibration and confusion, beside TF-IDF with logistic regression and the majority.

        Args:
            model: the model.
            paths: texts as `train` reads them.
            progress: told how far it has come.
            options: the fields of `ClassifyEvaluateOptions`.

        Raises:
            ArgumentError: an option is unknown or out of range.
            DataError, StorageError: the texts can't be read, or have a label that the model does not know: file, line.
        """
        started = time.perf_counter()
        chosen = ClassifyEvaluateOptions(**options)
        encoders: ClassifyEncoders = model.encoders
        texts: list[LabelledText] = self.read_for_evaluation(model, paths, progress, **chosen.model_dump())
        for text in texts:
            if encoders.number_of(text.label) is None:
                known = ", ".join(encoders.labels[:20]) + (", …" if len(encoders.labels) > 20 else "")
                message = f"label {text.label!r} is unknown to the model, which has {known}"
                raise DataError(message, text.path, text.line)
        gold = [_number(encoders, text.label) for text in texts]
        encoded = [self.encode(text, encoders) for text in texts]
        raw = log_probabilities(
            model, encoded, temperature=1.0, told=lambda n: progress("classifying", n, len(encoded))
        )
        scaled = torch.from_numpy(raw) / float(model.fitted.get("temperature", 1.0))
        metrics = classification_metrics(scaled.log_softmax(-1).numpy(), gold, encoders.labels)
        metrics["ece_uncalibrated"] = calibration_error(np.exp(raw), gold)
        return Evaluation(
            self.name,
            [str(p) for p in paths],
            metrics,
            self._beside(model, texts, gold),
            time.perf_counter() - started,
        )

    def _beside(self, model: Model, texts: Sequence[LabelledText], gold: list[int]) -> dict[str, Any]:
        """The baselines' metrics on the same texts: the best there is, and the majority's accuracy."""
        encoders: ClassifyEncoders = model.encoders
        folder = model.folder
        if folder is None or not (folder / MAJORITY).is_file():
            return {}
        counts = read_json(folder / MAJORITY)
        is_whole = isinstance(counts, list) and all(isinstance(n, int) and n > 0 for n in counts)
        if not is_whole or len(counts) != len(encoders.labels):
            path = folder / MAJORITY
            raise ModelError(f"{path}: corrupt, expected a count for each label; restore it from a copy of the model")
        alone = np.tile(majority(counts), (len(texts), 1))
        simplest = classification_metrics(alone, gold, encoders.labels)
        if not (folder / TFIDF).is_file():
            return {"model": "the most frequent label", **simplest}
        regression = TfidfRegression.load(folder / TFIDF, len(encoders.labels))
        found = regression.log_probabilities(words_for_baseline(encoders, text.text) for text in texts)
        return {
            "model": "TF-IDF and logistic regression",
            **classification_metrics(found, gold, encoders.labels),
            "majority_accuracy": simplest["accuracy"],
            "majority_macro_f1": simplest["macro_f1"],
        }

    def predict(self, model: Model, inputs: Iterable[Any], **options: Any) -> Iterator[Classification]:
        """The label of each text.

        Args:
            model: the model.
            inputs: texts.
            options: the fields of `ClassifyPredictOptions`.

        Raises:
            ArgumentError: for what is no text.
        """
        chosen = ClassifyPredictOptions(**options)
        encoders: ClassifyEncoders = model.encoders
        # as they come, unless they are all there
        together = SIDE_BY_SIDE if isinstance(inputs, (list, tuple)) else 1
        waiting = iter(inputs)
        while some := list(islice(waiting, together)):
            for text in some:
                if not isinstance(text, str):
                    raise ArgumentError(f"input: the task 'classify' reads text, found {type(text).__name__}")
            encoded = [encoders.encode([word.text for word in encoders.words_of(text)]) for text in some]
            for text, log_probs in zip(some, log_probabilities(model, encoded), strict=True):
                found = ranked(encoders.labels, np.exp(log_probs).tolist())
                label = next(iter(found))
                yield Classification(
                    text,
                    label,
                    found[label],
                    found,
                    word_by_word(model, text, chosen.most_words) if chosen.words else (),
                )

    def probe(self, model: Model, given: Any, limit: int) -> Probe:
        """A text by its words, asked about its label."""
        if not isinstance(given, str):
            raise ArgumentError(f"input: the task 'classify' reads text, found {type(given).__name__}")
        encoders: ClassifyEncoders = model.encoders
        words = [word.text for word in encoders.words_of(given)]
        if not words:
            raise ArgumentError("input: a text of at least one word is needed to look into")
        first, note = last_steps(len(words), limit, "words")
        data = on_device(model.network, collated([encoders.encode(words[first:])], encoders.counts, 0.0, None))
        return probe_labelled_text(model, words[first:], data, text_batch(data), note)

    def wire(self) -> Wire:
        """How it is spoken to over HTTP."""
        from unrolled.tasks.uses.classify.api import ClassifyWire

        return ClassifyWire()

    def stream(self, model: Model) -> ClassifySession:
        """A session that says what it thinks after each word.

        Raises:
            ArgumentError: the model reads from both ends.
        """
        return ClassifySession(model)


def inverse_frequencies(store: ExampleStore, part: str, size: int) -> NDArray[np.float32]:
    """1 + ln((1 + N) / (1 + texts that have it)) of each number of a part, over the first texts of a store, (size,)."""
    texts = min(len(store), COUNTED)
    counts = np.zeros(size, dtype=np.int64)
    for n in range(texts):
        counts[np.unique(store[n][part])] += 1
    return (1 + np.log((1 + texts) / (1 + counts))).astype(np.float32)


def difference(logits: Tensor) -> Tensor:
    """The mean of KL(p‖q) and KL(q‖p) between the first and the second reading of each text, (2B, K) → nats."""
    p, q = logits.log_softmax(-1).chunk(2)
    return ((p.exp() - q.exp()) * (p - q)).sum(-1).mean() / 2


def word_by_word(model: Model, text: str, most: int | None = None) -> tuple[AfterWord, ...]:
    """What a model thinks after each word of a text, if the text ended there; see `beginnings`.

    Args:
        most: of a network that reads from both ends only after so many words, spread evenly, the last among them.
    """
    encoders: ClassifyEncoders = model.encoders
    network: Any = model.network
    words = encoders.words_of(text)
    ends = list(range(1, len(words) + 1))
    if most is not None and len(words) > most and not network.is_causal:
        ends = [len(words) * n // most for n in range(1, most + 1)]
    probabilities: NDArray[np.float64] = np.exp(beginnings(model, [word.text for word in words], ends))
    return tuple(
        AfterWord(*words[end - 1], dict(zip(encoders.labels, row.tolist(), strict=True)))
        for end, row in zip(ends, probabilities, strict=True)
    )


def words_for_baseline(encoders: ClassifyEncoders, text: str) -> list[str]:
    """All words of a text, in the form that the network's vocabulary has."""
    return [encoders.form(word.text) for word in split_words(text)]


def known_texts(store: ExampleStore) -> tuple[list[Arrays], list[int]]:
    """Those texts of a store whose label the model knows, and the labels' numbers."""
    texts = [store[n] for n in range(len(store))]
    known = [text for text in texts if int(text["label"][0]) >= 0]
    return known, [int(text["label"][0]) for text in known]


def _number(encoders: ClassifyEncoders, label: str) -> int:
    number = encoders.number_of(label)
    return CrossEntropy().ignored if number is None else number


def _one_label(text: LabelledText) -> str:
    return f"all texts have one label, {text.label!r}; at least 2 are needed to tell them apart"
