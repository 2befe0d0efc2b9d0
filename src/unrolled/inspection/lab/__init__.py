"""Experiments on two limits of recurrent networks: how far they remember, and how their gradients vanish or explode.

`problems` makes the classical sequences in which only distant steps matter; `contestants` are the cells and
initialisations that are compared on them; `memory` trains each of them for a limited time; `gradients` shows a plain
network's gradients explode and vanish, and the effect of clipping and gates. Everything is seeded; nothing is drawn
here.
"""

from unrolled.inspection.lab.contestants import CONTESTANTS, Contestant
from unrolled.inspection.lab.gradients import GradientLab, gradient_lab
from unrolled.inspection.lab.memory import MemoryRun, memory_lab
from unrolled.inspection.lab.problems import PROBLEMS, Adding, Copying, Digits, MemoryProblem, make_problem

__all__ = [
    "CONTESTANTS",
    "PROBLEMS",
    "Adding",
    "Contestant",
    "Copying",
    "Digits",
    "GradientLab",
    "MemoryProblem",
    "MemoryRun",
    "gradient_lab",
    "make_problem",
    "memory_lab",
]
