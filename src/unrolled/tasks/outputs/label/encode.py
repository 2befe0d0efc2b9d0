"""One label: of a text, an image, a sound, a series."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from unrolled.data import Arrays, Example, ExampleStore, Findings
from unrolled.errors import ArgumentError, DataError, ModelError
from unrolled.layers import CrossEntropy, Session
from unrolled.settings import Settings
from unrolled.tasks.core.checks import check_label
from unrolled.tasks.core.contract import AnyInput, Output
from unrolled.tasks.core.fitted import AnyFitted
from unrolled.tasks.core.folder.files import read_json, write_json
from unrolled.tasks.core.probe import Probe
from unrolled.tasks.core.results import Shown, result_type
from unrolled.tasks.core.stream import StepStream
from unrolled.tasks.core.values import InputSteps, Progress, Scored, joined
from unrolled.tasks.outputs.label import scoring
from unrolled.tasks.outputs.label.baseline import BASELINE, fit_regression
from unrolled.tasks.outputs.label.decode import log_probabilities, ranked
from unrolled.tasks.outputs.label.network import label_network, start_from_frequencies
from unrolled.tasks.outputs.label.options import LabelEvaluation, LabelNetwork, LabelOptions
from unrolled.tasks.outputs.label.probe import probe_label
from unrolled.tasks.outputs.label.results import Classification, judged
from unrolled.tasks.outputs.label.session import LabelSession
from unrolled.types import Json

LABELS = "labels.json"
#: a label of fewer training examples than this is pointed out
FEW = 5


class LabelOutput(Output[str, Classification]):
    """One label of a fixed list.

    Args:
        labels: in the order of the logits.
    """

    name: ClassVar[str] = "label"
    options: ClassVar[type[Settings]] = LabelOptions
    evaluate_options: ClassVar[type[Settings]] = LabelEvaluation
    Network: ClassVar[type[Settings]] = LabelNetwork
    Result: ClassVar[type[Classification]] = Classification
    baseline_files: ClassVar[tuple[str, ...]] = (BASELINE,)
    #: of an LSTM's forget gate at the start
    forget_bias: ClassVar[float | None] = 1.0

    def __init__(self, labels: Sequence[str]) -> None:
        self.labels = tuple(labels)
        self._number = {label: n for n, label in enumerate(self.labels)}

    @classmethod
    def fit(cls, examples: Sequence[Example], options: Settings, progress: Progress) -> LabelOutput:
        """Collect the labels of the training part."""
        labels = sorted({example.target for example in examples}, key=in_order)
        if len(labels) < 2:
            raise DataError(_one_label(examples[0]), examples[0].path)
        for example in examples:
            check_label(example.target, example)
        return cls(labels)

    def extended(self, other: LabelOutput) -> LabelOutput:
        """Add the other's labels."""
        return type(self)(joined(self.labels, other.labels))

    @property
    def sizes(self) -> dict[str, int]:
        """How many labels there are."""
        return {"labels": len(self.labels)}

    @classmethod
    def load(cls, folder: Path) -> LabelOutput:
        """Read labels.json."""
        labels = read_json(folder / LABELS)
        is_whole = isinstance(labels, list) and all(isinstance(label, str) for label in labels)
        if not is_whole or len(labels) < 2 or len(set(labels)) < len(labels):
            raise ModelError(f"{folder / LABELS}: corrupt, expected a list of at least two labels")
        return cls(labels)

    def save(self, folder: Path) -> None:
        """Write labels.json."""
        write_json(folder / LABELS, list(self.labels))

    def number_of(self, label: str) -> int | None:
        """Return the class number of a label; None for one that training never saw."""
        return self._number.get(label)

    def encode(self, target: str) -> Arrays:
        """Return `label` (1,), the ignored target for one that training never saw."""
        return {"label": np.array([self._number.get(target, CrossEntropy().ignored)], dtype=np.int64)}

    def collate(self, examples: Sequence[Arrays]) -> dict[str, Tensor]:
        """Return `labels` (B,)."""
        return {"labels": torch.from_numpy(np.concatenate([example["label"] for example in examples]))}

    def network(self, source: AnyInput, network: Mapping[str, Any]) -> nn.Module:
        """Return hidden layers, pooling and a linear output layer."""
        return label_network(source, network, len(self.labels), forget_bias=self.forget_bias)

    def initialise(self, network: nn.Module, store: ExampleStore) -> None:
        """Start from the labels' frequencies."""
        start_from_frequencies(network, store, len(self.labels))

    def score(self, network: nn.Module, x: object, lengths: Tensor | None, data: Mapping[str, Tensor]) -> Scored:
        """Return the cross entropy, nats an input."""
        logits = network(x) if lengths is None else network(x, lengths)
        scored: Scored = network.get_submodule("loss")(logits, data["labels"])
        return scored

    @classmethod
    def check(cls, train: Sequence[Example], dev: Sequence[Example], options: Settings, findings: Findings) -> None:
        """Refuse a single label; point out labels of very few examples, which are often misspelled ones."""
        counts = Counter(example.target for example in train)
        if len(counts) == 1:
            findings.error("one label", _one_label(train[0]), train[0].path)
            return
        for example in train:
            if (n := counts.pop(example.target, FEW)) < FEW:
                message = f"label {example.target!r} has {n} training example{'s' * (n != 1)}: too few to learn"
                findings.warning("rare label", f"{message}; misspelled?", example.path, example.line)

    def check_known(self, examples: Sequence[Example]) -> None:
        """Check that every label is one of the model's."""
        for example in examples:
            if example.target not in self._number:
                known = ", ".join(self.labels[:20]) + (", …" if len(self.labels) > 20 else "")
                message = f"label {example.target!r} is unknown to the model, which has {known}"
                raise DataError(message, example.path, example.line)

    def facts(self, train: Sequence[Example], dev: Sequence[Example]) -> Json:
        """Count the examples of each label."""
        counts = Counter(example.target for example in train)
        return {"labels": {label: counts[label] for label in self.labels}}

    def fit_baseline(
        self,
        source: AnyInput,
        train: Sequence[Example],
        dev: Sequence[Example],
        store: ExampleStore,
        folder: Path,
        progress: Progress,
    ) -> None:
        """Fit logistic regression on the input's features."""
        progress(f"fitting the logistic regression on {source.features_are}", 0, None)
        fit_regression(source, store, len(self.labels), folder)

    def has_regression(self, model: AnyFitted) -> bool:
        """Return whether the model's baseline is logistic regression on the input's features."""
        return True

    def dev_metrics(self, model: AnyFitted, dev: ExampleStore) -> dict[str, float]:
        """Return loss, accuracy and macro F1."""
        return scoring.dev_metrics(model, dev)

    def finish(self, model: AnyFitted, dev: ExampleStore, progress: Progress) -> None:
        """Fit the temperature on the development data, so that probabilities mean what they say; compare."""
        progress("calibrating", 0, None)
        scoring.calibrate(model, dev)
        if self.has_regression(model):
            scoring.compare(model, dev)

    @classmethod
    def check_fitted(cls, fitted: Mapping[str, Any]) -> None:
        """Check the temperature."""
        value = fitted.get("temperature", 1.0)
        if not (isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < 1e6):
            raise ArgumentError(f"temperature: expected a number above 0, found {value!r}")

    def evaluate(
        self, model: AnyFitted, examples: Iterator[tuple[Example, Arrays]], progress: Progress, options: Settings
    ) -> tuple[Json, Json]:
        """Return accuracy, macro F1, calibration and confusion, beside logistic regression's."""
        metrics, beside, _ = scoring.evaluate(model, examples, progress)
        return metrics, beside

    def predict(
        self, model: AnyFitted, inputs: Sequence[Arrays], shown: Sequence[Shown], options: Settings
    ) -> Iterator[Classification]:
        """Yield the label of each input."""
        result: Any = result_type(model.input.Shown, self.Result)
        for given, log_probs in zip(shown, log_probabilities(model, inputs), strict=True):
            probabilities = ranked(self.labels, np.exp(log_probs).tolist())
            yield result(**dict(given), **judged(probabilities))

    def probe(self, model: AnyFitted, steps: InputSteps) -> Probe:
        """Ask about the label that the network itself predicts."""
        return probe_label(model, steps)

    def session(self, model: AnyFitted, steps: StepStream[Any]) -> Session:
        """Return an input in progress."""
        return LabelSession(model, steps)


def in_order(label: str) -> tuple[int, float, str]:
    """Sort labels that are numbers by their value, before all others."""
    try:
        value = float(label)
    except ValueError:
        value = math.nan
    return (0, value, label) if math.isfinite(value) else (1, 0.0, label)


def _one_label(example: Example) -> str:
    return f"all examples to learn from have one label, {example.target!r}; at least 2 are needed to tell them apart"
