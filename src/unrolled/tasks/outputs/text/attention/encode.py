"""A text, written token by token by a decoder that looks back at what was read."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from unrolled.data import Arrays, Example, ExampleStore, Tokenizer, lengths_of, load_tokenizer, padded
from unrolled.data.text.plain_words import WordTokenizer
from unrolled.data.text.sentences import SHOWN_END, decode_sentence, encode_sentence, fit_sentences
from unrolled.decoding import Hypothesis
from unrolled.errors import ArgumentError
from unrolled.layers.outputs.losses import IGNORED
from unrolled.metrics.translation import corpus_bleu, translation_scores
from unrolled.settings import Settings
from unrolled.tasks.core import results
from unrolled.tasks.core.contract import AnyInput, Output
from unrolled.tasks.core.fitted import AnyFitted
from unrolled.tasks.core.folder.files import write_json
from unrolled.tasks.core.probe import Probe
from unrolled.tasks.core.values import InputSteps, Progress, Scored
from unrolled.tasks.outputs.text.attention import scoring
from unrolled.tasks.outputs.text.attention.baseline import BASELINE, most_frequent, read_always
from unrolled.tasks.outputs.text.attention.decode import (
    END,
    AnyIds,
    Search,
    attention_weights,
    best_of,
    previous,
    search_all,
    without_end,
)
from unrolled.tasks.outputs.text.attention.network import forced, over_grid, over_memory, start_from_frequencies
from unrolled.tasks.outputs.text.attention.options import (
    AttentionEvaluation,
    AttentionNetwork,
    AttentionOptions,
    AttentionPrediction,
    SearchOptions,
)
from unrolled.tasks.outputs.text.attention.probe import probe_text
from unrolled.tasks.outputs.text.attention.results import Candidate, Written
from unrolled.types import Json

Text = str | Sequence[str]

TOKENIZER = "tokenizer-target.json"
#: examples of the development data that texts are written about while training, and those that are shown
WRITTEN, SAMPLES = 1_000, 4


class AttentionOutput(Output[Text, results.Result]):
    """A text about an input. There may be several to learn from.

    An input layer that yields steps is read by an encoder; of any other the grid is looked at.

    Args:
        tokenizer: of sentences, see `unrolled.data.text.sentences`; one step writes a token.
    """

    name: ClassVar[str] = "text"
    options: ClassVar[type[Settings]] = AttentionOptions
    evaluate_options: ClassVar[type[Settings]] = AttentionEvaluation
    predict_options: ClassVar[type[Settings]] = AttentionPrediction
    Network: ClassVar[type[Settings]] = AttentionNetwork
    Result: ClassVar[type[results.Result]] = Written
    baseline_files: ClassVar[tuple[str, ...]] = (BASELINE,)
    #: how texts are searched for where neither options nor what was fitted say so, and while training
    usual: ClassVar[Search] = Search()
    quick: ClassVar[Search] = Search(beam_size=1)
    #: what is tried after training, besides the usual beam, and on how many examples of the development data
    penalties: ClassVar[tuple[float, ...]] = (0.0, 0.5, 1.0, 1.5)
    beams: ClassVar[tuple[int, ...]] = ()
    fitted_on: ClassVar[int | None] = 500
    #: the metric of `compared` that decides
    judged_by: ClassVar[str] = "bleu"

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer

    @classmethod
    def fit(cls, examples: Sequence[Example], options: Settings, progress: Progress) -> AttentionOutput:
        """Fit the tokeniser on the texts of the training part."""
        progress("fitting the tokeniser of the texts", 0, None)
        chosen = AttentionOptions.of(options)
        texts = [text for example in examples for text in several(example.target)]
        if chosen.units == "words":
            return cls(WordTokenizer.fit(texts, most=chosen.units_known))
        return cls(fit_sentences(chosen.units, texts, chosen.units_known))

    def extended(self, other: AttentionOutput) -> AttentionOutput:
        """Add the other's characters or words; byte pairs know all text anyway."""
        twin = copy(self)
        twin.tokenizer = self.tokenizer.extended(other.tokenizer)
        return twin

    @property
    def sizes(self) -> dict[str, int]:
        """How many tokens are written."""
        return {"target_size": self.tokenizer.vocabulary_size}

    @classmethod
    def load(cls, folder: Path) -> AttentionOutput:
        """Read the tokeniser."""
        return cls(load_tokenizer(folder / TOKENIZER))

    def save(self, folder: Path) -> None:
        """Write the tokeniser."""
        self.tokenizer.save(folder / TOKENIZER)

    def decode(self, ids: AnyIds) -> str:
        """Return the text of tokens, with or without the end."""
        return decode_sentence(ids, self.tokenizer)

    def encode(self, target: Text) -> Arrays:
        """Return `target` (T,): the ids of each text, its end among them, one after the other."""
        return {"target": np.concatenate([encode_sentence(text, self.tokenizer) for text in several(target)])}

    def references(self, arrays: Arrays) -> list[NDArray[np.int32]]:
        """Return the ids of each text of an encoded example, its end last."""
        ids = arrays["target"]
        return np.split(ids, np.flatnonzero(ids == END)[:-1] + 1)

    def collate(self, examples: Sequence[Arrays]) -> dict[str, Tensor]:
        """Return what the decoder reads and what comes after, one column for each text: see `network.forced`.

        An example may say by `taken` which of its texts are learned from.
        """
        texts, rows = [], []
        for row, example in enumerate(examples):
            references = self.references(example)
            taken = example.get("taken", range(len(references)))
            texts += [references[int(n)] for n in taken]
            rows += [row] * len(taken)
        parts = {
            "previous": padded([previous(text) for text in texts]),
            "targets": padded([text.astype(np.int64) for text in texts], IGNORED),
            "target_lengths": lengths_of(texts),
        }
        return parts if len(rows) == len(examples) else {**parts, "target_rows": torch.tensor(rows)}

    def network(self, source: AnyInput, network: Mapping[str, Any]) -> nn.Module:
        """Return encoder, attention and decoder; or attention over a grid and decoder."""
        built = over_memory if source.is_sequence(network) else over_grid
        return built(source.layer(network), AttentionNetwork.picked(network), self.tokenizer.vocabulary_size)

    def initialise(self, network: nn.Module, store: ExampleStore) -> None:
        """Start from the tokens' frequencies."""
        counts = np.ones(self.tokenizer.vocabulary_size)
        for n in range(len(store)):
            np.add.at(counts, np.concatenate(self.references(store[n])), 1)
        start_from_frequencies(network, counts)

    def score(self, network: nn.Module, x: object, lengths: Tensor | None, data: Mapping[str, Tensor]) -> Scored:
        """Return the cross entropy of the texts, nats a token."""
        return forced(network, x, lengths, data)[0]

    def facts(self, train: Sequence[Example], dev: Sequence[Example]) -> Json:
        """Count characters, and the tokens there are."""
        characters = sum(len(text) for example in train for text in several(example.target))
        return {"target_characters": characters, "target_vocabulary": self.tokenizer.vocabulary_size}

    def fit_baseline(
        self,
        source: AnyInput,
        train: Sequence[Example],
        dev: Sequence[Example],
        store: ExampleStore,
        folder: Path,
        progress: Progress,
    ) -> None:
        """Find the most frequent text."""
        write_json(folder / BASELINE, self.always(train))

    def always(self, train: Sequence[Example]) -> Json:
        """Return the most frequent text, and how often it occurs, for the baseline's file."""
        text, count = most_frequent(text for example in train for text in several(example.target))
        return {"text": text, "count": count}

    def search(self, model: AnyFitted, options: Settings) -> Search:
        """Return how texts are searched for: as the options say, as fitted, or as usual."""
        changes: Json = {name: model.fitted[name] for name in ("beam_size", "length_penalty") if name in model.fitted}
        for field in fields(Search):
            if (value := getattr(options, field.name, None)) is not None:
                changes[field.name] = value
        return replace(self.usual, **changes)

    def written(
        self, model: AnyFitted, store: ExampleStore, search: Search, most: int | None
    ) -> tuple[list[tuple[int, ...]], list[list[tuple[int, ...]]]]:
        """Return the tokens of texts about the first examples of a store, or all, and of their references; no ends."""
        examples = [store[n] for n in range(len(store))[:most]]
        references = [[without_end(text.tolist()) for text in self.references(example)] for example in examples]
        return best_of(model, examples, search), references

    def compared(
        self, written: Sequence[Sequence[int]], references: Sequence[Sequence[Sequence[int]]]
    ) -> dict[str, float]:
        """Return the metrics of written texts beside references, which `judged_by` and `monitor` name."""
        decode = self.decode
        return {"bleu": corpus_bleu(list(map(decode, written)), [list(map(decode, texts)) for texts in references])}

    def dev_metrics(self, model: AnyFitted, dev: ExampleStore) -> dict[str, float]:
        """Return the loss on all of it, nats a token, and the metrics of quick texts about its first examples."""
        nats, count = scoring.score_targets(model, dev)
        return {"loss": nats / max(1, count), **self.compared(*self.written(model, dev, self.quick, WRITTEN))}

    def sample(self, model: AnyFitted, dev: ExampleStore) -> str | None:
        """Return texts about a few examples, each with the one that was asked for."""
        pairs = zip(*self.written(model, dev, self.quick, SAMPLES), strict=True)
        decode = self.decode
        return "\n".join(f"{decode(text)}  (people: {decode(others[0])})" for text, others in pairs)

    def finish(self, model: AnyFitted, dev: ExampleStore, progress: Progress) -> None:
        """Fit the length penalty, and the beam where several are tried, on the development data."""

        def score(search: Search) -> float:
            return self.compared(*self.written(model, dev, search, self.fitted_on))[self.judged_by]

        progress("fitting the length penalty", 0, None)
        best, value = scoring.fit_search(score, self.usual, self.penalties, self.beams)
        model.fitted.update({"length_penalty": best.length_penalty, f"dev_{self.judged_by}": value})
        if self.beams:
            model.fitted["beam_size"] = best.beam_size

    @classmethod
    def check_fitted(cls, fitted: Mapping[str, Any]) -> None:
        """Check the beam and the length penalty."""
        beam, penalty = fitted.get("beam_size", 1), fitted.get("length_penalty", 0.0)
        if not isinstance(beam, int) or isinstance(beam, bool) or not 1 <= beam <= 1000:
            raise ArgumentError(f"beam_size: expected an integer from 1 to 1000, found {beam!r}")
        if not isinstance(penalty, (int, float)) or isinstance(penalty, bool) or not 0 <= penalty <= 10:
            raise ArgumentError(f"length_penalty: expected a number from 0 to 10, found {penalty!r}")

    def evaluate(
        self, model: AnyFitted, examples: Iterator[tuple[Example, Arrays]], progress: Progress, options: Settings
    ) -> tuple[Json, Json]:
        """Return BLEU and chrF against all texts of each example, beside the most frequent text's."""
        judged = scoring.judge(model, examples, self.search(model, options))
        references = [several(example.target) for example in judged.examples]
        texts = list(map(self.decode, judged.written))
        metrics = {"texts": len(texts), **likelihood(judged.loss), **translation_scores(texts, references)}
        beside: Json = {}
        if model.folder is not None:
            always = read_always(model.folder, "text", str)
            beside = {"model": f"always {always!r}", **scoring.unsigned_scores([always] * len(texts), references)}
        return metrics, beside

    def predict(
        self, model: AnyFitted, inputs: Sequence[Arrays], shown: Sequence[results.Shown], options: Settings
    ) -> Iterator[results.Result]:
        """Yield the text about each input, with those next to it and what each of its tokens looked at."""
        kind: Any = results.result_type(model.input.Shown, self.Result)
        found = search_all(model, inputs, self.search(model, options))
        looked = attention_weights(model, inputs, [hypotheses[0].tokens for hypotheses in found])
        for given, arrays, hypotheses, weights in zip(shown, inputs, found, looked, strict=True):
            answer = {
                # where an input is named by a field of the same name, that of the answer stays
                **dict(given),
                **self._candidates(hypotheses),
                "source_tokens": model.input.names(arrays),
                "target_tokens": tuple(map(self._shown, hypotheses[0].tokens)),
                "attention": tuple(map(tuple, weights.tolist())),
            }
            yield kind(**answer)

    def _candidates(self, hypotheses: Sequence[Hypothesis]) -> Json:
        candidates: dict[str, Candidate] = {}
        for h in hypotheses:
            # one text may be cut into tokens in several ways: the best of them stands for it
            text = self.decode(h.tokens)
            candidates.setdefault(text, Candidate(text=text, log_prob=h.log_prob, score=h.score))
        best = next(iter(candidates.values()))
        return {**dict(best), "candidates": tuple(candidates.values())}

    def _shown(self, token: int) -> str:
        return SHOWN_END if token == END else self.tokenizer.token_text(token)

    def probe(self, model: AnyFitted, steps: InputSteps, limit: int | None = None) -> Probe:
        """Ask about each token of the text that the model itself writes, all those before it given."""
        return probe_text(model, steps, self.search(model, SearchOptions.model_validate({})), limit)


def several(target: Text) -> Sequence[str]:
    """Return all texts of an example."""
    return [target] if isinstance(target, str) else target


def likelihood(loss: float) -> Json:
    """Return the loss, nats a token, and the perplexity."""
    return {"loss": loss, "perplexity": math.exp(loss)}
