"""From logits to sequences: greedy decoding and sampling, beam search, and the completion of what somebody is writing.

Every decoder takes a ``Stepper``, a model that reads one token a step; this room knows no network and no task.
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
from unrolled.decoding.contract import Stepper, read
from unrolled.decoding.phrases import PhraseRule
from unrolled.decoding.prefix import BytePrefix
from unrolled.decoding.sampling import FINISHED, SamplingOptions, draw, row_generators, sample
from unrolled.decoding.suggestions import Suggestion, choose

__all__ = [
    "FINISHED",
    "Beam",
    "BytePrefix",
    "Constraint",
    "Coverage",
    "Hypothesis",
    "LengthPenalty",
    "PhraseRule",
    "SamplingOptions",
    "Stepper",
    "Suggestion",
    "beam_search",
    "choose",
    "complete",
    "complete_batch",
    "coverage_penalty",
    "draw",
    "read",
    "row_generators",
    "sample",
]
