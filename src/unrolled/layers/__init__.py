"""The nn.Modules that networks are made of: input, hidden, output and loss layers.

`recurrent` holds RNN, LSTM and GRU, drop-in replacements of torch.nn's, and a layer of every other cell; `inputs` and
`outputs` the layers before and after them, losses included; `attention` lets a decoder look up what an encoder read;
`pooling` turns a sequence into one vector; `streams` are layers in progress, and `streaming` carries a state from one
push to the next. Layers hold parameters and options, and leave the arithmetic to the kernels.
"""

from unrolled.layers.attention import (
    AdditiveAttention,
    Attention,
    DotAttention,
    GeneralAttention,
    Memory,
    make_attention,
)
from unrolled.layers.inputs.frames import FrameStack, StackedFrames
from unrolled.layers.inputs.images import ImageEncoder, ImageSteps
from unrolled.layers.inputs.tokens import Embedding, Frames, InputLayer
from unrolled.layers.inputs.words import Spelling, WordBatch, Words
from unrolled.layers.outputs.crf import CRF, Posterior
from unrolled.layers.outputs.ctc import CTC, ctc_steps
from unrolled.layers.outputs.flat_start import FlatStart
from unrolled.layers.outputs.likelihoods import ForecastLoss, Gaussian, Likelihood, NegativeBinomial, StudentT
from unrolled.layers.outputs.linear import AdaptiveOutput, LinearOutput, OutputLayer
from unrolled.layers.outputs.losses import CrossEntropy
from unrolled.layers.pooling import (
    AttentionPooling,
    JoinedPooling,
    LastState,
    MaxPooling,
    MeanPooling,
    Pooling,
    make_pooling,
)
from unrolled.layers.recurrent.cells import CellModule, GRUCell, LSTMCell, RNNCell
from unrolled.layers.recurrent.layers import (
    GRU,
    LRU,
    LSTM,
    RGLRU,
    RNN,
    SLSTM,
    SRU,
    STACKS,
    IndRNN,
    LayerKind,
    MinGRU,
    MinLSTM,
    MogrifierLSTM,
    layer_kind,
)
from unrolled.layers.recurrent.stack import Recurrent
from unrolled.layers.recurrent.state import Session, StreamState, fingerprint
from unrolled.layers.recurrent.streams import LayerStream, step_together

__all__ = [
    "CRF",
    "CTC",
    "GRU",
    "LRU",
    "LSTM",
    "RGLRU",
    "RNN",
    "SLSTM",
    "SRU",
    "STACKS",
    "AdaptiveOutput",
    "AdditiveAttention",
    "Attention",
    "AttentionPooling",
    "CellModule",
    "CrossEntropy",
    "DotAttention",
    "Embedding",
    "FlatStart",
    "ForecastLoss",
    "FrameStack",
    "Frames",
    "GRUCell",
    "Gaussian",
    "GeneralAttention",
    "ImageEncoder",
    "ImageSteps",
    "IndRNN",
    "InputLayer",
    "JoinedPooling",
    "LSTMCell",
    "LastState",
    "LayerKind",
    "LayerStream",
    "Likelihood",
    "LinearOutput",
    "MaxPooling",
    "MeanPooling",
    "Memory",
    "MinGRU",
    "MinLSTM",
    "MogrifierLSTM",
    "NegativeBinomial",
    "OutputLayer",
    "Pooling",
    "Posterior",
    "RNNCell",
    "Recurrent",
    "Session",
    "Spelling",
    "StackedFrames",
    "StreamState",
    "StudentT",
    "WordBatch",
    "Words",
    "ctc_steps",
    "fingerprint",
    "layer_kind",
    "make_attention",
    "make_pooling",
    "step_together",
]
