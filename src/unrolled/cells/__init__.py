"""The mathematics of one time step, and of one step back.

A cell is a small frozen object without parameters of its own: how many gates and states it has, what shapes and
initial values its parameters take, `step`, and (for ours) `trace` and a hand-derived `step_backward`. It knows nothing
of time, of layers or of engines. `base` is the contract, `families` what several cells share, and `catalog` lists every
cell; the layers, the kernels, the conformance tests and the docs walk over that list.
"""

from unrolled.cells.base import Cell, Params, State, StepGradients, Trace
from unrolled.cells.catalog import CELLS, variants
from unrolled.cells.families import ElementwiseCell, GatedCell, LinearCell
from unrolled.cells.gru import GRUCell
from unrolled.cells.indrnn import IndRNNCell
from unrolled.cells.lru import LRUCell
from unrolled.cells.lstm import LSTMCell
from unrolled.cells.mingru import MinGRUCell
from unrolled.cells.minlstm import MinLSTMCell
from unrolled.cells.mogrifier import MogrifierLSTMCell
from unrolled.cells.rglru import RGLRUCell
from unrolled.cells.rnn import RNNCell
from unrolled.cells.slstm import SLSTMCell
from unrolled.cells.sru import SRUCell

__all__ = [
    "CELLS",
    "Cell",
    "ElementwiseCell",
    "GRUCell",
    "GatedCell",
    "IndRNNCell",
    "LRUCell",
    "LSTMCell",
    "LinearCell",
    "MinGRUCell",
    "MinLSTMCell",
    "MogrifierLSTMCell",
    "Params",
    "RGLRUCell",
    "RNNCell",
    "SLSTMCell",
    "SRUCell",
    "State",
    "StepGradients",
    "Trace",
    "variants",
]
