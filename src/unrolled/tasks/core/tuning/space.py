"""The settings of a use that are worth a search, declared in its `plan.py`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias


@dataclass(frozen=True)
class Among:
    """One of several values."""

    values: tuple[Any, ...]


@dataclass(frozen=True)
class Between:
    """A number between two, both included; an integer where both are.

    Attributes:
        low, high: the bounds.
        log: whether ratios count, not differences: as for learning rates and widths.
    """

    low: float
    high: float
    log: bool = False


#: names of options, of the use or of training, and what they may be
Space: TypeAlias = Mapping[str, "Among | Between"]

LR = Between(3e-4, 1e-2, log=True)
DROPOUT = Between(0.0, 0.6)

#: of a use that declares none: those of `RecurrentOptions`, and the learning rate
RECURRENT: Space = {
    "lr": LR,
    "hidden_size": Between(32, 384, log=True),
    "num_layers": Between(1, 3),
    "dropout": DROPOUT,
    "cell": Among(("lstm", "gru")),
}
