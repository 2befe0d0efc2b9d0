"""Which translator fits how many pairs, and how it is put together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from pydantic import Field

from unrolled.data import Tokenizer
from unrolled.errors import ArgumentError, ModelError
from unrolled.layers import GRU, LSTM, Embedding, LinearOutput, make_attention
from unrolled.networks import AttentionDecoder, ManyToManyNetwork
from unrolled.settings import Settings
from unrolled.tasks.core.example_task import plan_epochs
from unrolled.tasks.core.values import Plan
from unrolled.tasks.uses.translate.options import Rate, Size, TranslateOptions

_CELLS = {"lstm": LSTM, "gru": GRU}


class TokenizerPair(NamedTuple):
    """The tokenisers of both languages: one and the same where they share it."""

    source: Tokenizer
    target: Tokenizer

    @property
    def is_joint(self) -> bool:
        """Whether both languages share one vocabulary."""
        return self.source is self.target


class TranslatorSettings(Settings):
    """All that makes up the network; vocabularies aside, which the tokenisers have."""

    source_size: int = Field(ge=1)
    target_size: int = Field(ge=1)
    joint: bool
    cell: Literal["lstm", "gru"]
    embedding_size: Size
    hidden_size: Size
    num_layers: int = Field(ge=1, le=16)
    decoder_layers: int = Field(ge=1, le=16)
    attention: Literal["general", "additive", "dot"]
    input_feeding: bool
    tied: bool
    dropout: Rate
    input_dropout: Rate
    word_dropout: Rate
    label_smoothing: Rate


def build_translator(network: Mapping[str, Any], tokenizers: TokenizerPair) -> ManyToManyNetwork:
    """The network of some settings.

    Raises:
        ModelError: they make no network, or not one for these tokenisers.
    """
    try:
        settings = TranslatorSettings(**network)
        sizes = (tokenizers.source.vocabulary_size, tokenizers.target.vocabulary_size)
        if (settings.source_size, settings.target_size, settings.joint) != (*sizes, tokenizers.is_joint):
            raise ArgumentError(f"its vocabularies have {settings.source_size}, {settings.target_size} tokens, "
                                f"the tokenisers {sizes[0]}, {sizes[1]}")  # fmt: skip
        return _built(settings)
    except ArgumentError as error:
        raise ModelError(f"config.json: network: {error}") from error


def _built(settings: TranslatorSettings) -> ManyToManyNetwork:
    width, hidden, layer = settings.embedding_size, settings.hidden_size, _CELLS[settings.cell]
    each = max(1, hidden // 2)
    rates = settings.input_dropout, settings.word_dropout
    source = Embedding(settings.source_size, width, dropout=rates[0], word_dropout=rates[1])
    target = Embedding(settings.target_size, width, dropout=rates[0], word_dropout=rates[1])
    if settings.joint:
        target.weight = source.weight
    inner: dict[str, Any] = {"dropout": settings.dropout, "variational": True}
    encoder = layer(width, each, settings.num_layers, bidirectional=True, **inner)
    attention = make_attention(settings.attention, hidden, 2 * each)
    upper = None
    if settings.input_feeding:
        first = layer(2 * width, hidden, settings.decoder_layers, **inner)
    else:
        first = layer(width, hidden)
        if settings.decoder_layers > 1:
            upper = layer(hidden + 2 * each, hidden, settings.decoder_layers - 1, **inner)
    decoder = AttentionDecoder(
        target, first, attention, upper=upper, input_feeding=settings.input_feeding, dropout=settings.dropout
    )
    output = LinearOutput(width, settings.target_size, tied=target.weight if settings.tied else None)
    return ManyToManyNetwork(
        source, encoder, decoder, output, dropout=settings.dropout, smoothing=settings.label_smoothing
    )


class Scale(NamedTuple):
    """What fits up to so many pairs."""

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
    """The scale that fits so many pairs."""
    return next(scale for scale in SCALES if pairs <= scale.pairs)


def plan_translator(
    tokenizers: TokenizerPair, pairs: int, options: TranslateOptions, training: Mapping[str, Any]
) -> Plan:
    """Fill in what the user left open.

    Args:
        tokenizers: of both languages.
        pairs: how many there are to learn from.
        options: the user's; None where the choice is ours.
        training: the training settings that the user gave.
    """
    scale = scale_for(pairs)
    dropout = _or(options.dropout, scale.dropout)
    # measured on 29,000 pairs of captions: after an epoch as good as with it, in little more than half the time
    feeding = False if options.input_feeding is None else options.input_feeding
    settings = TranslatorSettings(
        source_size=tokenizers.source.vocabulary_size,
        target_size=tokenizers.target.vocabulary_size,
        joint=tokenizers.is_joint,
        cell=options.cell,
        embedding_size=options.embedding_size or scale.embedding_size,
        hidden_size=options.hidden_size or scale.hidden_size,
        num_layers=options.num_layers or 1,
        decoder_layers=options.decoder_layers or 1,
        attention=options.attention or "general",
        input_feeding=feeding,
        tied=options.tied,
        dropout=dropout,
        input_dropout=_or(options.input_dropout, round(dropout * 2 / 3, 3)),
        word_dropout=_or(options.word_dropout, 0.0),
        label_smoothing=options.label_smoothing,
    )
    batch = options.batch_size or scale.batch_size
    chosen: dict[str, Any] = {
        "optimiser": "adamw",
        "lr": 2e-3,
        "betas": (0.9, 0.98),
        "weight_decay": 1e-3,
        "averaging": "ema",
        "ema_decay": 0.998,
        "min_lr_ratio": 0.02,
        "monitor": "bleu",
    }
    plan = plan_epochs(pairs, batch, training, epochs=scale.epochs, patience=6, **chosen)
    how = "fed back into it" if feeding else "not fed back"
    reasons = [
        f"{settings.hidden_size} {settings.cell} units in encoder and decoder for {pairs:,} pairs, dropout {dropout:g}",
        f"{settings.attention} attention, what it finds {how}",
    ]
    return Plan(settings.model_dump(), plan, {"batch_size": batch}, reasons)


def _or(value: float | None, default: float) -> float:
    return default if value is None else value
