"""What a user may choose of `tag`, and which tagger fits how much text.

The sizes and dropouts come from runs on CoNLL-2003, CoNLL-2002 and WNUT 2017 (benchmarks/results): without published
vectors a tagger sees few words often enough, so what helps is to make it read spellings, shapes and context (words
forgotten while training, dropout of one half, weights averaged), more than width.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

from pydantic import Field

from unrolled.data.tagged.schemes import allowed_transitions
from unrolled.errors import ArgumentError, ModelError
from unrolled.layers import STACKS, LinearOutput
from unrolled.layers.inputs.words import Spelling, Words
from unrolled.networks.tagging import TaggingNetwork
from unrolled.settings import Settings
from unrolled.tasks.core.example_task import ExampleOptions, Material, plan_epochs
from unrolled.tasks.core.values import Plan
from unrolled.tasks.inputs.words.encode import TagEncoders

if TYPE_CHECKING:
    from unrolled.tasks.core.fitted import Fitted

#: steps after which a tagger has learned what it can, and within how many passes over the data, whatever its size
STEPS, FEWEST_EPOCHS, MOST_EPOCHS = 2000, 15, 60

#: tokens of a document that are read in one go where the files tell documents apart
CONTEXT = 300


class Size(NamedTuple):
    """A tagger for so many tokens or more, and how it is regularised."""

    tokens: int
    hidden_size: int
    embedding_size: int
    lr: float
    input_dropout: float
    word_dropout: float
    rare_dropout: float


#: with little text, forgetting more of it makes a tagger worse (docs/log.md)
SIZES = (
    Size(0, 150, 50, 4e-3, input_dropout=0.4, word_dropout=0.0, rare_dropout=0.3),
    Size(100_000, 200, 100, 2e-3, input_dropout=0.5, word_dropout=0.05, rare_dropout=0.5),
)

Width = Annotated[int, Field(ge=0, le=65536)]
Units = Annotated[int, Field(ge=1, le=65536)]
Rate = Annotated[float, Field(ge=0, lt=1)]


class ReadingOptions(Settings):
    """How files are read; None reads them as in training."""

    format: Literal["auto", "columns", "jsonl"] | None = Field(None, description="of the files; auto looks at each")
    token_column: int | None = Field(None, description="the column of the tokens, from 0; below 0 from the last")
    label_column: int | None = Field(None, description="the column of the labels, as --token-column")
    separator: Literal["auto", "tab", "space"] | None = Field(None, description="between columns")
    scheme: Literal["auto", "iob1", "bio", "bioes", "labels"] | None = Field(
        None, description="how tags spell entities; labels: a label for each token, as it is"
    )
    encoding: str | None = None
    errors: Literal["strict", "replace"] | None = None


class TagOptions(ExampleOptions):
    """What a user may choose; None lets the data decide."""

    cell: Literal["lstm", "gru", "rnn"] = "lstm"
    hidden_size: Units | None = None
    num_layers: Annotated[int, Field(ge=1, le=64)] | None = None
    bidirectional: bool = Field(True, description="read sentences from both ends; without it a softmax can stream")
    output: Literal["crf", "softmax"] = Field("crf", description="labels as a chain, or each for itself")
    embedding_size: Width | None = None
    spelling: Literal["lstm", "cnn", "none"] = Field("lstm", description="what reads the characters of a word")
    character_size: Units | None = Field(None, description="width of a character's embedding")
    spelling_size: Units | None = Field(None, description="units of what reads the characters, in each direction")
    shape_size: Width | None = Field(None, description="width of the embedding of a word's shape (Xxx, dd-dd); 0 none")
    vectors: str | None = Field(None, description="a file of word vectors, a word and its numbers a line")
    context: Annotated[int, Field(ge=0)] | None = Field(
        None, description="tokens of a document that are read in one go; 0 reads sentences alone"
    )
    dropout: Rate | None = None
    input_dropout: Rate | None = Field(None, description="probability, on the words' vectors; one mask a sentence")
    recurrent_dropout: Rate | None = None
    word_dropout: Rate | None = Field(None, description="probability that a word is read as unknown")
    rare: Annotated[int, Field(ge=0)] | None = Field(None, description="words that occur so often at most are rare")
    rare_dropout: Rate | None = Field(None, description="probability that a rare word is read as unknown")
    character_dropout: Rate | None = Field(None, description="probability that a character is read as unknown")
    alone: Rate | None = Field(None, description="probability that a text is read without its context")
    format: Literal["auto", "columns", "jsonl"] = "auto"
    token_column: int = Field(0, description="the column of the tokens, from 0; below 0 from the last")
    label_column: int = Field(-1, description="the column of the labels, as --token-column")
    separator: Literal["auto", "tab", "space"] = Field("auto", description="between columns")
    scheme: Literal["auto", "iob1", "bio", "bioes", "labels"] = Field(
        "auto", description="how tags spell entities; labels: a label for each token, as it is"
    )
    encoding: str = "utf-8"
    errors: Literal["strict", "replace"] = "strict"


class TagNetworkSettings(Settings):
    """The network, completely. Sizes are in units, dropouts are probabilities."""

    cell: Literal["lstm", "gru", "rnn"] = "lstm"
    vocabulary_size: int
    shapes: int
    alphabet: int
    labels: int
    embedding_size: Width
    shape_size: Width
    spelling: Literal["lstm", "cnn", "none"] = "lstm"
    character_size: Units
    spelling_size: Units
    hidden_size: Units
    num_layers: Annotated[int, Field(ge=1, le=64)]
    bidirectional: bool = True
    output: Literal["crf", "softmax"] = "crf"
    input_dropout: Rate = 0.0
    dropout: Rate = 0.0
    recurrent_dropout: Rate = 0.0


def tagging_network(network: Mapping[str, Any], encoders: TagEncoders) -> TaggingNetwork:
    """The untrained network.

    Raises:
        ModelError: if the settings make no network, or one for other encoders.
    """
    try:
        chosen = TagNetworkSettings(**network)
        for name, size in encoders.sizes.items():
            if getattr(chosen, name) != size:
                raise ModelError(f"network: made for {name}={getattr(chosen, name)}, the encoders have {size}")
        return _built(chosen, encoders)
    except (ArgumentError, TypeError) as error:
        raise ModelError(f"network: {error}") from error


def _built(chosen: TagNetworkSettings, encoders: TagEncoders) -> TaggingNetwork:
    spelling = None
    if chosen.spelling != "none":
        spelling = Spelling(chosen.alphabet, chosen.character_size, chosen.spelling_size, kind=chosen.spelling)
    inputs = Words(
        chosen.vocabulary_size,
        chosen.embedding_size,
        chosen.shapes,
        chosen.shape_size,
        spelling=spelling,
        vectors=encoders.table(),
        dropout=chosen.input_dropout,
    )
    extra: dict[str, Any] = {"forget_bias": 1.0} if chosen.cell == "lstm" else {}
    hidden = STACKS[chosen.cell](
        inputs.output_size,
        chosen.hidden_size,
        chosen.num_layers,
        bidirectional=chosen.bidirectional,
        dropout=chosen.dropout if chosen.num_layers > 1 else 0.0,
        variational=True,
        recurrent_dropout=chosen.recurrent_dropout,
        **extra,
    )
    output = LinearOutput(hidden.output_size, chosen.labels)
    between, begins, ends = allowed_transitions(encoders.labels) if encoders.kind == "entities" else (None, None, None)
    return TaggingNetwork(
        inputs,
        hidden,
        output,
        between=between,
        begins=begins,
        ends=ends,
        chained=chosen.output == "crf",
        dropout=chosen.dropout,
    )


def plan_tagger(material: Material, options: TagOptions, training: Mapping[str, Any]) -> Plan:
    """Fill in what the user left open, by how many tokens there are to learn from."""
    encoders: TagEncoders = material.encoders
    tokens, examples = int(material.facts["train_tokens"]), len(material.train)
    size = max(size for size in SIZES if size.tokens <= tokens)
    hidden = options.hidden_size or size.hidden_size
    layers = options.num_layers or 1
    reasons = [f"{layers} × {hidden} {options.cell} units for {tokens:,} tokens"]
    network = TagNetworkSettings(
        cell=options.cell,
        **encoders.sizes,
        embedding_size=_or(options.embedding_size, size.embedding_size),
        shape_size=_or(options.shape_size, 25),
        spelling=options.spelling,
        character_size=options.character_size or 30,
        spelling_size=options.spelling_size or 50,
        hidden_size=hidden,
        num_layers=layers,
        bidirectional=options.bidirectional,
        output=options.output,
        input_dropout=_or(options.input_dropout, size.input_dropout),
        dropout=_or(options.dropout, 0.5),
        recurrent_dropout=_or(options.recurrent_dropout, 0.0),
    )
    # about 500 tokens a step, however many make an example
    batch = options.batch_size or max(1, min(32, round(500 * examples / max(tokens, 1))))
    reasons.append(f"{batch} examples a step, of {tokens / max(examples, 1):.0f} tokens each")
    settings = plan_epochs(
        examples,
        batch,
        training,
        epochs=max(FEWEST_EPOCHS, min(MOST_EPOCHS, round(STEPS * batch / max(examples, 1)))),
        patience=8,
        optimiser="adamw",
        lr=size.lr,
        betas=(0.9, 0.99),
        weight_decay=0.01,
        min_lr_ratio=0.02,
        clip_norm=5.0,
        averaging="ema",
        ema_decay=0.998,
        monitor="f1" if encoders.kind == "entities" else "accuracy",
    )
    batching = {
        "batch_size": batch,
        "word_dropout": _or(options.word_dropout, size.word_dropout),
        "rare": _or(options.rare, 1),
        "rare_dropout": _or(options.rare_dropout, size.rare_dropout),
        "character_dropout": _or(options.character_dropout, 0.0),
        "alone": _or(options.alone, 0.2),
    }
    return Plan(network.model_dump(), settings, batching, reasons)


def context_of(model: Fitted) -> int:
    """How many tokens of a document a model reads in one go; 0 for one that was trained on sentences alone."""
    data = model.config.data
    if data.get("train_sentences", 0) <= data.get("train_examples", 0):
        return 0
    chosen = model.config.options.get("context")
    return CONTEXT if chosen is None else int(chosen)


def _or(value: float | None, default: float) -> Any:
    return default if value is None else value
