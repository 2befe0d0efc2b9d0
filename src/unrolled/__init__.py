"""Recurrent neural networks, whole: train one on your own sequences, look inside it, stream it, ship it."""

from unrolled.kernels import use_engine
from unrolled.layers import GRU, LSTM, RNN, Recurrent

__version__ = "0.1.0"

__all__ = ["GRU", "LSTM", "RNN", "Recurrent", "__version__", "use_engine"]
