"""`classify` of series: which of a fixed list of labels a series of numbers has: a gesture, a fault, an activity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from unrolled.data import Arrays, Example, Findings
from unrolled.data.core.folders import Place
from unrolled.data.series.labelled import LabelledSeriesOptions, is_labelled_series, read_labelled_series
from unrolled.settings import Settings
from unrolled.tasks.core.examples import ExampleUse, Material
from unrolled.tasks.core.fitted import Fitted
from unrolled.tasks.core.values import Plan
from unrolled.tasks.outputs.label.encode import LabelOutput
from unrolled.tasks.uses.classify.series.encode import SeriesInput
from unrolled.tasks.uses.classify.series.options import ClassifySeriesEvaluation, ClassifySeriesOptions
from unrolled.tasks.uses.classify.series.plan import plan_series


class ClassifySeries(ExampleUse[SeriesInput, LabelOutput]):
    """Series in, label out."""

    name: ClassVar[str] = "classify"
    summary: ClassVar[str] = "tell what a series of numbers is: a gesture, a fault, an activity, any label"
    shape: ClassVar[str] = "many-to-one"
    input, output = SeriesInput, LabelOutput
    options: ClassVar[type[Settings]] = ClassifySeriesOptions
    evaluate_options: ClassVar[type[Settings]] = ClassifySeriesEvaluation

    @classmethod
    def suits(cls, path: Place, options: Mapping[str, Any]) -> bool:
        """Return whether a file is of the archives of series, or a table of numbers with a column of labels."""
        is_there = not isinstance(path, Path) or path.exists()
        return is_there and is_labelled_series(path, LabelledSeriesOptions.picked(options))

    def read(self, paths: tuple[Place, ...], options: Any, findings: Findings) -> Sequence[Example]:
        """Read .ts, .arff, tables with a series a row or a step a row, and lists."""
        return read_labelled_series(paths, findings, options)

    def varied(
        self, model: Fitted[SeriesInput, LabelOutput], examples: Sequence[Arrays], draw: np.random.Generator
    ) -> Sequence[Arrays]:
        """Return series a little slower or faster, larger or smaller, each as often as it is read."""
        strength = ClassifySeriesOptions.of(model.options).vary
        examples = super().varied(model, examples, draw)
        return [model.input.varied(example, draw, strength) for example in examples]

    def plan(self, material: Material[SeriesInput, LabelOutput], options: Any, training: Mapping[str, Any]) -> Plan:
        """Choose by how many series there are and how long they are."""
        return plan_series(material, options, training)
