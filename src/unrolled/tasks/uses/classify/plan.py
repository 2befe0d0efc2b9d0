"""What a user may choose of `classify`, and which classifier fits how much text.

The sizes and rates come from runs on SST, MR and movie_reviews (benchmarks/results). With some thousand texts the
network knows them by heart after a few passes, so what helps is to keep it from that: words forgotten while training,
half of the units dropped, labels smoothed, weights averaged, and parts of words, which it sees far more often than
words.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from unrolled.errors import ArgumentError, ModelError
from unrolled.layers import STACKS, LinearOutput, make_pooling
from unrolled.layers.inputs.texts import TextInputs, WordVotes
from unrolled.networks import ManyToOneNetwork
from unrolled.settings import Settings
from unrolled.tasks.core.contract import Plan
from unrolled.tasks.core.examples import ExampleOptions, Material, plan_epochs
from unrolled.tasks.inputs.text.encode import ClassifyEncoders

#: fewer texts than this are small data; more words a text than this make it long
SMALL, LONG = 30_000, 150
#: passes over small data, and over large; and steps at least
EPOCHS, EPOCHS_OF_LARGE, FEWEST_STEPS = 6, 4, 600
#: fewer development texts than this choose by loss
FEW_TO_CHOOSE_BY = 2_000

Units = Annotated[int, Field(ge=1, le=65536)]
Rate = Annotated[float, Field(ge=0, lt=1)]
Cell = Literal["lstm", "gru", "rnn"]
Form = Literal["auto", "table", "folders", "fasttext", "label-first"]


class ReadingOptions(Settings):
    """How files are read; None reads them as in training."""

    format: Form | None = Field(None, description="of the files; auto looks at each")
    text_column: str | None = Field(None, description="of a table, by name or number from 1")
    label_column: str | None = Field(None, description="of a table, by name or number from 1")
    delimiter: str | None = Field(None, description="between the cells of a table [found out]")
    encoding: str | None = None
    errors: Literal["strict", "replace"] | None = None


class ClassifyOptions(ExampleOptions):
    """What a user may choose; None lets the data decide."""

    cell: Cell = "lstm"
    hidden_size: Units | None = None
    num_layers: Annotated[int, Field(ge=1, le=64)] | None = None
    bidirectional: bool = Field(True, description="read texts from both ends; without, it can stream")
    pooling: str | None = Field(
        None, description="one vector out of all steps: last, mean, max, attention, or several with + between"
    )
    embedding_size: Units | None = None
    parts: bool = Field(True, description="read parts of words too, 3 to 5 characters each")
    votes: bool = Field(True, description="a linear model of words, their parts and pairs beside the network")
    vectors: str | None = Field(None, description="a file of word vectors, a word and its numbers a line")
    lowercase: bool = Field(True, description="read texts in lower case")
    min_count: Annotated[int, Field(ge=1)] | None = Field(None, description="a word that occurs less often is unknown")
    longest: Annotated[int, Field(ge=1)] = Field(
        1000, description="words that are read: of a longer text its first and its last half of so many"
    )
    dropout: Rate | None = Field(None, description="probability, on what the cells put out and on the pooled vector")
    input_dropout: Rate | None = None
    word_dropout: Rate | None = Field(None, description="probability of leaving a word's vector out")
    unknown: Annotated[float, Field(ge=0)] | None = Field(
        None, description="u: a word seen n times is read as unknown with probability u/(u+n)"
    )
    smoothing: Rate | None = Field(None, description="label smoothing")
    consistency: Annotated[float, Field(ge=0)] | None = Field(
        None, description="weight of the difference between two readings of a text, words and units left out anew"
    )
    format: Form = "auto"
    text_column: str | None = Field(None, description="of a table, by name or number from 1 [found out]")
    label_column: str | None = Field(None, description="of a table, by name or number from 1 [found out]")
    delimiter: str | None = Field(None, description="between the cells of a table [found out]")
    encoding: str = "utf-8"
    errors: Literal["strict", "replace"] = "strict"

    @field_validator("pooling")
    @classmethod
    def _pooling_exists(cls, pooling: str | None) -> str | None:
        if pooling is not None:
            make_pooling(pooling, 2)
        return pooling


class ClassifyEvaluateOptions(ReadingOptions):
    """How to evaluate; None reads files as in training."""

    skip_bad: bool | None = Field(None, description="leave out examples that can't be read, instead of ending")


class ClassifyPredictOptions(Settings):
    """How to predict."""

    words: bool = Field(False, description="probabilities after every word too, each beginning of the text re-read")
    most_words: Annotated[int, Field(ge=1)] | None = Field(
        None, description="with words, of a model that reads from both ends: after so many, spread over a longer text"
    )


class ClassifyNetworkSettings(Settings):
    """The network, completely. Sizes are in units, dropouts are probabilities."""

    cell: Cell = "lstm"
    vocabulary_size: int
    buckets: int
    pairs: int
    labels: int
    votes: bool
    embedding_size: Units
    hidden_size: Units
    num_layers: Annotated[int, Field(ge=1, le=64)]
    bidirectional: bool = True
    pooling: str
    input_dropout: Rate = 0.0
    word_dropout: Rate = 0.0
    dropout: Rate = 0.0
    smoothing: Rate = 0.0
    consistency: Annotated[float, Field(ge=0)] = 0.0


class ClassifyNetwork(ManyToOneNetwork):
    """Many-to-one over texts, with what its loss needs to know."""

    smoothing: float = 0.0
    consistency: float = 0.0


def classify_network(network: Mapping[str, Any], encoders: ClassifyEncoders) -> ClassifyNetwork:
    """The untrained network.

    Raises:
        ModelError: if the settings make no network, or one for other encoders.
    """
    try:
        chosen = ClassifyNetworkSettings(**network)
        sizes = {
            "vocabulary_size": len(encoders.words) + 1,
            "buckets": encoders.buckets,
            "pairs": encoders.pairs,
            "labels": len(encoders.labels),
        }
        for name, size in sizes.items():
            if getattr(chosen, name) != size:
                raise ModelError(f"network: made for {name}={getattr(chosen, name)}, the encoders have {size}")
        return _built(chosen, encoders)
    except (ArgumentError, TypeError) as error:
        raise ModelError(f"network: {error}") from error


def _built(chosen: ClassifyNetworkSettings, encoders: ClassifyEncoders) -> ClassifyNetwork:
    inputs = TextInputs(
        chosen.vocabulary_size,
        chosen.embedding_size,
        buckets=chosen.buckets,
        vectors=encoders.table(),
        dropout=chosen.input_dropout,
        word_dropout=chosen.word_dropout,
    )
    hidden = STACKS[chosen.cell](
        chosen.embedding_size,
        chosen.hidden_size,
        chosen.num_layers,
        bidirectional=chosen.bidirectional,
        dropout=chosen.dropout if chosen.num_layers > 1 else 0.0,
    )
    pooling = make_pooling(chosen.pooling, hidden.output_size, hidden.num_directions)
    votes = None
    if chosen.votes:
        votes = WordVotes(
            chosen.vocabulary_size,
            chosen.labels,
            buckets=chosen.buckets,
            pairs=chosen.pairs,
            word_dropout=chosen.word_dropout,
        )
    output = LinearOutput(pooling.output_size, chosen.labels)
    network = ClassifyNetwork(inputs, hidden, pooling, output, dropout=chosen.dropout, beside=votes)
    network.smoothing, network.consistency = chosen.smoothing, chosen.consistency
    return network


def plan_classifier(material: Material, options: ClassifyOptions, training: Mapping[str, Any]) -> Plan:
    """A network and a schedule by how many texts there are and how long they are."""
    encoders: ClassifyEncoders = material.encoders
    texts, words = material.facts["train_examples"], material.facts["train_words"]
    mean = max(1.0, words / max(texts, 1))
    is_small, is_long = texts < SMALL, mean > LONG
    hidden = options.hidden_size or (50 if is_small and is_long else 100 if is_small else 256)
    size = options.embedding_size or (64 if is_small else 128)

    def chosen(name: str, small: float, large: float) -> float:
        given = getattr(options, name)
        return float(given) if given is not None else small if is_small else large

    network = ClassifyNetworkSettings(
        cell=options.cell,
        vocabulary_size=len(encoders.words) + 1,
        buckets=encoders.buckets,
        pairs=encoders.pairs,
        labels=len(encoders.labels),
        votes=options.votes,
        embedding_size=size,
        hidden_size=hidden,
        num_layers=options.num_layers or 1,
        bidirectional=options.bidirectional,
        pooling=options.pooling or "max+attention",
        input_dropout=chosen("input_dropout", 0.3, 0.2),
        word_dropout=chosen("word_dropout", 0.1, 0.05),
        dropout=chosen("dropout", 0.5, 0.3),
        smoothing=chosen("smoothing", 0.1, 0.05),
        # a second reading takes as long as the first, and long texts differ less from one reading to the other
        consistency=chosen("consistency", 0.0 if is_long else 1.0, 0.0),
    )
    # a few hundred texts make few steps otherwise
    batch = options.batch_size or min((32 if is_long else 50) if is_small else 128, max(4, texts // 32))
    epochs = max(EPOCHS if is_small else EPOCHS_OF_LARGE, math.ceil(FEWEST_STEPS / math.ceil(texts / batch)))
    settings = plan_epochs(
        texts,
        batch,
        training,
        epochs=epochs,
        patience=math.ceil(epochs * 0.4),
        lr=2e-3,
        weight_decay=0.1,
        averaging="ema",
        ema_decay=0.99 if is_small else 0.999,
        # of a few hundred texts the accuracy is a coarse measure, and changes by chance
        monitor="loss" if material.facts["dev_examples"] < FEW_TO_CHOOSE_BY else "accuracy",
    )
    unknown = options.unknown if options.unknown is not None else 0.5 if is_small else 0.25
    direction = "bidirectional " if options.bidirectional else ""
    reasons = [
        f"{direction}{options.cell.upper()} of {hidden} units, words of {size}: {texts:,} texts of {mean:.0f} words",
        f"batches of {batch} texts, at most {settings.epochs or '…'} passes",
    ]
    batching = {"batch_size": batch, "unknown": unknown, "readings": 2 if network.consistency else 1}
    return Plan(network.model_dump(), settings, batching, reasons)
