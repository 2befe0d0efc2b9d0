"""Texts completed, and texts written on from a prompt."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from unrolled.decoding import SamplingOptions
from unrolled.tasks.core.fitted import AnyFitted
from unrolled.tasks.core.results import Result
from unrolled.tasks.core.values import in_lists
from unrolled.tasks.outputs.next.options import Suggesting, Writing
from unrolled.tasks.outputs.next.predictor import asked_with
from unrolled.tasks.outputs.next.results import Completion, GeneratedText
from unrolled.tasks.outputs.next.session import TextSession
from unrolled.tasks.outputs.next.streams import suggest_together

#: texts completed in one search
SIDE_BY_SIDE = 32


def predictions(
    model: AnyFitted, inputs: Iterable[object], *, generate: bool = False, **options: Any
) -> Iterator[Result]:
    """Yield for each text what completes it, or if it is to be written on, texts written on from it.

    Args:
        model: the model.
        inputs: texts as typed.
        generate: whether they are to be written on.
        options: of completion, `Suggesting`; of generation, `Writing`.
    """
    # as they come, unless they are all there
    for some in in_lists(inputs, SIDE_BY_SIDE if isinstance(inputs, (list, tuple)) else 1):
        texts: list[str] = [model.input.given(text) for text in some]
        if not generate:
            yield from completions(model, texts, Suggesting(**options))
            continue
        for text in texts:
            yield from written(model, text, Writing(**options))


def completions(model: AnyFitted, texts: Sequence[str], options: Suggesting) -> Iterator[Completion]:
    """Yield what completes each text, found in one search."""
    limit = model.fitted.get("threshold") if options.threshold is None else options.threshold
    given = options.model_dump(exclude={"threshold", "ngram", "adapt"}, exclude_none=True)
    chosen = asked_with(model, options.ngram, options.adapt)
    sessions = [TextSession(chosen).push(text) for text in texts]
    for text, suggestions in zip(texts, suggest_together(sessions, **given), strict=True):
        yield Completion.of(text, suggestions, limit)


def written(model: AnyFitted, prompt: str, options: Writing) -> Iterator[GeneratedText]:
    """Yield texts written on from a prompt."""
    seed = options.seed or 0
    texts = (
        TextSession(asked_with(model, options.ngram, options.adapt))
        .push(prompt)
        .generate_many(
            1 if options.samples is None else options.samples,
            400 if options.max_tokens is None else options.max_tokens,
            options=shaping(options),
            seed=seed,
            stop=options.stop or (),
        )
    )
    for k, pieces in enumerate(texts):
        yield GeneratedText(prompt=prompt, text="".join(pieces), seed=seed + k)


def shaping(options: Writing) -> SamplingOptions:
    """Return how tokens are drawn.

    Raises:
        ArgumentError: an option out of range.
    """
    plain = {"max_tokens", "samples", "seed", "stop", "ngram", "adapt"}
    return SamplingOptions(**options.model_dump(exclude=plain, exclude_none=True))
