"""The uses of recurrent networks, one declaration each.

A task says what it reads, how inputs and targets are encoded, which network fits how much data, its loss, its metrics
and the baseline beside them, its decoder, and how it streams (`base` is the contract). `run` trains and `model` loads,
evaluates and predicts by walking over that declaration; neither knows a task by name. `catalog` finds them, those of
other packages included.
"""

from unrolled.tasks.core.catalog import task_named, task_names, task_of
from unrolled.tasks.core.contract import AnyUse, Use
from unrolled.tasks.core.folder.load import load
from unrolled.tasks.core.model import Model
from unrolled.tasks.core.train import train
from unrolled.tasks.core.values import Evaluation, Plan, Sources

__all__ = [
    "AnyUse",
    "Evaluation",
    "Model",
    "Plan",
    "Sources",
    "Use",
    "load",
    "task_named",
    "task_names",
    "task_of",
    "train",
]
