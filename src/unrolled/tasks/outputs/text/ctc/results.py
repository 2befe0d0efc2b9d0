"""A text that was read off an input: its words with places and confidence, and what else it might be."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from unrolled.decoding.ctc import Emission
from unrolled.tasks.core.results import Part, Result
from unrolled.tasks.outputs.text.ctc.spelling import UnitSpelling

Share = Annotated[float, Field(ge=0, le=1)]


class SpelledWord(Part):
    """A word that was read.

    The network may say a word in a moment in the middle of it, or, with one direction, towards its end.
    """

    text: str
    begin: float = Field(ge=0, description="where the network begins to say it; of sound, seconds")
    end: float = Field(ge=0, description="where it has said it; of sound, seconds")
    confidence: Share = Field(
        description="the geometric mean, over its units, of the highest probability each was given"
    )


class SpelledText(Part):
    """A text that it may be."""

    text: str
    log_prob: float = Field(description="of the text given the input, over all its alignments, nats")
    score: float = Field(description="what it was ranked by, nats: log_prob, and what a language model added")


class Transcript(Result):
    """The text that is said, or written, in an input."""

    text: str
    words: tuple[SpelledWord, ...]
    log_prob: Annotated[
        float | None,
        Field(description="of the text given the input, over all its alignments, nats; a stream has forgotten them"),
    ] = None
    score: Annotated[float | None, Field(description="what it was ranked by, nats")] = None
    alternatives: Annotated[tuple[SpelledText, ...], Field(description="n_best, the best first")] = ()

    def __str__(self) -> str:
        return f"{self.heading()}{self.text}"

    def _repr_html_(self) -> str:
        """Show the words, the paler the less sure, their places on hovering."""
        spans = []
        for word in self.words:
            where = f"{self.place(word.begin)} – {self.place(word.end)}, {word.confidence:.0%}"
            style = f"opacity:{0.35 + 0.65 * word.confidence:.2f}"
            spans.append(f'<span title="{where}" style="{style}">{html.escape(word.text)}</span>')
        return f"<p>{self.picture()} {' '.join(spans)}</p>"


def gathered_words(
    emissions: Sequence[Emission], spelling: UnitSpelling, step_size: float, *, is_over: bool
) -> tuple[list[SpelledWord], list[Emission]]:
    """Put units together to words.

    Args:
        emissions: units and when they are said, in order.
        spelling: what the units stand for.
        step_size: how far a step goes.
        is_over: whether nothing follows; otherwise a word is over when a space has come.

    Returns:
        The words, and the units of one that is not over.
    """
    words: list[SpelledWord] = []
    current: list[Emission] = []
    for emission in emissions:
        is_space = spelling.units == "characters" and spelling.vocabulary[emission.unit] == " "
        if not is_space:
            current.append(emission)
        if current and (is_space or spelling.units == "words"):
            words.append(_word(current, spelling, step_size))
            current = []
    if is_over and current:
        words.append(_word(current, spelling, step_size))
        current = []
    return words, current


def _word(emissions: Sequence[Emission], spelling: UnitSpelling, step_size: float) -> SpelledWord:
    confidence = math.exp(sum(e.log_prob for e in emissions) / len(emissions))
    return SpelledWord(
        text="".join(spelling.vocabulary[e.unit] for e in emissions),
        begin=round(emissions[0].begin * step_size, 4),
        end=round(emissions[-1].end * step_size, 4),
        confidence=min(1.0, confidence),
    )
