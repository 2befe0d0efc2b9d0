"""Recurrent neural networks, whole: train one on your own sequences, look inside it, stream it, ship it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from unrolled.kernels import use_engine
from unrolled.layers import GRU, LSTM, RNN, Recurrent

if TYPE_CHECKING:
    from unrolled.tasks import Model, load, train

__version__ = "0.1.0"

__all__ = ["GRU", "LSTM", "RNN", "Model", "Recurrent", "__version__", "load", "train", "use_engine"]


def __getattr__(name: str) -> Any:
    # whoever only wants the layers does not wait for tokenisers and settings to be imported
    if name in ("Model", "load", "train"):
        from unrolled import tasks

        return getattr(tasks, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
