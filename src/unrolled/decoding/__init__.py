"""From logits to sequences: greedy decoding and sampling, beam search, completion of text, Viterbi and CTC.

Most decoders take a ``Stepper``, a model that reads one token per step; CTC and Viterbi take the scores of all steps.
This room knows no network and no task.
"""

from unrolled.decoding.beam import (
    Beam,
    Constraint,
    Coverage,
    Hypothesis,
    LengthPenalty,
    beam_search,
    coverage_penalty,
)
from unrolled.decoding.completion import complete, complete_batch
from unrolled.decoding.contract import MergingStepper, Stepper, read
from unrolled.decoding.ctc import Emission, align, read_greedily, sequence_log_prob
from unrolled.decoding.ctc_beam import CTCHypothesis, PrefixBeam, UnitScorer, prefix_beam_search
from unrolled.decoding.ctc_scorers import JointScorer, LanguageModelScorer, LexiconScorer
from unrolled.decoding.phrases import PhraseRule
from unrolled.decoding.prefix import BytePrefix
from unrolled.decoding.sampling import FINISHED, SamplingOptions, draw, row_generators, sample
from unrolled.decoding.suggestions import Suggestion, choose
from unrolled.decoding.viterbi import Labelling, greedy_labels, viterbi

__all__ = [
    "FINISHED",
    "Beam",
    "BytePrefix",
    "CTCHypothesis",
    "Constraint",
    "Coverage",
    "Emission",
    "Hypothesis",
    "JointScorer",
    "Labelling",
    "LanguageModelScorer",
    "LengthPenalty",
    "LexiconScorer",
    "MergingStepper",
    "PhraseRule",
    "PrefixBeam",
    "SamplingOptions",
    "Stepper",
    "Suggestion",
    "UnitScorer",
    "align",
    "beam_search",
    "choose",
    "complete",
    "complete_batch",
    "coverage_penalty",
    "draw",
    "greedy_labels",
    "prefix_beam_search",
    "read",
    "read_greedily",
    "row_generators",
    "sample",
    "sequence_log_prob",
    "viterbi",
]
