"""From encoded texts to labels, entities and probabilities.

N tokens of the longest sentence, S sentences, K labels.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

import torch
from torch import Tensor

from unrolled.data import Arrays
from unrolled.data.tagged.schemes import OUTSIDE, Span, spans_of
from unrolled.decoding.viterbi import Labelling, greedy_labels, viterbi
from unrolled.layers.outputs.crf import Posterior
from unrolled.metrics.entities import entity_scores
from unrolled.networks.tagging import TaggingNetwork
from unrolled.scan import valid_steps
from unrolled.tasks.core.examples import on_device
from unrolled.tasks.core.fitted import AnyFitted
from unrolled.tasks.inputs.words.collate import stretches
from unrolled.tasks.outputs.labels.decode import side_by_side
from unrolled.tasks.uses.tag.results import Alternative
from unrolled.training import share_out

#: the name under which a model keeps what is taken off the score of O, and the values that are tried, nats
EAGERNESS = "eagerness"
EAGER = tuple(n / 4 for n in range(-4, 21))
#: the few that are tried while it trains
ROUGHLY = (0.0, 0.5, 1.0, 1.5, 2.0)


@dataclass
class Tagged:
    """The labels of one encoded text.

    Attributes:
        labels: the best ones of each sentence.
        targets: those that are right, as far as they are given.
        nats: −ln p of the right labels, summed over the sentences whose labels the model knows.
        counted: tokens of these sentences.
    """

    labels: list[list[int]] = field(default_factory=list)
    targets: list[list[int]] = field(default_factory=list)
    nats: float = 0.0
    counted: int = 0


@dataclass(frozen=True)
class Sentence:
    """The labels of a sentence that is predicted.

    Attributes:
        labels: the best one of each token.
        scores: the probability of each.
        entities: spans of tokens, each with its probability.
        readings: the best of the whole sentence, by a chain.
    """

    labels: tuple[str, ...]
    scores: list[float]
    entities: list[tuple[Span, float]]
    readings: tuple[Alternative, ...]


class Tagger:
    """Labels encoded texts.

    Args:
        model: a `tag` model.
    """

    def __init__(self, model: AnyFitted) -> None:
        self.model, self.labels, self.kind = model, model.output.labels, model.output.kind
        self.network = cast(TaggingNetwork, model.network)
        self.eagerness = eagerness_of(model)

    def tag(self, texts: Sequence[Arrays]) -> list[Tagged]:
        """Return the best labels of each text, in order, and how improbable the right ones are."""
        tagged = [Tagged() for _ in texts]
        for chosen, data, emissions in self._read(texts):
            lengths, gold = data["sentence_lengths"], sentence_targets(data)
            labels = [best[0].labels for best in self.best(emissions, lengths, 1)]
            known = ((gold < len(self.labels)).all(0)) & (lengths > 0)
            nats = iter(self.network.losses(emissions[:, known], gold[:, known], lengths[known]).tolist())
            targets = [column[:n] for column, n in zip(gold.t().tolist(), lengths.tolist(), strict=True)]
            rows = zip(labels, targets, known.tolist(), strict=True)
            for n in chosen:
                for own, right, is_known in itertools.islice(rows, len(texts[n]["begins"])):
                    tagged[n].labels.append(own)
                    tagged[n].targets.append(right)
                    if is_known:
                        tagged[n].nats += next(nats)
                        tagged[n].counted += len(right)
        return tagged

    def best(self, emissions: Tensor, lengths: Tensor, n_best: int) -> list[list[Labelling]]:
        """Return the best readings of each sentence: of a chain by Viterbi, of independent labels from left to right.

        The O-bias weighs in the choice, and is not part of the scores.
        """
        transitions, start, end = self.network.chain_scores()
        weighed = less_outside(emissions, self.labels, self.eagerness)
        if not self.network.chained:
            return [[Labelling(labels, 0.0)] for labels in greedy_labels(weighed, transitions, start, lengths)]
        best = viterbi(weighed, transitions, start, end, lengths, n_best=n_best)
        if not self.eagerness:
            return best
        outside = self.labels.index(OUTSIDE)
        return [
            [Labelling(own.labels, own.score + self.eagerness * own.labels.count(outside)) for own in readings]
            for readings in best
        ]

    def fit_eagerness(
        self, texts: Sequence[Arrays], values: Sequence[float], on_progress: Callable[[int], None] | None = None
    ) -> float:
        """Take so much off the score of O that the F1 of these texts is best, and return how much that is, in nats.

        Where most entities are unlike those of the training data, the most probable reading leaves out most of them.

        Args:
            texts: with their right labels.
            values: that are tried, in order, 0 among them. Of each the mean with its neighbours counts, since a single
                one may be the best by chance.
            on_progress: is called with the number of values that have been tried.
        """
        name, parts, gold = self.model.output.label, [], []
        for _, data, emissions in self._read(texts):
            lengths = data["sentence_lengths"]
            parts.append((emissions, lengths))
            columns = zip(sentence_targets(data).t().tolist(), lengths.tolist(), strict=True)
            gold += [spans_of(map(name, labels[:length])) for labels, length in columns]
        curve = []
        for n, self.eagerness in enumerate(values):
            best = [first.labels for emissions, lengths in parts for [first] in self.best(emissions, lengths, 1)]
            curve.append(entity_scores(gold, [spans_of(map(name, labels)) for labels in best]).overall.f1)
            if on_progress is not None:
                on_progress(n + 1)
        around = [curve[max(0, n - 1) : n + 2] for n in range(len(curve))]
        smooth = [sum(part) / len(part) for part in around]
        self.eagerness = max(values, key=lambda value: (smooth[values.index(value)], -abs(value)))
        return self.eagerness

    def read(self, texts: Sequence[Arrays], context: int, n_best: int) -> list[list[Sentence]]:
        """Return what is predicted for the sentences of some texts.

        Args:
            texts: encoded.
            context: tokens of a text that are read in one go; 0 reads each sentence alone.
            n_best: readings of each sentence.
        """
        parts = [(n, stretch) for n, text in enumerate(texts) for stretch in stretches(text, context)]
        by_part: list[list[Sentence]] = [[] for _ in parts]
        for chosen, data, emissions in self._read([stretch for _, stretch in parts]):
            lengths = data["sentence_lengths"]
            beliefs = self.network.posterior(emissions, lengths)
            best = self.best(emissions, lengths, n_best)
            totals: list[float | None] = [None] * len(best)
            if self.network.chained:
                totals = self.network.chain.log_normaliser(emissions, lengths).tolist()
            owners = [n for n in chosen for _ in parts[n][1]["begins"]]
            for row, (n, readings, total) in enumerate(zip(owners, best, totals, strict=True)):
                by_part[n].append(self._sentence(readings, beliefs, row, total))
        by_text: list[list[Sentence]] = [[] for _ in texts]
        for (n, _), sentences in zip(parts, by_part, strict=True):
            by_text[n] += sentences
        return by_text

    def _sentence(self, readings: list[Labelling], beliefs: Posterior, row: int, total: float | None) -> Sentence:
        labels = readings[0].labels
        names = self._names(labels)
        # rounding may bring a certainty above 1
        scores = beliefs.marginals[range(len(labels)), row, labels].clamp(max=1.0).tolist()
        spans = spans_of(names) if self.kind == "entities" else []
        entities = [(s, min(1.0, beliefs.of_segment(row, s.start, labels[s.start : s.end]))) for s in spans]
        alternatives = [
            Alternative(labels=self._names(reading.labels), score=min(1.0, math.exp(reading.score - total)))
            for reading in readings
            if total is not None
        ]
        return Sentence(names, scores, entities, tuple(alternatives))

    def _names(self, labels: Sequence[int]) -> tuple[str, ...]:
        return tuple(self.labels[label] for label in labels)

    def _read(self, texts: Sequence[Arrays]) -> Iterator[tuple[list[int], dict[str, Tensor], Tensor]]:
        """Yield the numbers of texts that are read side by side, their batch, and the emissions (N, S, K)."""
        model = self.model

        def collate(chosen: list[int]) -> dict[str, Tensor]:
            own = [texts[n] for n in chosen]
            data = model.input.collate(model, own)
            if "targets" in own[0]:
                data |= model.output.collate(own)
            return on_device(self.network, data)

        def compute(chosen: list[int]) -> Tensor:
            data = collate(chosen)
            x, lengths = model.input.feed(data)
            with torch.no_grad():
                return self.network.emissions(x, lengths, data["places"])

        batches = list(side_by_side([len(text["words"]) for text in texts]))
        for chosen, emissions in zip(batches, share_out(batches, compute), strict=True):
            data = collate(chosen)
            yield chosen, data, emissions.to(data["places"].device)


def sentence_targets(data: Mapping[str, Tensor]) -> Tensor:
    """Return the targets of a batch sentence by sentence, (N, S), 0 beyond the end of each."""
    places, lengths = data["places"], data["sentence_lengths"]
    return data["targets"].flatten()[places].masked_fill(~valid_steps(lengths, *places.shape), 0)


def eagerness_of(model: AnyFitted) -> float:
    """Return what is taken off the score of O, in nats."""
    return float(model.fitted.get(EAGERNESS, 0.0))


def less_outside(emissions: Tensor, labels: Sequence[str], bias: float) -> Tensor:
    """Return scores (…, K) with so many nats less for O."""
    if not bias:
        return emissions
    outside = torch.zeros(emissions.shape[-1], dtype=emissions.dtype, device=emissions.device)
    outside[labels.index(OUTSIDE)] = bias
    return emissions - outside
