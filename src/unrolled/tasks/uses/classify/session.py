"""A text in progress, and what class it seems to be of after each word."""

from __future__ import annotations

from typing import Any

from unrolled.tasks.core.results import result_type
from unrolled.tasks.core.stream import Step
from unrolled.tasks.outputs.label.results import Classification
from unrolled.tasks.outputs.label.session import LabelSession
from unrolled.tasks.uses.classify.results import AfterWord, TextClassification


class ClassifySession(LabelSession[str]):
    """A stream of text through a causal classifier. Pushed in pieces, or whole, it comes to the same result.

    A session is of fixed size however long the text: the state, and the characters of a word that what follows may
    still change. Unlike `predict`, it reads the whole of a text longer than `longest`.

    >>> session = model.stream()                        # doctest: +SKIP
    >>> [(after.word, after.label) for after in session.push("A film so bad ")]       # doctest: +SKIP
    [('A', 'pos'), ('film', 'pos'), ('so', 'pos'), ('bad', 'neg')]
    """

    both_ends = (
        "stream: this model reads texts from both ends, and has to read all of a text anew for each word "
        "(predict with words=True does); train one with --no-bidirectional"
    )

    def prediction(self) -> Classification:
        """Return what the model would say if the text ended here, without the text; what is pending stays pending."""
        prediction: Any = result_type(self._model.input.Shown, TextClassification)
        return prediction(text="", **dict(super().prediction()))

    def _after(self, step: Step) -> AfterWord:
        after = super()._after(step)
        return AfterWord(word=after.step, start=after.start, end=after.end, probabilities=after.probabilities)
