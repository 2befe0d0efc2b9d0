"""Options of images."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from unrolled.data.images.files import Fit
from unrolled.settings import Settings

Size = Annotated[int, Field(ge=1, le=4096)]
Reading = Literal["image", "rows", "columns", "pixels"]


class ImageOptions(Settings):
    """How images are brought to what the network sees, and varied while training; None lets the data decide."""

    reading: Reading = Field(
        "image",
        description="see the image as a whole (convolutions), or read its rows, columns or pixels one after the other; "
        "by columns, images are of one height, and as wide as they are",
    )
    image_size: Annotated[int, Field(ge=4, le=1024)] | None = Field(
        None, description="shorter side of what the network sees, in pixels; by columns, its height"
    )
    colour: Literal["auto", "grey", "colour"] = Field("auto", description="what the network sees")
    fit: Fit = Field("stretch", description="how images of another aspect ratio are brought to one size")
    widths: tuple[Size, ...] | None = Field(
        None, description="channels of the first convolution and of each stage that halves the image"
    )
    blocks: Annotated[int, Field(ge=1, le=16)] | None = Field(None, description="residual blocks of a stage")
    augment: bool = Field(True, description="show images moved, turned and scaled a little while training")
    shift: Annotated[float, Field(ge=0, le=0.5)] = Field(0.08, description="by how much, as a share of the side")
    rotate: Annotated[float, Field(ge=0, le=180)] = Field(10.0, description="by how much, in degrees")
    scale: Annotated[float, Field(ge=0, le=0.5)] = Field(0.1, description="by how much, relative; by columns, in width")
    mirror: bool | None = Field(None, description="mirror half of the images [all but drawings such as digits]")


class ImagePrediction(Settings):
    """How an image is read that is to be predicted for."""

    place: bool | None = Field(
        None,
        description="cut a drawing out of its page, scale and centre it as the training images were "
        "[if it is of another size than they]",
    )
