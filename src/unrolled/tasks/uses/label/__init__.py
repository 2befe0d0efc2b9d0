"""A label for each frame of a clip, or each step of a table of features: synced many-to-many.

Letters: T time, B batch, K labels, F features.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from unrolled.data import IGNORED, Arrays, ExampleBatches, ExampleStore, Findings
from unrolled.data.core.pieces import Pieces, drawn_window
from unrolled.data.steps.read import read_steps
from unrolled.data.steps.recordings import Recording
from unrolled.decoding.smoothing import Transitions
from unrolled.errors import ArgumentError, DataError
from unrolled.tasks.core.example_task import ExampleTask, Material, Scored, check_common, on_device
from unrolled.tasks.core.values import Evaluation, Plan, Progress, Sources
from unrolled.tasks.inputs.frames.encode import (
    StepEncoders,
    Steps,
    by_itself,
    decoded,
    encode_recording,
    fit_encoders,
    varied,
)
from unrolled.tasks.uses.label.baseline import compared, fit_comparison, measured, start_from_frequencies
from unrolled.tasks.uses.label.options import LabelEvaluateOptions, LabelOptions, LabelPredictOptions
from unrolled.tasks.uses.label.per_step import BASELINE
from unrolled.tasks.uses.label.plan import build_labeller, plan_labeller, standardise
from unrolled.tasks.uses.label.results import LabelledRecording, labelled
from unrolled.tasks.uses.label.scoring import (
    best_weight,
    chosen_labels,
    collated,
    log_probabilities,
    mean_loss,
    recurrent,
    scores_of,
    targets_of,
    transitions_of,
)
from unrolled.tasks.uses.label.session import LabelSession, given_steps
from unrolled.training import Batches, TrainingSettings

if TYPE_CHECKING:
    from unrolled.tasks.core.api import Wire
    from unrolled.tasks.core.fitted import Fitted
from unrolled.tasks.core.probe import Probe
from unrolled.tasks.core.probes import last_steps, probe_steps

#: metrics by which the weight of transitions can be chosen
JUDGED = ("accuracy", "f1", "edit", "f1_10", "f1_25", "f1_50")


class Label(ExampleTask):
    """Recordings in, a label for each of their steps out."""

    name: ClassVar[str] = "label"
    summary: ClassVar[str] = "learn to label every frame of clips, or every step of tables of features"
    shape: ClassVar[str] = "synced many-to-many"
    options: ClassVar[type[LabelOptions]] = LabelOptions
    evaluate_options: ClassVar[type[LabelEvaluateOptions]] = LabelEvaluateOptions
    predict_options: ClassVar[type[LabelPredictOptions]] = LabelPredictOptions
    reads = "path"
    length_of: ClassVar[str | None] = "targets"
    baseline_files: ClassVar[tuple[str, ...]] = (BASELINE,)

    def read(self, paths: tuple[Path, ...], options: LabelOptions, findings: Findings) -> list[Recording]:
        """Tables, clips with annotations, or arrays of features; see `unrolled.data.steps.read`."""
        return read_steps(paths, options.reading(), findings)

    def check(self, sources: Sources, options: LabelOptions, findings: Findings, progress: Progress) -> dict[str, Any]:
        """Look at everything, and decode all clips: frames that can't be read, labels that do not fit their number."""
        progress("reading", 0, None)
        train = self.read(sources.train, options, findings)
        dev = self.read(sources.dev, options, findings) if sources.dev else []
        check_common(train, dev, findings)
        counts: dict[str, Any] = {"train": len(train), "dev": len(dev)}
        try:
            encoders = fit_encoders(train, options) if train else None
        except DataError as error:
            findings.caught(error, "labels")
            encoders = None
        if encoders is None:
            return counts
        steps = 0
        for n, recording in enumerate([*train, *dev]):
            progress("decoding", n, len(train) + len(dev))
            try:
                steps += len(decoded(recording, encoders).x)
            except DataError as error:
                findings.caught(error, "unreadable")
        return {**counts, "steps": steps, "labels": len(encoders.labels)}

    def fit(self, train: Sequence[Any], options: LabelOptions, progress: Progress) -> StepEncoders:
        """Labels, and the form of steps."""
        return fit_encoders(train, options)

    def save_encoders(self, encoders: StepEncoders, folder: Path) -> None:
        """labels.json."""
        encoders.save(folder)

    def load_encoders(self, folder: Path) -> StepEncoders:
        """labels.json."""
        return StepEncoders.load(folder)

    def encode(self, example: Recording, encoders: StepEncoders) -> Arrays:
        """`x` and `targets`."""
        return encode_recording(example, encoders)

    def count(self, train: Sequence[Recording], dev: Sequence[Recording], encoders: StepEncoders) -> dict[str, Any]:
        """How many labels there are."""
        return {"labels": len(encoders.labels)}

    def plan(self, material: Material, options: LabelOptions, training: Mapping[str, Any]) -> Plan:
        """A network and a schedule by how many steps there are, and whether they are frames or features."""
        return plan_labeller(material, options, training)

    def build_network(self, network: Mapping[str, Any], encoders: StepEncoders) -> nn.Module:
        """Encoder of a step, recurrent stack, output."""
        return build_labeller(network, encoders)

    def initialise(self, network: nn.Module, material: Material) -> None:
        """Standardise steps, start from the labels' frequencies, and count which label follows which."""
        inputs: Any = network.inputs
        mean, std = measured(material.train, differences=bool(inputs.differences))
        standardise(inputs.encoder, mean, std)
        targets = targets_of(material.train)
        shares = start_from_frequencies(network, targets)
        network.label_frequency.copy_(shares)  # type: ignore[operator]
        chain = Transitions.fit(targets, len(material.encoders.labels))
        network.first_label.copy_(torch.from_numpy(chain.initial))  # type: ignore[operator]
        network.next_label.copy_(torch.from_numpy(chain.matrix))  # type: ignore[operator]

    def collate(self, model: Fitted, examples: list[Arrays], draw: np.random.Generator | None) -> dict[str, Tensor]:
        """Recordings side by side; while training a window of each, varied."""
        if draw is not None:
            options, window = LabelOptions(**model.config.options), int(model.config.batching.get("window", 0))
            if window:
                examples = [drawn_window(e, "targets", window, draw) for e in examples]
            examples = [varied(e, draw, options.augment, options.mirror) for e in examples]
        return collated(examples)

    def batches(self, model: Fitted, material: Material, training: TrainingSettings) -> Batches:
        """Recordings, or pieces of long ones, in another order each epoch."""

        def collate(examples: list[Arrays], draw: np.random.Generator) -> dict[str, Tensor]:
            return self.collate(model, examples, draw)

        size, window = int(model.config.batching["batch_size"]), int(model.config.batching.get("window", 0))
        if not window:
            return ExampleBatches(material.train, material.train.sizes("targets"), size, collate, seed=training.seed)
        pieces = Pieces(material.train, "targets", window)
        return ExampleBatches(pieces, pieces.lengths, size, collate, seed=training.seed)

    def score(self, network: nn.Module, data: dict[str, Tensor]) -> Scored:
        """Cross entropy of every labelled step."""
        logits, _ = network(data["x"], None, data["lengths"])
        return Scored(*network.loss(logits, data["targets"]))  # type: ignore[operator]

    def dev_metrics(self, model: Fitted, dev: ExampleStore) -> dict[str, float]:
        """Loss, and scores of the likeliest label of each step."""
        targets, log_probs = targets_of(dev), log_probabilities(model.network, recurrent(model.network), dev)
        predicted = [scores.argmax(axis=1) for scores in log_probs]
        return {"loss": mean_loss(targets, log_probs), **scores_of(targets, predicted, _background(model))}

    def sample(self, model: Fitted, dev: ExampleStore) -> str | None:
        """The segments of the first recording held out."""
        encoders: StepEncoders = model.encoders
        gold = [encoders.labels[n] if n >= 0 else "?" for n in dev[0]["targets"]]
        truth = labelled("gold", gold, [1.0] * len(gold), encoders.rate, encoders.background)
        [found] = log_probabilities(model.network, recurrent(model.network), [dev[0]])
        return f"{truth}\n{_prediction(model, 'now ', found, encoders.rate, 0.0)}"

    def finish(self, model: Fitted, material: Material, progress: Progress) -> None:
        """Weigh the transitions on development data, and train the per-frame model that every evaluation compares with.

        A model that reads in one direction goes without transitions: it is to say the same when it is streamed.
        """
        options = LabelOptions(**model.config.options)
        settings = TrainingSettings(**model.config.training)
        network: Any = model.network
        metric = settings.monitor if settings.monitor in JUDGED else "f1"
        model.fitted["transition_weight"] = 0.0
        if options.transitions and network.hidden.bidirectional:
            log_probs = log_probabilities(network, recurrent(network), material.dev)
            model.fitted["transition_weight"] = best_weight(
                targets_of(material.dev), log_probs, transitions_of(network), _background(model), metric
            )
        if model.folder is not None:
            batches = self.batches(model, material, settings)
            epochs = options.comparison_epochs or max(1.0, float(model.config.result["epoch"]))
            model.fitted["per_frame"] = fit_comparison(model, material, batches, settings, epochs, metric, progress)

    def check_fitted(self, fitted: Mapping[str, Any]) -> None:
        """The weights of the transitions are numbers."""
        beside = fitted.get("per_frame", {})
        for known in (fitted, beside if isinstance(beside, dict) else {"transition_weight": beside}):
            weight = known.get("transition_weight", 0.0)
            if isinstance(weight, bool) or not isinstance(weight, (int, float)) or not 0 <= weight <= 1000:
                raise ArgumentError(f"transition_weight: expected a number from 0 to 1000, found {weight!r}")

    def evaluate(self, model: Fitted, paths: tuple[Path, ...], progress: Progress, **options: Any) -> Evaluation:
        """Frame accuracy, macro F1, edit score and F1@10, 25, 50, beside the per-frame model's.

        Args:
            model: the model.
            paths: recordings with labels, as `train` reads them.
            progress: told how far it has come.
            options: the fields of `LabelEvaluateOptions`.

        Raises:
            ArgumentError: an option is unknown or out of range.
            DataError, StorageError: they can't be read, or carry a label that the model does not know.
        """
        started = time.perf_counter()
        chosen = LabelEvaluateOptions(**options)
        encoders: StepEncoders = model.encoders
        findings = Findings(strict=not chosen.skip_bad)
        as_trained = LabelOptions(**model.config.options)
        annotations = chosen.annotations or as_trained.annotations
        if annotations is not None and (chosen.annotations is not None or Path(annotations).exists()):
            as_trained = as_trained.model_copy(update={"annotations": annotations})
        else:
            # those of training lay elsewhere, and these are beside their clips
            as_trained = as_trained.model_copy(update={"annotations": None})
        progress("reading", 0, None)
        recordings = read_steps(paths, as_trained.reading(features=encoders.columns), findings)
        known = [recording for recording in recordings if _is_known(recording, encoders, findings)]
        examples = [arrays for _, arrays in self.encoded(known, encoders, findings)]
        findings.log(f"unrolled data check {self.name} DATA shows all")
        if not examples:
            raise DataError("no recording to evaluate on", paths[0])
        progress("scoring", 0, None)
        targets, background = targets_of(examples), _background(model)
        network: Any = model.network
        log_probs = log_probabilities(network, recurrent(network), examples)
        weight = _weight(model, chosen.transition_weight)
        metrics: dict[str, Any] = {"loss": mean_loss(targets, log_probs)}
        alone = scores_of(targets, chosen_labels(log_probs, transitions_of(network), 0.0), background)
        if weight:
            predicted = chosen_labels(log_probs, transitions_of(network), weight)
            metrics |= {**scores_of(targets, predicted, background), "without_transitions": alone}
        else:
            metrics |= alone
        metrics |= {"steps": int(sum(map(len, targets))), "recordings": len(examples)}
        beside = compared(model, examples, targets)
        return Evaluation(self.name, [str(p) for p in paths], metrics, beside, time.perf_counter() - started)

    def predict(self, model: Fitted, inputs: Iterable[Any], **options: Any) -> Iterator[LabelledRecording]:
        """The labels of each recording's steps.

        Args:
            model: the model.
            inputs: paths of clips or tables (a table of several recordings yields one prediction for each), or arrays:
                features (T, F), frames (T, H, W) or (T, H, W, C); or decoded recordings, `Steps`.
            options: the fields of `LabelPredictOptions`.
        """
        chosen = LabelPredictOptions(**options)
        encoders: StepEncoders = model.encoders
        weight = _weight(model, chosen.transition_weight)
        for given in inputs:
            for name, x, rate in self._steps(model, given):
                if not len(x):
                    raise ArgumentError("input: no step in it")
                example = {"x": x, "targets": np.full(len(x), IGNORED, dtype=np.int64)}
                [log_probs] = log_probabilities(model.network, recurrent(model.network), [example])
                yield _prediction(model, name, log_probs, rate or encoders.rate, weight)

    def _steps(self, model: Fitted, given: Any) -> Iterator[tuple[str, Any, float | None]]:
        encoders: StepEncoders = model.encoders
        if isinstance(given, Steps):
            yield "input", given.x, given.rate
            return
        if not isinstance(given, (str, Path)):
            x = given_steps(given, encoders)
            yield "input", by_itself(x) if encoders.by_recording and len(x) else x, encoders.rate
            return
        reading = LabelOptions(**model.config.options).reading(labelled=False, features=encoders.columns)
        for recording in read_steps([Path(given)], reading, Findings()):
            steps = decoded(recording, encoders)
            yield recording.name, steps.x, steps.rate

    def probe(self, model: Fitted, given: Any, limit: int) -> Probe:
        """A recording by its steps, asked about the label of each; of a table of several recordings the first."""
        encoders: StepEncoders = model.encoders
        _, x, rate = next(self._steps(model, given))
        if not len(x):
            raise ArgumentError("input: no step in it")
        first, note = last_steps(len(x), limit, "steps")
        example = {"x": x[first:], "targets": np.full(len(x) - first, IGNORED, dtype=np.int64)}
        steps = on_device(model.network, collated([example]))["x"]
        return probe_steps(model, steps, rate or encoders.rate, note, first)

    def wire(self) -> Wire:
        """How it is spoken to over HTTP."""
        from unrolled.tasks.uses.label.api import LabelWire

        return LabelWire()

    def stream(self, model: Fitted) -> LabelSession:
        """Steps as they come."""
        return LabelSession(model)


def _background(model: Fitted) -> int | None:
    number: int | None = model.encoders.background_number
    return number


def _weight(model: Fitted, given: float | None) -> float:
    return float(model.fitted.get("transition_weight", 0.0)) if given is None else given


def _prediction(model: Fitted, name: str, log_probs: Any, rate: float | None, weight: float) -> LabelledRecording:
    encoders: StepEncoders = model.encoders
    [best] = chosen_labels([log_probs], transitions_of(model.network), weight)
    scores = np.exp(log_probs[np.arange(len(best)), best].astype(np.float64))
    return labelled(name, [encoders.labels[n] for n in best], scores.tolist(), rate, encoders.background)


def _is_known(recording: Recording, encoders: StepEncoders, findings: Findings) -> bool:
    """Whether all labels of a recording are the model's; what is not goes to `findings`."""
    unknown = [label for label in recording.labels if encoders.number(label) < 0]
    if unknown:
        message = f"label {unknown[0]!r} is not one of the model's ({', '.join(encoders.labels[:8])}"
        message += f", … {len(encoders.labels)} in all)" if len(encoders.labels) > 8 else ")"
        findings.error("unknown label", message, *recording.place_of(unknown[0]))
    return not unknown
