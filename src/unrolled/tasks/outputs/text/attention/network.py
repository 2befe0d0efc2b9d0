"""Networks that write a text about a memory or a grid: encoder, attention, decoder, and the loss of what is written.

    steps ─ input layer ─▶ (S, B, I) ─ encoder ─▶ memory (S, B, M) ─┐
                                                                    ├ attention ─▶ decoder ─▶ logits (T, N, V)
    whole ─ input layer ─▶ grid (B, P, M) ──────────────────────────┘

S steps of the input, P positions of a grid, B inputs, N texts about them, T tokens of a text, V tokens in all.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from unrolled.layers import STACKS, Embedding, InputLayer, LinearOutput, make_attention
from unrolled.networks import AttentionDecoder, ManyToManyNetwork, OneToManyNetwork
from unrolled.networks.decoder import DecoderState, written_loss
from unrolled.tasks.core.fitted import AnyFitted
from unrolled.tasks.core.recurrent import stack
from unrolled.tasks.core.values import Scored
from unrolled.tasks.outputs.text.attention.options import AttentionNetwork

Writer = ManyToManyNetwork | OneToManyNetwork


def writer_of(model: AnyFitted) -> Writer:
    """Return the model's network, which is one that writes."""
    return cast(Writer, model.network)


def over_memory(
    inputs: InputLayer, chosen: AttentionNetwork, tokens: int, *, shared: nn.Parameter | None = None
) -> ManyToManyNetwork:
    """Return an untrained network that reads steps by an encoder.

    Without `input_feeding`, layers of the decoder after the first read what attention found.

    Args:
        inputs: the input layer, (S, B, I).
        chosen: the settings.
        tokens: V.
        shared: the input layer's weight (V, I), where both sides share a vocabulary.
    """
    width, hidden, layer = chosen.embedding_size, chosen.hidden_size, STACKS[chosen.cell]
    embedding = _embedding(chosen, tokens)
    if shared is not None:
        embedding.weight = shared
    inner: dict[str, Any] = {"dropout": chosen.dropout, "variational": True}
    size = inputs.output_size
    each = max(1, hidden // 2) if chosen.bidirectional else hidden
    encoder = layer(size, each, chosen.num_layers, bidirectional=chosen.bidirectional, **inner)
    attention = make_attention(chosen.attention, hidden, encoder.output_size)
    upper = None
    if chosen.input_feeding:
        first = layer(2 * width, hidden, chosen.decoder_layers, **inner)
    else:
        first = layer(width, hidden)
        if chosen.decoder_layers > 1:
            upper = layer(hidden + encoder.output_size, hidden, chosen.decoder_layers - 1, **inner)
    decoder = AttentionDecoder(
        embedding, first, attention, upper=upper, input_feeding=chosen.input_feeding, dropout=chosen.dropout
    )
    output = LinearOutput(width, tokens, tied=embedding.weight if chosen.tied else None)
    return ManyToManyNetwork(
        inputs,
        encoder,
        decoder,
        output,
        dropout=chosen.dropout,
        smoothing=chosen.smoothing,
    )


def over_grid(
    inputs: InputLayer, chosen: AttentionNetwork, tokens: int, *, attributes: int = 0, dropout: float | None = None
) -> OneToManyNetwork:
    """Return an untrained network that looks at positions of a grid.

    Args:
        inputs: the input layer, whose `grid`, or which itself, yields (B, P, M).
        chosen: the settings.
        tokens: V.
        attributes: what it learns to tell of an input besides.
        dropout: on the grid's vectors; None takes that of the settings.
    """
    width = cast(int, getattr(inputs, "grid_size", None) or inputs.output_size)
    one_way = chosen.model_copy(update={"bidirectional": False})
    hidden = stack(one_way, chosen.embedding_size, forget_bias=1.0)
    embedding = _embedding(chosen, tokens)
    attention = make_attention(chosen.attention, hidden.output_size, width)
    decoder = AttentionDecoder(embedding, hidden, attention, dropout=chosen.dropout)
    output = LinearOutput(decoder.output_size, tokens, tied=embedding.weight if chosen.tied else None)
    on_grid = chosen.dropout if dropout is None else dropout
    return OneToManyNetwork(inputs, decoder, output, attributes=attributes, dropout=on_grid, smoothing=chosen.smoothing)


def _embedding(chosen: AttentionNetwork, tokens: int) -> Embedding:
    dropout = chosen.dropout / 2 if chosen.input_dropout is None else chosen.input_dropout
    return Embedding(tokens, chosen.embedding_size, dropout=dropout, word_dropout=chosen.word_dropout)


def read(network: Writer, x: Any, lengths: Tensor | None) -> tuple[DecoderState, Tensor | None]:
    """Return the decoder's state before the first token, a row for each input, and the attributes' logits or None."""
    if isinstance(network, OneToManyNetwork):
        return network.encode(x)
    return network.encode(x, lengths), None


def forced(
    network: nn.Module, x: Any, lengths: Tensor | None, data: Mapping[str, Tensor]
) -> tuple[Scored, Tensor | None]:
    """Run forward with the true tokens, and score what comes after each.

    Args:
        network: a `Writer`.
        x, lengths: what the input layer reads.
        data: `previous` and `targets` (T, N), `target_lengths` (N,); `target_rows` (N,), which input each text is
            about, unless there is one for each.

    Returns:
        Nats a token; and the attributes' logits (B, A), or None.
    """
    writer = cast(Writer, network)
    state, attributes = read(writer, x, lengths)
    if "target_rows" in data:
        state = state.select(data["target_rows"])
    previous, lengths = data["previous"], data["target_lengths"]
    return Scored(*written_loss(writer, state, previous, lengths, data["targets"])), attributes


def start_from_frequencies(network: nn.Module, counts: NDArray[np.float64]) -> None:
    """Set the output bias to the logarithm of each token's share of all targets, counts (V,) above 0."""
    with torch.no_grad():
        network.get_parameter("output.bias").copy_(torch.from_numpy(np.log(counts / counts.sum())).float())
