"""Which network recognises how many images of which size, and how it is trained."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from unrolled.data.images.format import ImageFormat
from unrolled.tasks.core.examples import ExampleOptions, Material
from unrolled.tasks.core.plan import plan_epochs
from unrolled.tasks.core.recurrent import Rate, RecurrentOptions
from unrolled.tasks.core.tuning.space import DROPOUT, LR, Among, Between, Space
from unrolled.tasks.core.values import Plan
from unrolled.tasks.inputs.image.encode import ImageInput
from unrolled.tasks.inputs.image.layer import convolutions
from unrolled.tasks.inputs.image.options import ImageOptions
from unrolled.tasks.outputs.label.encode import LabelOutput
from unrolled.tasks.outputs.label.options import LabelOptions

#: what a search for better settings tries
SPACE: Space = {
    "lr": LR,
    "dropout": DROPOUT,
    "augment": Among((True, False)),
    "batch_size": Among((16, 32, 64)),
    "weight_decay": Between(1e-4, 0.1, log=True),
}

#: images shown in all, about; fewer than 8 or more than 120 passes are never made
SHOWN = 440_000


class RecognizeOptions(LabelOptions, RecurrentOptions, ImageOptions, ExampleOptions):
    """Options of training; None lets the data decide."""

    bidirectional: bool = Field(True, description="step by step: read from both ends; without, it can stream")
    pooling: str = Field("last+max", description="step by step: last, mean, max, attention, or several with +")
    dropout: Rate | None = Field(None, description="probability, before the output layer")
    smoothing: Rate = Field(0.0, description="label smoothing")


def plan_recognizer(
    material: Material[ImageInput, LabelOutput], options: RecognizeOptions, training: Mapping[str, Any]
) -> Plan:
    """A network by the size of the images, a schedule by their number."""
    images = len(material.train)
    seen: ImageFormat = material.parts.input.format
    network: dict[str, Any] = {"reading": options.reading, "smoothing": options.smoothing}
    reasons = []
    if options.reading == "image":
        widths, stride = convolutions(seen, options.widths)
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
