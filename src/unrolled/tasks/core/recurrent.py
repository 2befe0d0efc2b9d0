"""The recurrent stack of a use: its options, its settings, and how it is built."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from unrolled.layers import STACKS, Recurrent
from unrolled.settings import Settings

Units = Annotated[int, Field(ge=1, le=65536)]
Layers = Annotated[int, Field(ge=1, le=64)]
Rate = Annotated[float, Field(ge=0, lt=1)]
Cell = Literal["lstm", "gru", "rnn", "mingru", "minlstm", "sru", "rglru", "lru", "indrnn", "slstm", "mogrifier"]


class RecurrentOptions(Settings):
    """Options of every use with a recurrent stack; None lets the data decide."""

    cell: Cell = "lstm"
    hidden_size: Units | None = None
    num_layers: Layers | None = None
    bidirectional: bool = Field(True, description="read from both ends; without, the model can stream")
    dropout: Rate | None = Field(None, description="probability, between layers and before the output layer")


class RecurrentNetwork(Settings):
    """A recurrent stack, completely. Sizes are in units, dropout is a probability."""

    cell: Cell = "lstm"
    hidden_size: Units = 128
    num_layers: Layers = 1
    bidirectional: bool = True
    dropout: Rate = 0.0


def stack(chosen: RecurrentNetwork, input_size: int, *, forget_bias: float | None = None, **more: Any) -> Recurrent:
    """Return the untrained stack.

    Args:
        chosen: its settings; dropout acts between layers, where there are several.
        input_size: I.
        forget_bias: of an LSTM's forget gate at the start; None draws it as torch does.
        more: further arguments of `Recurrent`, e.g. variational, initialisation.
    """
    if chosen.cell == "lstm" and forget_bias is not None:
        more["forget_bias"] = forget_bias
    return STACKS[chosen.cell](
        input_size,
        chosen.hidden_size,
        chosen.num_layers,
        dropout=chosen.dropout if chosen.num_layers > 1 else 0.0,
        bidirectional=chosen.bidirectional,
        **more,
    )
