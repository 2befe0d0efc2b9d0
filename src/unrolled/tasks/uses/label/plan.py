"""Which network labels the steps of how much data, and how it is trained."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

import torch
from pydantic import Field
from torch import nn

from unrolled.data.core.pieces import Pieces
from unrolled.errors import ArgumentError, ModelError
from unrolled.layers import STACKS, CrossEntropy, Frames, LinearOutput
from unrolled.layers.inputs.clips import ImageVector, StepEncoder
from unrolled.layers.inputs.images import ImageEncoder
from unrolled.networks import FeedForward, OneToOneNetwork, SyncedNetwork
from unrolled.settings import Settings
from unrolled.tasks.core.example_task import Material, plan_epochs
from unrolled.tasks.core.values import Plan

if TYPE_CHECKING:
    from unrolled.tasks.inputs.frames.encode import StepEncoders
    from unrolled.tasks.uses.label import LabelOptions

#: recordings longer than this are trained on in pieces
LONG = 400
WINDOW = 256

Size = Annotated[int, Field(ge=1, le=65536)]
Rate = Annotated[float, Field(ge=0, lt=1)]


class LabelNetwork(Settings):
    """What `build_labeller` reads; see `LabelOptions` for the words."""

    cell: Literal["lstm", "gru", "rnn"] = "lstm"
    hidden_size: Size
    num_layers: Annotated[int, Field(ge=1, le=64)]
    bidirectional: bool = True
    dropout: Rate = 0.0
    input_dropout: Rate = 0.0
    differences: bool = False
    smoothing: Rate = 0.0
    # of frames
    input_size: Size = 128
    widths: tuple[Size, ...] = (24, 32, 64)


def plan_labeller(material: Material, options: LabelOptions, training: Mapping[str, Any]) -> Plan:
    """A network and a schedule by how many steps there are, and whether they are frames or features."""
    encoders: StepEncoders = material.encoders
    lengths = material.train.sizes("targets")
    steps, frames = int(lengths.sum()), encoders.size is not None
    longest = int(lengths.max())
    window = options.window or (WINDOW if longest > LONG else 0)
    pieces = len(Pieces(material.train, "targets", window)) if window else len(material.train)
    hidden = options.hidden_size or (64 if steps < 20_000 and not frames else 128 if steps < 200_000 else 256)
    layers = options.num_layers or (1 if steps < 20_000 and not frames else 2)
    differences = frames if options.differences is None else options.differences
    network: dict[str, Any] = {
        "cell": options.cell,
        "hidden_size": hidden,
        "num_layers": layers,
        "bidirectional": options.bidirectional,
        "dropout": (0.4 if steps < 200_000 else 0.3) if options.dropout is None else options.dropout,
        "input_dropout": (0.2 if steps < 200_000 else 0.1) if options.input_dropout is None else options.input_dropout,
        "differences": differences,
        "smoothing": options.label_smoothing,
    }
    reasons = [f"{layers} × {hidden} {options.cell} units for {steps:,} steps of {len(material.train)} recordings"]
    if encoders.size is not None:
        shorter = min(encoders.size) // 2
        stages = 1
        while shorter >= 8 << (stages - 1) and stages < 4:
            stages += 1
        default = tuple(24 if n == 0 else min(32 << (n - 1), 128) for n in range(stages + 1))
        network |= {"widths": list(options.widths or default), "input_size": options.input_size or 128}
        widths = ", ".join(map(str, network["widths"]))
        reasons.append(f"convolutions of {widths} channels for frames of {encoders.size[0]} × {encoders.size[1]}")
    if window:
        reasons.append(f"pieces of {window} steps, as recordings are up to {longest:,} long")
    # with few recordings the number of steps is what is short, and a recording is many labels by itself
    small, large = (4, 16) if frames else (8, 32)
    batch_size = options.batch_size or (small if pieces < 1000 else 16 if pieces < 10_000 else large)
    batches = max(1, -(-pieces // batch_size))
    settings = plan_epochs(
        pieces,
        batch_size,
        training,
        epochs=min(150, max(20, round((3500 if frames else 1000) / batches))),
        # the schedule has its own end: stopping before it would leave the learning rate high
        patience=10**6,
        lr=2e-3,
        weight_decay=0.02,
        betas=(0.9, 0.98),
        min_lr_ratio=0.01,
        monitor="f1",
        averaging="ema",
        # about one pass, so that short runs do not average in where they began
        ema_decay=1 - 1 / min(500, max(20, batches)),
    )
    return Plan(network, settings, {"batch_size": batch_size, "window": window}, reasons)


def build_labeller(network: Mapping[str, Any], encoders: StepEncoders) -> SyncedNetwork:
    """The network that `plan_labeller` chose, or that a model's folder names.

    Beside its weights it carries its loss, and what was counted on the training labels: each label's share,
    `label_frequency` (K,), and log-probabilities, in nats, of the first label, `first_label` (K,), and of one label
    after another, `next_label` (K, K).

    Raises:
        ModelError: for settings that make no network.
    """
    try:
        chosen = LabelNetwork(**network)
        inputs = StepEncoder(
            frame_encoder(chosen, encoders, 2 if chosen.differences else 1), differences=chosen.differences
        )
        stack = STACKS[chosen.cell](
            inputs.output_size,
            chosen.hidden_size,
            chosen.num_layers,
            dropout=chosen.dropout if chosen.num_layers > 1 else 0.0,
            bidirectional=chosen.bidirectional,
            variational=True,
            **({"forget_bias": 1.0} if chosen.cell == "lstm" else {}),
        )
        classes = len(encoders.labels)
        built = SyncedNetwork(inputs, stack, LinearOutput(stack.output_size, classes), dropout=chosen.dropout)
        built.loss = CrossEntropy(smoothing=chosen.smoothing)
    except (ArgumentError, TypeError) as error:
        raise ModelError(f"network: {error}") from error
    built.register_buffer("label_frequency", torch.zeros(classes))
    built.register_buffer("first_label", torch.zeros(classes))
    built.register_buffer("next_label", torch.zeros(classes, classes))
    return built


def build_per_frame(network: Mapping[str, Any], encoders: StepEncoders) -> OneToOneNetwork:
    """The same encoder of a single step, then a hidden layer as wide as the recurrent ones put out, and no recurrence.

    Raises:
        ModelError: for settings that make no network.
    """
    try:
        chosen = LabelNetwork(**network)
        inputs = frame_encoder(chosen, encoders, 1)
        width = chosen.hidden_size * (2 if chosen.bidirectional else 1)
        hidden = FeedForward(int(inputs.output_size), (width,), dropout=chosen.dropout)  # type: ignore[arg-type]
        built = OneToOneNetwork(inputs, hidden, LinearOutput(width, len(encoders.labels)))
        built.loss = CrossEntropy(smoothing=chosen.smoothing)
    except (ArgumentError, TypeError) as error:
        raise ModelError(f"network: {error}") from error
    return built


def frame_encoder(chosen: LabelNetwork, encoders: StepEncoders, times: int) -> nn.Module:
    """From a step to a vector.

    Args:
        times: channels (or features) of a step over those of the data: 2 where differences stand beside them.
    """
    if encoders.size is None:
        return DroppedFrames(encoders.features * times, chosen.input_dropout)
    convolutions = ImageEncoder(encoders.channels * times, chosen.widths, stem_size=5, stem_stride=2)
    return ImageVector(convolutions, *encoders.size, chosen.input_size, dropout=chosen.input_dropout)


class DroppedFrames(Frames):
    """Standardised features, some of them dropped while training."""

    def __init__(self, features: int, dropout: float) -> None:
        super().__init__(features)
        self.dropout = dropout

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """(N, F) → (N, F)."""
        return nn.functional.dropout(super().forward(frames), self.dropout, self.training)


def standardise(encoder: nn.Module, mean: torch.Tensor, std: torch.Tensor) -> None:
    """Give an encoder that `frame_encoder` made the statistics of the training data, (channels,) each."""
    holder: Any = encoder.encoder if isinstance(encoder, ImageVector) else encoder
    holder.mean.copy_(mean)
    holder.std.copy_(torch.where(std > 0, std, torch.ones_like(std)))
