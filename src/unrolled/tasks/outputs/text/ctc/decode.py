"""From log-probabilities to transcripts: greedily or by prefix beam, alone or with a language model and a lexicon."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from unrolled.data import padded
from unrolled.data.core.files import decode, find_sources, text_lines
from unrolled.data.sound.spectrograms import Frames
from unrolled.decoding.ctc import align, finish_greedily, read_greedily, sequence_log_prob
from unrolled.decoding.ctc_beam import CTCHypothesis, UnitScorer, prefix_beam_search
from unrolled.decoding.ctc_scorers import JointScorer, LanguageModelScorer, LexiconScorer
from unrolled.errors import ArgumentError
from unrolled.tasks.inputs.sound.encode import SpeechEncoders
from unrolled.tasks.outputs.text.ctc_results import Alternative, Transcript, gathered_words

if TYPE_CHECKING:
    from unrolled.tasks.core.fitted import Fitted
    from unrolled.tasks.uses.transcribe.plan import DecodingOptions

#: with a scorer, units less probable than this in a step are no candidates, nats: asking about each would take minutes
LEAST = -9.0
#: utterances side by side where nothing is learned
SIDE_BY_SIDE = 16


def log_probabilities(model: Fitted, frames: Sequence[Frames]) -> list[NDArray[np.float32]]:
    """ln p of each class at each step, (S, K) for each of several utterances' frames (T, F), side by side."""
    device = next(model.network.parameters()).device
    lengths = torch.tensor([len(one) for one in frames], dtype=torch.int64)
    with torch.no_grad():
        logits, _ = model.network(padded(list(frames)).to(device), None, lengths.to(device))
        log_probs = logits.float().log_softmax(-1).cpu().numpy()
    steps = [model.encoders.steps(len(one)) for one in frames]
    return [log_probs[:count, n] for n, count in enumerate(steps)]


class Decoder:
    """Makes transcripts of log-probabilities.

    Args:
        encoders: what the classes stand for.
        options: how to search.

    Raises:
        ArgumentError, ModelError, StorageError: the language model or the lexicon can't be used.
    """

    def __init__(self, encoders: SpeechEncoders, options: DecodingOptions) -> None:
        self._encoders, self._options = encoders, options
        scorers: list[UnitScorer] = []
        if options.language_model is not None:
            scorers.append(language_model_scorer(options.language_model, encoders, options.weight, options.bonus))
        if options.lexicon is not None:
            words = [encoders.normalised(word) for word in _words(options.lexicon)]
            between = " " if encoders.units == "characters" else ""
            scorers.append(LexiconScorer(words, encoders.vocabulary, between))
        self._scorer = JointScorer(*scorers) if scorers else None

    def __call__(self, log_probs: NDArray[Any], seconds: float, notes: tuple[str, ...] = ()) -> Transcript:
        """The transcript of (S, K) log-probabilities, nats, of a sound that lasts so long."""
        found = self._search(log_probs)
        encoders = self._encoders
        alternatives = []
        for hypothesis in found:
            log_prob = sequence_log_prob(log_probs, hypothesis.units)
            # the search may have lost paths of a text: their probability is found again
            score = log_prob + hypothesis.score - hypothesis.log_prob
            alternatives.append((score, hypothesis.units, log_prob))
        alternatives.sort(key=lambda found: -found[0])
        score, units, log_prob = alternatives[0]
        words, _ = gathered_words(align(log_probs, units), encoders, is_over=True)
        return Transcript(
            text=encoders.spelled(units),
            words=tuple(words),
            log_prob=log_prob,
            score=score,
            alternatives=tuple(Alternative(encoders.spelled(u), lp, s) for s, u, lp in alternatives),
            seconds=seconds,
            notes=notes,
        )

    def _search(self, log_probs: NDArray[Any]) -> list[CTCHypothesis]:
        options = self._options
        if options.beam_size == 1 and self._scorer is None:
            emissions, state = read_greedily(log_probs)
            units = tuple(e.unit for e in (*emissions, *finish_greedily(state)))
            return [CTCHypothesis(units, 0.0, 0.0)]
        beam_size = max(options.beam_size, options.n_best)
        least = -np.inf if self._scorer is None else LEAST
        found = prefix_beam_search(
            log_probs, beam_size=beam_size, n_best=options.n_best, scorer=self._scorer, least=least
        )
        # a lexicon may rule out all that the beam held
        return found or [CTCHypothesis((), 0.0, 0.0)]


def language_model_scorer(
    folder: Path, encoders: SpeechEncoders, weight: float, bonus: float
) -> LanguageModelScorer[Any]:
    """A `generate` model as a scorer of transcripts: it has read lines of text, a transcript is one.

    Raises:
        ArgumentError: a model of another task, or over byte pairs, which do not end where characters or words do.
        ModelError, StorageError: as `load`.
    """
    from unrolled.tasks.core.load import load

    loaded = load(folder)
    if loaded.task.name != "generate":
        raise ArgumentError(f"language_model: {folder} holds a model of the task {loaded.task.name!r}, not 'generate'")
    tokenizer = loaded.encoders
    if tokenizer.kind == "bpe":
        raise ArgumentError(
            f"language_model: {folder} reads byte pairs, whose borders are not those of {encoders.units}; "
            "train one with --tokens char"
        )

    def tokens(text: str) -> list[int]:
        return [int(token) for token in tokenizer.encode(text)]

    between = encoders.between
    return LanguageModelScorer(
        loaded.network,  # type: ignore[arg-type]
        first=tokens("\n"),
        spellings=[tokens(unit) for unit in encoders.vocabulary],
        later=[tokens(between + unit) if unit else [] for unit in encoders.vocabulary],
        end=tokens("\n"),
        weight=weight,
        bonus=bonus,
    )


def _words(path: Path) -> Iterator[str]:
    for source in find_sources(path):
        for line in text_lines(decode(source.chunks(), source.name), source.name):
            yield from line.split()
