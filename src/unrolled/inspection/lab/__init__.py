"""Experiments on the two limits: who remembers how far, and what explodes, vanishes and cures it.

`problems` makes the classical sequences of which only a distant step matters; `contestants` are the cells and
initialisations that try them; `memory` lets each of them train for a bounded time, `gradients` shows a plain network's
gradients explode and vanish, and what clipping and gates do about it. Everything is seeded and draws nothing itself.
"""

from unrolled.inspection.lab.contestants import CONTESTANTS, Contestant
from unrolled.inspection.lab.gradients import GradientLab, gradient_lab
from unrolled.inspection.lab.memory import MemoryRun, memory_lab
from unrolled.inspection.lab.problems import PROBLEMS, Adding, Copying, Digits, Problem, make_problem

__all__ = [
    "CONTESTANTS",
    "PROBLEMS",
    "Adding",
    "Contestant",
    "Copying",
    "Digits",
    "GradientLab",
    "MemoryRun",
    "Problem",
    "gradient_lab",
    "make_problem",
    "memory_lab",
]
