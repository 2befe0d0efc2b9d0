"""What `transcribe` predicts: a text, its words with times and confidence, and what else it might have been."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from unrolled.decoding.ctc import Emission
from unrolled.tasks.inputs.sound.encode import SpeechEncoders


@dataclass(frozen=True)
class Word:
    """A word that was heard.

    Attributes:
        text: the word.
        begin, end: seconds: where the network says so. It may say a word in a moment in the middle of it, or, with one
            direction, towards its end.
        confidence: from 0 to 1: the geometric mean, over its units, of the highest probability each was given.
    """

    text: str
    begin: float
    end: float
    confidence: float

    def as_json(self) -> dict[str, Any]:
        """As one JSON object."""
        return {"text": self.text, "begin": self.begin, "end": self.end, "confidence": self.confidence}


@dataclass(frozen=True)
class Alternative:
    """A text that may have been said.

    Attributes:
        text: the text.
        log_prob: ln p(text | sound), nats, over all its alignments.
        score: nats: log_prob, and what a language model added.
    """

    text: str
    log_prob: float
    score: float

    def as_json(self) -> dict[str, Any]:
        """As one JSON object."""
        return {"text": self.text, "log_prob": self.log_prob, "score": self.score}


@dataclass(frozen=True)
class Transcript:
    """What is said in a sound.

    Attributes:
        text: all of it.
        words: with their times.
        log_prob: ln p(text | sound), nats, over all its alignments; None in a stream, which has forgotten them.
        score: nats: what the search ranked it by.
        alternatives: the n best, this one first.
        seconds: how long the sound is.
        notes: what was done to the sound, e.g. that two channels were mixed into one.
    """

    text: str
    words: tuple[Word, ...]
    log_prob: float | None
    score: float | None
    alternatives: tuple[Alternative, ...]
    seconds: float
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.text

    def as_json(self) -> dict[str, Any]:
        """As one JSON object; times in seconds, scores in nats."""
        return {
            "text": self.text,
            "words": [word.as_json() for word in self.words],
            "log_prob": self.log_prob,
            "score": self.score,
            "alternatives": [alternative.as_json() for alternative in self.alternatives],
            "seconds": self.seconds,
            "notes": list(self.notes),
        }

    def _repr_html_(self) -> str:
        """For notebooks: the words, the paler the less sure, their times on hovering."""
        spans = []
        for w in self.words:
            said = f"{w.begin:.2f}–{w.end:.2f} s, {w.confidence:.0%}"
            style = f"opacity:{0.35 + 0.65 * w.confidence:.2f}"
            spans.append(f'<span title="{said}" style="{style}">{html.escape(w.text)}</span>')
        return f"<p>{' '.join(spans)} <small>({self.seconds:.2f} s)</small></p>"


def gathered_words(
    emissions: Sequence[Emission], encoders: SpeechEncoders, *, is_over: bool
) -> tuple[list[Word], list[Emission]]:
    """Units put together to words.

    Args:
        emissions: units and when they are said, in order.
        encoders: what the units stand for.
        is_over: whether nothing follows; otherwise a word is over when a space has come.

    Returns:
        The words, and the units of one that is not over.
    """
    words: list[Word] = []
    current: list[Emission] = []
    for emission in emissions:
        is_space = encoders.units == "characters" and encoders.vocabulary[emission.unit] == " "
        if not is_space:
            current.append(emission)
        if current and (is_space or encoders.units == "words"):
            words.append(_word(current, encoders))
            current = []
    if is_over and current:
        words.append(_word(current, encoders))
        current = []
    return words, current


def _word(emissions: Sequence[Emission], encoders: SpeechEncoders) -> Word:
    text = "".join(encoders.vocabulary[e.unit] for e in emissions)
    confidence = math.exp(sum(e.log_prob for e in emissions) / len(emissions))
    step = encoders.step_seconds
    return Word(text, round(emissions[0].begin * step, 4), round(emissions[-1].end * step, 4), min(1.0, confidence))
