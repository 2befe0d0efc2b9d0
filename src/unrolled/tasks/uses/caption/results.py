"""What `predict` returns for an image: sentences about it, with their scores and where the network looked."""

from __future__ import annotations

import html
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unrolled.data.images.files import Pixels
from unrolled.tasks.inputs.image.encode import picture_html


@dataclass(frozen=True)
class WrittenCaption:
    """One sentence about an image.

    Attributes:
        text: the sentence.
        words: its words.
        log_prob: ln p of the sentence given the image, its end included, nats.
        score: what sentences are ranked by, log_prob divided by the length penalty.
        attention: (T, rows, columns), where the network looked as it wrote each word; each sums to 1.
    """

    text: str
    words: tuple[str, ...]
    log_prob: float
    score: float
    attention: NDArray[np.float32]


@dataclass(frozen=True)
class CaptionedPrediction:
    """Sentences about an image, the best first.

    Attributes:
        image: what it is called.
        captions: at least one.
        seen: the image as the network saw it, (H, W, C) uint8; None for features.
    """

    image: str
    captions: tuple[WrittenCaption, ...]
    seen: Pixels | None

    @property
    def text(self) -> str:
        """The best sentence."""
        return self.captions[0].text

    def __str__(self) -> str:
        return f"{self.image}: {self.text}"

    def as_json(self) -> dict[str, Any]:
        """As one JSON object; log-probabilities in nats, attention as rows of weights for each word."""
        return {
            "image": self.image,
            "captions": [
                {
                    "text": caption.text,
                    "words": list(caption.words),
                    "log_prob": caption.log_prob,
                    "score": caption.score,
                    "attention": np.round(caption.attention.astype(np.float64), 4).tolist(),
                }
                for caption in self.captions
            ],
        }

    def _repr_html_(self) -> str:
        listed = "".join(f"<li>{html.escape(c.text)} <small>{c.log_prob:.1f} nats</small></li>" for c in self.captions)
        if self.seen is None:
            return f"<ol>{listed}</ol>"
        best = self.captions[0]
        looks = "".join(
            f"<figure style='display:inline-block;margin:2px'>{picture_html(shade(self.seen, weights), '6em')}"
            f"<figcaption>{html.escape(word)}</figcaption></figure>"
            for word, weights in zip(best.words, best.attention, strict=False)
        )
        return f"{picture_html(self.seen)}<ol>{listed}</ol><div>{looks}</div>"


def shade(image: Pixels, weights: NDArray[np.float32]) -> Pixels:
    """An image (H, W, C) that is the darker the less a grid of weights (rows, columns) looks there."""
    height, width = image.shape[:2]
    rows = np.arange(height) * weights.shape[0] // height
    columns = np.arange(width) * weights.shape[1] // width
    light = 0.25 + 0.75 * weights[rows][:, columns] / max(1e-9, float(weights.max()))
    return np.asarray(np.rint(image * light[..., None]), dtype=np.uint8)
