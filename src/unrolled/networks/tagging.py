"""Taggers: synced many-to-many networks with a label for each token, independent or as a chain.

Letters: T steps of the input, B rows; S sentences, N tokens of the longest; K labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unrolled.errors import ArgumentError
from unrolled.layers import OutputLayer, Recurrent
from unrolled.layers.outputs.crf import CRF, Posterior, posterior
from unrolled.networks.synced import SyncedNetwork
from unrolled.scan import valid_steps


class TaggingNetwork(SyncedNetwork):
    """A synced network over words, with a CRF over each sentence or with independent labels.

    The hidden layers may run over several sentences of one document, so that each is read in context; the chain of
    labels never crosses from one sentence to the next.

    Args:
        inputs, hidden, output, dropout: as for `SyncedNetwork`.
        between, begins, ends: which labels may follow each other, begin and end a sentence.
        chained: True for a CRF, False for a softmax at each step.

    Raises:
        ArgumentError, ShapeError: the layers or the constraints do not match.
    """

    def __init__(
        self,
        inputs: nn.Module,
        hidden: Recurrent,
        output: OutputLayer,
        *,
        between: Sequence[Sequence[bool]] | None = None,
        begins: Sequence[bool] | None = None,
        ends: Sequence[bool] | None = None,
        chained: bool = True,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(inputs, hidden, output, dropout=dropout)
        self.chain = CRF(self.vocabulary_size, between, begins, ends)
        self.chained = chained
        if not chained:
            # the decoder still needs the constraints; the scores are zero and remain so
            for parameter in self.chain.parameters():
                parameter.requires_grad_(False)

    @property
    def is_causal(self) -> bool:
        """Whether a label depends on nothing that comes after its token, so that the network can be streamed."""
        return not self.chained and not self.hidden.bidirectional

    def emissions(self, x: Any, lengths: Tensor, places: Tensor) -> Tensor:
        """Return the score of each label of each token, sentence by sentence.

        Args:
            x: the input layer's input, with T steps and B rows.
            lengths: (B,) valid steps.
            places: (N, S) int64, the position of each token: step · B + row.

        Returns:
            (N, S, K).
        """
        h, _ = self.features(x, None, lengths)
        return self.output(F.embedding(places, h.flatten(0, 1)))

    def losses(self, emissions: Tensor, targets: Tensor, lengths: Tensor) -> Tensor:
        """Return −ln p of each sentence's labels, in nats: emissions (N, S, K), targets (N, S), lengths (S,) → (S,).

        Raises:
            ArgumentError: the constraints forbid the labels in this order.
        """
        if self.chained:
            return self.chain(emissions, targets, lengths)
        valid = valid_steps(lengths, *targets.shape)
        nats = F.cross_entropy(emissions.flatten(0, 1), targets.masked_fill(~valid, 0).flatten(), reduction="none")
        return nats.view(targets.shape).masked_fill(~valid, 0).double().sum(0)

    def posterior(self, emissions: Tensor, lengths: Tensor) -> Posterior:
        """Return the probabilities of labels and of label sequences, without a graph."""
        if self.chained:
            return self.chain.posterior(emissions, lengths)
        with torch.no_grad():
            nothing = emissions.new_zeros(emissions.shape[2], dtype=torch.float64)
            free = nothing.expand(len(nothing), -1)
            return posterior(emissions, valid_steps(lengths, *emissions.shape[:2]), lengths, free, nothing, nothing)

    def chain_scores(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return the scores between labels, at the beginning and at the end, −∞ where forbidden; float64.

        Raises:
            ArgumentError: the weights are not finite.
        """
        scores = self.chain.scores()
        if any(bool(score.isnan().any()) for score in scores):
            raise ArgumentError("transitions: not finite; the model's weights have diverged")
        return scores
