"""The network under `generate`, embedding, recurrent stack and output, and how it is scored."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional as F

from unrolled.data import IGNORED, Batch, TokenFile, Tokenizer, evaluation_windows
from unrolled.errors import ArgumentError, ModelError
from unrolled.layers import STACKS, CrossEntropy, Embedding, LinearOutput
from unrolled.networks import SyncedNetwork
from unrolled.settings import Settings
from unrolled.training import LossReport


class LanguageModelSettings(Settings):
    """The network, completely. Sizes are in units, dropouts are probabilities."""

    cell: Literal["lstm", "gru", "rnn"] = "lstm"
    vocabulary_size: int
    embedding_size: int
    hidden_size: int
    num_layers: int
    # on the embedding's vectors, variational
    input_dropout: float = 0.0
    # between layers and before the output, variational
    dropout: float = 0.0
    # on h_{t-1} where it enters the gates, variational
    recurrent_dropout: float = 0.0
    # on the entries of weight_hh
    weight_dropout: float = 0.0
    # whether the output layer's weight is the embedding's
    tied: bool = False
    layer_norm: bool = False


def build_language_model(settings: LanguageModelSettings) -> SyncedNetwork:
    """The untrained network.

    Raises:
        ArgumentError: a size or a probability out of range.
    """
    extra: dict[str, Any] = {"forget_bias": 1.0} if settings.cell == "lstm" else {}
    inputs = Embedding(settings.vocabulary_size, settings.embedding_size, dropout=settings.input_dropout)
    hidden = STACKS[settings.cell](
        settings.embedding_size,
        settings.hidden_size,
        settings.num_layers,
        dropout=settings.dropout if settings.num_layers > 1 else 0.0,
        variational=True,
        recurrent_dropout=settings.recurrent_dropout,
        weight_dropout=settings.weight_dropout,
        layer_norm=settings.layer_norm,
        **extra,
    )
    output = LinearOutput(hidden.output_size, settings.vocabulary_size, tied=inputs.weight if settings.tied else None)
    return SyncedNetwork(inputs, hidden, output, dropout=settings.dropout)


def language_model(network: Mapping[str, Any], tokenizer: Tokenizer) -> SyncedNetwork:
    """The network of a saved model.

    Raises:
        ModelError: if the settings make no network, or one for another tokeniser.
    """
    try:
        settings = LanguageModelSettings(**network)
        if settings.vocabulary_size != tokenizer.vocabulary_size:
            raise ModelError(
                f"network: made for {settings.vocabulary_size} tokens, the tokenizer has {tokenizer.vocabulary_size}"
            )
        return build_language_model(settings)
    except (ArgumentError, TypeError) as error:
        raise ModelError(f"network: {error}") from error


class LanguageModelLearner:
    """Scores windows of text: what the training loop trains.

    Args:
        network: the model.
        dev: development tokens, or None.
        characters_per_token: of the development text, to report nats a character.
        sampler: yields a sample of the model's writing.
        limit: evaluate on at most this many development tokens while training.
    """

    def __init__(
        self,
        network: SyncedNetwork,
        dev: NDArray[Any] | None,
        characters_per_token: float,
        sampler: Any = None,
        limit: int = 250_000,
    ) -> None:
        self.network = network
        self._loss = CrossEntropy()
        self._dev = None if dev is None else dev[:limit]
        self._characters_per_token, self._sampler = characters_per_token, sampler

    def loss(self, batch: Batch, carried: Any) -> LossReport:
        """Forward through one window, from the state that the last one left."""
        device = device_of(self.network)
        state = None if carried is None else _cut(carried)
        logits, state = self.network(batch.inputs.to(device), state)
        mean, total, count = self._loss(logits, batch.targets.to(device))
        return LossReport(mean, total, count, _cut(state))

    def evaluate(self) -> dict[str, float]:
        """Nats a token, and what follows from them, on the development text."""
        if self._dev is None:
            return {}
        nats, count = score(self.network, self._dev)
        loss = nats / count
        metrics = {"loss": loss, "perplexity": math.exp(min(loss, 700.0))}
        if self._characters_per_token != 1:
            metrics["nats_per_character"] = loss / self._characters_per_token
        return metrics

    def sample(self) -> str | None:
        """What the model writes now."""
        return None if self._sampler is None else self._sampler(self.network)


def score(
    network: nn.Module, tokens: TokenFile | NDArray[Any], *, lanes: int = 32, window: int = 256
) -> tuple[float, int]:
    """The sum of −ln p over a text, in nats, and how many tokens were predicted: each but the first, exactly once."""
    loss, total, count = CrossEntropy(), 0.0, 0
    for batch, logits in _logits(network, tokens, lanes, window):
        _, nats, counted = loss(logits, batch.targets.to(logits.device))
        total, count = total + float(nats), count + counted
    return total, count


def token_log_probabilities(
    network: nn.Module, tokens: TokenFile | NDArray[Any], *, lanes: int = 32, window: int = 256
) -> NDArray[np.float64]:
    """ln p of each token of a text but the first, (N − 1,) nats, in order; what `score` sums."""
    found: list[NDArray[np.float64]] = []
    counted: list[NDArray[np.bool_]] = []
    for batch, logits in _logits(network, tokens, lanes, window):
        targets = batch.targets.to(logits.device)
        nats = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none", ignore_index=IGNORED)
        found.append(-nats.view(targets.shape).double().cpu().numpy())
        counted.append((targets != IGNORED).cpu().numpy())
    # one lane after the other, each in the order of time, is the order of the text
    return np.concatenate(found).T[np.concatenate(counted).T]


def _logits(
    network: nn.Module, tokens: TokenFile | NDArray[Any], lanes: int, window: int
) -> Iterator[tuple[Batch, torch.Tensor]]:
    state: Any = None
    device = device_of(network)
    with torch.no_grad():
        # lanes after the first read some text uncounted, so that none is judged without context
        for batch in evaluation_windows(tokens, lanes, window, warmup=128):
            logits, state = network(batch.inputs.to(device), state)
            yield batch, logits


def device_of(network: nn.Module) -> torch.device:
    """Where a network's weights are."""
    return next(network.parameters()).device


def _cut(state: Any) -> Any:
    """A state outside the graph: where truncated BPTT cuts."""
    return state.detach() if isinstance(state, torch.Tensor) else tuple(s.detach() for s in state)


def unigram_bias(network: SyncedNetwork, tokens: NDArray[Any], vocabulary_size: int) -> None:
    """Start the output bias at the log-frequencies of a text, so that training need not first learn them."""
    counts = np.bincount(tokens, minlength=vocabulary_size).astype(np.float64) + 0.5
    bias = network.output.bias
    if bias is not None:
        with torch.no_grad():
            bias.copy_(torch.from_numpy(np.log(counts / counts.sum())))  # type: ignore[operator]
