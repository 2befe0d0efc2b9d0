"""Every cell of the package, and every way its options can be set: the list that tests, engines and docs walk over."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

from unrolled.cells.base import Cell
from unrolled.cells.gru import GRUCell
from unrolled.cells.indrnn import IndRNNCell
from unrolled.cells.lru import LRUCell
from unrolled.cells.lstm import LSTMCell
from unrolled.cells.maths import ACTIVATIONS
from unrolled.cells.mingru import MinGRUCell
from unrolled.cells.minlstm import MinLSTMCell
from unrolled.cells.mogrifier import MogrifierLSTMCell
from unrolled.cells.rglru import RGLRUCell
from unrolled.cells.rnn import RNNCell
from unrolled.cells.slstm import FORGET_GATES, SLSTMCell
from unrolled.cells.sru import SRUCell

CELLS: dict[str, type[Cell]] = {
    "rnn": RNNCell,
    "lstm": LSTMCell,
    "gru": GRUCell,
    "mingru": MinGRUCell,
    "minlstm": MinLSTMCell,
    "sru": SRUCell,
    "rglru": RGLRUCell,
    "lru": LRUCell,
    "indrnn": IndRNNCell,
    "slstm": SLSTMCell,
    "mogrifier": MogrifierLSTMCell,
}


def variants(proj_size: int = 3) -> Iterator[Cell]:
    """Each cell with each combination of its options; of the Mogrifier's with the LSTM's, none and all.

    Args:
        proj_size: the width of h in the variants with projection; the hidden size must be larger.
    """
    for nonlinearity, norm in product(ACTIVATIONS, (False, True)):
        yield RNNCell(nonlinearity=nonlinearity, layer_norm=norm)
    for peephole, coupled, proj, norm in product((False, True), (False, True), (0, proj_size), (False, True)):
        yield LSTMCell(peephole=peephole, coupled=coupled, proj_size=proj, layer_norm=norm)
    for reset_after, norm in product((True, False), (False, True)):
        yield GRUCell(reset_after=reset_after, layer_norm=norm)
    yield from (MinGRUCell(), MinLSTMCell(), RGLRUCell(), LRUCell())
    yield from (SRUCell(), SRUCell(highway_bias=-1.0, rescale=True))
    for nonlinearity in ACTIVATIONS:
        yield IndRNNCell(nonlinearity=nonlinearity)
    for heads, forget in product((1, 2), FORGET_GATES):
        yield SLSTMCell(num_heads=heads, forget_gate_by=forget)
    for rounds, rank in ((5, 0), (2, 2), (0, 0)):
        yield MogrifierLSTMCell(rounds=rounds, rank=rank)
    yield MogrifierLSTMCell(rounds=3, rank=1, peephole=True, coupled=True, proj_size=proj_size, layer_norm=True)
