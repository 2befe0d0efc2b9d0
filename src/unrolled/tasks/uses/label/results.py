"""A recording whose steps are labelled: a label for every step, and the segments that they make."""

from __future__ import annotations

import html
from collections.abc import Sequence

from pydantic import Field

from unrolled.tasks.core.results import Part, Result, tint
from unrolled.tasks.outputs.labels.results import Probability
from unrolled.types import Json


class LabelSegment(Part):
    """A run of one label."""

    label: str
    begin: int = Field(ge=0, description="its first step, from 0")
    end: int = Field(description="the step after its last")
    score: Probability = Field(description="mean probability of the label over its steps")
    begin_seconds: float | None = Field(
        description="the same in time; null if nobody knows how many steps a second has"
    )
    end_seconds: float | None

    def __str__(self) -> str:
        if self.begin_seconds is None or self.end_seconds is None:
            return f"{self.begin}–{self.end} {self.label}"
        return f"{self.begin_seconds:.2f}–{self.end_seconds:.2f} s {self.label}"


class LabelledRecording(Result):
    """A recording whose steps are labelled."""

    segments: tuple[LabelSegment, ...] = Field(description="the runs of equal labels")
    labels: tuple[str, ...] = Field(description="one a step")
    scores: tuple[Probability, ...] = Field(description="of each of them")
    background: str | None = Field(None, exclude=True, description="the label that says that nothing happens")

    def __str__(self) -> str:
        happening = [str(segment) for segment in self.segments if segment.label != self.background]
        return self.heading() + (" · ".join(happening) or f"nothing but {self.background}")

    def beside(self) -> Json:
        """Return the segments."""
        return {"segments": [segment.as_json() for segment in self.segments]}

    def beside_steps(self, steps: int) -> list[Json]:
        """Return label and score of each step."""
        return [{"label": label, "score": score} for label, score in zip(self.labels, self.scores, strict=True)]

    def _repr_html_(self) -> str:
        """Show the segments as a bar, as long as they last."""
        names = list(dict.fromkeys(s.label for s in self.segments if s.label != self.background))
        hue = {name: round(360 * n / max(1, len(names))) for n, name in enumerate(names)}
        parts = []
        for segment in self.segments:
            share = 100 * (segment.end - segment.begin) / len(self.labels)
            shown = html.escape(segment.label if segment.label in hue else "")
            title = html.escape(f"{segment} ({segment.score:.0%})", quote=True)
            # the background is grey
            colour = tint(hue[segment.label]) if segment.label in hue else "background:rgb(127 127 127 / 15%)"
            style = f"width:{share:.3f}%;{colour};overflow:hidden;text-align:center;font-size:0.8em"
            parts.append(f"<div style='{style}' title='{title}'>{shown}</div>")
        bar = f"<div style='display:flex'>{''.join(parts)}</div>"
        return f"<figure><figcaption>{html.escape(getattr(self, 'name', ''))}</figcaption>{bar}</figure>"


def segmented(labels: Sequence[str], scores: Sequence[float], rate: float | None, background: str | None) -> Json:
    """Return the fields of a `LabelledRecording`.

    Args:
        labels: one a step.
        scores: the probability of each.
        rate: steps a second, or None.
        background: the label that says that nothing happens, or None.
    """
    segments = []
    begin = 0
    for end in range(1, len(labels) + 1):
        if end == len(labels) or labels[end] != labels[begin]:
            score = sum(scores[begin:end]) / (end - begin)
            first, last = (None, None) if rate is None else (begin / rate, end / rate)
            segments.append(
                LabelSegment(
                    label=labels[begin], begin=begin, end=end, score=score, begin_seconds=first, end_seconds=last
                )
            )
            begin = end
    return {"segments": segments, "labels": labels, "scores": scores, "background": background}
