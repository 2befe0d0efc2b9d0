"""A network that ends in one label, and its loss.

B batch, K classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from unrolled.data import ExampleStore
from unrolled.errors import ArgumentError
from unrolled.layers import CrossEntropy, LinearOutput, make_pooling
from unrolled.networks import FeedForward, ManyToOneNetwork, OneToOneNetwork
from unrolled.tasks.core.contract import AnyInput
from unrolled.tasks.core.recurrent import stack
from unrolled.tasks.core.values import Scored
from unrolled.tasks.outputs.label.options import LabelNetwork


def label_network(
    source: AnyInput, network: Mapping[str, Any], classes: int, *, forget_bias: float | None
) -> ManyToOneNetwork | OneToOneNetwork:
    """Return the untrained network: recurrent where the input has steps, else a linear map of its vector.

    Raises:
        ArgumentError: the settings make no network, or were made for another number of labels.
    """
    chosen = LabelNetwork.picked(network)
    if chosen.labels not in (None, classes):
        raise ArgumentError(f"made for labels={chosen.labels}, the encoders have {classes}")
    inputs = source.layer(network)
    built: ManyToOneNetwork | OneToOneNetwork
    size = inputs.output_size
    if source.is_sequence(network):
        hidden = stack(chosen, size, forget_bias=forget_bias)
        pooling = make_pooling(chosen.pooling, hidden.output_size, hidden.num_directions)
        output = LinearOutput(pooling.output_size, classes)
        beside = source.beside(network, classes)
        built = ManyToOneNetwork(inputs, hidden, pooling, output, dropout=chosen.dropout, beside=beside)
    else:
        vector = FeedForward(size, (), dropout=chosen.dropout)
        built = OneToOneNetwork(inputs, vector, LinearOutput(vector.output_size, classes))
    built.loss = LabelLoss(chosen.smoothing, chosen.consistency)
    return built


class LabelLoss(nn.Module):
    """Cross entropy, nats an input; while training with what two readings of an input differ by, if that counts.

    Args:
        smoothing: share of each target that is spread over all labels.
        consistency: weight of the mean of KL(p‖q) and KL(q‖p) between the first and the second reading.

    Source: R-Drop, Liang et al. 2021, arXiv 2106.14448, equation 3.
    """

    def __init__(self, smoothing: float = 0.0, consistency: float = 0.0) -> None:
        super().__init__()
        self.smoothing, self.consistency = smoothing, consistency

    def forward(self, logits: Tensor, labels: Tensor) -> Scored:
        """Score logits (B, K) against labels (B,); the two readings of a batch stand one after the other."""
        mean, total, count = CrossEntropy(smoothing=self.smoothing if self.training else 0.0)(logits, labels)
        if self.training and self.consistency:
            mean = mean + self.consistency * difference(logits)
        return Scored(mean, total, count)


def difference(logits: Tensor) -> Tensor:
    """Return the mean of KL(p‖q) and KL(q‖p) between the first and the second reading of each input, (2B, K) → nats."""
    p, q = logits.log_softmax(-1).chunk(2)
    return ((p.exp() - q.exp()) * (p - q)).sum(-1).mean() / 2


def start_from_frequencies(network: nn.Module, store: ExampleStore, classes: int) -> None:
    """Set the output bias to the logarithm of each class's share of the training data."""
    counts = torch.zeros(classes)
    for n in range(len(store)):
        label = int(store[n]["label"][0])
        if label >= 0:
            counts[label] += 1
    bias = network.get_parameter("output.bias")
    with torch.no_grad():
        bias.copy_((counts / counts.sum()).clamp(min=1e-6).log())
