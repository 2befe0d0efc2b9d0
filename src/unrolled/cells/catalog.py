"""Every cell of the package, and every way its options can be set: the list that tests, engines and docs walk over."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

from unrolled.cells.base import Cell
from unrolled.cells.gru import GRUCell
from unrolled.cells.lstm import LSTMCell
from unrolled.cells.maths import ACTIVATIONS
from unrolled.cells.rnn import RNNCell

CELLS: dict[str, type[Cell]] = {"rnn": RNNCell, "lstm": LSTMCell, "gru": GRUCell}


def variants(proj_size: int = 3) -> Iterator[Cell]:
    """Each cell with each combination of its options.

    Args:
        proj_size: the width of h in the variants with projection; the hidden size must be larger.
    """
    for nonlinearity, norm in product(ACTIVATIONS, (False, True)):
        yield RNNCell(nonlinearity=nonlinearity, layer_norm=norm)
    for peephole, coupled, proj, norm in product((False, True), (False, True), (0, proj_size), (False, True)):
        yield LSTMCell(peephole=peephole, coupled=coupled, proj_size=proj, layer_norm=norm)
    for reset_after, norm in product((True, False), (False, True)):
        yield GRUCell(reset_after=reset_after, layer_norm=norm)
