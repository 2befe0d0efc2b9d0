"""What `predict` returns for a recording: a label for every step, and the segments that they make."""

from __future__ import annotations

import html
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class LabelSegment:
    """A run of one label.

    Attributes:
        label: of all its steps.
        begin, end: the first step, from 0, and the one after the last.
        score: the mean probability of the label over its steps.
        begin_seconds, end_seconds: the same in time, None if nobody knows how many steps make a second.
    """

    label: str
    begin: int
    end: int
    score: float
    begin_seconds: float | None = None
    end_seconds: float | None = None

    def __str__(self) -> str:
        if self.begin_seconds is None or self.end_seconds is None:
            return f"{self.begin}–{self.end} {self.label}"
        return f"{self.begin_seconds:.2f}–{self.end_seconds:.2f} s {self.label}"

    def as_json(self) -> dict[str, Any]:
        """As one JSON object."""
        return dict(vars(self))


@dataclass(frozen=True)
class LabelledRecording:
    """A recording whose steps are labelled.

    Attributes:
        name: the recording.
        labels: one a step.
        scores: the probability of each of them.
        segments: the runs of equal labels.
        rate: steps a second, or None.
        background: the label that says that nothing happens, or None.
    """

    name: str
    labels: tuple[str, ...]
    scores: tuple[float, ...]
    segments: tuple[LabelSegment, ...]
    rate: float | None = None
    background: str | None = None

    def __str__(self) -> str:
        told = [str(segment) for segment in self.segments if segment.label != self.background]
        return f"{self.name}: {' · '.join(told) or f'nothing but {self.background}'}"

    def as_json(self) -> dict[str, Any]:
        """As one JSON object; scores are probabilities."""
        return {
            "name": self.name,
            "rate": self.rate,
            "segments": [segment.as_json() for segment in self.segments],
            "labels": list(self.labels),
            "scores": list(self.scores),
        }

    def _repr_html_(self) -> str:
        names = list(dict.fromkeys(s.label for s in self.segments if s.label != self.background))
        hue = {name: round(360 * n / max(1, len(names))) for n, name in enumerate(names)}
        parts = []
        for segment in self.segments:
            share = 100 * (segment.end - segment.begin) / len(self.labels)
            colour = f"hsl({hue[segment.label]},55%,72%)" if segment.label in hue else "#eee"
            shown = html.escape(segment.label if segment.label in hue else "")
            title = html.escape(f"{segment} ({segment.score:.0%})", quote=True)
            style = f"width:{share:.3f}%;background:{colour};overflow:hidden;text-align:center;font-size:0.8em"
            parts.append(f"<div style='{style}' title='{title}'>{shown}</div>")
        bar = f"<div style='display:flex'>{''.join(parts)}</div>"
        return f"<figure><figcaption>{html.escape(self.name)}</figcaption>{bar}</figure>"


def labelled(
    name: str,
    labels: list[str],
    scores: list[float],
    rate: float | None,
    background: str | None,
) -> LabelledRecording:
    """Put labels together to segments.

    Args:
        name: of the recording.
        labels: one a step.
        scores: the probability of each.
        rate: steps a second, or None.
        background: as of `LabelledRecording`.
    """
    segments = []
    begin = 0
    for end in range(1, len(labels) + 1):
        if end == len(labels) or labels[end] != labels[begin]:
            score = sum(scores[begin:end]) / (end - begin)
            seconds = (None, None) if rate is None else (begin / rate, end / rate)
            segments.append(LabelSegment(labels[begin], begin, end, score, *seconds))
            begin = end
    return LabelledRecording(name, tuple(labels), tuple(scores), tuple(segments), rate, background)
