"""Options of `translate`, and which translator fits how many pairs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Field

from unrolled.data.parallel.read import PairFormat
from unrolled.tasks.core.examples import ExampleOptions, Material
from unrolled.tasks.core.plan import plan_epochs
from unrolled.tasks.core.recurrent import Layers, Rate, Units
from unrolled.tasks.core.tuning.space import DROPOUT, LR, Among, Between, Space
from unrolled.tasks.core.values import Plan
from unrolled.tasks.inputs.text.options import TokenOptions
from unrolled.tasks.outputs.text.attention.options import (
    Attention,
    AttentionEvaluation,
    AttentionNetwork,
    DecoderOptions,
    SearchOptions,
)

#: what a search for better settings tries
SPACE: Space = {
    "lr": LR,
    "dropout": DROPOUT,
    "hidden_size": Between(128, 512, log=True),
    "embedding_size": Between(64, 384, log=True),
    "label_smoothing": Among((0.0, 0.1)),
    "batch_size": Among((32, 64, 128)),
}

_SIDE = "what the names of its files end in (train.de), its column, key or language"
_READ, _WRITTEN = f"the language that is read: {_SIDE}", f"the language that is written: {_SIDE}"
Penalty = Annotated[float, Field(ge=0, le=10)]


class TranslateOptions(TokenOptions, DecoderOptions, ExampleOptions):
    """Options of training; None lets the data decide."""

    source: str | None = Field(None, description=_READ)
    target: str | None = Field(None, description=_WRITTEN)
    format: PairFormat = "auto"
    encoding: str = "utf-8"
    errors: Literal["strict", "replace"] = "strict"
    joint: bool = Field(False, description="one vocabulary and one embedding for both languages")
    cell: Literal["lstm", "gru"] = "gru"
    hidden_size: Units | None = Field(
        None, description="units of the decoder, and of the encoder's directions together"
    )
    num_layers: Layers | None = Field(None, description="layers of the encoder")
    decoder_layers: Layers | None = Field(
        None,
        description="layers of the decoder; without --input-feeding those after the first read what attention found",
    )
    attention: Attention | None = Field(None, description="how the decoder's state is compared with the source")
    input_feeding: bool | None = Field(None, description="feed what attention found back into the decoder")
    tied: bool = True
    dropout: Rate | None = Field(None, description="probability, on what encoder and decoder yield")
    label_smoothing: Rate = Field(0.1, description="share of the target's probability that is spread over all tokens")


class TranslateSearch(SearchOptions):
    """How translations are searched for."""

    beam_size: Annotated[int, Field(ge=1, le=1000)] = Field(5, description="hypotheses kept by the search")
    length_penalty: Penalty | None = Field(
        None, description="power of the length that a log-probability is divided by; by default fitted"
    )
    coverage_penalty: Penalty = Field(0.0, description="weight of what is lost by leaving parts of the source unread")


class TranslateEvaluation(TranslateSearch, AttentionEvaluation):
    """How to evaluate; None as in training, or as fitted on the development data."""

    source: str | None = Field(None, description=_READ)
    target: str | None = Field(None, description=_WRITTEN)
    format: PairFormat | None = None
    encoding: str | None = None
    errors: Literal["strict", "replace"] | None = None
    skip_bad: bool | None = Field(None, description="leave out pairs that can't be read, and name them")
    write: Path | None = Field(None, description="a file for the translations, one a line")


class TranslatePrediction(TranslateSearch):
    """How to translate."""

    n_best: Annotated[int, Field(ge=1, le=1000)] = Field(1, description="translations of each input, in --json")
    batch_size: Annotated[int, Field(ge=1)] | None = Field(
        None, description="inputs side by side; by default 1,024 of a list, and each as it comes of a stream"
    )


class TranslateNetwork(AttentionNetwork):
    """The network, completely."""

    source_size: int = Field(ge=1)
    target_size: int = Field(ge=1)
    joint: bool
    label_smoothing: Rate


class Scale(NamedTuple):
    """The sizes that fit up to so many pairs."""

    pairs: float
    vocabulary_size: int
    embedding_size: int
    hidden_size: int
    dropout: float
    batch_size: int
    epochs: float


SCALES = (
    Scale(3_000, 1_000, 64, 128, 0.4, 16, 60),
    Scale(12_000, 2_000, 128, 256, 0.4, 32, 40),
    Scale(80_000, 4_000, 192, 320, 0.3, 64, 16),
    Scale(500_000, 8_000, 256, 512, 0.2, 64, 10),
    Scale(float("inf"), 16_000, 384, 768, 0.1, 128, 4),
)


def scale_for(pairs: int) -> Scale:
    """Return the scale that fits so many pairs."""
    return next(scale for scale in SCALES if pairs <= scale.pairs)


def plan_translator(material: Material[Any, Any], options: TranslateOptions, training: Mapping[str, Any]) -> Plan:
    """A network and a schedule by the number of pairs."""
    pairs, parts = len(material.train), material.parts
    scale = scale_for(pairs)
    dropout = _or(options.dropout, scale.dropout)
    network = TranslateNetwork(
        source_size=parts.input.tokenizer.vocabulary_size,
        target_size=parts.output.tokenizer.vocabulary_size,
        joint=options.joint,
        cell=options.cell,
        embedding_size=options.embedding_size or scale.embedding_size,
        hidden_size=options.hidden_size or scale.hidden_size,
        num_layers=options.num_layers or 1,
        decoder_layers=options.decoder_layers or 1,
        attention=options.attention or "general",
        # measured on 29,000 pairs of captions: after an epoch as good as with it, in little more than half the time
        input_feeding=bool(options.input_feeding),
        tied=options.tied,
        dropout=dropout,
        input_dropout=_or(options.input_dropout, round(dropout * 2 / 3, 3)),
        word_dropout=_or(options.word_dropout, 0.0),
        label_smoothing=options.label_smoothing,
    )
    batch = options.batch_size or scale.batch_size
    settings = plan_epochs(
        pairs,
        batch,
        training,
        epochs=scale.epochs,
        patience=6,
        optimiser="adamw",
        lr=2e-3,
        betas=(0.9, 0.98),
        weight_decay=1e-3,
        averaging="ema",
        ema_decay=0.998,
        min_lr_ratio=0.02,
        monitor="bleu",
    )
    how = "fed back into it" if network.input_feeding else "not fed back"
    reasons = [
        f"{network.hidden_size} {network.cell} units in encoder and decoder for {pairs:,} pairs, dropout {dropout:g}",
        f"{network.attention} attention, what it finds {how}",
    ]
    return Plan(network.model_dump(exclude={"smoothing", "bidirectional"}), settings, {"batch_size": batch}, reasons)


def _or(value: float | None, default: float) -> float:
    return default if value is None else value
