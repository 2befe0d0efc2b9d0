"""`transcribe` of images: the text of a line of print or handwriting, read column by column."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from unrolled.data import Example, Findings
from unrolled.data.core.folders import Place, files_only
from unrolled.data.images.lines import holds_lines, read_text_lines
from unrolled.settings import Settings
from unrolled.tasks.core.examples import ExampleUse, Material
from unrolled.tasks.core.plan import measured_speed
from unrolled.tasks.core.values import Plan
from unrolled.tasks.inputs.image.encode import ImageInput
from unrolled.tasks.outputs.text.ctc.encode import CTCOutput
from unrolled.tasks.uses.transcribe.lines.options import LineEvaluation, LineOptions, LinePrediction
from unrolled.tasks.uses.transcribe.lines.plan import plan_lines


class TranscribeLines(ExampleUse[ImageInput, CTCOutput]):
    """An image of a line in, its text out."""

    name: ClassVar[str] = "transcribe"
    summary: ClassVar[str] = "read a line of text in an image, with the place of each word"
    shape: ClassVar[str] = "synced many-to-many, unaligned"
    input, output = ImageInput, CTCOutput
    options: ClassVar[type[Settings]] = LineOptions
    evaluate_options: ClassVar[type[Settings]] = LineEvaluation
    predict_options: ClassVar[type[Settings]] = LinePrediction

    @classmethod
    def suits(cls, path: Place, options: Mapping[str, Any]) -> bool:
        """Return whether a path is a folder of images, or a table that names some."""
        return isinstance(path, Path) and holds_lines(path)

    def read(self, paths: tuple[Place, ...], options: Any, findings: Findings) -> Sequence[Example]:
        """Read images with a text file beside each, and tables."""
        return read_text_lines(files_only(paths, "images"), findings, options.encoding)

    def plan(self, material: Material[ImageInput, CTCOutput], options: Any, training: Mapping[str, Any]) -> Plan:
        """Choose by how many lines there are, and how fast this machine is."""
        return plan_lines(material, options, training, lambda plan: measured_speed(self, material, options, plan))
