"""From encoded texts to labels, entities and probabilities, for `tag`."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from unrolled.data import Arrays, sorted_batches
from unrolled.data.tagged.read import TaggedText, in_context
from unrolled.data.tagged.schemes import OUTSIDE, spans_of
from unrolled.data.text.words import Word, split_words
from unrolled.decoding.viterbi import Labelling, greedy_labels, viterbi
from unrolled.errors import ArgumentError
from unrolled.layers.outputs.crf import Posterior
from unrolled.metrics.entities import entity_scores
from unrolled.networks.tagging import TaggingNetwork
from unrolled.tasks.core.example_task import on_device
from unrolled.tasks.inputs.words.collate import Noise, collated, word_batch
from unrolled.tasks.inputs.words.encode import TagEncoders
from unrolled.tasks.uses.tag.plan import context_of
from unrolled.tasks.uses.tag.results import Alternative, TaggedEntity, TaggedToken, Tagging

if TYPE_CHECKING:
    from unrolled.tasks.core.fitted import Fitted

#: the name under which a model keeps what is taken off the score of O, and the values that are tried, nats
EAGERNESS = "eagerness"
EAGER = tuple(n / 4 for n in range(-4, 21))
#: the few that are tried while it trains
ROUGHLY = (0.0, 0.5, 1.0, 1.5, 2.0)
#: tokens and texts that are read side by side, at most
TOKENS, TEXTS = 4000, 64


@dataclass
class Tagged:
    """What became of one encoded text.

    Attributes:
        labels: the best labels of each sentence.
        targets: those that are right, as far as they are given.
        nats: −ln p of the right labels, summed over the sentences whose labels the model knows.
        counted: tokens of these sentences.
    """

    labels: list[list[int]]
    targets: list[list[int]]
    nats: float
    counted: int


class Tagger:
    """Labels encoded texts.

    Args:
        model: a `tag` model.
    """

    def __init__(self, model: Fitted) -> None:
        self.encoders: TagEncoders = model.encoders
        self.network: TaggingNetwork = model.network  # type: ignore[assignment]
        self.eagerness = float(model.fitted.get(EAGERNESS, 0.0))
        self.context = context_of(model)

    def tag(self, texts: Sequence[Arrays], told: Callable[[int], None] | None = None) -> list[Tagged]:
        """The best labels of each text, in order, and how improbable the right ones are."""
        found: list[Tagged | None] = [None] * len(texts)
        done = 0
        for chosen in _batches(texts):
            data, emissions = self._read([texts[n] for n in chosen])
            lengths = data["sentence_lengths"]
            labels = [best[0].labels for best in self.best(emissions, lengths, 1)]
            known = ((data["targets"] < len(self.encoders.labels)).all(0)) & (lengths > 0)
            nats = self.network.losses(emissions[:, known], data["targets"][:, known], lengths[known]).tolist()
            costs = iter(nats)
            targets = [column[:n] for column, n in zip(data["targets"].t().tolist(), lengths.tolist(), strict=True)]
            rows = zip(labels, targets, known.tolist(), strict=True)
            for n in chosen:
                part = list(itertools.islice(rows, len(texts[n]["begins"])))
                counted = [len(right) for _, right, is_known in part if is_known]
                cost = sum(next(costs) for _ in counted)
                found[n] = Tagged([own for own, _, _ in part], [right for _, right, _ in part], cost, sum(counted))
            done += len(chosen)
            if told is not None:
                told(done)
        return [one for one in found if one is not None]

    def best(self, emissions: Tensor, lengths: Tensor, n_best: int) -> list[list[Labelling]]:
        """The best readings of each sentence: of a chain by Viterbi, of independent labels from left to right.

        What the model is to be eager for weighs in the choice, and is not part of the scores.
        """
        transitions, start, end = self.network.chain_scores()
        weighed = less_outside(emissions, self.encoders, self.eagerness)
        if not self.network.chained:
            return [[Labelling(labels, 0.0)] for labels in greedy_labels(weighed, transitions, start, lengths)]
        found = viterbi(weighed, transitions, start, end, lengths, n_best=n_best)
        if not self.eagerness:
            return found
        outside = self.encoders.labels.index(OUTSIDE)
        return [
            [Labelling(one.labels, one.score + self.eagerness * one.labels.count(outside)) for one in readings]
            for readings in found
        ]

    def fit_eagerness(
        self, texts: Sequence[Arrays], values: Sequence[float], told: Callable[[int], None] | None = None
    ) -> float:
        """Take so much off the score of O that the F1 of these texts is best, and say how much that is, in nats.

        Where most entities are unlike those of the training data, the most probable reading leaves out most of them.

        Args:
            texts: with their right labels.
            values: that are tried, in order, 0 among them. Of each the mean with its neighbours counts, since a single
                one may be the best by chance.
            told: how many have been tried.
        """
        parts, gold = [], []
        for chosen in _batches(texts):
            data, emissions = self._read([texts[n] for n in chosen])
            lengths = data["sentence_lengths"]
            parts.append((emissions, lengths))
            columns = zip(data["targets"].t().tolist(), lengths.tolist(), strict=True)
            gold += [spans_of(map(self.encoders.tag, labels[:length])) for labels, length in columns]
        curve = []
        for n, self.eagerness in enumerate(values):
            best = [one[0].labels for emissions, lengths in parts for one in self.best(emissions, lengths, 1)]
            curve.append(entity_scores(gold, [spans_of(map(self.encoders.tag, labels)) for labels in best]).overall.f1)
            if told is not None:
                told(n + 1)
        around = [curve[max(0, n - 1) : n + 2] for n in range(len(curve))]
        smooth = [sum(part) / len(part) for part in around]
        self.eagerness = max(values, key=lambda value: (smooth[values.index(value)], -abs(value)))
        return self.eagerness

    def predict(self, given: Sequence[TextWords], n_best: int) -> list[Tagging]:
        """The predictions for some texts; sentences of one text in context, if the model was trained so."""
        sentences = [self._sentences(n, one) for n, one in enumerate(given)]
        texts = [sentence for own in sentences for sentence in own]
        texts = in_context(texts, self.context) if self.context else texts
        encoded = [self.encoders.encode(text) for text in texts]
        found: list[list[Tagging]] = [[] for _ in texts]
        for chosen in _batches(encoded):
            data, emissions = self._read([encoded[n] for n in chosen])
            lengths = data["sentence_lengths"]
            readings = self.best(emissions, lengths, n_best)
            beliefs = self.network.posterior(emissions, lengths)
            totals = self.network.chain.log_normaliser(emissions, lengths).tolist() if self.network.chained else []
            owners = [(n, begin, end) for n in chosen for begin, end in texts[n].sentences()]
            for row, (n, begin, end) in enumerate(owners):
                # the places in the text travel as the lines of the tokens
                words = [given[texts[n].document].words[at] for at in texts[n].lines[begin:end]]
                alternatives = [
                    Alternative(tuple(map(self.encoders.tag, one.labels)), min(1.0, math.exp(one.score - totals[row])))
                    for one in readings[row]
                    if self.network.chained
                ]
                text = given[texts[n].document].text
                found[n].append(self._tagging(text, words, readings[row][0].labels, beliefs, row, tuple(alternatives)))
        parts: list[list[Tagging]] = [[] for _ in given]
        for stretch, own in zip(texts, found, strict=True):
            parts[stretch.document] += own
        return [self._joined(one, own) for one, own in zip(given, parts, strict=True)]

    def _sentences(self, number: int, given: TextWords) -> list[TaggedText]:
        found, begin = [], 0
        for end in given.ends:
            one = untagged([word.text for word in given.words[begin:end]], self.encoders)
            found.append(dataclasses.replace(one, lines=tuple(range(begin, end)), document=number))
            begin = end
        return found

    def _joined(self, given: TextWords, parts: list[Tagging]) -> Tagging:
        """The prediction for a text out of those for its sentences."""
        if len(parts) == 1:
            return parts[0]
        entities, before = [], 0
        for part in parts:
            entities += [dataclasses.replace(e, first=e.first + before, last=e.last + before) for e in part.entities]
            before += len(part.tokens)
        tokens = tuple(token for part in parts for token in part.tokens)
        return Tagging(given.text, tokens, tuple(entities), self.encoders.kind)

    def _read(self, texts: list[Arrays]) -> tuple[dict[str, Tensor], Tensor]:
        data = on_device(self.network, collated(texts, Noise(), self.encoders.first_rare, None))
        with torch.no_grad():
            return data, self.network.emissions(word_batch(data), data["lengths"], data["places"])

    def _tagging(
        self,
        text: str,
        words: list[Word],
        labels: list[int],
        beliefs: Posterior,
        row: int,
        alternatives: tuple[Alternative, ...],
    ) -> Tagging:
        tags = [self.encoders.tag(label) for label in labels]
        # rounding may bring a certainty above 1
        scores = beliefs.marginals[range(len(labels)), row, labels].clamp(max=1.0).tolist()
        tokens = [
            TaggedToken(word.text, word.start, word.end, tag, score)
            for word, tag, score in zip(words, tags, scores, strict=True)
        ]
        entities = []
        for span in spans_of(tags) if self.encoders.kind == "entities" else ():
            start, end = words[span.start].start, words[span.end - 1].end
            score = min(1.0, beliefs.of_segment(row, span.start, labels[span.start : span.end]))
            entity = TaggedEntity(text[start:end], start, end, span.label, score, span.start, span.end - 1)
            entities.append(entity)
        return Tagging(text, tuple(tokens), tuple(entities), self.encoders.kind, alternatives)


def less_outside(emissions: Tensor, encoders: TagEncoders, eagerness: float) -> Tensor:
    """Scores (…, K) with so many nats less for O."""
    if not eagerness:
        return emissions
    outside = torch.zeros(emissions.shape[-1], dtype=emissions.dtype, device=emissions.device)
    outside[encoders.labels.index(OUTSIDE)] = eagerness
    return emissions - outside


class TextWords(NamedTuple):
    """An input of `predict`.

    Attributes:
        text: as given, or put together from the tokens that were given.
        words: its tokens, with their places.
        ends: for each sentence the word after its last.
    """

    text: str
    words: list[Word]
    ends: list[int]


def tagged_inputs(inputs: Iterable[Any]) -> Iterator[list[TextWords]]:
    """Inputs as texts and words: several at once if all are there, one by one if they come as a stream.

    Raises:
        ArgumentError: for what is neither text nor tokens.
    """
    at_once = TEXTS if isinstance(inputs, Sequence) else 1
    source = iter(inputs)
    while group := list(itertools.islice(source, at_once)):
        yield [_words_of(one) for one in group]


def _words_of(given: Any) -> TextWords:
    if isinstance(given, Mapping):
        if isinstance(sentences := given.get("sentences"), Sequence) and not isinstance(sentences, str):
            return _from_tokens(sentences)
        given = given.get("tokens", given.get("text"))
    if not isinstance(given, str):
        return _from_tokens([given])
    words = split_words(given)
    # a line is a sentence: a word that a line end separates from the next is the last of its own
    ends = [n for n in range(1, len(words)) if "\n" in given[words[n - 1].end : words[n].start]]
    return TextWords(given, words, [*ends, len(words)] if words else [])


def _from_tokens(sentences: Sequence[Any]) -> TextWords:
    words: list[Word] = []
    ends, at = [], 0
    for tokens in sentences:
        is_list = isinstance(tokens, Sequence) and not isinstance(tokens, str)
        if not is_list or not all(isinstance(token, str) and token.strip() for token in tokens):
            raise ArgumentError(
                "input: the task 'tag' reads a text, or a list of tokens none of which is empty, found "
                f"{type(tokens).__name__}"
            )
        for token in tokens:
            words.append(Word(token, at, at + len(token)))
            at += len(token) + 1
        if tokens:
            ends.append(len(words))
    text = "\n".join(" ".join(tokens) for tokens in sentences if tokens)
    return TextWords(text, words, ends)


def untagged(tokens: list[str], encoders: TagEncoders) -> TaggedText:
    """A sentence whose labels nobody knows; what is written in their place is never looked at."""
    return TaggedText(
        tokens=tuple(tokens), tags=(encoders.labels[0],) * len(tokens), ends=(len(tokens),), kind=encoders.kind
    )


def _batches(texts: Sequence[Arrays]) -> Iterator[list[int]]:
    """Texts of similar length, as many as fit into TOKENS and TEXTS."""
    lengths = [len(text["words"]) for text in texts]
    group: list[int] = []
    for batch in sorted_batches(lengths, 1):
        n = int(batch[0])
        # sorted: the first is the longest, to which the others are padded
        if group and (len(group) >= TEXTS or lengths[group[0]] * (len(group) + 1) > TOKENS):
            yield group
            group = []
        group.append(n)
    if group:
        yield group
