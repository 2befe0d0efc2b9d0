"""Measurements of this package against others, on the machine at hand.

`grid` says what is measured, `problem` makes its numbers and the truth that every answer is held to, `peers` has one
file for each library, `timing` takes turns, `ceiling` measures what the machine could do at best, `goals` holds the
ratios to reach, and `layers` walks over the grid. An answer that is wrong gets no time.
"""

from unrolled.bench.grid import CELLS, MODES, SHAPES, Case
from unrolled.bench.layers import Plan, measure_layers

__all__ = ["CELLS", "MODES", "SHAPES", "Case", "Plan", "measure_layers"]
