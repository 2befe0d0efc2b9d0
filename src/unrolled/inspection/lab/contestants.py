"""The cells and initialisations that are compared."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from unrolled.errors import ArgumentError
from unrolled.layers import (
    GRU,
    LRU,
    LSTM,
    RGLRU,
    RNN,
    SLSTM,
    SRU,
    IndRNN,
    LinearOutput,
    MinGRU,
    MinLSTM,
    MogrifierLSTM,
    Recurrent,
)


@dataclass(frozen=True)
class Contestant:
    """A cell with an initialisation.

    Attributes:
        name: as in legends.
        layer: one of `unrolled.layers`.
        options: the layer's options.
        note: the source of the initialisation.
    """

    name: str
    layer: Callable[..., Recurrent]
    options: dict[str, Any] = field(default_factory=dict)
    note: str = ""

    def build(self, input_size: int, hidden_size: int, output_size: int) -> LabNetwork:
        """Return an untrained network, drawn from torch's generator."""
        hidden = self.layer(input_size, hidden_size, **self.options)
        return LabNetwork(hidden, LinearOutput(hidden.output_size, output_size))


class LabNetwork(nn.Module):
    """Hidden layer and output layer, with an output at every step."""

    def __init__(self, hidden: Recurrent, output: LinearOutput) -> None:
        super().__init__()
        self.hidden, self.output = hidden, output

    def forward(self, x: Tensor) -> Tensor:
        """Return the outputs of all steps: (T, B, I) → (T, B, K)."""
        outputs: Tensor = self.output(self.hidden(x)[0])
        return outputs


CONTESTANTS = (
    Contestant("RNN tanh", RNN),
    Contestant("RNN tanh, orthogonal", RNN, {"initialisation": "orthogonal"}, "Saxe et al. 2014, arXiv 1312.6120"),
    Contestant(
        "RNN ReLU, identity",
        RNN,
        {"initialisation": "identity", "nonlinearity": "relu"},
        "Le, Jaitly & Hinton 2015, arXiv 1504.00941",
    ),
    Contestant("LSTM", LSTM),
    Contestant("LSTM, forget bias 1", LSTM, {"forget_bias": 1.0}, "Jozefowicz et al. 2015"),
    Contestant(
        "LSTM, forget bias 4",
        LSTM,
        {"forget_bias": 4.0},
        "for memories of e⁴ ≈ 55 steps: Tallec & Ollivier 2018, 1804.11188",
    ),
    Contestant("LSTM, chrono 200", LSTM, {"chrono": 200}, "Tallec & Ollivier 2018, arXiv 1804.11188"),
    Contestant("GRU", GRU),
    Contestant("minGRU", MinGRU, note="Feng et al. 2024, arXiv 2410.01201"),
    Contestant("minLSTM", MinLSTM, note="Feng et al. 2024, arXiv 2410.01201"),
    Contestant("SRU", SRU, note="Lei et al. 2018, arXiv 1709.02755"),
    Contestant("RG-LRU", RGLRU, note="De et al. 2024, arXiv 2402.19427"),
    Contestant("LRU", LRU, note="Orvieto et al. 2023, arXiv 2303.06349"),
    Contestant("IndRNN", IndRNN, note="Li et al. 2018, arXiv 1803.04831"),
    Contestant("sLSTM", SLSTM, note="Beck et al. 2024, arXiv 2405.04517"),
    Contestant("Mogrifier LSTM", MogrifierLSTM, note="Melis et al. 2020, arXiv 1909.01792"),
)


def check_training(lr: float, clip: float, seed: int) -> None:
    """Check the settings of a training.

    Raises:
        ArgumentError: a rate, norm or seed is out of range.
    """
    for name, value in (("lr", lr), ("clip", clip)):
        if not 0 < value < math.inf:
            raise ArgumentError(f"{name}: expected a number above 0, found {value}")
    if not 0 <= seed < 2**32:
        raise ArgumentError(f"seed: expected 0 to 2³² − 1, found {seed}")


def clip(parameters: Sequence[Tensor], limit: float | None) -> float:
    """Scale the gradient of all parameters down to a norm, if there is a limit, and return the norm before that."""
    norm = nn.utils.clip_grad_norm_(parameters, float("inf") if limit is None else limit, foreach=True)
    return float(torch.as_tensor(norm))
