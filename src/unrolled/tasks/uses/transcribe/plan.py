"""What a user may choose of `transcribe`, and which network and schedule fit how much sound.

How weights are drawn and which cell it is decide how long CTC says nothing but what is most frequent: on GRID's 400
clips the loss after 300 updates was 2.12 nats a word with torch's draw and an LSTM, 1.72 with orthogonal recurrent
weights and variance kept from layer to layer, and 1.01 with a GRU besides. A flat start does more than all of them:
after 1,000 updates 7 words in a hundred are wrong with it, 39 without.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field
from torch import nn

from unrolled.errors import ArgumentError, ModelError
from unrolled.layers import LinearOutput, StackedFrames
from unrolled.networks import SyncedNetwork
from unrolled.settings import Settings
from unrolled.tasks.core.example_task import ExampleOptions, Material, plan_epochs
from unrolled.tasks.core.values import Plan
from unrolled.tasks.inputs.sound.encode import SpeechEncoders
from unrolled.tasks.outputs.next.network import STACKS

Size = Annotated[int, Field(ge=1, le=65536)]
Share = Annotated[float, Field(ge=0, lt=1)]
#: updates with even alignments, at most
FLAT_START = 250
#: supposed where time alone says when training ends
UPDATES_A_SECOND = 5


class TranscribeOptions(ExampleOptions):
    """What a user may choose; None lets the data decide."""

    units: Literal["auto", "characters", "words"] = Field(
        "auto", description="what the network spells; words where there are few and each is said often"
    )
    text: Literal["plain", "as_is"] = Field("plain", description="plain: lower case, without punctuation")
    audio_key: str | None = Field(None, description="column of a table that names the sound file")
    text_key: str | None = Field(None, description="column of a table that has the text")
    audio_folder: Path | None = Field(None, description="where relative paths start, if not at the manifest's folder")
    encoding: str = "utf-8"
    rate: Annotated[int, Field(ge=4000, le=48000)] | None = Field(
        None, description="samples a second that the model hears; all else is resampled"
    )
    bands: Annotated[int, Field(ge=8, le=256)] | None = Field(None, description="mel bands of a frame")
    stride: Annotated[int, Field(ge=1, le=8)] | None = Field(None, description="frames, 10 ms each, a step")
    per_utterance: bool = Field(False, description="standardise each utterance by itself; such a model can't stream")
    cell: Literal["lstm", "gru", "rnn"] = Field(
        "gru", description="the recurrence; with little sound gru learns faster"
    )
    hidden_size: Size | None = None
    num_layers: Annotated[int, Field(ge=1, le=64)] | None = None
    bidirectional: bool = Field(True, description="hear it in both directions; without, the model can stream")
    dropout: Share | None = None
    input_dropout: Share | None = Field(None, description="probability, on what the frames are mapped to")
    recurrent_dropout: Share = 0.0
    flat_start: Annotated[int, Field(ge=0)] | None = Field(
        None,
        description="updates at the beginning in which each unit is expected at its even share of the speech "
        f"[a tenth of all, up to {FLAT_START}]",
    )
    augment: bool = Field(True, description="vary speed, loudness and noise, and hide parts, while training")
    speed: Annotated[float, Field(ge=0, le=0.5)] = Field(0.1, description="slower or faster by up to this share")
    gain: Annotated[float, Field(ge=0, le=30)] = Field(4.0, description="standard deviation of the loudness, dB")
    noise: Annotated[float, Field(ge=0, le=1)] = Field(0.2, description="probability that noise is added")
    hide_time: Share = Field(0.1, description="share of the time that is hidden, at most")
    hide_bands: Share = Field(0.15, description="share of the bands that is hidden by each of two masks, at most")


class DecodingOptions(Settings):
    """How texts are searched for."""

    beam_size: Annotated[int, Field(ge=1, le=1024)] = Field(
        8, description="prefixes kept by the search; 1 takes the likeliest class of each step"
    )
    n_best: Annotated[int, Field(ge=1, le=1024)] = Field(1, description="how many texts to name")
    language_model: Path | None = Field(None, description="folder of a `generate` model over characters or bytes")
    weight: Annotated[float, Field(ge=0, le=100)] = Field(0.5, description="of the language model, beside the sound")
    bonus: Annotated[float, Field(ge=-100, le=100)] = Field(
        0.0, description="nats a character (or word, where those are the units), with a language model"
    )
    lexicon: Path | None = Field(None, description="a file of the words that there are, one a line")


class TranscribeEvaluation(DecodingOptions):
    """How to evaluate; None reads files as in training."""

    audio_key: str | None = Field(None, description="column of a table that names the sound file")
    text_key: str | None = Field(None, description="column of a table that has the text")
    audio_folder: Path | None = Field(None, description="where relative paths start, if not at the manifest's folder")
    encoding: str | None = None
    skip_bad: bool | None = Field(None, description="leave out sound that can't be read, instead of ending")


class TranscriberSettings(Settings):
    """The network, completely. Sizes are in units, dropouts are probabilities."""

    bands: Annotated[int, Field(ge=1, le=4096)]
    stride: Annotated[int, Field(ge=1, le=100)]
    # earlier frames that a step sees again
    left: Annotated[int, Field(ge=0, le=100)]
    classes: Annotated[int, Field(ge=2)]
    input_size: Size
    cell: Literal["lstm", "gru", "rnn"] = "lstm"
    hidden_size: Size
    num_layers: Annotated[int, Field(ge=1, le=64)]
    bidirectional: bool = True
    # between layers and before the output, variational
    dropout: Share = 0.0
    input_dropout: Share = 0.0
    recurrent_dropout: Share = 0.0


def build_transcriber(network: Mapping[str, Any], encoders: SpeechEncoders) -> SyncedNetwork:
    """The untrained network: frames standardised, stacked and mapped; recurrent layers; a class or blank a step.

    Raises:
        ModelError: for settings that make no network, or one for other encoders.
    """
    try:
        settings = TranscriberSettings(**network)
        ours = (len(encoders.vocabulary), encoders.mel.bands, encoders.stride)
        if (settings.classes, settings.bands, settings.stride) != ours:
            raise ModelError(f"network: made for other classes, bands and stride than {ours}")
        inputs = StackedFrames(
            settings.bands,
            settings.input_size,
            stride=settings.stride,
            left=settings.left,
            dropout=settings.input_dropout,
        )
        extra: dict[str, Any] = {"forget_bias": 1.0} if settings.cell == "lstm" else {}
        hidden = STACKS[settings.cell](
            settings.input_size,
            settings.hidden_size,
            settings.num_layers,
            bidirectional=settings.bidirectional,
            dropout=settings.dropout if settings.num_layers > 1 else 0.0,
            variational=True,
            recurrent_dropout=settings.recurrent_dropout,
            initialisation="orthogonal",
            **extra,
        )
        output = LinearOutput(hidden.output_size, settings.classes)
        nn.init.xavier_uniform_(output.weight)
        return SyncedNetwork(inputs, hidden, output, dropout=settings.dropout)
    except (ArgumentError, TypeError) as error:
        raise ModelError(f"network: {error}") from error


def plan_transcriber(material: Material, options: TranscribeOptions, training: Mapping[str, Any]) -> Plan:
    """A network and a schedule by how much sound there is."""
    encoders: SpeechEncoders = material.encoders
    examples, hours = int(material.facts["train_examples"]), float(material.facts["train_hours"])
    if hours < 2:
        hidden_size, num_layers, dropout, batch_size, steps = 160, 2, 0.25, 8, 5_000
    elif hours < 20:
        hidden_size, num_layers, dropout, batch_size, steps = 320, 3, 0.3, 16, 30_000
    else:
        hidden_size, num_layers, dropout, batch_size, steps = 512, 4, 0.2, 32, 100_000
    batch_size = options.batch_size or batch_size
    epochs = min(400, max(20, round(steps * batch_size / examples)))
    if not options.bidirectional:
        hidden_size = hidden_size * 8 // 5
    hidden_size = options.hidden_size or hidden_size
    network = TranscriberSettings(
        bands=encoders.mel.bands,
        stride=encoders.stride,
        left=encoders.stride,
        classes=len(encoders.vocabulary),
        input_size=hidden_size,
        cell=options.cell,
        hidden_size=hidden_size,
        num_layers=options.num_layers or num_layers,
        bidirectional=options.bidirectional,
        dropout=dropout if options.dropout is None else options.dropout,
        input_dropout=dropout / 2 if options.input_dropout is None else options.input_dropout,
        recurrent_dropout=options.recurrent_dropout,
    )
    chosen = plan_epochs(
        examples,
        batch_size,
        training,
        epochs=epochs,
        patience=max(20, epochs // 3),
        lr=2e-3,
        monitor="wer",
        averaging="ema",
        ema_decay=0.998,
    )
    # with accumulated gradients an update takes several batches
    flat_start = options.flat_start
    if flat_start is None:
        per_epoch = math.ceil(examples / batch_size / chosen.accumulate)
        # whichever end comes first; how fast it will be is not known, and CTC must have its turn on a slow machine too
        ends = (
            chosen.steps,
            chosen.epochs and chosen.epochs * per_epoch,
            chosen.minutes and chosen.minutes * 60 * UPDATES_A_SECOND,
        )
        flat_start = min([FLAT_START, *(int(end / 10) for end in ends if end)])
    batching = {"batch_size": batch_size, "flat_start": flat_start * chosen.accumulate}
    reasons = [
        f"{hours:.2f} hours of sound in {examples:,} utterances: {network.num_layers} layers of {hidden_size} units",
        f"{len(encoders.vocabulary) - 1} {encoders.units} to spell with, {encoders.step_seconds * 1000:.0f} ms a step",
    ]
    return Plan(network.model_dump(), chosen, batching, reasons)
