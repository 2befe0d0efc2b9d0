"""`label`: a label for each frame of a clip, or each row of a table of features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, cast

import numpy as np

from unrolled.data import Arrays, Example, Findings
from unrolled.data.core.folders import Place
from unrolled.data.steps.read import read_steps
from unrolled.data.steps.recordings import Recording
from unrolled.errors import DataError
from unrolled.settings import Settings
from unrolled.tasks.core.examples import ExampleUse, Material
from unrolled.tasks.core.fitted import Fitted, Parts
from unrolled.tasks.core.tuning.space import Space
from unrolled.tasks.core.values import Plan, Progress, Sources
from unrolled.tasks.inputs.series.arrays import StepsInput
from unrolled.tasks.uses.label import files
from unrolled.tasks.uses.label.baseline import fit_comparison
from unrolled.tasks.uses.label.encode import SegmentLabels, judged_by
from unrolled.tasks.uses.label.options import LabelPrediction, StepLabelEvaluation, StepLabelOptions
from unrolled.tasks.uses.label.plan import SPACE, plan_labeller
from unrolled.tasks.uses.label.recordings import decode_all, kind_of, known_to, labels_of
from unrolled.training import TrainingSettings
from unrolled.types import Json

LabelParts = Parts[StepsInput, SegmentLabels]
LabelModel = Fitted[StepsInput, SegmentLabels]
LabelMaterial = Material[StepsInput, SegmentLabels]


class Label(ExampleUse[StepsInput, SegmentLabels]):
    """Recordings in, a label for each of their steps out."""

    name: ClassVar[str] = "label"
    summary: ClassVar[str] = "learn to label every frame of clips, or every step of tables of features"
    shape: ClassVar[str] = "synced many-to-many"
    input, output = StepsInput, SegmentLabels
    options: ClassVar[type[Settings]] = StepLabelOptions
    space: ClassVar[Space] = SPACE
    evaluate_options: ClassVar[type[Settings]] = StepLabelEvaluation
    predict_options: ClassVar[type[Settings]] = LabelPrediction

    def read(self, paths: tuple[Place, ...], options: Any, findings: Findings) -> list[Recording]:
        """Read tables, clips with annotations, or arrays of features."""
        return read_steps(paths, options.reading(), findings)

    def check(self, sources: Sources, options: Any, findings: Findings, progress: Progress) -> Json:
        """Look at everything, and decode all clips: frames that can't be read, labels that do not fit their number."""
        counts = super().check(sources, options, findings, progress)
        # what else is wrong with them is known by now
        train, dev = (self.read(paths, options, Findings(strict=False)) for paths in (sources.train, sources.dev))
        try:
            parts = self.fit(train, options, progress) if train else None
        except DataError as error:
            findings.caught(error, "labels")
            return counts
        return {**counts, **decode_all([*train, *dev], parts, findings, progress)} if parts is not None else counts

    def fit(self, train: Sequence[Example], options: Any, progress: Progress) -> LabelParts:
        """Fit on frames or on features, whichever there are."""
        output = self.output.fit(train, options, progress)
        return Parts(kind_of(train, options).fit(train, options, progress), output)

    def encode(self, example: Example, parts: LabelParts) -> Arrays:
        """Return steps and their labels: which of an annotation's they have depends on which frames are read."""
        decoded = parts.input.given(example)
        labels = labels_of(cast(Recording, example), decoded, parts.output.background)
        return {**parts.input.encode(decoded), **parts.output.encode(labels)}

    def varied(self, model: LabelModel, examples: Sequence[Arrays], draw: np.random.Generator) -> Sequence[Arrays]:
        """Return a window of each recording, a little slower or faster, frames moved and covered."""
        options, windows = StepLabelOptions.of(model.options), super().varied(model, examples, draw)
        return [model.input.varied(each, draw, options.augment, mirror=options.mirror) for each in windows]

    def plan(self, material: LabelMaterial, options: Any, training: Mapping[str, Any]) -> Plan:
        """Choose by how many steps there are, and whether they are frames or features."""
        return plan_labeller(material, options, training)

    def finish(self, model: LabelModel, material: LabelMaterial, progress: Progress) -> None:
        """Weigh the transitions, and train the per-frame model that every evaluation compares with."""
        super().finish(model, material, progress)
        if model.folder is None:
            return
        settings = TrainingSettings(**model.config.training)
        epochs = StepLabelOptions.of(model.options).comparison_epochs or max(1.0, float(model.config.result["epoch"]))
        known = fit_comparison(self, model, material, settings, epochs, judged_by(settings), progress)
        model.fitted["per_frame"] = known

    def evaluated_with(self, model: LabelModel, chosen: Settings) -> Settings:
        """Read the model's columns; annotations lie beside their clips where those of training are gone."""
        reading = StepLabelOptions.of(super().evaluated_with(model, chosen))
        given, trained = StepLabelEvaluation.of(chosen).annotations, reading.annotations
        changes: Json = {"features": model.input.columns or reading.features}
        if given is None and trained is not None and not Path(trained).exists():
            changes["annotations"] = None
        return reading.model_copy(update=changes)

    def to_evaluate(
        self, model: LabelModel, examples: list[Example], options: Any, findings: Findings
    ) -> list[Example]:
        """Return the recordings all of whose labels the model knows."""
        return known_to(model.output, examples, findings)

    def save_parts(self, parts: LabelParts, folder: Path) -> None:
        """Write both parts into one labels.json."""
        files.save_parts(parts, folder)

    def load_parts(self, folder: Path) -> LabelParts:
        """Read what `save_parts` wrote."""
        return files.load_parts(folder)
