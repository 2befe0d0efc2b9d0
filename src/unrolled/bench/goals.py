"""The ratios to reach, peer's time ÷ ours, for each regime. A row without a goal of its own has FLOOR."""

from __future__ import annotations

from typing import NamedTuple

from unrolled.bench.grid import Case

#: no cell of the grid may be slower than the fastest peer
FLOOR = 1.0


class Goal(NamedTuple):
    """A ratio to reach.

    Attributes:
        ratio: time of the peer over ours.
        against: "best", the fastest peer in that row, or a peer's name.
    """

    ratio: float
    against: str = "best"


class Regime(NamedTuple):
    """The rows in float32 that a goal is for: a mode, and ranges of batch and hidden size, ends included.

    Attributes:
        name: as the results show it.
        goals: one or more for each cell.
    """

    name: str
    mode: str
    batch: tuple[int, int]
    hidden: tuple[int, int]
    goals: dict[str, tuple[Goal, ...]]

    def holds(self, case: Case) -> bool:
        """Return whether a row belongs to this regime."""
        in_batch = self.batch[0] <= case.batch <= self.batch[1]
        in_mode = case.mode == self.mode and case.dtype == "float32"
        return in_mode and in_batch and self.hidden[0] <= case.hidden <= self.hidden[1]


_ANY = (1, 1 << 30)

#: of one step with weights in bfloat16, from this hidden size on, against the fastest peer in float32
BFLOAT16_FROM = 512
BFLOAT16_GOALS = {"lstm": 2.0, "gru": 2.5, "rnn": 3.0}


def _best(lstm: float, gru: float, rnn: float) -> dict[str, tuple[Goal, ...]]:
    return {"lstm": (Goal(lstm),), "gru": (Goal(gru),), "rnn": (Goal(rnn),)}


REGIMES = (
    Regime(
        "one step, H ≤ 128",
        "step",
        _ANY,
        (1, 128),
        # torch's goals are those of a single stream, where its overhead is all there is
        {"lstm": (Goal(1.6),), "gru": (Goal(1.9),), "rnn": (Goal(2.1),)},
    ),
    Regime(
        "one step of one stream, H ≤ 128",
        "step",
        (1, 1),
        (1, 128),
        {"lstm": (Goal(12, "torch"),), "gru": (Goal(8, "torch"),), "rnn": (Goal(8, "torch"),)},
    ),
    Regime("one step, H 256–512", "step", _ANY, (256, 512), _best(1.5, 2, 2.2)),
    Regime("sequence inference, B = 1, H = 128", "inference", (1, 1), (128, 128), _best(1.4, 1.8, 2.5)),
    Regime("sequence inference, B ≥ 16", "inference", (16, 1 << 30), _ANY, _best(1.1, 1.4, 1.5)),
    Regime("training, B = 1, H = 128", "training", (1, 1), (128, 128), _best(2, 2.5, 2.4)),
    Regime("training, B 16–64, H ≤ 256", "training", (16, 64), (1, 256), _best(1.3, 1.8, 1.7)),
    Regime("training, B ≥ 32, H ≥ 512", "training", (32, 1 << 30), (512, 1 << 30), _best(1.1, 1.4, 1.3)),
    Regime(
        "ragged batch half full",
        "ragged",
        _ANY,
        _ANY,
        {"lstm": (Goal(2.2, "torch"),), "gru": (Goal(2, "torch"),), "rnn": (Goal(2, "torch"),)},
    ),
)


def goals(case: Case) -> dict[str, float]:
    """Return the goals of a row by the peer they are against; there is always one against "best".

    >>> goals(Case("lstm", "step", 1, 1, 128))
    {'best': 1.6, 'torch': 12}
    >>> goals(Case("gru", "inference", 100, 1, 512))
    {'best': 1.0}
    """
    by_peer = {"best": FLOOR}
    for regime in REGIMES:
        if regime.holds(case):
            by_peer |= {goal.against: goal.ratio for goal in regime.goals.get(case.cell, ())}
    return by_peer


def regimes(case: Case) -> list[str]:
    """Return the names of the regimes that a row belongs to."""
    return [regime.name for regime in REGIMES if regime.holds(case)]


def headline(case: Case) -> Goal:
    """Return the goal that a row is shown with: that of its regime, else the floor.

    >>> headline(Case("rnn", "ragged", 100, 64, 256))
    Goal(ratio=2, against='torch')
    """
    own = [goal for regime in REGIMES if regime.holds(case) for goal in regime.goals.get(case.cell, ())]
    return own[0] if own else Goal(FLOOR)
