"""Which network labels the steps of how much data, and how it is trained."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from unrolled.tasks.core.examples import Material
from unrolled.tasks.core.plan import MANY, SOME, plan_recurrent
from unrolled.tasks.core.tuning.space import DROPOUT, LR, Between, Space
from unrolled.tasks.core.values import Plan
from unrolled.tasks.inputs.frames.encode import FramesInput
from unrolled.tasks.inputs.series.arrays import StepsInput
from unrolled.tasks.uses.label.options import StepLabelOptions

#: what a search for better settings tries
SPACE: Space = {
    "lr": LR,
    "dropout": DROPOUT,
    "input_dropout": Between(0.0, 0.4),
    "hidden_size": Between(32, 256, log=True),
    "num_layers": Between(1, 3),
    "augment": Between(0.0, 2.0),
}


def plan_labeller(material: Material[StepsInput, Any], options: StepLabelOptions, training: Mapping[str, Any]) -> Plan:
    """Choose a network and a schedule by how many steps there are, and whether they are frames or features."""
    source, output, store = material.parts.input, material.parts.output, material.train
    steps, frames = int(store.sizes("x").sum()), isinstance(source, FramesInput)
    few = steps < SOME and not frames
    network = {
        "hidden_size": 64 if few else 128 if steps < MANY else 256,
        "num_layers": 1 if few else 2,
        "dropout": 0.4 if steps < MANY else 0.3,
        "input_dropout": 0.2 if steps < MANY else 0.1,
        "smoothing": options.label_smoothing,
    }
    return plan_recurrent(
        source,
        output,
        store,
        options,
        training,
        network=network,
        # with few recordings the number of steps is what is short, and a recording is many labels by itself
        batch_sizes=(4, 16, 16) if frames else (8, 16, 32),
        updates=3500 if frames else 1000,
        betas=(0.9, 0.98),
        min_lr_ratio=0.01,
        monitor="f1",
    )
