"""Recurrent neural networks, whole: train one on your own sequences, look inside it, stream it, ship it."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from unrolled.export.accelerate import accelerate, restore
    from unrolled.kernels import use_engine
    from unrolled.layers import (
        GRU,
        LRU,
        LSTM,
        RGLRU,
        RNN,
        SLSTM,
        SRU,
        GRUCell,
        IndRNN,
        LSTMCell,
        MinGRU,
        MinLSTM,
        MogrifierLSTM,
        Recurrent,
        RNNCell,
    )
    from unrolled.serving import Client
    from unrolled.tasks import Model, load, train

__version__ = "0.1.0"

__all__ = [
    "GRU",
    "LRU",
    "LSTM",
    "RGLRU",
    "RNN",
    "SLSTM",
    "SRU",
    "Client",
    "GRUCell",
    "IndRNN",
    "LSTMCell",
    "MinGRU",
    "MinLSTM",
    "Model",
    "MogrifierLSTM",
    "RNNCell",
    "Recurrent",
    "__version__",
    "accelerate",
    "load",
    "restore",
    "train",
    "use_engine",
]

_HOMES = {
    "export": ("accelerate", "restore"),
    "kernels": ("use_engine",),
    "layers": (
        "GRU",
        "LSTM",
        "RNN",
        "Recurrent",
        "LRU",
        "RGLRU",
        "SLSTM",
        "SRU",
        "IndRNN",
        "MinGRU",
        "MinLSTM",
        "MogrifierLSTM",
        "GRUCell",
        "LSTMCell",
        "RNNCell",
    ),
    "serving": ("Client",),
    "tasks": ("Model", "load", "train"),
}
_ROOMS = (
    "bench",
    "cells",
    "data",
    "decoding",
    "errors",
    "export",
    "inspection",
    "kernels",
    "layers",
    "metrics",
    "networks",
    "scan",
    "serving",
    "tasks",
    "testing",
    "training",
)


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        return importlib.import_module(f"unrolled.{name}")
    # imported on first use, so that the command's help does not wait for torch, nor a layer for tokenisers
    for room, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(f"unrolled.{room}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_ROOMS})
