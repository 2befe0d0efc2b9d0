"""Which network classifies how many series of which length."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from unrolled.tasks.core.examples import Material
from unrolled.tasks.core.plan import plan_recurrent
from unrolled.tasks.core.values import Plan
from unrolled.tasks.outputs.label.encode import LabelOutput
from unrolled.tasks.uses.classify.series.encode import SeriesInput
from unrolled.tasks.uses.classify.series.options import ClassifySeriesOptions


def plan_series(
    material: Material[SeriesInput, LabelOutput], options: ClassifySeriesOptions, training: Mapping[str, Any]
) -> Plan:
    """Choose a network and a schedule by how many series there are and how long they are."""
    network = {"hidden_size": 64, "dropout": 0.3, "pooling": "mean+max", "smoothing": 0.1, "differences": True}
    return plan_recurrent(
        material.parts.input,
        material.parts.output,
        material.train,
        options,
        training,
        network=network,
        updates=1200,
        monitor="loss",
    )
