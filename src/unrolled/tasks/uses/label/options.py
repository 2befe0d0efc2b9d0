"""What a user may choose of `label`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from unrolled.data.steps.recordings import Reading
from unrolled.settings import Settings
from unrolled.tasks.core.example_task import ExampleOptions

Rate = Annotated[float, Field(ge=0, lt=1)]
Count = Annotated[int, Field(ge=1)]
Side = Annotated[int, Field(ge=4, le=1024)]


class LabelOptions(ExampleOptions):
    """What a user may choose; None lets the data decide."""

    cell: Literal["lstm", "gru", "rnn"] = "lstm"
    hidden_size: Count | None = None
    num_layers: Count | None = None
    bidirectional: bool = Field(True, description="read the future too; a model that reads the past alone can stream")
    dropout: Rate | None = Field(None, description="probability, between layers and before the output; one mask a clip")
    input_dropout: Rate | None = Field(None, description="probability, on each step's features or vector")
    differences: bool | None = Field(None, description="read beside each step how it differs from the one before")
    standardise: Literal["training", "recording"] = Field(
        "training", description="features by the training data's mean and spread, or each recording by its own"
    )
    window: Annotated[int, Field(ge=2)] | None = Field(None, description="train on pieces of so many steps")
    label_smoothing: Rate = Field(0.0, description="share of each target that is spread over all labels")
    augment: Annotated[float, Field(ge=0, le=2)] = Field(
        1.0, description="how much is varied while training: pace, lost steps; place, light and cover of frames"
    )
    mirror: bool = Field(False, description="show clips mirrored half of the time, where left and right mean the same")
    transitions: bool = Field(True, description="let predictions weigh which label follows which, fitted to the data")
    background: tuple[str, ...] = Field(
        ("background", "sil", "sp"),
        description="labels that say that nothing happens: read as one, and left out of segmental scores",
    )

    comparison_epochs: Annotated[float, Field(gt=0)] | None = Field(
        None, description="passes over the data for the model without recurrence to compare with; as many as the model"
    )

    label_column: str = Field("label", description="of tables: where the label of a step is")
    time_column: str | None = Field(None, description="of tables: the time of a step, looked at for gaps")
    sequence_column: str | None = Field(
        None, description="of tables: which recording a row belongs to; else a file is one"
    )
    features: tuple[str, ...] = Field((), description="of tables: the columns to read, all others if none is named")
    annotations: str | None = Field(None, description="folder or .zip of annotation files, if not beside the clips")
    units_per_second: Annotated[float, Field(gt=0)] | None = Field(
        None,
        description="of times: 1 is seconds, 1000 milliseconds; else frames in annotations and seconds in tables",
    )
    rate: Annotated[float, Field(gt=0)] | None = Field(
        None, description="frames a second: of a video those that are read, of images how fast they were taken"
    )
    frame_height: Count | None = Field(None, description="images are strips: so many rows are one frame of a clip")
    frame_size: tuple[Side, Side] | None = Field(None, description="height and width that frames are brought to")
    colour: bool | None = Field(None, description="read frames in colour")
    widths: tuple[Count, ...] | None = Field(None, description="channels of the convolutions over frames, each stage")
    input_size: Count | None = Field(None, description="width of a frame's vector")
    encoding: str = "utf-8"

    def reading(self, *, labelled: bool = True, features: tuple[str, ...] = ()) -> Reading:
        """How recordings are read.

        Args:
            labelled: whether they must be labelled.
            features: columns to read instead, e.g. those of training.
        """
        return Reading(
            label_column=self.label_column,
            time_column=self.time_column,
            sequence_column=self.sequence_column,
            features=features or self.features,
            annotations=Path(self.annotations) if self.annotations is not None and labelled else None,
            units_per_second=self.units_per_second,
            rate=self.rate,
            frame_height=self.frame_height,
            encoding=self.encoding,
            labelled=labelled,
        )


class LabelEvaluateOptions(Settings):
    """How to evaluate; None reads the data as in training."""

    skip_bad: bool = Field(False, description="leave out recordings that can't be read, and name them")
    annotations: str | None = Field(None, description="folder or .zip of annotation files, if not as in training")
    transition_weight: Annotated[float, Field(ge=0)] | None = Field(
        None, description="of which label follows which; 0 labels each step alone, none takes what was fitted"
    )


class LabelPredictOptions(Settings):
    """How to predict."""

    transition_weight: Annotated[float, Field(ge=0)] | None = Field(
        None, description="of which label follows which; 0 labels each step alone, none takes what was fitted"
    )
