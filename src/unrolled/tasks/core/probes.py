"""One input of each task laid out for `unrolled.inspection`: what its steps are called, and how the network is run.

Where nobody says what is right, the network is asked about what it says itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from unrolled.errors import ArgumentError
from unrolled.layers import Recurrent
from unrolled.networks.forecaster import AutoregressiveForecaster, DirectForecaster
from unrolled.tasks.core.probe import Probe, last_steps

if TYPE_CHECKING:
    from unrolled.layers.inputs.texts import TextBatch, TextInputs
    from unrolled.tasks.core.fitted import Fitted


def probe_labelled_text(
    model: Fitted, words: Sequence[str], data: dict[str, Tensor], batch: TextBatch, note: str
) -> Probe:
    """A text with one label: many-to-one. Where words also vote for labels, a word that is taken out has no vote, and
    those of the others weigh what they weighed.

    Args:
        words: the steps.
        data: the text alone, as a batch, with its `lengths`.
        batch: what the input layer reads of it.
        note: what was left out.
    """
    network: Any = model.network
    lengths = data["lengths"]
    inputs = network.inputs if network.beside is None else _WordsAndVotes(network.inputs)

    def run() -> Tensor:
        if network.beside is None:
            logits: Tensor = network(batch, lengths)
            return logits
        read = inputs(batch)
        h, _ = network.hidden(read[..., :-1], None, lengths)
        deep: Tensor = network.output(network.pooled(h, lengths))
        return deep + network.beside(batch, lengths, read[..., -1])

    return _asked_itself(
        network,
        run,
        inputs,
        steps=words,
        outputs=("the label",),
        classes=lambda k: str(model.encoders.labels[k]),
        note=note,
        separator=" ",
    )


class _WordsAndVotes(nn.Module):
    """The input layer of texts, and after each word's vector a 1: how far it votes. (T, B, I + 1)."""

    def __init__(self, words: TextInputs) -> None:
        super().__init__()
        self.words = words

    def forward(self, batch: TextBatch) -> Tensor:
        """The words' vectors, as they are, and the ones."""
        x: Tensor = self.words(batch)
        return torch.cat([x, x.new_ones(*x.shape[:-1], 1)], -1)


def probe_image(model: Fitted, image: Tensor, limit: int) -> Probe:
    """An image that is read row by row or pixel by pixel.

    Args:
        image: (1, H, W, C), as the network reads it.
        limit: rows or pixels that are read, the last ones.

    Raises:
        ArgumentError: the network sees the image as a whole.
    """
    network: Any = model.network
    if not any(isinstance(module, Recurrent) for module in network.modules()):
        raise ArgumentError(
            "input: this model sees an image as a whole; train with --reading rows to look at its steps"
        )
    steps = image.reshape(1, -1, network.inputs.output_size).transpose(0, 1)
    name = str(network.inputs.by)
    first, note = last_steps(len(steps), limit, name)
    return _asked_itself(
        network,
        lambda: network(steps[first:]),
        network.inputs,
        steps=[f"{name[:-1]} {n + 1}" for n in range(first, len(steps))],
        outputs=("the class",),
        classes=lambda k: str(model.encoders.labels[k]),
        note=note,
    )


def probe_series(model: Fitted, data: dict[str, Tensor], limit: int) -> Probe:
    """A series and its forecast, asked about the middle of each step's forecast: many-to-many. Of a network that goes
    on step by step, the values of its past, each asked about the next: synced.

    Args:
        data: one window, as `forecast_scoring.as_tensors` makes it.
        limit: segments or values that are looked at, the last ones; those before them are read.
    """
    network: Any = model.network
    if not isinstance(network, DirectForecaster):
        return _probe_values(network, data, limit)
    context, segment, horizon = network.context, network.segment, network.horizon
    levels = list(model.config.network["levels"])
    middle = levels.index(0.5) if 0.5 in levels else 0
    segments = -(-context // segment)
    first = max(0, segments - limit)
    steps = [f"{(n - segments) * segment} … {(n - segments + 1) * segment - 1}" for n in range(first, segments)]
    past = data["values"][:context]
    with torch.no_grad():
        state = network.read(past, data["known"], stop=first) if first else None
    return Probe(
        network=network,
        input_layer=network.inputs,
        steps=tuple(steps),
        run=lambda: network(past, data["known"], data["channel"], data["static"], (first, state))[:, 0],
        outputs=tuple(f"+{n + 1}" for n in range(horizon)),
        classes=lambda k: f"quantile {levels[k]:g}" if levels else "forecast",
        targets=torch.full((horizon,), middle),
        note=f"the first {first:,} segments were read and are not shown" if first else "",
        values=True,
    )


def _probe_values(network: AutoregressiveForecaster, data: dict[str, Tensor], limit: int) -> Probe:
    """A series by its values, asked at each what it expects the next to be."""
    context, reach = network.context, network.reach
    past, known = data["values"][:reach], data["known"][reach - context + 1 : reach + 1]
    first = max(0, context - limit)
    inputs = nn.Identity()
    with torch.no_grad():
        scale = network.scale(past)
        x = network.reading(past, known, network.who(data["channel"], data["static"]), scale)
        state = network.hidden(x[:first])[1] if first else None

    def run() -> Tensor:
        h, _ = network.hidden(inputs(x[first:]), state)
        return network.likelihood.middle(network.output(h), *scale)

    numbers = range(first - context + 1, 1)
    return Probe(
        network=network,
        input_layer=inputs,
        steps=tuple(str(n) for n in numbers),
        run=run,
        outputs=tuple(f"{n + 1:+d}" if n == 0 else str(n + 1) for n in numbers),
        classes=lambda k: "forecast",
        targets=torch.zeros(len(numbers), dtype=torch.int64),
        note=f"the first {first:,} values were read and are not shown" if first else "",
        values=True,
        synced=True,
    )


def _asked_itself(
    network: nn.Module,
    run: Callable[[], Tensor],
    input_layer: nn.Module,
    *,
    steps: Sequence[str],
    outputs: Sequence[str],
    classes: Callable[[int], str],
    note: str = "",
    synced: bool = False,
    separator: str | None = None,
) -> Probe:
    with torch.no_grad():
        targets = run().argmax(-1).cpu()
    return Probe(
        network,
        input_layer,
        tuple(steps),
        run,
        tuple(outputs),
        classes,
        targets,
        note=note,
        synced=synced,
        separator=separator,
    )
