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
