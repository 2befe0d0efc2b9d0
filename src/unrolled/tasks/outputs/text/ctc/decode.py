"""Encoded inputs to transcripts: greedily or by prefix beam, alone or with a language model and a lexicon.

T steps, K classes of which the first is the blank.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from unrolled.data import Arrays, Tokenizer, find_sources
from unrolled.decoding.ctc import Emission, align, finish_greedily, read_greedily, sequence_log_prob
from unrolled.decoding.ctc_beam import CTCHypothesis, UnitScorer, prefix_beam_search
from unrolled.decoding.ctc_scorers import JointScorer, LanguageModelScorer, LexiconScorer
from unrolled.errors import ArgumentError
from unrolled.tasks.core.examples import on_device
from unrolled.tasks.core.fitted import AnyFitted
from unrolled.tasks.core.folder.load import load
from unrolled.tasks.outputs.next.predictor import predictor_of
from unrolled.tasks.outputs.text.ctc.network import run
from unrolled.tasks.outputs.text.ctc.options import CTCPrediction
from unrolled.tasks.outputs.text.ctc.results import SpelledText, gathered_words
from unrolled.tasks.outputs.text.ctc.spelling import UnitSpelling
from unrolled.types import Json

#: with a scorer, units less probable than this in a step are no candidates, nats: asking about each would take minutes
LEAST = -9.0
#: inputs side by side where nothing is learned
SIDE_BY_SIDE = 16


def log_probabilities(model: AnyFitted, inputs: Sequence[Arrays]) -> list[NDArray[np.float32]]:
    """Return ln p of each class at each step, (T, K) for each of several encoded inputs, side by side."""
    x, lengths = model.input.feed(on_device(model.network, model.input.collate(model, inputs)))
    with torch.no_grad():
        logits, steps = run(model.network, x, lengths)
    log_probs = logits.float().log_softmax(-1).cpu().numpy()
    return [log_probs[:count, n] for n, count in enumerate(steps.tolist())]


def greedy_units(log_probs: NDArray[Any]) -> list[Emission]:
    """Return the units of the likeliest class of each step, (T, K)."""
    emissions, state = read_greedily(log_probs)
    return [*emissions, *finish_greedily(state)]


class Decoder:
    """Makes transcripts of log-probabilities.

    Args:
        spelling: what the classes stand for.
        options: how to search.

    Raises:
        ArgumentError, ModelError, StorageError: the language model or the lexicon can't be used.
    """

    def __init__(self, spelling: UnitSpelling, options: CTCPrediction) -> None:
        self._spelling, self._options = spelling, options
        scorers: list[UnitScorer] = []
        if options.language_model is not None:
            scorers.append(language_model_scorer(options.language_model, spelling, options.weight, options.bonus))
        if options.lexicon is not None:
            words = [spelling.normalised(word) for word in _words(options.lexicon)]
            between = " " if spelling.units == "characters" else ""
            scorers.append(LexiconScorer(words, spelling.vocabulary, between))
        self._scorer = JointScorer(*scorers) if scorers else None

    def __call__(self, log_probs: NDArray[Any], step_size: float) -> Json:
        """Return the fields of the `Transcript` of log-probabilities (T, K), nats, whose steps go so far."""
        spelling = self._spelling
        hypotheses = []
        for hypothesis in self._search(log_probs):
            log_prob = sequence_log_prob(log_probs, hypothesis.units)
            # the search may have lost paths of a text: their probability is found again
            score = log_prob + hypothesis.score - hypothesis.log_prob
            hypotheses.append((score, hypothesis.units, log_prob))
        hypotheses.sort(key=lambda hypothesis: -hypothesis[0])
        score, units, log_prob = hypotheses[0]
        words, _ = gathered_words(align(log_probs, units), spelling, step_size, is_over=True)
        return {
            "text": spelling.spelled(units),
            "words": tuple(words),
            "log_prob": log_prob,
            "score": score,
            "alternatives": tuple(
                SpelledText(text=spelling.spelled(units), log_prob=log_prob, score=score)
                for score, units, log_prob in hypotheses
            ),
        }

    def _search(self, log_probs: NDArray[Any]) -> list[CTCHypothesis]:
        options = self._options
        if options.beam_size == 1 and self._scorer is None:
            return [CTCHypothesis(tuple(e.unit for e in greedy_units(log_probs)), 0.0, 0.0)]
        beam_size = max(options.beam_size, options.n_best)
        least = -np.inf if self._scorer is None else LEAST
        hypotheses = prefix_beam_search(
            log_probs, beam_size=beam_size, n_best=options.n_best, scorer=self._scorer, least=least
        )
        # a lexicon may rule out all that the beam held
        return hypotheses or [CTCHypothesis((), 0.0, 0.0)]


def language_model_scorer(
    folder: Path, spelling: UnitSpelling, weight: float, bonus: float
) -> LanguageModelScorer[Any]:
    """Return a `generate` model as a scorer of transcripts: it has read lines of text, a transcript is one.

    Raises:
        ArgumentError: a model of another task, or over byte pairs, which do not end where characters or words do.
        ModelError, StorageError: as `load`.
    """
    loaded = load(folder)
    if loaded.task.name != "generate":
        raise ArgumentError(f"language_model: {folder} holds a model of the task {loaded.task.name!r}, not 'generate'")
    tokenizer: Tokenizer = loaded.input.tokenizer
    if tokenizer.kind == "bpe":
        raise ArgumentError(
            f"language_model: {folder} reads byte pairs, whose borders are not those of {spelling.units}; "
            "train one with --tokens char"
        )

    def tokens(text: str) -> list[int]:
        return [int(token) for token in tokenizer.encode(text)]

    between = spelling.between
    return LanguageModelScorer(
        predictor_of(loaded).stepper,
        first=tokens("\n"),
        spellings=[tokens(unit) for unit in spelling.vocabulary],
        later=[tokens(between + unit) if unit else [] for unit in spelling.vocabulary],
        end=tokens("\n"),
        weight=weight,
        bonus=bonus,
    )


def _words(path: Path) -> Iterator[str]:
    for source in find_sources(path):
        for _, line in source.text_lines():
            yield from line.split()
