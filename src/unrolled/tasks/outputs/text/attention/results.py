"""Texts about an input: how probable each is, and what each token of the best one looked at."""

from __future__ import annotations

import html
from typing import Annotated

from pydantic import Field, PlainSerializer

from unrolled.tasks.core.results import Part, Result
from unrolled.types import Json

#: a weight as JSON has it: rounded, and with that from 0 to 1
Weight = Annotated[float, Field(ge=0, le=1)]


def _rounded(rows: tuple[tuple[float, ...], ...]) -> list[list[float]]:
    return [[round(w, 4) for w in row] for row in rows]


Weights = Annotated[
    tuple[tuple[float, ...], ...], PlainSerializer(_rounded, return_type=list[list[Weight]], when_used="json")
]


class Candidate(Part):
    """One text among several."""

    text: str
    log_prob: float = Field(description="of its tokens, the end included, nats")
    score: float = Field(description="log_prob divided by the length penalty, plus the coverage penalty")


class Written(Candidate, Result):
    """An input and the text about it."""

    text: str = Field(description="the best one; empty where there was nothing to read")
    score: float = Field(description="what it was chosen by, nats")
    candidates: tuple[Candidate, ...] = Field(description="n_best, the best first; fewer where texts were equal")
    source_tokens: tuple[str, ...] = Field(description="what the steps of the input are called")
    target_tokens: tuple[str, ...] = Field(description="what the text was written in, </s> last")
    attention: Weights = Field(
        description="for each token of the text its weights on the steps of the input, which sum to 1"
    )

    def __str__(self) -> str:
        return f"{self.heading()}{self.text}"

    def beside(self) -> Json:
        """Return the text and its score, and the other candidates where there are any."""
        others = [candidate.as_json() for candidate in self.candidates[1:]]
        return {"text": self.text, "score": self.score, **({"others": others} if others else {})}

    def _repr_html_(self) -> str:
        """Show the input, the candidates, and a table of what each token looked at."""
        head = "".join(f"<th>{_shown(token)}</th>" for token in self.source_tokens)
        rows = "".join(
            f"<tr><th>{_shown(token)}</th>"
            + "".join(f'<td style="background:rgba(31,119,180,{w:.2f})" title="{w:.3f}"></td>' for w in weights)
            + "</tr>"
            for token, weights in zip(self.target_tokens, self.attention, strict=True)
        )
        others = "".join(
            f"<li>{html.escape(c.text)} <small>{c.score:.3f} ({c.log_prob:.2f} nats)</small></li>"
            for c in self.candidates
        )
        return f"{self.picture()}<ol>{others}</ol><table><tr><th></th>{head}</tr>{rows}</table>"


def _shown(token: str) -> str:
    return html.escape(token).replace(" ", "&nbsp;") or "&nbsp;"
