"""A label for each step: of words, of rows, of frames."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn
from typing_extensions import Self

from unrolled.data import IGNORED, Arrays, Example, ExampleStore, padded
from unrolled.errors import DataError, ModelError
from unrolled.layers import Session
from unrolled.settings import Settings
from unrolled.tasks.core import results
from unrolled.tasks.core.contract import AnyInput, Output
from unrolled.tasks.core.examples import on_device
from unrolled.tasks.core.fitted import AnyFitted
from unrolled.tasks.core.folder.files import read_json, write_json
from unrolled.tasks.core.probe import Probe, asked_itself
from unrolled.tasks.core.results import Shown, result_type
from unrolled.tasks.core.stream import StepStream
from unrolled.tasks.core.values import InputSteps, Progress, Scored, joined
from unrolled.tasks.outputs.labels.decode import best_of, log_probabilities
from unrolled.tasks.outputs.labels.network import labels_network, start_from_frequencies
from unrolled.tasks.outputs.labels.options import LabelsEvaluation, LabelsNetwork, LabelsOptions
from unrolled.tasks.outputs.labels.results import StepLabels, labelled_steps
from unrolled.tasks.outputs.labels.scoring import UNSEEN, Labels, label_metrics, mean_loss, targets_of
from unrolled.tasks.outputs.labels.session import LabelsSession
from unrolled.types import Json

LABELS = "labels.json"

R = TypeVar("R", bound=results.Result)


class LabelsOutput(Output[Sequence[str | None], R]):
    """A label of a fixed list for each step; a target is one label a step, None where nothing is said.

    Args:
        labels: K of them, in the order of the logits.
    """

    name: ClassVar[str] = "labels"
    synced: ClassVar[bool] = True
    options: ClassVar[type[Settings]] = LabelsOptions
    evaluate_options: ClassVar[type[Settings]] = LabelsEvaluation
    Network: ClassVar[type[Settings]] = LabelsNetwork
    Result: ClassVar[type[results.Result]] = StepLabels

    def __init__(self, labels: Sequence[str]) -> None:
        self.labels = tuple(labels)
        self._number = {label: n for n, label in enumerate(self.labels)}

    @classmethod
    def fit(cls, examples: Sequence[Example], options: Settings, progress: Progress) -> Self:
        """Collect the labels of the training part."""
        labels = sorted({label for example in examples for label in example.target if label is not None})
        check_several(labels, examples[0])
        return cls(labels)

    def extended(self, other: Self) -> Self:
        """Add the other's labels."""
        return type(self)(joined(self.labels, other.labels))

    @property
    def sizes(self) -> dict[str, int]:
        """How many labels there are."""
        return {"labels": len(self.labels)}

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read labels.json."""
        labels = read_json(folder / LABELS)
        is_whole = isinstance(labels, list) and all(isinstance(label, str) for label in labels)
        if not is_whole or not labels or len(set(labels)) < len(labels):
            raise ModelError(f"{folder / LABELS}: corrupt, expected a list of labels, each once")
        return cls(labels)

    def save(self, folder: Path) -> None:
        """Write labels.json."""
        write_json(folder / LABELS, list(self.labels))

    def number(self, label: str | None) -> int:
        """Return the place of a label; `UNSEEN` for one that training never saw, `IGNORED` where nothing is said."""
        return IGNORED if label is None else self._number.get(label, UNSEEN)

    def label(self, number: int) -> str:
        """Return the label of a number; "?" for one that training never saw."""
        return self.labels[number] if 0 <= number < len(self.labels) else "?"

    def encode(self, target: Sequence[str | None]) -> Arrays:
        """Return `targets` (T,)."""
        return {"targets": np.array([self.number(label) for label in target], dtype=np.int64)}

    def collate(self, examples: Sequence[Arrays]) -> dict[str, Tensor]:
        """Return `targets` (T, B), IGNORED where nothing is said and beyond the end."""
        targets = [example["targets"] for example in examples]
        return {"targets": padded([np.where(t == UNSEEN, IGNORED, t) for t in targets], IGNORED)}

    def network(self, source: AnyInput, network: Mapping[str, Any]) -> nn.Module:
        """Return hidden layers and a linear output layer."""
        return labels_network(source, network, len(self.labels))

    def initialise(self, network: nn.Module, store: ExampleStore) -> None:
        """Start from the labels' frequencies."""
        start_from_frequencies(network, targets_of(store), len(self.labels))

    def score(self, network: nn.Module, x: object, lengths: Tensor | None, data: Mapping[str, Tensor]) -> Scored:
        """Return the cross entropy, nats a labelled step."""
        logits, _ = network(x, None, lengths)
        return Scored(*network.get_submodule("loss")(logits, data["targets"]))

    def check_known(self, examples: Sequence[Example]) -> None:
        """Check that every label is one of the model's."""
        for example in examples:
            for label in example.target:
                if self.number(label) == UNSEEN:
                    known = ", ".join(self.labels[:20]) + (", …" if len(self.labels) > 20 else "")
                    message = f"label {label!r} is unknown to the model, which has {known}"
                    raise DataError(message, example.path or None, example.line)

    def facts(self, train: Sequence[Example], dev: Sequence[Example]) -> Json:
        """Count the labels."""
        return {"labels": len(self.labels)}

    def measured(self, targets: Labels, predicted: Labels) -> dict[str, float]:
        """Return metrics of the labels chosen, (T,) of each input, over the steps that carry a label."""
        metrics = label_metrics(self._names(targets, targets), self._names(predicted, targets))
        return {name: value for name, value in metrics.items() if isinstance(value, float)}

    def _names(self, numbers: Labels, targets: Labels) -> list[list[str]]:
        pairs = zip(numbers, targets, strict=True)
        return [[self.label(n) for n in own[gold != IGNORED].tolist()] for own, gold in pairs]

    def dev_metrics(self, model: AnyFitted, dev: ExampleStore) -> dict[str, float]:
        """Return loss and metrics of the most probable label of each step."""
        targets, log_probs = targets_of(dev), log_probabilities(model, dev)
        predicted = [scores.argmax(axis=1) for scores in log_probs]
        return {"loss": mean_loss(targets, log_probs), **self.measured(targets, predicted)}

    def evaluate(
        self, model: AnyFitted, examples: Iterator[tuple[Example, Arrays]], progress: Progress, options: Settings
    ) -> tuple[Json, Json]:
        """Return loss, accuracy and F1 of each label, beside those of the most frequent label everywhere."""
        encoded = [arrays for _, arrays in examples]
        targets, log_probs = targets_of(encoded), log_probabilities(model, encoded)
        gold = self._names(targets, targets)
        best = [scores.argmax(axis=1) for scores in log_probs]
        metrics = {"loss": mean_loss(targets, log_probs), **label_metrics(gold, self._names(best, targets))}
        metrics |= {"steps": sum(map(len, gold))}
        frequent, everywhere = self.everywhere(model, targets)
        return metrics, {"model": f"{frequent!r} everywhere", **label_metrics(gold, self._names(everywhere, targets))}

    def everywhere(self, model: AnyFitted, targets: Labels) -> tuple[str, list[NDArray[np.int64]]]:
        """Return the most frequent label of the training part, and its number in the place of each target."""
        frequent = int(model.network.get_buffer("label_frequency").argmax())
        return self.labels[frequent], [np.full(len(t), frequent, dtype=np.int64) for t in targets]

    def predict(
        self, model: AnyFitted, inputs: Sequence[Arrays], shown: Sequence[Shown], options: Settings
    ) -> Iterator[R]:
        """Yield the labels of each input's steps."""
        result: Any = result_type(model.input.Shown, self.Result)
        for given, arrays, log_probs in zip(shown, inputs, log_probabilities(model, inputs), strict=True):
            content = model.input.content(arrays)
            labels, scores = best_of(log_probs if content is None else log_probs[content])
            steps = labelled_steps(given.steps(len(labels)), map(self.label, labels), scores)
            yield result(**dict(given), steps=steps)

    def probe(self, model: AnyFitted, steps: InputSteps) -> Probe:
        """Ask at each step about the label that the network itself predicts."""
        x, lengths = model.input.feed(on_device(model.network, steps.data))
        network, inputs = model.network, model.network.get_submodule("inputs")

        def run() -> Tensor:
            logits: Tensor = network(x, None, lengths)[0]
            return logits[:, 0]

        return asked_itself(network, run, inputs, steps, steps.names, self.labels, synced=True)

    def session(self, model: AnyFitted, steps: StepStream[Any]) -> Session:
        """Return an input in progress, whose steps are labelled as they come."""
        return LabelsSession(model, steps)


def check_several(labels: Sequence[str], example: Example) -> None:
    """Check that there are labels to tell apart.

    Raises:
        DataError: there are fewer than two.
    """
    if len(labels) < 2:
        known = ", ".join(labels) or "none"
        raise DataError(f"one label, {known}: there is nothing to tell apart", example.path or None)
