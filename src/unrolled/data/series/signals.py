"""Pairs of signals: what goes into a device, or is measured, and what is to come out, step by step.

=================  =====================================================================================================
two sound files    input and target, of one rate and length; four are two pairs, and so on
two folders        of sound files: each of the first is the input of the one of the same name in the second
a table            with a step a row: `--input` columns and `--target` columns; several sequences by `--sequence-column`
=================  =====================================================================================================
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from unrolled.data.core.dialect import TableOptions
from unrolled.data.core.examples import Example
from unrolled.data.core.files import Source
from unrolled.data.core.findings import Findings
from unrolled.data.core.folders import Place, files_in
from unrolled.data.core.rows import TableRow
from unrolled.data.core.tables import SUFFIXES as TABLES
from unrolled.data.core.tables import Table, open_tables, with_header
from unrolled.data.sound.files import SUFFIXES, read_sound
from unrolled.errors import DataError, StorageError
from unrolled.settings import Names

#: names of columns that are taken as targets where none is named, in lower case
_TARGETS = ("target", "output", "y")
#: lengths of an input and its target differ by no more than this share
_DIFFERENCE = 0.05

Steps = NDArray[np.float32]


class SignalOptions(TableOptions):
    """Options by which signals are read."""

    input: Names = Field(default=(), description="of tables: columns to read, all other numbers if none is named")
    target: Names = Field(default=(), description="of tables: columns to answer; target, output or y if none is named")
    sequence_column: str | None = Field(
        default=None, description="of tables: which sequence a row belongs to; else a file is one"
    )


@dataclass(frozen=True, kw_only=True)
class Signal(Example):
    """An input and what is to be answered to each of its steps.

    Attributes:
        values: (T, F).
        wanted: (T, K); K is 0 where there is nothing to compare with.
        rate: steps a second, if it is known.
        name: what it is called.
        columns, targets: names of F and K, if they have any.
        lines: of a table, (T,).
    """

    values: Steps = field(repr=False)
    wanted: Steps = field(repr=False)
    rate: float | None = None
    name: str = ""
    columns: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    lines: tuple[int, ...] = field(default=(), repr=False)

    @property
    def given(self) -> Signal:
        """The signal itself, whose values are read."""
        return self

    @property
    def target(self) -> Steps:
        """The targets, (T, K)."""
        return self.wanted

    @property
    def key(self) -> str:
        """A hash of the values."""
        return hashlib.blake2b(self.values.tobytes(), digest_size=16).hexdigest()

    def part(self, begin: int, end: int) -> Signal:
        """Return the steps from `begin` to `end`."""
        lines = self.lines[begin:end]
        name, line = f"{self.name} {begin}–{end}", lines[0] if lines else self.line
        return Signal(
            path=self.path, line=line, values=self.values[begin:end], wanted=self.wanted[begin:end], rate=self.rate,
            name=name, columns=self.columns, targets=self.targets, lines=lines,
        )  # fmt: skip


def is_sound(path: Path | Source) -> bool:
    """Return whether a file is named like sound."""
    return not isinstance(path, Source) and path.suffix.lower() in SUFFIXES


def read_signals(paths: Sequence[Place], options: SignalOptions, findings: Findings) -> list[Signal]:
    """Return the signals of some paths, in order.

    Args:
        paths: pairs of sound files or of folders, or tables.
        options: how they are read.
        findings: collects what can't be used, which is left out.

    Raises:
        StorageError: a path that does not exist or can't be read.
        DataError: an input without a target, or a table without the columns.
    """
    for path in paths:
        if not isinstance(path, Source) and not path.exists():
            raise StorageError(f"{path}: no such file or folder")
    tables = [path for path in paths if isinstance(path, Source) or _is_table(path)]
    others = [path for path in paths if path not in tables and isinstance(path, Path)]
    if len(others) % 2:
        message = "expected an input and its target: two sound files, or two folders of them with equal names"
        raise DataError(message, others[-1])
    signals = [signal for path in tables for signal in _of_table(path, options, findings)]
    for source, target in zip(others[::2], others[1::2], strict=True):
        for pair in _pairs(source, target, findings):
            try:
                signals.append(_of_sounds(*pair, findings))
            except DataError as error:
                findings.caught(error, "unusable pair")
    return signals


def read_inputs(path: Path, options: SignalOptions) -> list[Signal]:
    """Return the signals of a file that a model is to answer to.

    Raises:
        StorageError, DataError: it can't be read, or lacks a column.
    """
    if is_sound(path):
        sound = read_sound(path)
        values = sound.samples[:, None]
        return [Signal(path=str(path), values=values, wanted=values[:, :0], rate=float(sound.rate), name=path.name)]
    return [signal for table in _opened(path, options) for signal in signals_in(table, options, (), Findings())]


def signals_in(table: Table, options: SignalOptions, targets: tuple[str, ...], findings: Findings) -> Iterator[Signal]:
    """Yield the signals of a table, one for each value of the sequence column.

    Args:
        table: the table.
        options: whose `input` and `sequence_column` are read.
        targets: its columns of targets.
        findings: collects rows that can't be read.
    """
    sequence = None if options.sequence_column is None else table.column(options.sequence_column)
    taken = {*targets, sequence}
    inputs = tuple(map(table.column, options.input)) or tuple(c for c in _numbers(table) if c not in taken)
    if not inputs:
        raise DataError(f"which columns are read? {table.described()}; name them with --input", table.name, 1)
    groups: dict[str, list[tuple[int, list[float]]]] = {}
    for row in table.rows(findings):
        name = "" if sequence is None else str(row.get(sequence))
        try:
            cells = [_number(row, column) for column in (*inputs, *targets)]
        except DataError as error:
            findings.caught(error, "no number")
            continue
        groups.setdefault(name, []).append((row.line, cells))
    for name, rows in groups.items():
        array, lines = np.array([cells for _, cells in rows], np.float32), tuple(line for line, _ in rows)
        yield Signal(
            path=table.name, line=lines[0], values=array[:, : len(inputs)], wanted=array[:, len(inputs) :],
            name=name or Path(table.name).name, columns=inputs, targets=targets, lines=lines,
        )  # fmt: skip


def _is_table(path: Path) -> bool:
    return path.is_file() and Source(path).inner_name.endswith((*TABLES, ".txt"))


def _opened(path: Place, options: SignalOptions) -> list[Table]:
    return open_tables(path, with_header(options, [*options.input, *options.target]))


def _of_table(path: Place, options: SignalOptions, findings: Findings) -> Iterator[Signal]:
    for table in _opened(path, options):
        like = table.column_like(_TARGETS)
        targets = tuple(map(table.column, options.target)) or ((like,) if like is not None else ())
        if not targets:
            raise DataError(f"which column is the target? {table.described()}; name it with --target", table.name, 1)
        signals = list(signals_in(table, options, targets, findings))
        roles = dict.fromkeys(signals[0].columns if signals else (), "input") | dict.fromkeys(targets, "target")
        table.note(findings, roles)
        yield from signals


def _pairs(source: Path, target: Path, findings: Findings) -> Iterator[tuple[Path, Path]]:
    if not source.is_dir() and not target.is_dir():
        yield source, target
        return
    if source.is_dir() != target.is_dir():
        raise DataError("is a folder, and the other of the pair is a file", source if source.is_dir() else target)
    files = [s.path for s in files_in(source, archives=False) if s.inner_name.endswith(SUFFIXES)]
    if not files:
        raise DataError(f"no sound in this folder ({', '.join(SUFFIXES[:3])} and the like)", source)
    for file in files:
        other = target / file.relative_to(source)
        if other.is_file():
            yield file, other
        else:
            findings.error("no target", f"there is no {other}", file)


def _of_sounds(source: Path, target: Path, findings: Findings) -> Signal:
    first, second = read_sound(source), read_sound(target)
    if first.rate != second.rate:
        raise DataError(f"has {first.rate} Hz, and its target {target} {second.rate} Hz; resample one", source)
    lengths = (len(first.samples), len(second.samples))
    if max(lengths) - min(lengths) > _DIFFERENCE * max(lengths):
        message = f"has {lengths[0]:,} samples, and its target {target} {lengths[1]:,}; are they of one recording?"
        raise DataError(message, source)
    if lengths[0] != lengths[1]:
        message = f"has {lengths[0]:,} samples, and its target {lengths[1]:,}; the end of the longer is left out"
        findings.warning("another length", message, source)
    end = min(lengths)
    values, wanted = first.samples[:end, None], second.samples[:end, None]
    return Signal(path=str(source), values=values, wanted=wanted, rate=float(first.rate), name=source.name)


def _numbers(table: Table) -> list[str]:
    """Return the columns that hold numbers wherever they hold anything."""
    sample = table.sample()

    def is_number(column: str) -> bool:
        try:
            return bool(np.isfinite([row.number(column) for row in sample]).any())
        except (DataError, KeyError):
            return False

    return [column for column in table.columns if is_number(column)]


def _number(row: TableRow, column: str) -> float:
    if column not in row:
        raise DataError(row.without(column), row.path, row.line)
    value = row.number(column)
    if not np.isfinite(value):
        raise DataError(f"column {column!r}: the value is missing; leave the row out or fill it", row.path, row.line)
    return value
