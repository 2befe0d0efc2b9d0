"""The nn.Modules a network is put together from: input, hidden, output and loss layers.

`recurrent` holds RNN, LSTM and GRU, drop-in for torch.nn's; `inputs`, `outputs` and `losses` what stands before and
after them; `streams` are layers in progress, and `streaming` carries a state from one push to the next. They hold
parameters and options, and leave the arithmetic to the kernels.
"""

from unrolled.layers.inputs import Embedding, Frames
from unrolled.layers.losses import CrossEntropy
from unrolled.layers.outputs import AdaptiveOutput, LinearOutput
from unrolled.layers.recurrent import GRU, LSTM, RNN
from unrolled.layers.stack import Recurrent
from unrolled.layers.streaming import StreamState, fingerprint
from unrolled.layers.streams import LayerStream, step_together

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "AdaptiveOutput",
    "CrossEntropy",
    "Embedding",
    "Frames",
    "LayerStream",
    "LinearOutput",
    "Recurrent",
    "StreamState",
    "fingerprint",
    "step_together",
]
