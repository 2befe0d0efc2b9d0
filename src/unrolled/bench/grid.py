"""The grid of measurements: cells × shapes × modes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from unrolled.errors import ArgumentError

CELLS = ("lstm", "gru", "rnn")
#: cells without W_hh, which are measured on request
ELEMENTWISE = ("mingru", "minlstm", "sru", "rglru", "lru", "indrnn")
#: a whole sequence without and with its gradient; one time step of B streams; a batch half of which is padding
DTYPES = ("float32", "bfloat16")
MODES = ("inference", "training", "step", "ragged")
#: B, H
SHAPES = ((1, 128), (1, 512), (16, 128), (64, 128), (64, 256), (64, 512), (32, 1024))
TIME = 100
GATES = {"lstm": 4, "gru": 3, "rnn": 1}
#: products of H columns a step, those of x and those of the state
PRODUCTS = {"mingru": 2, "minlstm": 3, "sru": 3, "rglru": 2, "lru": 5, "indrnn": 1} | {
    c: 2 * g for c, g in GATES.items()
}


@dataclass(frozen=True)
class Case:
    """One row: a layer of I = H.

    Attributes:
        cell: one of CELLS or ELEMENTWISE.
        mode: one of MODES.
        time: T; 1 for a step.
        batch: B.
        hidden: H, and I.
        dtype: one of DTYPES.
    """

    cell: str
    mode: str
    time: int
    batch: int
    hidden: int
    dtype: str = "float32"

    @property
    def gates(self) -> int:
        """G, the gates of a cell with W_hh."""
        return GATES[self.cell]

    @property
    def is_elementwise(self) -> bool:
        """Whether the cell has no W_hh."""
        return self.cell in ELEMENTWISE

    @property
    def products(self) -> int:
        """The products of a step, each of H columns and H numbers deep."""
        return PRODUCTS[self.cell]

    @property
    def lengths(self) -> tuple[int, ...]:
        """The steps of each sequence, longest first: T, or in a ragged batch evenly from T/B to T.

        >>> Case("gru", "ragged", 100, 4, 8).lengths, Case("gru", "ragged", 100, 1, 8).lengths
        ((100, 75, 50, 25), (50,))
        """
        if self.mode != "ragged":
            return (self.time,) * self.batch
        if self.batch == 1:
            return (-(-self.time // 2),)
        return tuple(-(-self.time * k // self.batch) for k in range(self.batch, 0, -1))

    @property
    def steps(self) -> int:
        """The steps of all sequences together, without padding."""
        return sum(self.lengths)

    def __str__(self) -> str:
        return f"{self.cell} {self.mode} {self.batch}x{self.hidden}" + f" {self.dtype}" * (self.dtype != "float32")


def grid(
    cells: Sequence[str] = CELLS,
    modes: Sequence[str] = MODES,
    shapes: Sequence[tuple[int, int]] = SHAPES,
    time: int = TIME,
    dtypes: Sequence[str] = ("float32",),
) -> list[Case]:
    """Return all cases, cell by cell and mode by mode."""
    return [
        Case(cell, mode, 1 if mode == "step" else time, batch, hidden, dtype)
        for dtype in dtypes
        for cell in cells
        for mode in modes
        for batch, hidden in shapes
    ]


def names(text: str, known: Sequence[str], option: str) -> tuple[str, ...]:
    """Split a list with commas, all of them in `known`; in the order given, without repetitions.

    >>> names("gru,lstm,gru", CELLS, "--cell")
    ('gru', 'lstm')

    Raises:
        ArgumentError: naming the option and the known names.
    """
    chosen = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    for name in chosen:
        if name not in known:
            raise ArgumentError(f"{option}: expected some of {', '.join(known)}, found {name!r}")
    if not chosen:
        raise ArgumentError(f"{option}: expected some of {', '.join(known)}, found nothing")
    return chosen


def shapes(text: str, option: str = "--shapes") -> tuple[tuple[int, int], ...]:
    """Parse a list of BxH with commas.

    >>> shapes("1x128,64x256")
    ((1, 128), (64, 256))

    Raises:
        ArgumentError: naming the option and the part that is no shape.
    """
    pairs = []
    for part in text.split(","):
        sizes = part.strip().lower().split("x")
        if len(sizes) != 2 or not all(s.isascii() and s.isdigit() and int(s) >= 1 for s in sizes):
            raise ArgumentError(f"{option}: expected BxH with commas, as in 1x128,64x256, found {part.strip()!r}")
        pairs.append((int(sizes[0]), int(sizes[1])))
    return tuple(dict.fromkeys(pairs))
