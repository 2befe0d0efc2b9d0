"""What a user may choose of `caption`: when training, evaluating and writing."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from unrolled.data.images.files import Fit
from unrolled.settings import Settings
from unrolled.tasks.core.example_task import ExampleOptions

#: words that a network learns to see
ATTRIBUTES = 256

Size = Annotated[int, Field(ge=1, le=8192)]
Share = Annotated[float, Field(ge=0, lt=1)]


class CaptionOptions(ExampleOptions):
    """What a user may choose; None lets the data decide."""

    images: str | None = Field(
        None, description="folder, .zip, or NPZ of features with the images [the folder that the captions lie in]"
    )
    image_column: str = Field("image", description="of tables: the image's name")
    caption_column: str = Field("caption", description="of tables: the caption")
    image_size: Annotated[int, Field(ge=8, le=1024)] = Field(96, description="shorter side of the stored images")
    margin: Annotated[float, Field(ge=1, le=2)] = Field(
        1.2, description="the network sees windows that are smaller than the image by this factor"
    )
    fit: Fit = Field("stretch", description="how images of another aspect ratio are brought to one size")
    colour: Literal["auto", "grey", "colour"] = Field("auto", description="what the network sees")
    mirror: bool = Field(True, description="mirror half of the images while training")
    min_count: Annotated[int, Field(ge=1)] | None = Field(
        None, description="words that occur less often are unknown [by the amount of data]"
    )
    vocabulary_size: Annotated[int, Field(ge=3, le=1_000_000)] | None = Field(None, description="words, at most")
    attributes: Annotated[int, Field(ge=0, le=4096)] = Field(
        ATTRIBUTES, description="frequent words that the network learns to see in an image, beside writing"
    )
    attribute_weight: Annotated[float, Field(ge=0)] = Field(1.0, description="of that in the loss")
    captions_a_step: Annotated[int, Field(ge=1)] = Field(
        2, description="captions of each image that a step learns from"
    )
    widths: tuple[Size, ...] | None = Field(
        None, description="channels of the first convolution and of each stage that halves the image"
    )
    blocks: Annotated[int, Field(ge=1, le=16)] | None = Field(None, description="residual blocks of a stage")
    cell: Literal["lstm", "gru", "rnn"] = "lstm"
    hidden_size: Size | None = None
    num_layers: Annotated[int, Field(ge=1, le=16)] | None = None
    embedding_size: Size | None = None
    attention: Literal["general", "additive", "dot"] = Field(
        "general", description="how the decoder looks at the image"
    )
    dropout: Share | None = Field(None, description="probability, of the decoder")
    image_dropout: Share | None = Field(None, description="probability, of what the image yields")
    smoothing: Share = Field(0.1, description="label smoothing")


class CaptionEvaluation(Settings):
    """How to evaluate; None as in training, or as fitted on the development data."""

    images: str | None = Field(None, description="folder, .zip, or NPZ of features with the images")
    skip_bad: bool | None = Field(None, description="leave out what can't be read, instead of ending")
    beam_size: Annotated[int, Field(ge=1)] | None = Field(None, description="hypotheses kept by the search")
    length_penalty: Annotated[float, Field(ge=0)] | None = Field(None, description="higher: longer captions")


class CaptionPrediction(Settings):
    """How to write; None as fitted on the development data."""

    n: Annotated[int, Field(ge=1)] = Field(1, description="captions of each image")
    beam_size: Annotated[int, Field(ge=1)] | None = Field(None, description="hypotheses kept by the search")
    length_penalty: Annotated[float, Field(ge=0)] | None = Field(None, description="higher: longer captions")
    max_words: Annotated[int, Field(ge=1)] = Field(30, description="words in a caption, at most")
    no_repeat_ngram: Annotated[int, Field(ge=1)] | None = Field(
        None, description="never write the same n words twice in a caption"
    )
