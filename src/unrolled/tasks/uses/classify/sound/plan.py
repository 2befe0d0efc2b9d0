"""Which network classifies how many sounds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from unrolled.tasks.core.examples import Material
from unrolled.tasks.core.plan import plan_recurrent
from unrolled.tasks.core.values import Plan
from unrolled.tasks.inputs.sound.encode import SoundInput
from unrolled.tasks.outputs.label.encode import LabelOutput
from unrolled.tasks.uses.classify.sound.options import ClassifySoundOptions


def plan_sounds(
    material: Material[SoundInput, LabelOutput], options: ClassifySoundOptions, training: Mapping[str, Any]
) -> Plan:
    """Choose a network and a schedule by how many sounds there are."""
    network = {
        "hidden_size": 128,
        "num_layers": 2,
        "dropout": 0.3,
        "input_dropout": 0.2,
        "pooling": "mean+max",
        "smoothing": 0.1,
    }
    return plan_recurrent(
        material.parts.input,
        material.parts.output,
        material.train,
        options,
        training,
        network=network,
        updates=1500,
        monitor="loss",
    )
