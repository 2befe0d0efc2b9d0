"""A number for each step, as a result: printed, as JSON, and as a sound file."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic import Field

from unrolled.data.sound.files import Sound, wav
from unrolled.errors import ArgumentError
from unrolled.tasks.core.results import Result
from unrolled.types import Json


class StepValues(Result):
    """What is answered to each step."""

    #: kinds of files that one result is written as by itself
    files: ClassVar[tuple[str, ...]] = (".wav",)

    columns: tuple[str, ...] = Field(description="of the numbers of a step, if they have any")
    values: tuple[tuple[float, ...], ...] = Field(description="for each step, one of each name")
    quantiles: dict[str, tuple[tuple[float, ...], ...]] = Field(
        {}, description="level → such values, of a model of quantiles"
    )

    def __str__(self) -> str:
        values = np.array(self.values).reshape(-1)
        extent = f"{values.min():.4g} to {values.max():.4g}" if len(values) else "none"
        return f"{self.heading()}{len(self.values):,} steps, {extent}"

    def beside_steps(self, steps: int) -> list[Json]:
        """Return the numbers of each step, under their names."""
        names = self.columns or tuple(f"value_{n + 1}" for n in range(len(self.values[0]) if self.values else 0))
        columns: dict[str, tuple[tuple[float, ...], ...]] = {"": self.values}
        columns |= {f"_{level}": values for level, values in self.quantiles.items()}
        return [
            {f"{name}{level}": rows[n][k] for level, rows in columns.items() for k, name in enumerate(names)}
            for n in range(len(self.values))
        ]

    def as_file(self, suffix: str) -> bytes:
        """Return the values as a WAV file.

        Raises:
            ArgumentError: the signal has no rate, or several numbers a step.
        """
        rate = getattr(self, "rate", None)
        if rate is None or len(self.columns or (0,)) != 1:
            raise ArgumentError("--out: a signal of several numbers a step, or of no rate, is no sound; name a .csv")
        return wav(Sound(np.array(self.values, np.float32)[:, 0], int(rate)))
