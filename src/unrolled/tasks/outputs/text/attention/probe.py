"""One input laid out for inspection, asked about each token that the model writes about it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from unrolled.data import Tokenizer
from unrolled.networks import OneToManyNetwork
from unrolled.tasks.core.examples import on_device
from unrolled.tasks.core.fitted import AnyFitted
from unrolled.tasks.core.probe import Probe
from unrolled.tasks.core.values import InputSteps
from unrolled.tasks.outputs.text.attention.decode import END, Search, grid_of, previous, search_batch
from unrolled.tasks.outputs.text.attention.network import read, writer_of


def probe_text(model: AnyFitted, steps: InputSteps, search: Search, limit: int | None = None) -> Probe:
    """Ask about each token of the text that the model writes, all those before it given.

    Args:
        model: the model.
        steps: of the input.
        search: for the text.
        limit: where the input has no steps of its own, tokens of the text that are looked at, the last ones; None for
            all.
    """
    network, tokenizer = writer_of(model), model.output.tokenizer
    x, lengths = model.input.feed(on_device(network, steps.data))
    [[best, *_]] = search_batch(network, x, lengths, tokenizer, search)
    if isinstance(network, OneToManyNetwork):
        return _probe_whole(network, x, best.tokens, tokenizer, limit)
    reads = _column(previous(best.tokens), network)

    def run() -> Tensor:
        logits: Tensor = network.output(network.decoder(reads, read(network, x, lengths)[0])[0])
        return logits[:, 0]

    def name(token: int) -> str:
        return _name(token, tokenizer)

    return Probe(
        network=network,
        input_layer=network.inputs,
        steps=steps.names,
        run=run,
        outputs=tuple(map(name, best.tokens)),
        classes=name,
        targets=torch.tensor(best.tokens),
        note=steps.note,
        decoder="decoder",
        separator=steps.separator,
    )


def _probe_whole(
    network: OneToManyNetwork, x: Tensor, written: Sequence[int], tokenizer: Tokenizer, limit: int | None
) -> Probe:
    """Ask at each token of a text about the next one; those before the first that is looked at are read."""
    unit, between = ("words", " ") if tokenizer.kind == "words" else ("tokens", "")
    first = 0 if limit is None else max(0, len(written) - limit)
    reads = _column(previous(written), network)
    with torch.no_grad():
        state = network.encode(x)[0]
        for token in reads[:first]:
            _, state, _ = network.decoder.step(token, state)

    def run() -> Tensor:
        logits: Tensor = network.output(network.decoder(reads[first:], state)[0])
        return logits[:, 0]

    def name(token: int) -> str:
        return _name(token, tokenizer)

    return Probe(
        network=network,
        input_layer=network.decoder.embedding,
        steps=("(begin)", *map(name, written[:-1]))[first:],
        run=run,
        outputs=tuple(map(name, written[first:])),
        classes=name,
        targets=torch.tensor(written[first:]),
        note=f"the first {first:,} {unit} were read and are not shown" if first else "",
        synced=True,
        separator=between,
        grid=grid_of(network, x),
    )


def _name(token: int, tokenizer: Tokenizer) -> str:
    return "(end)" if token == END else tokenizer.token_text(token)


def _column(numbers: object, network: torch.nn.Module) -> Tensor:
    """Return numbers (T,) as one sequence, (T, 1), where the network is."""
    return torch.as_tensor(numbers, device=next(network.parameters()).device).unsqueeze(1)
