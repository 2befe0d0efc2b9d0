"""Which network writes about how many images, and how it is trained."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

import torch
from pydantic import Field
from torch import nn

from unrolled.errors import ArgumentError, ModelError
from unrolled.layers import STACKS, Embedding, Frames, ImageEncoder, LinearOutput, make_attention
from unrolled.networks import AttentionDecoder, OneToManyNetwork
from unrolled.settings import Settings
from unrolled.tasks.core.example_task import Material, plan_epochs
from unrolled.tasks.core.values import Plan
from unrolled.tasks.uses.caption.options import CaptionOptions, Share, Size

if TYPE_CHECKING:
    from unrolled.tasks.uses.caption.encode import CaptionEncoders

#: times that images are shown in all, about
SHOWN = 210_000


class CaptionNetwork(Settings):
    """What `build_captioner` reads; see `CaptionOptions` for the words."""

    image_size: tuple[Size, Size] | None = None
    widths: tuple[Size, ...] = (32, 48, 96, 192)
    blocks: Size = 1
    cell: Literal["lstm", "gru", "rnn"] = "lstm"
    hidden_size: Size = 256
    num_layers: Annotated[int, Field(ge=1, le=16)] = 1
    embedding_size: Size = 192
    attention: Literal["general", "additive", "dot"] = "general"
    dropout: Share = 0.4
    image_dropout: Share = 0.3
    attributes: tuple[Annotated[int, Field(ge=2)], ...] = ()
    attribute_weight: Annotated[float, Field(ge=0)] = 1.0
    smoothing: Share = 0.1


def plan_captioner(material: Material, options: CaptionOptions, training: Mapping[str, Any]) -> Plan:
    """A network by the number of images, a schedule by how often each should be seen."""
    images = len(material.train)
    encoders: CaptionEncoders = material.encoders
    few = images < 2000
    network: dict[str, Any] = {
        "cell": options.cell,
        "hidden_size": options.hidden_size or (192 if few else 256),
        "num_layers": options.num_layers or 1,
        "embedding_size": options.embedding_size or (128 if few else 192),
        "attention": options.attention,
        "dropout": 0.4 if options.dropout is None else options.dropout,
        "image_dropout": 0.3 if options.image_dropout is None else options.image_dropout,
        "attributes": list(encoders.attributes),
        "attribute_weight": options.attribute_weight,
        "smoothing": options.smoothing,
    }
    reasons = []
    if encoders.format is not None:
        height, width = encoders.format.height, encoders.format.width
        margin = 1 - 1 / options.margin
        network["image_size"] = [max(1, round(height * (1 - margin))), max(1, round(width * (1 - margin)))]
        network["widths"] = list(options.widths or ((16, 32, 64) if min(height, width) < 64 else (32, 48, 96, 192)))
        network["blocks"] = options.blocks or 1
        reasons.append(f"convolutions of {', '.join(map(str, network['widths']))} channels see {network['image_size']}")
    batch_size = options.batch_size or (32 if images >= 1000 else 16)
    steps = max(1, -(-images // batch_size))
    epochs = min(200, max(8, round(SHOWN / max(1, images))))
    settings = plan_epochs(
        images,
        batch_size,
        training,
        epochs=epochs,
        # the schedule has its own end: stopping before it would leave the learning rate high
        patience=10**6,
        lr=1.5e-3,
        weight_decay=0.05,
        clip_norm=2.0,
        # BLEU-4 goes up and down by half a point while everything else still improves, and both say nothing of a few
        monitor="cider" if len(material.dev) >= 200 else "loss",
        # the averages of normalisation layers follow the weights themselves; of short runs they fit no average of these
        averaging="ema" if steps >= 100 else "none",
        ema_decay=1 - 1 / min(400, max(20, steps)),
        # writing captions costs as much as learning from several times as many
        evaluate_every=2 * steps,
        sample_every=2 * steps,
    )
    reasons.append(
        f"{images:,} images, {batch_size} a step with {options.captions_a_step} captions each, "
        f"{settings.epochs or epochs:g} passes at most; {len(encoders.vocabulary) - 2:,} words"
    )
    batching = {"batch_size": batch_size, "captions": options.captions_a_step}
    return Plan(network, settings, batching, reasons)


def build_captioner(network: Mapping[str, Any], encoders: CaptionEncoders) -> OneToManyNetwork:
    """The network that `plan_captioner` chose, or that a model's folder names.

    Raises:
        ModelError: for settings that make no network.
    """
    try:
        chosen = CaptionNetwork(**network)
        words = len(encoders.vocabulary)
        if any(number >= words for number in chosen.attributes):
            raise ArgumentError(f"attributes: expected words below {words}")
        return _built(chosen, encoders, words)
    except ArgumentError as error:
        raise ModelError(f"network: {error}") from error


def _built(chosen: CaptionNetwork, encoders: CaptionEncoders, words: int) -> OneToManyNetwork:
    inputs: nn.Module
    if encoders.format is not None:
        inputs = ImageEncoder(
            encoders.format.channels,
            chosen.widths,
            blocks=chosen.blocks,
            stem_size=5,
            stem_stride=2 if min(chosen.image_size or (64,)) >= 64 else 1,
            mean=torch.tensor(encoders.format.mean),
            std=torch.tensor(encoders.format.std),
        )
        width = inputs.grid_size
    else:
        mean, std = torch.tensor(encoders.mean), torch.tensor(encoders.std)
        width = min(len(encoders.mean), 512)
        inputs = Frames(len(encoders.mean), width, mean=mean, std=std)
    options = {"forget_bias": 1.0} if chosen.cell == "lstm" else {}
    hidden = STACKS[chosen.cell](
        chosen.embedding_size,
        chosen.hidden_size,
        chosen.num_layers,
        dropout=chosen.dropout if chosen.num_layers > 1 else 0.0,
        **options,
    )
    embedding = Embedding(words, chosen.embedding_size, dropout=chosen.dropout / 2)
    attention = make_attention(chosen.attention, hidden.output_size, width)
    decoder = AttentionDecoder(embedding, hidden, attention, dropout=chosen.dropout)
    output = LinearOutput(decoder.output_size, words, tied=embedding.weight)
    network = OneToManyNetwork(inputs, decoder, output, attributes=len(chosen.attributes), dropout=chosen.image_dropout)
    # what the loss needs to know travels with the network
    network.smoothing, network.attribute_weight = chosen.smoothing, chosen.attribute_weight  # type: ignore[assignment]
    return network
