"""One input of each task laid out for `unrolled.inspection`: what its steps are called, and how the network is run.

Where nobody says what is right, the network is asked about what it says itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from unrolled.errors import ArgumentError
from unrolled.layers import Recurrent
from unrolled.tasks.probing import Probe

if TYPE_CHECKING:
    from unrolled.data.tokenizers import Ids
    from unrolled.tasks.model import Model


def probe_labelled_text(model: Model, words: Sequence[str], data: dict[str, Tensor], batch: Any, note: str) -> Probe:
    """A text with one label: many-to-one.

    Args:
        words: the steps.
        data: the text alone, as a batch, with its `lengths`.
        batch: what the input layer reads of it.
        note: what was left out.
    """
    network, lengths = model.network, data["lengths"]
    return _asked_itself(
        network,
        lambda: network(batch, lengths),
        steps=words,
        outputs=("the label",),
        classes=lambda k: str(model.encoders.labels[k]),
        note=note,
    )


def probe_tagged_text(model: Model, words: Sequence[str], data: dict[str, Tensor], batch: Any, note: str) -> Probe:
    """A sentence with a label for each word: synced. Asked about the scores of single labels, before the chain."""
    network: Any = model.network
    return _asked_itself(
        network,
        lambda: network.emissions(batch, data["lengths"], data["places"])[:, 0],
        steps=words,
        outputs=words,
        classes=lambda k: str(model.encoders.tag(k)),
        note=note,
    )


def probe_steps(model: Model, x: Tensor, rate: float | None, note: str, first: int) -> Probe:
    """Frames or features with a label for each: synced.

    Args:
        x: (T, 1, …).
        rate: steps a second, if it is known.
        note: what was left out.
        first: how many steps that were.
    """
    network: Any = model.network
    numbers = range(first, first + len(x))
    names = [str(n + 1) if rate is None else f"{n / rate:.2f} s" for n in numbers]
    lengths = torch.tensor([len(x)])
    return _asked_itself(
        network,
        lambda: network(x, None, lengths)[0][:, 0],
        steps=names,
        outputs=names,
        classes=lambda k: str(model.encoders.labels[k]),
        note=note,
    )


def probe_image(model: Model, image: Tensor) -> Probe:
    """An image that is read row by row or pixel by pixel.

    Args:
        image: (1, H, W, C), as the network reads it.

    Raises:
        ArgumentError: the network sees the image as a whole.
    """
    network: Any = model.network
    if not any(isinstance(module, Recurrent) for module in network.modules()):
        raise ArgumentError(
            "input: this model sees an image as a whole; train with --reading rows to look at its steps"
        )
    probe = _asked_itself(
        network,
        lambda: network(image),
        steps=(),
        outputs=("the class",),
        classes=lambda k: str(model.encoders.labels[k]),
    )
    found: list[int] = []
    handle = network.inputs.register_forward_hook(lambda module, given, result: found.append(len(result)))
    try:
        with torch.no_grad():
            probe.run()
    finally:
        handle.remove()
    name = "row" if found[0] == image.shape[1] else "pixel"
    return replace(probe, steps=tuple(f"{name} {n + 1}" for n in range(found[0])))


def probe_translation(model: Model, source: Ids, target: Sequence[int], note: str) -> Probe:
    """A sentence and its translation: many-to-many. Asked about each token of the translation, all those before given.

    Args:
        source: (S,) tokens of the sentence, the end among them.
        target: (T,) tokens of the translation.
        note: what was left out.
    """
    network, read, written = model.network, model.encoders.source, model.encoders.target
    device = next(network.parameters()).device
    sources, lengths = _column(source, device), torch.tensor([len(source)])
    reads = _column([written.end_id, *target[:-1]], device)

    def name(token: int) -> str:
        return "(end)" if token == written.end_id else str(written.token_text(token))

    return Probe(
        network=network,
        input_layer=network.get_submodule("source"),
        steps=tuple("(end)" if n == read.end_id else str(read.token_text(int(n))) for n in source),
        run=lambda: network(sources, lengths, reads)[:, 0],
        outputs=tuple(map(name, target)),
        classes=name,
        targets=torch.tensor(list(target)),
        note=note,
    )


def probe_caption(model: Model, image: Tensor, words: Sequence[int], name: Callable[[int], str], end: int) -> Probe:
    """A caption about an image: one-to-many. Asked about each word, all those before it given.

    Args:
        image: (1, …), as the network reads it.
        words: (T,) numbers of the words, the end among them if it was said.
        name: of a number.
        end: the number that begins and ends a caption.
    """
    network = model.network
    reads = _column([end, *words[:-1]], image.device)
    return Probe(
        network=network,
        input_layer=network.get_submodule("decoder.embedding"),
        steps=("(begin)", *map(name, words[:-1])),
        run=lambda: network(image, reads)[0][:, 0],
        outputs=tuple(map(name, words)),
        classes=name,
        targets=torch.tensor(list(words)),
    )


def probe_series(model: Model, data: dict[str, Tensor]) -> Probe:
    """A series and its forecast, asked about the middle of each step's forecast: many-to-many.

    Args:
        data: one window, as `forecast_scoring.as_tensors` makes it.

    Raises:
        ArgumentError: the network forecasts step by step, by sampling.
    """
    network: Any = model.network
    if not hasattr(network, "segment"):
        raise ArgumentError(
            "input: this model forecasts by sampling step by step; train with --method direct to look inside"
        )
    context, segment, horizon = network.context, network.segment, network.horizon
    levels = list(model.config.network["levels"])
    middle = levels.index(0.5) if 0.5 in levels else 0
    segments = -(-context // segment)
    steps = [f"{(n - segments) * segment} … {(n - segments + 1) * segment - 1}" for n in range(segments)]
    past = data["values"][:context]
    return Probe(
        network=network,
        input_layer=network.inputs,
        steps=tuple(steps),
        run=lambda: network(past, data["known"], data["channel"], data["static"])[:, 0],
        outputs=tuple(f"+{n + 1}" for n in range(horizon)),
        classes=lambda k: f"quantile {levels[k]:g}" if levels else "forecast",
        targets=torch.full((horizon,), middle),
        values=True,
    )


def last_steps(count: int, limit: int, name: str) -> tuple[int, str]:
    """Where the last `limit` of `count` steps begin, and a sentence about those left out."""
    first = max(0, count - limit)
    return first, f"the first {first:,} {name} are left out" if first else ""


def _asked_itself(
    network: nn.Module,
    run: Callable[[], Tensor],
    *,
    steps: Sequence[str],
    outputs: Sequence[str],
    classes: Callable[[int], str],
    note: str = "",
) -> Probe:
    with torch.no_grad():
        targets = run().argmax(-1).cpu()
    return Probe(
        network, network.get_submodule("inputs"), tuple(steps), run, tuple(outputs), classes, targets, note=note
    )


def _column(numbers: Any, device: torch.device) -> Tensor:
    """(N,) numbers as one sequence, (N, 1) int64."""
    return torch.as_tensor([int(n) for n in numbers], dtype=torch.int64, device=device).unsqueeze(1)
