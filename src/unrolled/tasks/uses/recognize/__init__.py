"""`recognize`: the class of an image, seen as a whole by a convolutional network, or read row by row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from torch import nn

from unrolled.data import Example, Findings
from unrolled.data.core.folders import Place, files_only
from unrolled.data.images.labelled import read_labelled_images
from unrolled.settings import Settings
from unrolled.tasks.core.examples import ExampleUse, Material
from unrolled.tasks.core.fitted import Fitted
from unrolled.tasks.core.tuning.space import Space
from unrolled.tasks.core.values import Plan
from unrolled.tasks.inputs.image.encode import ImageInput
from unrolled.tasks.outputs.label.encode import LabelOutput
from unrolled.tasks.uses.recognize.plan import SPACE, RecognizeOptions, plan_recognizer
from unrolled.tasks.uses.recognize.session import RowSession


class Recognize(ExampleUse[ImageInput, LabelOutput]):
    """Image in, class out."""

    name: ClassVar[str] = "recognize"
    summary: ClassVar[str] = "tell what class an image is of: digits, things, scenes"
    shape: ClassVar[str] = "one-to-one; row by row, many-to-one"
    input, output = ImageInput, LabelOutput
    options: ClassVar[type[Settings]] = RecognizeOptions
    space: ClassVar[Space] = SPACE
    evaluate_options: ClassVar[type[Settings]] = LabelOutput.evaluate_options
    predict_options: ClassVar[type[Settings]] = ImageInput.predict_options

    def read(self, paths: tuple[Place, ...], options: Settings, findings: Findings) -> Sequence[Example]:
        """Read a folder per class, IDX, NPZ."""
        return read_labelled_images(files_only(paths, "images"), findings)

    def plan(self, material: Material[ImageInput, LabelOutput], options: Any, training: Mapping[str, Any]) -> Plan:
        """Choose by how many images there are and how large they are."""
        return plan_recognizer(material, options, training)

    def initialise(self, network: nn.Module, material: Material[ImageInput, LabelOutput]) -> None:
        """Leave the output layer as it was drawn: classes of images are about as frequent as each other."""
        return

    def stream(self, model: Fitted[ImageInput, LabelOutput]) -> RowSession:
        """Return an image that comes row by row."""
        return RowSession(model, model.input.stream(model))
