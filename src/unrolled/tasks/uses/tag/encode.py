"""Labels of tokens, alone or as a chain: of entities in BIOES, or each for itself."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, cast

from torch import Tensor, nn
from typing_extensions import Self

from unrolled.data import IGNORED, Arrays, Example, ExampleStore, Findings
from unrolled.data.tagged.read import Kind, TaggedText
from unrolled.data.tagged.schemes import OUTSIDE, UNTYPED, Span, allowed_transitions, spans_of, split_tag
from unrolled.errors import ArgumentError, DataError
from unrolled.metrics.entities import entity_scores, token_accuracy
from unrolled.networks.tagging import TaggingNetwork
from unrolled.settings import Settings
from unrolled.storage import has_part
from unrolled.tasks.core import results
from unrolled.tasks.core.contract import AnyInput
from unrolled.tasks.core.fitted import AnyFitted
from unrolled.tasks.core.folder.files import read_json, write_json
from unrolled.tasks.core.results import Shown, result_type
from unrolled.tasks.core.stream import StepStream
from unrolled.tasks.core.values import Progress, Scored, check_sizes, joined
from unrolled.tasks.outputs.labels.encode import LabelsOutput
from unrolled.tasks.outputs.labels.network import synced_layers
from unrolled.tasks.outputs.labels.results import labelled_steps
from unrolled.tasks.uses.tag.baseline import PhraseLookup, WordLookup, lookup_from_json
from unrolled.tasks.uses.tag.decode import EAGER, EAGERNESS, ROUGHLY, Sentence, Tagged, Tagger, sentence_targets
from unrolled.tasks.uses.tag.options import ChainNetwork, TagPrediction
from unrolled.tasks.uses.tag.plan import context_of
from unrolled.tasks.uses.tag.results import TaggedEntity, Tagging
from unrolled.tasks.uses.tag.scoring import entity_metrics, tag_metrics
from unrolled.tasks.uses.tag.session import TagSession
from unrolled.types import Json

BASELINE = "baseline.json"
PREFIXES = "BIES"


class TokenLabels(LabelsOutput[Tagging]):
    """The labels of tokens. They lie in encoders.json, beside the words.

    Args:
        kind: what the labels are.
        labels: in the order of the network's outputs; of entities, O and four for each type.
    """

    Network: ClassVar[type[Settings]] = ChainNetwork
    Result: ClassVar[type[results.Result]] = Tagging
    baseline_files: ClassVar[tuple[str, ...]] = (BASELINE,)

    def __init__(self, kind: Kind, labels: Sequence[str]) -> None:
        super().__init__(labels)
        self.kind = kind

    @classmethod
    def fit(cls, examples: Sequence[Example], options: Settings, progress: Progress) -> Self:
        """Collect the types of entities, or the labels."""
        texts = tagged(examples)
        labels = {tag for text in texts for tag in text.tags}
        if texts[0].kind == "labels":
            return cls("labels", sorted(labels))
        types = sorted({split_tag(tag)[1] for tag in labels if tag != OUTSIDE})
        # a bare B for entities of no type
        tags = [f"{prefix}-{label or UNTYPED}" for label in types for prefix in PREFIXES]
        return cls("entities", [OUTSIDE, *tags])

    def extended(self, other: Self) -> Self:
        """Add the other's labels."""
        if self.kind != other.kind:
            kinds = {"labels": "labels of no tag scheme", "entities": "entities"}
            raise ArgumentError(f"--from: the older model knows {kinds[self.kind]}, the data has {kinds[other.kind]}")
        return type(self)(self.kind, joined(self.labels, other.labels))

    @property
    def types(self) -> list[str]:
        """The types of entities, or the labels."""
        if self.kind == "labels":
            return list(self.labels)
        return list(dict.fromkeys(split_tag(tag)[1] for tag in self.labels if tag != OUTSIDE))

    def number(self, label: str | None) -> int:
        """Return the place of a label; K or more for one that training never saw, so that it counts as never found."""
        if label is None or label in self._number:
            return IGNORED if label is None else self._number[label]
        return len(self.labels) + (PREFIXES.index(split_tag(label)[0]) if self.kind == "entities" else 0)

    def label(self, number: int) -> str:
        """Return the label of a number."""
        if self.kind == "entities" and number >= len(self.labels):
            return f"{PREFIXES[number - len(self.labels)]}-?"
        return super().label(number)

    def network(self, source: AnyInput, network: Mapping[str, Any]) -> nn.Module:
        """Return hidden layers, a linear output layer and a chain, or labels of which each is for itself."""
        chosen = ChainNetwork.picked(network)
        check_sizes(chosen, {"labels": len(self.labels)})
        layers = synced_layers(source, network, chosen.labels, recurrent_dropout=chosen.recurrent_dropout)
        allowed = allowed_transitions(self.labels) if self.kind == "entities" else (None, None, None)
        between, begins, ends = allowed
        return TaggingNetwork(
            *layers,
            between=between,
            begins=begins,
            ends=ends,
            chained=chosen.output == "crf",
            dropout=chosen.dropout,
        )

    def initialise(self, network: nn.Module, store: ExampleStore) -> None:
        """Leave the output layer as it was drawn."""
        return

    def score(self, network: nn.Module, x: object, lengths: Tensor | None, data: Mapping[str, Tensor]) -> Scored:
        """Return −ln p of each sentence's labels, nats a token."""
        tagger, counts = cast(TaggingNetwork, network), data["sentence_lengths"]
        emissions = tagger.emissions(x, data["lengths"], data["places"])
        nats = tagger.losses(emissions, sentence_targets(data), counts).sum()
        count = int(counts.sum())
        return Scored(nats / max(count, 1), nats.detach(), count)

    @classmethod
    def check(cls, train: Sequence[Example], dev: Sequence[Example], options: Settings, findings: Findings) -> None:
        """Look for labels of two kinds, and for data without any entity."""
        for text in tagged(dev)[:1]:
            if train and text.kind != tagged(train)[0].kind:
                kinds = f"holds {text.kind}, the training data {tagged(train)[0].kind}"
                raise DataError(f"{kinds}; see --label-column and --scheme", text.path, text.line)
        for part, texts in (("training", tagged(train)), ("development", tagged(dev))):
            if texts and texts[0].kind == "entities" and not any(text.labels for text in texts):
                findings.warning("no entity", f"no entity in the {part} data: every token is O", texts[0].path)

    def check_known(self, examples: Sequence[Example]) -> None:
        """Check that the labels are of the model's kind, and that it knows each."""
        for text in tagged(examples):
            if text.kind != self.kind:
                message = f"holds {text.kind}, the model was trained on {self.kind}; see --label-column and --scheme"
                raise DataError(message, text.path, text.line)
            for at, tag in enumerate(text.tags):
                if tag not in self._number:
                    known = ", ".join(self.types)
                    message = f"label {tag!r} is unknown to the model, which has {known}"
                    raise DataError(message, text.path, text.line_of(at))

    def facts(self, train: Sequence[Example], dev: Sequence[Example]) -> Json:
        """Count sentences and tokens."""
        facts: Json = {"kind": self.kind, "labels": self.types}
        for name, texts in (("train", tagged(train)), ("dev", tagged(dev))):
            facts[f"{name}_sentences"] = sum(len(text.ends) for text in texts)
            facts[f"{name}_tokens"] = sum(len(text.tokens) for text in texts)
        return facts

    def fit_baseline(
        self,
        source: AnyInput,
        train: Sequence[Example],
        dev: Sequence[Example],
        store: ExampleStore,
        folder: Path,
        progress: Progress,
    ) -> None:
        """Learn the training text by heart."""
        parts = [(t.tokens[a:b], t.tags[a:b]) for t in tagged(train) for a, b in t.sentences()]
        lookup: PhraseLookup | WordLookup
        if self.kind == "entities":
            lookup = PhraseLookup.fit((tokens, spans_of(tags)) for tokens, tags in parts)
        else:
            lookup = WordLookup.fit(parts)
        write_json(folder / BASELINE, lookup.as_json())

    def dev_metrics(self, model: AnyFitted, dev: ExampleStore) -> dict[str, float]:
        """Return loss, and the accuracy of labels or the F1 of entities, at the O-bias that is best for it."""
        tagger, texts = Tagger(model), [dev[n] for n in range(len(dev))]
        if self.kind == "entities":
            tagger.fit_eagerness(texts, ROUGHLY)
        read = tagger.tag(texts)
        gold, tags = self._tags(read)
        metrics = {"loss": mean_nats(read)}
        if self.kind == "entities":
            scores = entity_scores([*map(spans_of, gold)], [*map(spans_of, tags)]).overall
            metrics |= {"f1": scores.f1, "precision": scores.precision, "recall": scores.recall}
        return metrics | {"accuracy": token_accuracy(gold, tags)}

    def _tags(self, read: Sequence[Tagged]) -> tuple[list[list[str]], list[list[str]]]:
        """Return the right tags of all sentences, and those that were chosen."""
        gold = [list(map(self.label, targets)) for text in read for targets in text.targets]
        return gold, [list(map(self.label, labels)) for text in read for labels in text.labels]

    def finish(self, model: AnyFitted, dev: ExampleStore, progress: Progress) -> None:
        """Fit the O-bias, for the best F1 on the development data."""
        model.fitted.clear()
        if self.kind == "entities":
            texts, sentence = [dev[n] for n in range(len(dev))], "fitting how eagerly entities are found"
            best = Tagger(model).fit_eagerness(texts, EAGER, lambda done: progress(sentence, done, len(EAGER)))
            model.fitted[EAGERNESS] = best

    @classmethod
    def check_fitted(cls, fitted: Mapping[str, Any]) -> None:
        """Check the O-bias."""
        value = fitted.get(EAGERNESS, 0.0)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            raise ArgumentError(f"{EAGERNESS}: expected a number of nats, found {value!r}")

    def evaluate(
        self, model: AnyFitted, examples: Iterator[tuple[Example, Arrays]], progress: Progress, options: Settings
    ) -> tuple[Json, Json]:
        """Return precision, recall and F1 of entities, of each type and of surface forms; or the accuracy of labels."""
        pairs = list(examples)
        read = Tagger(model).tag([arrays for _, arrays in pairs])
        tokens = [text.tokens[a:b] for text in tagged([text for text, _ in pairs]) for a, b in text.sentences()]
        gold, tags = self._tags(read)
        metrics: Json = {"loss": mean_nats(read), **tag_metrics(tokens, gold, tags, self.kind)}
        path = None if model.folder is None else model.folder / BASELINE
        if path is None or not has_part(path):
            return metrics, {}
        lookup = lookup_from_json(read_json(path), str(path))
        if isinstance(lookup, PhraseLookup):
            known = [[Span(*entity) for entity in lookup.entities(words)] for words in tokens]
            return metrics, {"model": lookup.name, **entity_metrics(tokens, gold, known)}
        by_heart = [lookup.labels(words) for words in tokens]
        return metrics, {"model": lookup.name, **tag_metrics(tokens, gold, by_heart, "labels")}

    def predict(
        self, model: AnyFitted, inputs: Sequence[Arrays], shown: Sequence[Shown], options: Settings
    ) -> Iterator[Tagging]:
        """Yield the entities, or labels, of each text; its sentences are read in context if the model was trained so.

        Raises:
            ArgumentError: several readings of a model that has one.
        """
        n_best = TagPrediction.of(options).n_best
        if n_best > 1 and not cast(TaggingNetwork, model.network).chained:
            raise ArgumentError("n_best: a model of independent labels has one reading; train with --output crf")
        result: Any = result_type(model.input.Shown, self.Result)
        for given, sentences in zip(shown, Tagger(model).read(inputs, context_of(model), n_best), strict=True):
            yield result(**dict(given), kind=self.kind, **_joined(given, sentences))

    def session(self, model: AnyFitted, steps: StepStream[Any]) -> TagSession:
        """Return a text in progress, whose tokens are labelled as they come."""
        return TagSession(model, steps)


def tagged(examples: Sequence[Example]) -> list[TaggedText]:
    """Return examples as what `read_tagged` made of them."""
    return cast("list[TaggedText]", examples)


def mean_nats(read: Sequence[Tagged]) -> float:
    """Return −ln p of the right labels, nats a token, over the sentences whose labels the model knows."""
    return sum(text.nats for text in read) / max(sum(text.counted for text in read), 1)


def _joined(shown: Shown, sentences: Sequence[Sentence]) -> Json:
    """Return the fields of a `Tagging` from its sentences; the readings of a single one are kept."""
    labels = [label for sentence in sentences for label in sentence.labels]
    words, text = shown.steps(len(labels)), getattr(shown, "text", "")
    tokens = labelled_steps(words, labels, itertools.chain.from_iterable(s.scores for s in sentences))
    entities, before = [], 0
    for sentence in sentences:
        for span, score in sentence.entities:
            first, last = before + span.start, before + span.end - 1
            start, end = tokens[first].start, tokens[last].end
            entities.append(
                TaggedEntity(
                    text=text[start:end], start=start, end=end, label=span.label, score=score, first=first, last=last
                )
            )
        before += len(sentence.labels)
    alternatives = sentences[0].readings if len(sentences) == 1 else ()
    return {"tokens": tokens, "entities": entities, "alternatives": alternatives}
