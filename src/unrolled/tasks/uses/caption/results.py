"""Sentences about an image, and where the network looked as it wrote each word."""

from __future__ import annotations

import html
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator, Field, PlainSerializer

from unrolled.data.images.files import Pixels
from unrolled.tasks.core.results import Result
from unrolled.tasks.inputs.image.encode import picture_html
from unrolled.tasks.outputs.text.attention.results import Candidate, Weight
from unrolled.types import Json


def _rounded(weights: NDArray[np.float32]) -> Any:
    return np.round(weights.astype(np.float64), 4).tolist()


#: (T, rows, columns)
Looks = Annotated[
    NDArray[np.float32],
    BeforeValidator(np.asarray),
    PlainSerializer(_rounded, return_type=list[list[list[Weight]]], when_used="json"),
]


class WrittenCaption(Candidate):
    """One sentence about an image."""

    log_prob: float = Field(description="of the sentence given the image, its end included, nats")
    score: float = Field(description="log_prob divided by the length penalty")
    words: tuple[str, ...]
    attention: Looks = Field(
        description="for each word a weight on each position of the grid, rows of columns; they sum to 1"
    )


class CaptionedPrediction(Result):
    """Sentences about an image."""

    captions: tuple[WrittenCaption, ...] = Field(description="the best first")

    @property
    def text(self) -> str:
        """The best sentence."""
        return self.captions[0].text

    def __str__(self) -> str:
        return f"{self.heading()}{self.text}"

    def beside(self) -> Json:
        """Return the best sentence, and the others where there are any."""
        best, *others = ({"text": c.text, "score": c.score} for c in self.captions)
        return {**best, **({"others": others} if others else {})}

    def _repr_html_(self) -> str:
        """Show the image, the sentences, and the image once more for each word, dark where it did not look."""
        listed = "".join(f"<li>{html.escape(c.text)} <small>{c.log_prob:.1f} nats</small></li>" for c in self.captions)
        seen: Pixels | None = getattr(self, "seen", None)
        if seen is None:
            return f"<ol>{listed}</ol>"
        best = self.captions[0]
        looks = "".join(
            f"<figure style='display:inline-block;margin:2px'>{picture_html(shade(seen, weights), '6em')}"
            f"<figcaption>{html.escape(word)}</figcaption></figure>"
            for word, weights in zip(best.words, best.attention, strict=False)
        )
        return f"{self.picture()}<ol>{listed}</ol><div>{looks}</div>"


def shade(image: Pixels, weights: NDArray[np.float32]) -> Pixels:
    """Return an image (H, W, C) that is the darker the less a grid of weights (rows, columns) looks there."""
    height, width = image.shape[:2]
    rows = np.arange(height) * weights.shape[0] // height
    columns = np.arange(width) * weights.shape[1] // width
    light = 0.25 + 0.75 * weights[rows][:, columns] / max(1e-9, float(weights.max()))
    return np.asarray(np.rint(image * light[..., None]), dtype=np.uint8)
