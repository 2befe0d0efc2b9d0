"""Options of a text that is spelled by CTC."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from unrolled.settings import Settings
from unrolled.tasks.core.recurrent import Cell, Rate, RecurrentNetwork, RecurrentOptions

Units = Literal["characters", "words"]
TextForm = Literal["plain", "as_is"]

#: updates with even alignments, at most
FLAT_START = 250


class CTCOptions(RecurrentOptions):
    """Options of the spelling and of training; None lets the data decide."""

    units: Literal["auto", "characters", "words"] = Field(
        "auto", description="what the network spells; words where there are few and each is said often"
    )
    text: TextForm = Field("plain", description="plain: lower case, without punctuation")
    cell: Cell = Field("gru", description="the recurrence; with little data gru learns faster")
    bidirectional: bool = Field(True, description="read from both ends; without, the model can stream")
    dropout: Rate | None = None
    recurrent_dropout: Rate = 0.0
    flat_start: Annotated[int, Field(ge=0)] | None = Field(
        None,
        description="updates at the beginning in which each unit is expected at its even share of the span in which "
        f"something is going on [a tenth of all, up to {FLAT_START}]",
    )


class CTCPrediction(Settings):
    """How texts are searched for."""

    beam_size: Annotated[int, Field(ge=1, le=1024)] = Field(
        8, description="prefixes kept by the search; 1 takes the likeliest class of each step"
    )
    n_best: Annotated[int, Field(ge=1, le=1024)] = Field(1, description="how many texts to name")
    language_model: Path | None = Field(None, description="folder of a `generate` model over characters or bytes")
    weight: Annotated[float, Field(ge=0, le=100)] = Field(0.5, description="of the language model, beside the network")
    bonus: Annotated[float, Field(ge=-100, le=100)] = Field(
        0.0, description="nats a character (or word, where those are the units), with a language model"
    )
    lexicon: Path | None = Field(None, description="a file of the words that there are, one a line")


class CTCEvaluation(CTCPrediction):
    """How to evaluate; None reads the data as in training."""

    skip_bad: bool | None = Field(None, description="leave out examples that can't be read, instead of ending")


class CTCNetwork(RecurrentNetwork):
    """Hidden layers and output layer, completely. Dropout acts between layers and before the output, variational."""

    classes: Annotated[int, Field(ge=2)]
    recurrent_dropout: Rate = 0.0
