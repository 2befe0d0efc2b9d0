"""What `predict` returns for an image: its class, with the probabilities of all."""

from __future__ import annotations

import base64
import html
from dataclasses import dataclass
from typing import Any

from unrolled.data.images.files import Pixels, png


@dataclass(frozen=True)
class Recognition:
    """The class of an image.

    Attributes:
        image: what it is called.
        label: the most probable class.
        probability: of that class.
        probabilities: of all classes, the most probable first; they sum to 1.
        seen: the image as the network read it, (H, W, C) uint8.
    """

    image: str
    label: str
    probability: float
    probabilities: dict[str, float]
    seen: Pixels

    def __str__(self) -> str:
        others = [f"{label} {p:.1%}" for label, p in list(self.probabilities.items())[1:3] if p >= 0.001]
        beside = f" ({', '.join(others)})" if others else ""
        return f"{self.image}: {self.label} {self.probability:.1%}{beside}"

    def as_json(self) -> dict[str, Any]:
        """As one JSON object."""
        return {
            "image": self.image,
            "label": self.label,
            "probability": self.probability,
            "probabilities": self.probabilities,
        }

    def _repr_html_(self) -> str:
        bars = "".join(
            f"<tr><td>{html.escape(label)}</td><td><div style='background:#4a7;height:0.8em;width:{p * 12:.2f}em'>"
            f"</div></td><td>{p:.1%}</td></tr>"
            for label, p in list(self.probabilities.items())[:5]
        )
        return (
            f"<figure>{picture_html(self.seen)}<figcaption><b>{html.escape(self.label)}</b></figcaption></figure>"
            f"<table>{bars}</table>"
        )


def picture_html(pixels: Pixels, width: str = "8em") -> str:
    """An image as an element that carries its own content."""
    data = base64.b64encode(png(pixels)).decode("ascii")
    return f"<img style='width:{width};image-rendering:pixelated' src='data:image/png;base64,{data}' alt=''>"
