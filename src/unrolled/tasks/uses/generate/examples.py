"""The example that is kept with a model: its own writing, never a message that somebody wrote."""

from __future__ import annotations

import re

from unrolled.decoding import SamplingOptions
from unrolled.tasks.core.fitted import AnyFitted
from unrolled.tasks.outputs.next.session import TextSession

#: tokens that are written, by the kind of tokeniser
LENGTH = {"char": 240, "byte": 240, "bpe": 60}
#: places at which the text may end
PLACES = 12


def written_example(model: AnyFitted, prompt: str, seed: int) -> str:
    """Return a text that the model wrote, which ends where it has a suggestion, if there is such a place near its end.

    Args:
        model: the trained model.
        prompt: what it writes on from.
        seed: of the text.
    """
    session = TextSession(model)
    length = LENGTH[model.input.tokenizer.kind]
    shaped = SamplingOptions(temperature=0.7)
    text = "".join(session.push(prompt).generate(length, options=shaped, seed=seed)).strip()
    ends = [match.end() for match in re.finditer(r"\S+", text)]
    if model.fitted.get("threshold") is not None:
        for end in ends[:-PLACES:-1]:
            if end > len(text) // 2 and TextSession(model).push(text[:end]).suggestion() is not None:
                return text[:end]
    return text[: ends[-2]] if len(ends) > 1 else text
