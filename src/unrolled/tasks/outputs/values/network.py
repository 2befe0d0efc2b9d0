"""A network that ends in numbers for each step, and its loss.

T steps of the signal, S of the network, B batch, K numbers, Q quantiles.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from unrolled.layers import LinearOutput, StackedFrames
from unrolled.networks import SyncedNetwork
from unrolled.tasks.core.contract import AnyInput
from unrolled.tasks.core.recurrent import RecurrentNetwork, stack
from unrolled.tasks.core.values import Scored
from unrolled.tasks.outputs.values.baseline import Filter
from unrolled.tasks.outputs.values.options import Loss, ValuesNetwork

#: by how much units that begin as a filter are larger than its answer, so that what the cells add is small at first
SCALE = 4.0


def values_network(
    source: AnyInput, network: Mapping[str, Any], width: int, levels: Sequence[float], delay: int
) -> SyncedNetwork:
    """Return the untrained network, whose step answers to as many steps of the signal as its input layer stacks."""
    chosen, inputs = ValuesNetwork.picked(network), source.layer(network)
    # what the input layer makes of a step goes on to the output, too, so that a linear filter needs no recurrence
    hidden = stack(RecurrentNetwork.picked(network), inputs.output_size, forget_bias=1.0, residual=True)
    stride = int(network.get("stride", 1))
    output = LinearOutput(hidden.output_size, stride * width * max(1, len(levels)))
    built = SyncedNetwork(inputs, hidden, output, dropout=chosen.dropout)
    built.loss = SignalLoss(chosen.loss, chosen.preemphasis, chosen.warmup + delay, tuple(levels), width)
    return built


@torch.no_grad()
def start_from_filter(network: nn.Module, linear: Filter) -> None:
    """Let a network begin as a linear filter that is fitted in its own units, if it has room for it.

    Two units of the input layer hold the filter's answer to each step, one above 0 and one below, as ReLU follows.

    Args:
        network: as of `values_network`, with a residual stack.
        linear: of as many taps as the input layer sees steps back, and one.
    """
    inputs, width = network.get_submodule("inputs"), len(linear.bias)
    if not isinstance(inputs, StackedFrames) or not isinstance(network, SyncedNetwork):
        return
    stack, weight, bias = inputs.stack, network.get_parameter("output.weight"), network.get_parameter("output.bias")
    if inputs.output_size != network.hidden.output_size or 2 * stack.stride * width > inputs.output_size:
        return
    taps = torch.from_numpy(linear.weight).float().view(-1, stack.features, width)
    places = stack.left + stack.stride
    levels = len(weight) // (stack.stride * width)
    weight.zero_()
    bias.zero_()
    for step in range(stack.stride):
        newest = stack.left + step
        for k in range(width):
            unit, window = 2 * (step * width + k), torch.zeros(places, stack.features)
            window[newest - len(taps) + 1 : newest + 1] = taps[:, :, k].flip(0)
            outputs = slice((step * width + k) * levels, (step * width + k + 1) * levels)
            for place, sign in ((unit, 1.0), (unit + 1, -1.0)):
                inputs.linear.weight[place] = sign * SCALE * window.flatten()
                inputs.linear.bias[place] = sign * SCALE * float(linear.bias[k])
                weight[outputs, place] = sign / SCALE


class SignalLoss(nn.Module):
    """The distance of what is answered from what is wanted, over the steps after the warm-up.

    Args:
        kind: mse, mae, esr (energy of the error over that of the signal, both after pre-emphasis), or quantiles.
        preemphasis: p of y_t − p · y_{t−1}.
        warmup: first steps without a loss.
        levels: of quantiles; empty for one answer.
        width: K.

    Source: esr, Wright et al. 2019; quantiles, Koenker & Bassett 1978, doi:10.2307/1913643.
    """

    def __init__(
        self, kind: Loss, preemphasis: float, warmup: int, levels: tuple[float, ...] = (), width: int = 1
    ) -> None:
        super().__init__()
        self.kind, self.preemphasis, self.warmup, self.width = kind, preemphasis, warmup, width
        self.register_buffer("levels", torch.tensor(levels or (0.5,)), persistent=False)

    def unstacked(self, logits: Tensor) -> Tensor:
        """Return the answer to each step of the signal: (S, B, ·) → (T, B, K, Q)."""
        levels = self.get_buffer("levels")
        steps, batch = logits.shape[:2]
        stride = logits.shape[2] // (self.width * len(levels))
        each = logits.view(steps, batch, stride, self.width, len(levels))
        return each.transpose(1, 2).reshape(-1, batch, self.width, len(levels))

    def forward(self, logits: Tensor, wanted: Tensor, lengths: Tensor) -> Scored:
        """Score logits (S, B, ·) against targets (T, B, K), of which the first `lengths` (B,) are valid."""
        answer = self.unstacked(logits)[: len(wanted)]
        steps = torch.arange(len(wanted), device=wanted.device)[:, None]
        # a piece that is shorter than the warm-up counts as a whole
        first = torch.where(lengths > self.warmup, self.warmup, 0)
        counted = ((steps < lengths) & (steps >= first))[..., None]
        count = int(counted.sum()) * self.width
        error = wanted[..., None] - answer
        if self.kind == "quantiles":
            levels = self.get_buffer("levels")
            each = torch.maximum(levels * error, (levels - 1) * error).mean(-1)
        elif self.kind == "mae":
            each = error[..., 0].abs()
        else:
            each = error[..., 0].square()
        if self.kind == "esr":
            noise, signal = (self._energy(x, counted) for x in (error[..., 0], wanted))
            mean = noise / signal.clamp(min=1e-6 * max(count, 1))
        else:
            mean = (each * counted).sum() / max(count, 1)
        return Scored(mean, float(mean.detach()) * count, count)

    def _energy(self, x: Tensor, counted: Tensor) -> Tensor:
        before = torch.cat([torch.zeros_like(x[:1]), x[:-1]])
        return ((x - self.preemphasis * before).square() * counted).sum()
