"""The nn.Modules a network is put together from: input, hidden, output and loss layers.

`recurrent` holds RNN, LSTM and GRU, drop-in for torch.nn's; `inputs`, `outputs` and `losses` what stands before and
after them; `attention` what a decoder looks up in what an encoder read; `pooling` one vector out of many; `streams`
are layers in progress, and `streaming` carries a state from one push to the next. They hold parameters and options,
and leave the arithmetic to the kernels.
"""

from unrolled.layers.attention import (
    AdditiveAttention,
    Attention,
    DotAttention,
    GeneralAttention,
    Memory,
    make_attention,
)
from unrolled.layers.crf import CRF, Posterior
from unrolled.layers.ctc import CTC, ctc_steps
from unrolled.layers.flat_start import FlatStart
from unrolled.layers.frames import FrameStack, StackedFrames
from unrolled.layers.images import ImageEncoder, ImageSteps
from unrolled.layers.inputs import Embedding, Frames
from unrolled.layers.likelihoods import ForecastLoss, Gaussian, Likelihood, NegativeBinomial, StudentT
from unrolled.layers.losses import CrossEntropy
from unrolled.layers.outputs import AdaptiveOutput, LinearOutput
from unrolled.layers.pooling import (
    AttentionPooling,
    JoinedPooling,
    LastState,
    MaxPooling,
    MeanPooling,
    Pooling,
    make_pooling,
)
from unrolled.layers.recurrent import GRU, LSTM, RNN, STACKS
from unrolled.layers.stack import Recurrent
from unrolled.layers.streaming import Session, StreamState, fingerprint
from unrolled.layers.streams import LayerStream, step_together
from unrolled.layers.words import Spelling, WordBatch, Words

__all__ = [
    "CRF",
    "CTC",
    "GRU",
    "LSTM",
    "RNN",
    "STACKS",
    "AdaptiveOutput",
    "AdditiveAttention",
    "Attention",
    "AttentionPooling",
    "CrossEntropy",
    "DotAttention",
    "Embedding",
    "FlatStart",
    "ForecastLoss",
    "FrameStack",
    "Frames",
    "Gaussian",
    "GeneralAttention",
    "ImageEncoder",
    "ImageSteps",
    "JoinedPooling",
    "LastState",
    "LayerStream",
    "Likelihood",
    "LinearOutput",
    "MaxPooling",
    "MeanPooling",
    "Memory",
    "NegativeBinomial",
    "Pooling",
    "Posterior",
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
    "make_attention",
    "make_pooling",
    "step_together",
]
