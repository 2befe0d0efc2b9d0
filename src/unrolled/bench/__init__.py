"""Measurements of this package against others, on the machine at hand.

`grid` lists what is measured, `problem` makes its numbers and the reference that every answer is compared with, `peers`
has one file for each library, `timing` takes turns, `ceiling` measures the limits of the machine, `goals` holds the
ratios to reach, and `layers` measures the grid. A wrong answer gets no time.
"""

from unrolled.bench.grid import CELLS, MODES, SHAPES, Case
from unrolled.bench.layers import Plan, measure_layers

__all__ = ["CELLS", "MODES", "SHAPES", "Case", "Plan", "measure_layers"]
