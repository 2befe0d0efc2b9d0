"""A network that spells: recurrent layers and, at each step, a unit or blank; and its losses.

T steps, B batch, K classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from unrolled.errors import ArgumentError
from unrolled.layers import CTC, FlatStart, LinearOutput
from unrolled.networks import SyncedNetwork
from unrolled.networks.parts import shortened
from unrolled.tasks.core.contract import AnyInput
from unrolled.tasks.core.recurrent import stack
from unrolled.tasks.core.values import Scored
from unrolled.tasks.outputs.text.ctc.options import CTCNetwork


def ctc_network(source: AnyInput, network: Mapping[str, Any], classes: int) -> SyncedNetwork:
    """Return the untrained network.

    Raises:
        ArgumentError: the input has no steps, or the settings were made for another vocabulary.
    """
    chosen = CTCNetwork.picked(network)
    if not source.is_sequence(network):
        raise ArgumentError(f"the input {source.name!r} is read as a whole, and a text is spelled step by step")
    if chosen.classes != classes:
        raise ArgumentError(f"made for classes={chosen.classes}, the vocabulary has {classes}")
    inputs = source.layer(network)
    hidden = stack(
        chosen,
        inputs.output_size,
        forget_bias=1.0,
        variational=True,
        recurrent_dropout=chosen.recurrent_dropout,
        # with it and variance kept from layer to layer CTC learns in fewer updates to say more than what is frequent
        initialisation="orthogonal",
    )
    output = LinearOutput(hidden.output_size, classes)
    nn.init.xavier_uniform_(output.weight)
    return SyncedNetwork(inputs, hidden, output, dropout=chosen.dropout)


def run(network: nn.Module, x: object, lengths: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return logits (T, B, K) and the valid steps of each row, (B,)."""
    logits, _ = network(x, None, lengths)
    steps = shortened(network.get_submodule("inputs"), lengths)
    if steps is None:
        steps = torch.full((logits.shape[1],), len(logits), dtype=torch.int64, device=logits.device)
    return logits, steps


def score(network: nn.Module, x: object, lengths: Tensor | None, data: Mapping[str, Tensor]) -> Scored:
    """Return the loss of CTC, nats a unit."""
    logits, steps = run(network, x, lengths)
    return Scored(*CTC()(logits, steps, data["units"], data["unit_lengths"]))


def score_flat(
    network: nn.Module, x: object, lengths: Tensor | None, data: Mapping[str, Tensor], spans: Tensor | None
) -> Scored:
    """Return the loss of each unit at its even share of a span, nats a step.

    Args:
        network, x, lengths, data: as for `score`.
        spans: (B, 2) first step of each span, and the one after its last; None spreads the units over all steps.
    """
    logits, steps = run(network, x, lengths)
    if spans is None:
        spans = torch.stack([torch.zeros_like(steps), steps], 1)
    return Scored(*FlatStart()(logits, steps, data["units"], data["unit_lengths"], spans))
