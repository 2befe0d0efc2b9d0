"""Options of `caption`, and which network writes about how many images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from unrolled.data.images.files import Fit
from unrolled.data.images.format import ImageFormat
from unrolled.tasks.core.examples import ExampleOptions, Material
from unrolled.tasks.core.plan import plan_epochs
from unrolled.tasks.core.recurrent import Cell, Rate, Units
from unrolled.tasks.core.tuning.space import DROPOUT, LR, Between, Space
from unrolled.tasks.core.values import Plan
from unrolled.tasks.outputs.text.attention.options import (
    Attention,
    AttentionEvaluation,
    AttentionNetwork,
    DecoderOptions,
    Penalty,
    SearchOptions,
)

#: what a search for better settings tries
SPACE: Space = {
    "lr": LR,
    "dropout": DROPOUT,
    "image_dropout": DROPOUT,
    "hidden_size": Between(96, 384, log=True),
    "embedding_size": Between(64, 256, log=True),
}

#: times that images are shown in all, about
SHOWN = 210_000
#: words that a network learns to see
ATTRIBUTES = 256

_HIGHER = "higher: longer captions"


class CaptionOptions(DecoderOptions, ExampleOptions):
    """Options of training; None lets the data decide."""

    images: str | None = Field(
        None, description="folder, .zip, or NPZ of features with the images [the folder that the captions lie in]"
    )
    image_column: str = Field("image", description="of tables: the image's name")
    caption_column: str = Field("caption", description="of tables: the caption")
    image_size: Annotated[int, Field(ge=8, le=1024)] = Field(96, description="shorter side of the stored images")
    margin: Annotated[float, Field(ge=1, le=2)] = Field(
        1.2, description="the network sees windows that are smaller than the image by this factor"
    )
    fit: Fit = Field("stretch", description="how images of another aspect ratio are brought to one size")
    colour: Literal["auto", "grey", "colour"] = Field("auto", description="what the network sees")
    mirror: bool = Field(True, description="mirror half of the images while training")
    min_count: Annotated[int, Field(ge=1)] | None = Field(
        None, description="words that occur less often are unknown [by the amount of data]"
    )
    vocabulary_size: Annotated[int, Field(ge=3, le=1_000_000)] | None = Field(None, description="words, at most")
    attributes: Annotated[int, Field(ge=0, le=4096)] = Field(
        ATTRIBUTES, description="frequent words that the network learns to see in an image, beside writing"
    )
    attribute_weight: Annotated[float, Field(ge=0)] = Field(1.0, description="of that in the loss")
    captions_a_step: Annotated[int, Field(ge=1)] = Field(
        2, description="captions of each image that a step learns from"
    )
    widths: tuple[Units, ...] | None = Field(
        None, description="channels of the first convolution and of each stage that halves the image"
    )
    blocks: Annotated[int, Field(ge=1, le=16)] | None = Field(None, description="residual blocks of a stage")
    cell: Cell = "lstm"
    attention: Attention = Field("general", description="how the decoder looks at the image")
    dropout: Rate | None = Field(None, description="probability, of the decoder")
    image_dropout: Rate | None = Field(None, description="probability, of what the image yields")
    smoothing: Rate = Field(0.1, description="label smoothing")


class CaptionSearch(SearchOptions):
    """How captions are searched for; None as fitted on the development data."""

    length_penalty: Penalty | None = Field(None, description=_HIGHER)


class CaptionEvaluation(CaptionSearch, AttentionEvaluation):
    """How to evaluate; None as in training, or as fitted on the development data."""

    images: str | None = Field(None, description="folder, .zip, or NPZ of features with the images")


class CaptionPrediction(CaptionSearch):
    """How to write; None as fitted on the development data."""

    n: Annotated[int, Field(ge=1)] = Field(1, description="captions of each image")
    max_words: Annotated[int, Field(ge=1)] = Field(30, description="words in a caption, at most")
    no_repeat_ngram: Annotated[int, Field(ge=1)] | None = Field(
        None, description="never write the same n words twice in a caption"
    )


class CaptionNetwork(AttentionNetwork):
    """All beyond the input layer, completely."""

    image_dropout: Rate = 0.3
    attributes: tuple[Annotated[int, Field(ge=2)], ...] = ()
    attribute_weight: Annotated[float, Field(ge=0)] = 1.0


def plan_captioner(material: Material[Any, Any], options: CaptionOptions, training: Mapping[str, Any]) -> Plan:
    """A network by the number of images, a schedule by how often each should be seen."""
    images, parts = len(material.train), material.parts
    few = images < 2000
    network: dict[str, Any] = {
        "cell": options.cell,
        "hidden_size": options.hidden_size or (192 if few else 256),
        "num_layers": options.num_layers or 1,
        "embedding_size": options.embedding_size or (128 if few else 192),
        "attention": options.attention,
        "dropout": 0.4 if options.dropout is None else options.dropout,
        "image_dropout": 0.3 if options.image_dropout is None else options.image_dropout,
        "attributes": list(parts.output.attributes),
        "attribute_weight": options.attribute_weight,
        "smoothing": options.smoothing,
    }
    reasons = []
    if isinstance(parts.input.format, ImageFormat):
        height, width = parts.input.format.height, parts.input.format.width
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
        f"{settings.epochs or epochs:g} passes at most; {len(parts.output.words.words):,} words"
    )
    batching = {"batch_size": batch_size, "captions": options.captions_a_step}
    return Plan(network, settings, batching, reasons)
