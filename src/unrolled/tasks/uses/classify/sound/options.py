"""Options of `classify` for sounds."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from unrolled.data.core.dialect import TableOptions, TableOverrides
from unrolled.settings import Settings
from unrolled.tasks.core.examples import ExampleOptions
from unrolled.tasks.core.recurrent import Rate, RecurrentOptions
from unrolled.tasks.inputs.sound.options import SoundOptions
from unrolled.tasks.outputs.label.options import LabelEvaluation, LabelOptions


class SoundTableOptions(Settings):
    """How tables of sound files with their labels are read; None finds it out, or reads as in training."""

    audio_key: str | None = Field(None, description="column of a table that names the sound file")
    audio_folder: Path | None = Field(None, description="where relative paths start, if not at the table's folder")
    label_column: str | None = Field(None, description="of a table, by name or number from 1")


class ClassifySoundOptions(
    LabelOptions, SoundOptions, RecurrentOptions, ExampleOptions, SoundTableOptions, TableOptions
):
    """Options of training; None lets the data decide."""

    bidirectional: bool = Field(True, description="read from both ends; without, it can stream")
    dropout: Rate | None = Field(None, description="probability, on what the cells put out and on the pooled vector")


class ClassifySoundEvaluation(LabelEvaluation, SoundTableOptions, TableOverrides):
    """How to evaluate; None reads files as in training."""
