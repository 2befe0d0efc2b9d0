"""Options of a text that a decoder writes by attention."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from unrolled.settings import Settings
from unrolled.tasks.core.recurrent import Layers, Rate, RecurrentNetwork, RecurrentOptions, Units

Attention = Literal["general", "additive", "dot"]
Penalty = Annotated[float, Field(ge=0)]


class DecoderOptions(Settings):
    """Options of every decoder; None lets the data decide."""

    embedding_size: Units | None = None
    hidden_size: Units | None = None
    num_layers: Layers | None = None
    attention: Attention | None = Field(None, description="how the decoder's state is compared with what was read")
    dropout: Rate | None = None


class AttentionOptions(DecoderOptions, RecurrentOptions):
    """How a text is written; None lets the data decide."""

    units: Literal["bpe", "char", "byte", "words"] = Field("char", description="what one step writes")
    units_known: Annotated[int, Field(ge=3, le=1_000_000)] | None = Field(None, description="how many, at most")
    bidirectional: bool = Field(True, description="read steps from both ends")
    smoothing: Rate = Field(0.1, description="label smoothing")


class SearchOptions(Settings):
    """How texts are searched for; None as fitted on the development data."""

    beam_size: Annotated[int, Field(ge=1, le=1000)] | None = Field(None, description="hypotheses kept by the search")
    length_penalty: Penalty | None = Field(
        None, description="power of the length that a log-probability is divided by; by default fitted"
    )


class AttentionEvaluation(SearchOptions):
    """How to evaluate; None as in training, or as fitted on the development data."""

    skip_bad: bool | None = Field(None, description="leave out examples that can't be read, instead of ending")


class AttentionPrediction(SearchOptions):
    """How to write; None as fitted on the development data."""

    n_best: Annotated[int, Field(ge=1, le=1000)] = Field(1, description="texts for each input, in --json")
    no_repeat_ngram: Annotated[int, Field(ge=1)] | None = Field(
        None, description="never write the same n tokens twice in a text"
    )


class AttentionNetwork(RecurrentNetwork):
    """Encoder, attention, decoder and loss, completely. Sizes are in units, dropouts are probabilities.

    `hidden_size` is that of the decoder, and of an encoder's directions together; `num_layers` are the encoder's, or
    the decoder's where the input layer yields a grid.
    """

    embedding_size: Units = 64
    decoder_layers: Layers = 1
    attention: Attention = "general"
    input_feeding: bool = False
    tied: bool = True
    #: on the vectors of the tokens written; None halves `dropout`
    input_dropout: Rate | None = None
    word_dropout: Rate = 0.0
    smoothing: Rate = 0.1
