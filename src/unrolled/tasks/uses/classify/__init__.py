"""`classify`: which of a fixed list of labels a text has: its sentiment, its topic, its intent.

A series or a sound has a label as well: `series/` and `sound/` declare the uses of the same name that read them, and
the data decides.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from unrolled.data import Example, Findings
from unrolled.data.core.folders import Place
from unrolled.data.text.labelled import read_labelled
from unrolled.settings import Settings
from unrolled.tasks.core.contract import AnyUse
from unrolled.tasks.core.examples import ExampleUse, Material
from unrolled.tasks.core.tuning.space import Space
from unrolled.tasks.core.values import Plan
from unrolled.tasks.inputs.text.encode import TextInput
from unrolled.tasks.uses.classify.encode import TextLabel
from unrolled.tasks.uses.classify.plan import (
    SPACE,
    ClassifyEvaluation,
    ClassifyOptions,
    ClassifyPrediction,
    plan_classifier,
)
from unrolled.tasks.uses.classify.series import ClassifySeries
from unrolled.tasks.uses.classify.sound import ClassifySound


class Classify(ExampleUse[TextInput, TextLabel]):
    """Text in, label out."""

    name: ClassVar[str] = "classify"
    summary: ClassVar[str] = "tell what a text, a series or a sound is: sentiment, gesture, spoken word, any label"
    shape: ClassVar[str] = "many-to-one"
    input, output = TextInput, TextLabel
    options: ClassVar[type[Settings]] = ClassifyOptions
    space: ClassVar[Space] = SPACE
    evaluate_options: ClassVar[type[Settings]] = ClassifyEvaluation
    predict_options: ClassVar[type[Settings]] = ClassifyPrediction
    others: ClassVar[tuple[type[AnyUse], ...]] = (ClassifySound, ClassifySeries)

    def read(self, paths: tuple[Place, ...], options: Any, findings: Findings) -> Sequence[Example]:
        """Read tables, a folder for each label, fastText lines, lines that begin with a label."""
        return list(read_labelled(paths, findings, options))

    def plan(self, material: Material[TextInput, TextLabel], options: Any, training: Mapping[str, Any]) -> Plan:
        """Choose by how many texts there are and how long they are."""
        return plan_classifier(material, options, training)
