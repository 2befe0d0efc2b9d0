"""`caption`: a sentence about an image, written word by word by a network that looks at its parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from torch import Tensor

from unrolled.data import Arrays, Example, Findings
from unrolled.data.core.folders import Place, files_only
from unrolled.data.images.captions import read_captions
from unrolled.errors import ArgumentError
from unrolled.layers import Session
from unrolled.settings import Settings
from unrolled.tasks.core.examples import ExampleUse, Material
from unrolled.tasks.core.fitted import Fitted
from unrolled.tasks.core.probe import Probe
from unrolled.tasks.core.tuning.space import Space
from unrolled.tasks.core.values import Plan
from unrolled.tasks.uses.caption.encode import CaptionOutput
from unrolled.tasks.uses.caption.image import ImageOrFeatures
from unrolled.tasks.uses.caption.plan import SPACE, CaptionEvaluation, CaptionOptions, CaptionPrediction, plan_captioner

Captioner = Fitted[ImageOrFeatures, CaptionOutput]


class Caption(ExampleUse[ImageOrFeatures, CaptionOutput]):
    """Image in, sentence out."""

    name: ClassVar[str] = "caption"
    summary: ClassVar[str] = "write a sentence about an image"
    shape: ClassVar[str] = "one-to-many"
    input, output = ImageOrFeatures, CaptionOutput
    options: ClassVar[type[Settings]] = CaptionOptions
    space: ClassVar[Space] = SPACE
    evaluate_options: ClassVar[type[Settings]] = CaptionEvaluation
    predict_options: ClassVar[type[Settings]] = CaptionPrediction

    def read(self, paths: tuple[Place, ...], options: Any, findings: Findings) -> Sequence[Example]:
        """Read token files, COCO JSON, tables; images in a folder or .zip, or features in an NPZ."""
        images = None if options.images is None else Path(options.images)
        columns = {"image_column": options.image_column, "caption_column": options.caption_column}
        return read_captions(files_only(paths, "images"), findings, images=images, **columns)

    def collate(
        self, model: Captioner, examples: Sequence[Arrays], draw: np.random.Generator | None = None
    ) -> dict[str, Tensor]:
        """Return images and captions; while training some captions of each image, drawn at random."""
        images = model.input.collate(model, examples, draw)
        if draw is not None:
            most = int(model.config.batching["captions"])
            examples = [{**e, "taken": draw.permutation(len(e["lengths"]))[:most]} for e in examples]
        return {**images, **model.output.collate(examples)}

    def plan(
        self, material: Material[ImageOrFeatures, CaptionOutput], options: Any, training: Mapping[str, Any]
    ) -> Plan:
        """Choose by how many images there are."""
        return plan_captioner(material, options, training)

    def probe(self, model: Captioner, given: object, limit: int) -> Probe:
        """Lay out the words of the caption that the model writes."""
        return model.output.probe(model, model.input.steps(model, model.input.given(given), limit), limit)

    def stream(self, model: Captioner) -> Session:
        """Refuse: an image is looked at as a whole."""
        raise ArgumentError("a captioner looks at the whole image before it writes, so it can't be streamed")
