"""`transcribe`: what is said in sound, spelled by a recurrent network with connectionist temporal classification.

What is written in an image of a line is spelled alike: `lines/` declares the use of the same name that reads it, and
the data decides.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from unrolled.data import Example, Findings
from unrolled.data.core.folders import Place, files_only
from unrolled.data.sound.transcripts import Utterance, read_transcripts
from unrolled.settings import Settings
from unrolled.tasks.core.contract import AnyUse
from unrolled.tasks.core.examples import ExampleUse, Material
from unrolled.tasks.core.fitted import Fitted, Parts
from unrolled.tasks.core.folder.files import read_json, write_json
from unrolled.tasks.core.plan import measured_speed
from unrolled.tasks.core.tuning.space import Space
from unrolled.tasks.core.values import Plan, Progress
from unrolled.tasks.inputs.sound.encode import SoundInput
from unrolled.tasks.inputs.sound.format import SoundFormat
from unrolled.tasks.outputs.text.ctc.encode import CTCOutput
from unrolled.tasks.outputs.text.ctc.options import CTCPrediction
from unrolled.tasks.outputs.text.ctc.spelling import UnitSpelling
from unrolled.tasks.uses.transcribe.lines import TranscribeLines
from unrolled.tasks.uses.transcribe.plan import SPACE, TranscribeEvaluation, TranscribeOptions, plan_transcriber
from unrolled.tasks.uses.transcribe.session import TranscriptSession

#: both parts in one file, as version 0.1 wrote them
LABELS = "labels.json"
_FORMAT = {"format": "unrolled.speech"}
#: the share of the utterances that are to be long enough for what is said in them
FITTING = 0.995


class Transcribe(ExampleUse[SoundInput, CTCOutput]):
    """Sound in, text out."""

    name: ClassVar[str] = "transcribe"
    summary: ClassVar[str] = (
        "write down what is said in sound, or stands in images of lines, with the place of each word"
    )
    shape: ClassVar[str] = "synced many-to-many, unaligned"
    input, output = SoundInput, CTCOutput
    options: ClassVar[type[Settings]] = TranscribeOptions
    space: ClassVar[Space] = SPACE
    evaluate_options: ClassVar[type[Settings]] = TranscribeEvaluation
    predict_options: ClassVar[type[Settings]] = CTCPrediction
    others: ClassVar[tuple[type[AnyUse], ...]] = (TranscribeLines,)

    def read(self, paths: tuple[Place, ...], options: Any, findings: Findings) -> list[Utterance]:
        """Read LJSpeech, LibriSpeech, Kaldi, JSON lines and tables."""
        return read_transcripts(
            files_only(paths, "sound"),
            findings,
            audio_key=options.audio_key,
            text_key=options.text_key,
            folder=options.audio_folder,
            encoding=options.encoding,
        )

    def fit(self, train: Sequence[Example], options: Any, progress: Progress) -> Parts[SoundInput, CTCOutput]:
        """Fit both parts, and take fewer frames a step where texts are too long for the usual number."""
        parts = super().fit(train, options, progress)
        if options.stride is not None:
            return parts
        format = parts.input.format
        needed = [(parts.output.least_steps(parts.output.encode(u.target)), u.given.seconds) for u in train]
        while format.stride > 1:
            fitting = sum(format.steps(format.frames_in(seconds)) >= steps for steps, seconds in needed)
            if fitting >= FITTING * len(train):
                break
            format = replace(format, stride=format.stride - 1)
        return Parts(SoundInput(format), parts.output)

    def plan(self, material: Material[SoundInput, CTCOutput], options: Any, training: Mapping[str, Any]) -> Plan:
        """Choose by how much sound there is, and how fast this machine is."""
        return plan_transcriber(material, options, training, lambda plan: measured_speed(self, material, options, plan))

    def save_parts(self, parts: Parts[SoundInput, CTCOutput], folder: Path) -> None:
        """Write labels.json."""
        write_json(folder / LABELS, {**_FORMAT, **parts.input.format.as_json(), **parts.output.spelling.as_json()})

    def load_parts(self, folder: Path) -> Parts[SoundInput, CTCOutput]:
        """Read labels.json."""
        path = folder / LABELS
        value = read_json(path)
        return Parts(SoundInput(SoundFormat.from_json(value, path)), CTCOutput(UnitSpelling.from_json(value, path)))

    def stream(self, model: Fitted[SoundInput, CTCOutput]) -> TranscriptSession:
        """Return sound as it comes, for a model of one direction."""
        return TranscriptSession(model, model.input.stream(model))
