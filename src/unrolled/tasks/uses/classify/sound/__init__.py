"""`classify` of sounds: which of a fixed list of labels a sound has: a spoken word, a bird, a machine that fails."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from unrolled.data import Example, Findings
from unrolled.data.core.folders import Place
from unrolled.data.sound.labelled import is_labelled_sound, read_labelled_sounds
from unrolled.settings import Settings
from unrolled.tasks.core.examples import ExampleUse, Material
from unrolled.tasks.core.values import Plan
from unrolled.tasks.inputs.sound.encode import SoundInput
from unrolled.tasks.outputs.label.encode import LabelOutput
from unrolled.tasks.uses.classify.sound.options import ClassifySoundEvaluation, ClassifySoundOptions
from unrolled.tasks.uses.classify.sound.plan import plan_sounds


class ClassifySound(ExampleUse[SoundInput, LabelOutput]):
    """Sound in, label out."""

    name: ClassVar[str] = "classify"
    summary: ClassVar[str] = "tell what a sound is: a spoken word, a bird, a machine, any label"
    shape: ClassVar[str] = "many-to-one"
    input, output = SoundInput, LabelOutput
    options: ClassVar[type[Settings]] = ClassifySoundOptions
    evaluate_options: ClassVar[type[Settings]] = ClassifySoundEvaluation

    @classmethod
    def suits(cls, path: Place, options: Mapping[str, Any]) -> bool:
        """Return whether a path is a folder of sounds, or a table that names some."""
        return isinstance(path, Path) and is_labelled_sound(path)

    def read(self, paths: tuple[Place, ...], options: Any, findings: Findings) -> Sequence[Example]:
        """Read a folder of sounds for each label, names that begin with a label, and tables of paths."""
        return read_labelled_sounds(
            paths,
            findings,
            audio_key=options.audio_key,
            label_column=options.label_column,
            folder=options.audio_folder,
            options=options,
        )

    def plan(self, material: Material[SoundInput, LabelOutput], options: Any, training: Mapping[str, Any]) -> Plan:
        """Choose by how many sounds there are."""
        return plan_sounds(material, options, training)
