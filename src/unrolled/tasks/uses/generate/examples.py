"""The example that is kept with a model: its own writing, never a message that somebody wrote."""

from __future__ import annotations

import re
from collections.abc import Sequence

from unrolled.data.text.tokenfile import TokenFile
from unrolled.decoding import SamplingOptions
from unrolled.tasks.core.fitted import AnyFitted
from unrolled.tasks.outputs.next.session import TextSession

#: tokens that are written, by the kind of tokeniser
LENGTH = {"char": 240, "byte": 240, "bpe": 60, "word": 48}
#: places at which the text may end
PLACES = 12
#: texts that are written until one stands nowhere in the training data
TRIES = 8


def written_example(model: AnyFitted, prompt: str, seed: int, known: Sequence[TokenFile]) -> str:
    """Return a text that the model wrote, which ends where it has a suggestion, if there is such a place near its end.

    Empty if all it writes stands in what it learned from: what somebody wrote is not shown.

    Args:
        model: the trained model.
        prompt: what it writes on from.
        seed: of the text.
        known: what it learned from.
    """
    for number in range(seed, seed + TRIES):
        text = _ended(model, _written(model, prompt, number))
        # the first and last tokens may have been cut in another way there
        inner = model.input.tokenizer.encode(text)[1:-1].tolist()
        if inner and not any(file.holds(inner) for file in known):
            return text
    return ""


def _written(model: AnyFitted, prompt: str, seed: int) -> str:
    session = TextSession(model)
    length = LENGTH[model.input.tokenizer.kind]
    shaped = SamplingOptions(temperature=0.7)
    return "".join(session.push(prompt).generate(length, options=shaped, seed=seed)).strip()


def _ended(model: AnyFitted, text: str) -> str:
    """Return a text up to a place where the model has a suggestion, or else without its last word."""
    ends = [match.end() for match in re.finditer(r"\S+", text)]
    if model.fitted.get("threshold") is not None:
        for end in ends[:-PLACES:-1]:
            if end > len(text) // 2 and TextSession(model).push(text[:end]).suggestion() is not None:
                return text[:end]
    return text[: ends[-2]] if len(ends) > 1 else text
