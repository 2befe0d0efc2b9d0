"""Options of `label`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from unrolled.data.steps.recordings import StepOptions
from unrolled.settings import Settings
from unrolled.tasks.core.examples import ExampleOptions
from unrolled.tasks.core.recurrent import Rate, RecurrentOptions
from unrolled.tasks.inputs.frames.options import FramesOptions
from unrolled.tasks.inputs.series.options import RowsOptions

Weight = Annotated[float, Field(ge=0)]


class StepLabelOptions(FramesOptions, RowsOptions, RecurrentOptions, ExampleOptions):
    """Options of training; None lets the data decide."""

    bidirectional: bool = Field(True, description="read the future too; a model that reads the past alone can stream")
    dropout: Rate | None = Field(None, description="probability, between layers and before the output; one mask a clip")
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
    annotations: str | None = Field(None, description="folder or .zip of annotation files, if not beside the clips")

    def reading(self, *, features: tuple[str, ...] = ()) -> StepOptions:
        """Return how recordings are read."""
        changes = {"label_column": self.label_column, "annotations": self.annotations}
        return super().reading(features=features).model_copy(update=changes)


class StepLabelEvaluation(Settings):
    """How to evaluate; None reads the data as in training."""

    skip_bad: bool = Field(False, description="leave out recordings that can't be read, and name them")
    annotations: str | None = Field(None, description="folder or .zip of annotation files, if not as in training")
    transition_weight: Weight | None = Field(
        None, description="of which label follows which; 0 labels each step alone, none takes what was fitted"
    )


class LabelPrediction(Settings):
    """How to predict."""

    transition_weight: Weight | None = Field(
        None, description="of which label follows which; 0 labels each step alone, none takes what was fitted"
    )
