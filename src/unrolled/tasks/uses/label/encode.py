"""A label for each step of a recording, in runs: which follows which counts, and one may say that nothing happens.

T steps, K labels.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, cast

import torch
from numpy.typing import NDArray
from torch import nn
from typing_extensions import Self

from unrolled.data import Arrays, Example, ExampleStore
from unrolled.data.steps.recordings import Recording
from unrolled.decoding.smoothing import Transitions
from unrolled.errors import ArgumentError
from unrolled.networks import SyncedNetwork
from unrolled.settings import Settings
from unrolled.tasks.core import results
from unrolled.tasks.core.contract import AnyInput
from unrolled.tasks.core.fitted import AnyFitted
from unrolled.tasks.core.results import result_type
from unrolled.tasks.core.stream import StepStream
from unrolled.tasks.core.values import Progress, joined
from unrolled.tasks.outputs.labels.decode import log_probabilities, probabilities_of
from unrolled.tasks.outputs.labels.encode import LabelsOutput, check_several
from unrolled.tasks.outputs.labels.scoring import Labels, mean_loss, targets_of
from unrolled.tasks.uses.label.baseline import BASELINE, compared
from unrolled.tasks.uses.label.options import LabelPrediction, StepLabelEvaluation, StepLabelOptions
from unrolled.tasks.uses.label.results import LabelledRecording, segmented
from unrolled.tasks.uses.label.scoring import best_weight, chosen_labels, scores_of, transitions_of
from unrolled.tasks.uses.label.session import StepLabelSession
from unrolled.training import TrainingSettings
from unrolled.types import Json

#: metrics by which the weight of transitions can be chosen
JUDGED = ("accuracy", "f1", "edit", "f1_10", "f1_25", "f1_50")


class SegmentLabels(LabelsOutput[LabelledRecording]):
    """Labels of steps, in runs.

    Args:
        labels: K of them, in the order of the logits.
        background: the one that says that nothing happens, if there is one.
        aliases: labels that are read as that one.
    """

    Result: ClassVar[type[results.Result]] = LabelledRecording
    baseline_files: ClassVar[tuple[str, ...]] = (BASELINE,)

    def __init__(self, labels: Sequence[str], background: str | None = None, aliases: Sequence[str] = ()) -> None:
        super().__init__(labels)
        self.background, self.aliases = background, tuple(aliases)

    def extended(self, other: SegmentLabels) -> SegmentLabels:
        """Add the other's labels."""
        labels, aliases = joined(self.labels, other.labels), joined(self.aliases, other.aliases)
        return SegmentLabels(labels, self.background, aliases)

    @classmethod
    def fit(cls, examples: Sequence[Example], options: Settings, progress: Progress) -> Self:
        """Collect the labels of the training part, and those that say that nothing happens."""
        known = {label for example in examples for label in example.labels}
        background, aliases = _background(examples, known, StepLabelOptions.of(options).background)
        labels = sorted((known - set(aliases)) | ({background} if background else set()))
        check_several(labels, examples[0])
        return cls(labels, background, aliases)

    @property
    def background_number(self) -> int | None:
        """The background's place among the labels."""
        return None if self.background is None else self.labels.index(self.background)

    def number(self, label: str | None) -> int:
        """Return a label's place; that of the background for what means the same."""
        return super().number(self.background if label in self.aliases else label)

    def network(self, source: AnyInput, network: Mapping[str, Any]) -> nn.Module:
        """Return hidden layers and a linear output layer.

        Beside its weights the network carries what was counted on the training labels: log-probabilities, in nats, of
        the first label, `first_label` (K,), and of one label after another, `next_label` (K, K).
        """
        built, classes = super().network(source, network), len(self.labels)
        built.register_buffer("first_label", torch.zeros(classes))
        built.register_buffer("next_label", torch.zeros(classes, classes))
        return built

    def initialise(self, network: nn.Module, store: ExampleStore) -> None:
        """Start from the labels' frequencies, and count which label follows which."""
        super().initialise(network, store)
        chain = Transitions.fit(targets_of(store), len(self.labels))
        network.get_buffer("first_label").copy_(torch.from_numpy(chain.initial))
        network.get_buffer("next_label").copy_(torch.from_numpy(chain.matrix))

    def measured(self, targets: Labels, predicted: Labels) -> dict[str, float]:
        """Return frame accuracy, macro F1, edit score and F1@10, 25, 50."""
        return scores_of(targets, predicted, self.background_number)

    def sample(self, model: AnyFitted, dev: ExampleStore) -> str | None:
        """Return the segments of the first recording held out."""
        gold, rate = [self.label(n) for n in dev[0]["targets"].tolist()], model.input.rate
        [log_probs] = log_probabilities(model, [dev[0]])
        truth = segmented(gold, [1.0] * len(gold), rate, self.background)
        now = self._segments(model, log_probs, rate, 0.0)
        return f"gold: {LabelledRecording(**truth)}\nnow : {LabelledRecording(**now)}"

    def finish(self, model: AnyFitted, dev: ExampleStore, progress: Progress) -> None:
        """Weigh the transitions on development data.

        A model that reads in one direction goes without transitions: it is to say the same when it is streamed.
        """
        model.fitted["transition_weight"] = 0.0
        reads_ahead = cast(SyncedNetwork, model.network).hidden.bidirectional
        if StepLabelOptions.of(model.options).transitions and reads_ahead:
            model.fitted["transition_weight"] = best_weight(
                targets_of(dev),
                log_probabilities(model, dev),
                transitions_of(model.network),
                self.background_number,
                judged_by(TrainingSettings(**model.config.training)),
            )

    @classmethod
    def check_fitted(cls, fitted: Mapping[str, Any]) -> None:
        """Check the weights of the transitions."""
        beside = fitted.get("per_frame", {})
        for known in (fitted, beside if isinstance(beside, dict) else {"transition_weight": beside}):
            weight = known.get("transition_weight", 0.0)
            if isinstance(weight, bool) or not isinstance(weight, (int, float)) or not 0 <= weight <= 1000:
                raise ArgumentError(f"transition_weight: expected a number from 0 to 1000, found {weight!r}")

    def evaluate(
        self, model: AnyFitted, examples: Iterator[tuple[Example, Arrays]], progress: Progress, options: Settings
    ) -> tuple[Json, Json]:
        """Return frame accuracy, macro F1, edit score and F1@10, 25, 50, beside the per-frame model's."""
        encoded = [arrays for _, arrays in examples]
        progress("scoring", 0, None)
        targets, log_probs = targets_of(encoded), log_probabilities(model, encoded)
        weight = _weight(model, StepLabelEvaluation.of(options).transition_weight)
        chain = transitions_of(model.network)
        metrics: Json = {"loss": mean_loss(targets, log_probs)}
        alone = self.measured(targets, chosen_labels(log_probs, chain, 0.0))
        if weight:
            metrics |= self.measured(targets, chosen_labels(log_probs, chain, weight))
            metrics |= {"without_transitions": alone}
        else:
            metrics |= alone
        metrics |= {"steps": int(sum(map(len, targets))), "recordings": len(encoded)}
        return metrics, compared(model, encoded, targets)

    def predict(
        self, model: AnyFitted, inputs: Sequence[Arrays], shown: Sequence[results.Shown], options: Settings
    ) -> Iterator[LabelledRecording]:
        """Yield the labels of each recording's steps."""
        weight = _weight(model, LabelPrediction.of(options).transition_weight)
        result: Any = result_type(model.input.Shown, self.Result)
        for given, log_probs in zip(shown, log_probabilities(model, inputs), strict=True):
            rate = getattr(given, "rate", None)
            yield result(**dict(given), **self._segments(model, log_probs, rate, weight))

    def _segments(self, model: AnyFitted, log_probs: NDArray[Any], rate: float | None, weight: float) -> Json:
        [best] = chosen_labels([log_probs], transitions_of(model.network), weight)
        names = [self.label(n) for n in best.tolist()]
        return segmented(names, probabilities_of(log_probs, best), rate, self.background)

    def session(self, model: AnyFitted, steps: StepStream[Any]) -> StepLabelSession:
        """Return a recording in progress, whose steps are labelled as they come."""
        return StepLabelSession(model, steps)


def judged_by(training: TrainingSettings) -> str:
    """Return the metric by which the weight of transitions is chosen."""
    return training.monitor if training.monitor in JUDGED else "f1"


def _weight(model: AnyFitted, given: float | None) -> float:
    return float(model.fitted.get("transition_weight", 0.0)) if given is None else given


def _background(train: Sequence[Example], known: set[str], names: Sequence[str]) -> tuple[str | None, tuple[str, ...]]:
    """Return the label of steps at which nothing happens, and the labels that mean the same."""
    own = [name for name in names if name in known]
    if not own and names and any(_has_gaps(recording) for recording in train):
        own = [names[0]]
    return (own[0], tuple(own[1:])) if own else (None, ())


def _has_gaps(recording: Example) -> bool:
    """Return whether segments leave steps between them, of which nothing is said."""
    annotation = recording.annotation if isinstance(recording, Recording) else None
    if annotation is None or annotation.steps is not None:
        return False
    end = 0.0
    for segment in annotation.segments:
        if segment.begin > end:
            return True
        end = max(end, segment.end)
    return False
