"""A language model's network: embedding, recurrent stack and output; how it is trained, and how it scores a text."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from unrolled.data import IGNORED, TokenBatch, TokenFile, evaluation_windows
from unrolled.layers import STACKS, AdaptiveOutput, CrossEntropy, InputLayer, LinearOutput, OutputLayer
from unrolled.networks import SyncedNetwork
from unrolled.tasks.outputs.next.options import LanguageModelNetwork
from unrolled.training import LossReport, share_out, sharers

#: while training, at most this many tokens of development text are looked at
JUDGED_ON = 250_000
#: borders of an adaptive softmax's clusters, in tokens from the most frequent on
CLUSTERS = (2_000, 10_000, 50_000, 250_000)


class Penalties(NamedTuple):
    """Weights of the terms added to the loss: α mean (dropped h_t)² + β mean (h_t − h_{t−1})².

    Source: activation and temporal activation regularisation, Merity et al. 2017, arXiv 1708.01009.
    """

    activation: float = 0.0
    temporal: float = 0.0

    def of(self, h: torch.Tensor, dropped: torch.Tensor) -> torch.Tensor:
        """Return the sum for a window, h (T, B, H) before dropout and after it."""
        total = self.activation * dropped.square().mean()
        return total + self.temporal * h.diff(dim=0).square().mean() if len(h) > 1 else total


NO_PENALTIES = Penalties()


def language_model(inputs: InputLayer, chosen: LanguageModelNetwork) -> SyncedNetwork:
    """Return the untrained network around an embedding of tokens.

    Raises:
        ArgumentError: a size or a probability out of range.
    """
    # a cell that lacks one of them names it
    asked = {name: getattr(chosen, name) for name in ("recurrent_dropout", "weight_dropout", "layer_norm")}
    extra: dict[str, Any] = {name: value for name, value in asked.items() if value}
    if chosen.cell == "lstm":
        extra["forget_bias"] = 1.0
    hidden = STACKS[chosen.cell](
        chosen.embedding_size,
        chosen.hidden_size,
        chosen.num_layers,
        dropout=chosen.dropout if chosen.num_layers > 1 else 0.0,
        variational=True,
        **extra,
    )
    return SyncedNetwork(inputs, hidden, _output(inputs, hidden.output_size, chosen), dropout=chosen.dropout)


def _output(inputs: InputLayer, width: int, chosen: LanguageModelNetwork) -> OutputLayer:
    """Return the output layer."""
    classes = chosen.vocabulary_size
    if chosen.softmax == "full":
        return LinearOutput(width, classes, tied=inputs.get_parameter("weight") if chosen.tied else None)
    return AdaptiveOutput(width, classes, tuple(border for border in CLUSTERS if border < classes))


class LanguageModelLearner:
    """Scores windows of text: what the training loop trains.

    Args:
        network: the model.
        dev: development text.
        sampler: returns a sample of the model's writing.
        limit: evaluate on at most this many development tokens while training.
        penalties: added to the loss.
    """

    def __init__(
        self,
        network: SyncedNetwork,
        dev: TokenFile,
        sampler: Callable[[], str] | None = None,
        limit: int = JUDGED_ON,
        penalties: Penalties = NO_PENALTIES,
    ) -> None:
        self.network: SyncedNetwork = network
        self._penalties = penalties
        self._loss = CrossEntropy()
        self._dev, self._characters_per_token = dev.tokens[:limit], dev.characters / len(dev)
        self._sampler = sampler

    def loss(self, batch: TokenBatch, carried: Any) -> LossReport:
        """Run forward through one window, from the state that the last one left."""
        device = device_of(self.network)
        state = None if carried is None else _cut(carried)
        h, state = self.network.states(batch.inputs.to(device), state)
        read, targets = self.network.dropped(h), batch.targets.to(device)
        output = self.network.output
        if isinstance(output, AdaptiveOutput):
            mean, total, count = output.loss(read, targets, IGNORED)
        else:
            mean, total, count = self._loss(output(read), targets)
        if any(self._penalties):
            mean = mean + self._penalties.of(h, read)
        return LossReport(mean, total, count, _cut(state))

    def evaluate(self) -> dict[str, float]:
        """Return nats a token, and what follows from them, on the development text."""
        nats, count = score(self.network, self._dev)
        loss = nats / count
        metrics = {"loss": loss, "perplexity": math.exp(min(loss, 700.0))}
        if self._characters_per_token != 1:
            metrics["nats_per_character"] = loss / self._characters_per_token
        return metrics

    def sample(self) -> str | None:
        """Return what the model writes now."""
        return None if self._sampler is None else self._sampler()


def score(
    network: nn.Module, tokens: TokenFile | NDArray[Any], *, lanes: int = 32, window: int = 256
) -> tuple[float, int]:
    """Return the sum of −ln p over a text, in nats, and how many tokens were predicted: each but the first, once."""
    loss = CrossEntropy()

    def compute(columns: slice) -> tuple[float, int]:
        total, count = 0.0, 0
        for batch, logits in _logits(network, tokens, lanes, window, columns):
            _, nats, counted = loss(logits, batch.targets.to(logits.device))
            total, count = total + float(nats), count + counted
        return total, count

    scores = [*share_out((slice(n, None, sharers()) for n in range(sharers())), compute)]
    return sum(total for total, _ in scores), sum(count for _, count in scores)


def token_scores(
    network: nn.Module, tokens: TokenFile | NDArray[Any], *, lanes: int = 32, window: int = 256
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return ln p of each token of a text but the first, in order, and the entropy of what predicted it.

    Returns:
        Both (N − 1,) nats; the first is what `score` sums.
    """
    log_probs: list[NDArray[np.float64]] = []
    entropies: list[NDArray[np.float64]] = []
    counted: list[NDArray[np.bool_]] = []
    for batch, logits in _logits(network, tokens, lanes, window):
        targets = batch.targets.to(logits.device)
        # some steps at a time, as a large vocabulary makes much of each
        for part, target in zip(logits.split(16), targets.split(16), strict=True):
            predicted = part.log_softmax(-1)
            log_prob = predicted.gather(-1, target.clamp(min=0).unsqueeze(-1)).squeeze(-1)
            log_probs.append(log_prob.double().cpu().numpy())
            entropies.append(torch.special.entr(predicted.exp_()).sum(-1).double().cpu().numpy())
        counted.append((targets != IGNORED).cpu().numpy())
    # one lane after the other, each in the order of time, is the order of the text
    inside = np.concatenate(counted).T
    return np.concatenate(log_probs).T[inside], np.concatenate(entropies).T[inside]


def _logits(
    network: nn.Module, tokens: TokenFile | NDArray[Any], lanes: int, window: int, columns: slice = slice(None)
) -> Iterator[tuple[TokenBatch, torch.Tensor]]:
    """Yield the windows of some lanes of a text, and their logits."""
    state: Any = None
    device = device_of(network)
    with torch.no_grad():
        # lanes after the first read some text uncounted, so that none is judged without context
        for batch in evaluation_windows(tokens, lanes, window, warmup=128):
            own = batch._replace(inputs=batch.inputs[:, columns], targets=batch.targets[:, columns])
            # of few lanes there may be none for a worker
            if own.inputs.shape[1]:
                logits, state = network(own.inputs.to(device), state)
                yield own, logits


def device_of(network: nn.Module) -> torch.device:
    """Return where a network's weights are."""
    return next(network.parameters()).device


def _cut(state: Any) -> Any:
    """Return a state outside the graph: where truncated BPTT cuts."""
    return state.detach() if isinstance(state, torch.Tensor) else tuple(s.detach() for s in state)


def start_from_frequencies(network: nn.Module, tokens: NDArray[np.int64], vocabulary_size: int) -> None:
    """Start the output bias at the log-frequencies of a text, so that training need not first learn them.

    An adaptive softmax has no bias, and keeps its start.
    """
    if isinstance(network.get_submodule("output"), AdaptiveOutput):
        return
    counts = np.bincount(tokens, minlength=vocabulary_size).astype(np.float64) + 0.5
    with torch.no_grad():
        network.get_parameter("output.bias").copy_(torch.from_numpy(np.log(counts / counts.sum())))
