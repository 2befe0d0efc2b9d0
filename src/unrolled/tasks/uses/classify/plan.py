"""Options of `classify`, and which classifier fits how much text.

The sizes and rates come from runs on SST, MR and movie_reviews (benchmarks/results). With some thousand texts the
network knows them by heart after a few passes, so what helps is to keep it from that: words forgotten while training,
half of the units dropped, labels smoothed, weights averaged, and parts of words, which it sees far more often than
words.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field

from unrolled.data.core.dialect import TableOverrides
from unrolled.data.text.labelled import LabelledTextOptions, TextFormat
from unrolled.settings import Settings
from unrolled.tasks.core.examples import ExampleOptions, Material
from unrolled.tasks.core.plan import plan_epochs
from unrolled.tasks.core.recurrent import Rate, RecurrentOptions
from unrolled.tasks.core.tuning.space import DROPOUT, LR, Among, Between, Space
from unrolled.tasks.core.values import Plan
from unrolled.tasks.inputs.text.encode import TextInput
from unrolled.tasks.inputs.text.layer import TextNetwork
from unrolled.tasks.inputs.text.options import TextOptions
from unrolled.tasks.outputs.label.options import LabelEvaluation, LabelNetwork, LabelOptions

#: what a search for better settings tries
SPACE: Space = {
    "lr": LR,
    "dropout": DROPOUT,
    "word_dropout": Between(0.0, 0.3),
    "hidden_size": Between(32, 256, log=True),
    "embedding_size": Between(32, 256, log=True),
    "pooling": Among(("max+attention", "mean", "max")),
}

#: fewer texts than this are small data; more words a text than this make it long
SMALL, LONG = 30_000, 150
#: passes over small data, and over large; and steps at least
EPOCHS, EPOCHS_OF_LARGE, FEWEST_STEPS = 6, 4, 600
#: fewer development texts than this choose by loss
FEW_TO_CHOOSE_BY = 2_000


class ClassifyOptions(LabelOptions, TextOptions, RecurrentOptions, ExampleOptions, LabelledTextOptions):
    """Options of training; None lets the data decide."""

    bidirectional: bool = Field(True, description="read texts from both ends; without, it can stream")
    dropout: Rate | None = Field(None, description="probability, on what the cells put out and on the pooled vector")
    consistency: Annotated[float, Field(ge=0)] | None = Field(
        None, description="weight of the difference between two readings of a text, words and units left out anew"
    )


class ClassifyEvaluation(LabelEvaluation, TableOverrides):
    """How to evaluate; None reads files as in training."""

    format: TextFormat | None = Field(None, description="of the files; auto looks at each")
    text_column: str | None = Field(None, description="of a table, by name or number from 1")
    label_column: str | None = Field(None, description="of a table, by name or number from 1")


class ClassifyPrediction(Settings):
    """How to predict."""

    words: bool = Field(False, description="probabilities after every word too, each beginning of the text re-read")
    most_words: Annotated[int, Field(ge=1)] | None = Field(
        None, description="with words, of a model that reads from both ends: after so many, spread over a longer text"
    )


class ClassifyNetwork(LabelNetwork, TextNetwork):
    """The network, completely."""


def plan_classifier(material: Material[TextInput, Any], options: ClassifyOptions, training: Mapping[str, Any]) -> Plan:
    """A network and a schedule by how many texts there are and how long they are."""
    texts, words = material.facts["train_examples"], material.facts["train_words"]
    mean = max(1.0, words / max(texts, 1))
    is_small, is_long = texts < SMALL, mean > LONG
    hidden = options.hidden_size or (50 if is_small and is_long else 100 if is_small else 256)
    size = options.embedding_size or (64 if is_small else 128)

    def chosen(name: str, small: float, large: float) -> float:
        given = getattr(options, name)
        return float(given) if given is not None else small if is_small else large

    network = ClassifyNetwork(
        cell=options.cell,
        **material.parts.input.sizes,
        labels=len(material.parts.output.labels),
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
