"""Options of frames."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from unrolled.data.steps.recordings import StepOptions
from unrolled.tasks.inputs.series.options import StepsOptions

Count = Annotated[int, Field(ge=1)]
Side = Annotated[int, Field(ge=4, le=1024)]


class FramesOptions(StepsOptions):
    """How clips are read, and how frames become vectors; None lets the data decide."""

    rate: Annotated[float, Field(gt=0)] | None = Field(
        None, description="frames a second: of a video those that are read, of images how fast they were taken"
    )
    frame_height: Count | None = Field(None, description="images are strips: so many rows are one frame of a clip")
    frame_size: tuple[Side, Side] | None = Field(None, description="height and width that frames are brought to")
    colour: bool | None = Field(None, description="read frames in colour")
    widths: tuple[Count, ...] | None = Field(None, description="channels of the convolutions over frames, each stage")
    input_size: Count | None = Field(None, description="width of a frame's vector")

    def reading(self, *, features: tuple[str, ...] = ()) -> StepOptions:
        """Return how recordings are read."""
        changes = {"rate": self.rate, "frame_height": self.frame_height}
        return super().reading(features=features).model_copy(update=changes)
