"""Which network recognises how many images of which size, and how it is trained."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

import torch
from pydantic import Field
from torch import nn

from unrolled.data.images.format import ImageFormat
from unrolled.errors import ArgumentError, ModelError
from unrolled.layers import STACKS, LinearOutput, make_pooling
from unrolled.layers.inputs.images import ImageEncoder, ImageSteps
from unrolled.networks import FeedForward, ManyToOneNetwork, OneToOneNetwork
from unrolled.settings import Settings
from unrolled.tasks.core.contract import Plan
from unrolled.tasks.core.examples import Material, plan_epochs

if TYPE_CHECKING:
    from unrolled.tasks.uses.recognize import RecognizeOptions

#: images shown in all, about; fewer than 8 or more than 120 passes are never made
SHOWN = 440_000


class RecognizerNetwork(Settings):
    """What `build_recognizer` reads; see `RecognizeOptions` for the words."""

    reading: Literal["image", "rows", "pixels"]
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    widths: tuple[Annotated[int, Field(ge=1, le=4096)], ...] = (24, 48, 96)
    blocks: Annotated[int, Field(ge=1, le=16)] = 1
    stem_stride: Annotated[int, Field(ge=1, le=4)] = 1
    cell: Literal["lstm", "gru", "rnn"] = "lstm"
    hidden_size: Annotated[int, Field(ge=1, le=65536)] = 128
    num_layers: Annotated[int, Field(ge=1, le=64)] = 1
    bidirectional: bool = True
    pooling: str = "last+max"


def plan_recognizer(material: Material, options: RecognizeOptions, training: Mapping[str, Any]) -> Plan:
    """A network by the size of the images, a schedule by their number."""
    images = len(material.train)
    seen: ImageFormat = material.encoders.format
    shorter = min(seen.height, seen.width)
    network: dict[str, Any] = {"reading": options.reading, "smoothing": options.smoothing}
    reasons = []
    if options.reading == "image":
        # large images are halved at once, and until about 4 to 8 positions a side are left
        stride = 2 if shorter > NARROW else 1
        stages = 1
        while shorter / stride / 2 ** (stages + 1) >= 6 and stages < 4:
            stages += 1
        widths = options.widths or tuple(24 * 2**n for n in range(stages + 1))
        network |= {
            "widths": list(widths),
            "blocks": options.blocks or 1,
            "stem_stride": stride,
            "dropout": 0.2 if options.dropout is None else options.dropout,
        }
        reasons.append(
            f"convolutions of {', '.join(map(str, widths))} channels for images of {seen.height} × {seen.width}"
        )
    else:
        network |= {
            "cell": options.cell,
            "hidden_size": options.hidden_size or 128,
            "num_layers": options.num_layers or 1,
            "bidirectional": options.bidirectional,
            "pooling": options.pooling,
            "dropout": 0.2 if options.dropout is None else options.dropout,
        }
        reasons.append(f"{network['num_layers']} × {network['hidden_size']} units read {options.reading} one by one")
    batch_size = options.batch_size or (64 if images >= 4000 else 32 if images >= 400 else 16)
    steps = max(1, -(-images // batch_size))
    epochs = min(120, max(8, round(SHOWN / max(1, images))))
    settings = plan_epochs(
        images,
        batch_size,
        training,
        epochs=epochs,
        # the schedule has its own end: stopping before it would leave the learning rate high
        patience=10**6,
        lr=3e-3 if options.reading == "image" else 4e-3,
        weight_decay=0.02,
        # of few images the same ones are soon right, however much better the model becomes
        monitor="accuracy" if len(material.dev) >= 500 else "loss",
        # the averages of normalisation layers follow the weights themselves; of short runs they fit no average of these
        averaging="ema" if steps >= 200 else "none",
        ema_decay=1 - 1 / min(1000, max(20, steps)),
    )
    reasons.append(f"{images:,} images, {batch_size} a step, {settings.epochs or epochs:g} passes at most")
    return Plan(network, settings, {"batch_size": batch_size}, reasons)


#: images are read at full width up to this
NARROW = 40


def build_recognizer(network: Mapping[str, Any], format: ImageFormat, classes: int) -> nn.Module:
    """The network that `plan_recognizer` chose, or that a model's folder names.

    Raises:
        ModelError: for settings that make no network.
    """
    try:
        chosen = RecognizerNetwork(**network)
        mean, std = torch.tensor(format.mean), torch.tensor(format.std)
        built = _built(chosen, format, classes, mean, std)
    except ArgumentError as error:
        raise ModelError(f"network: {error}") from error
    # what the loss needs to know travels with the network
    built.smoothing = chosen.smoothing  # type: ignore[assignment]
    return built


def _built(
    chosen: RecognizerNetwork, format: ImageFormat, classes: int, mean: torch.Tensor, std: torch.Tensor
) -> nn.Module:
    if chosen.reading == "image":
        inputs = ImageEncoder(
            format.channels,
            chosen.widths,
            blocks=chosen.blocks,
            stem_stride=chosen.stem_stride,
            stem_size=3 if chosen.stem_stride == 1 else 5,
            mean=mean,
            std=std,
        )
        hidden = FeedForward(inputs.output_size, (), dropout=chosen.dropout)
        return OneToOneNetwork(inputs, hidden, LinearOutput(hidden.output_size, classes))
    steps = ImageSteps(format.height, format.width, format.channels, chosen.reading, mean=mean, std=std)
    stack = STACKS[chosen.cell](
        steps.output_size,
        chosen.hidden_size,
        chosen.num_layers,
        dropout=chosen.dropout if chosen.num_layers > 1 else 0.0,
        bidirectional=chosen.bidirectional,
        **({"forget_bias": 1.0} if chosen.cell == "lstm" else {}),
    )
    pooling = make_pooling(chosen.pooling, stack.output_size, stack.num_directions)
    output = LinearOutput(pooling.output_size, classes)
    return ManyToOneNetwork(steps, stack, pooling, output, dropout=chosen.dropout)
