"""A network that ends in a label for each step, and its loss.

T steps, B batch, K labels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from unrolled.layers import CrossEntropy, LinearOutput, Recurrent
from unrolled.networks import SyncedNetwork
from unrolled.tasks.core.contract import AnyInput
from unrolled.tasks.core.recurrent import RecurrentNetwork, stack
from unrolled.tasks.outputs.labels.options import LabelsNetwork


def synced_layers(
    source: AnyInput, network: Mapping[str, Any], classes: int, **regularised: float
) -> tuple[nn.Module, Recurrent, LinearOutput]:
    """Return the untrained layers of a network that answers at every step: input, hidden and output layer.

    Args:
        source: what is read.
        network: the plan's.
        classes: K.
        regularised: further arguments of the stack, e.g. `recurrent_dropout`.
    """
    inputs = source.layer(network)
    # one mask a sequence: what is dropped at one step is dropped at all
    hidden = stack(
        RecurrentNetwork.picked(network), inputs.output_size, forget_bias=1.0, variational=True, **regularised
    )
    return inputs, hidden, LinearOutput(hidden.output_size, classes)


def labels_network(source: AnyInput, network: Mapping[str, Any], classes: int) -> SyncedNetwork:
    """Return the untrained network; its buffer `label_frequency` (K,) is for the share of each label in training."""
    chosen = LabelsNetwork.picked(network)
    built = SyncedNetwork(*synced_layers(source, network, classes), dropout=chosen.dropout)
    built.loss = CrossEntropy(smoothing=chosen.smoothing)
    built.register_buffer("label_frequency", torch.zeros(classes))
    return built


def start_from_frequencies(network: nn.Module, targets: Sequence[NDArray[np.int64]], classes: int) -> None:
    """Start the output bias at the labels' log-frequencies, and keep their shares where the network has a place."""
    labels = np.concatenate([t[t >= 0] for t in targets])
    counts = np.bincount(labels, minlength=classes).astype(np.float64) + 0.5
    shares = torch.from_numpy(counts / counts.sum())
    with torch.no_grad():
        network.get_parameter("output.bias").copy_(shares.log())
        if "label_frequency" in dict(network.named_buffers()):
            network.get_buffer("label_frequency").copy_(shares)
