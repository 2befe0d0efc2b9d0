"""Sound: decoded, resampled, cut into frames, varied while training.

T frames, F mel bands, B batch.
"""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn

from unrolled.data import Arrays, Example, ExampleStore, Findings, lengths_of, padded
from unrolled.data.core.rows import TableRow
from unrolled.data.sound.files import Excerpt, Sound, SoundHeader, read_header, read_sound, wav
from unrolled.data.sound.spectrograms import LogMel, Variation, varied
from unrolled.data.sound.transcripts import AUDIO_KEYS
from unrolled.errors import ArgumentError, DataError
from unrolled.layers import StackedFrames
from unrolled.settings import Settings
from unrolled.tasks.core import results
from unrolled.tasks.core.checks import located
from unrolled.tasks.core.contract import Input
from unrolled.tasks.core.fitted import AnyFitted
from unrolled.tasks.core.folder.files import read_json, write_json
from unrolled.tasks.core.rows.columns import path_beside
from unrolled.tasks.core.values import InputSteps, Progress
from unrolled.tasks.inputs.sound.format import STRIDE, SoundFormat
from unrolled.tasks.inputs.sound.layer import SoundNetwork, sound_layer, stacked_frames, standardise_frames
from unrolled.tasks.inputs.sound.options import SoundOptions
from unrolled.tasks.inputs.sound.steps import sound_steps
from unrolled.tasks.inputs.sound.stream import SoundStream
from unrolled.tasks.inputs.spans import active_spans
from unrolled.types import Json

FORMAT = "sound.json"
#: sound is taken at its own rate, up to this, Hz: speech has little above half of it
FASTEST = 16_000
#: longer sound is seldom one utterance, seconds
LONG = 60.0


class ShownSound(results.Shown):
    """The fields by which a result names its sound."""

    seconds: float = Field(description="how long the sound is")
    notes: tuple[str, ...] = Field((), description="what was done to the sound, e.g. that channels were mixed into one")

    def picture(self) -> str:
        """Return how long it is."""
        return f"<small>({self.place(self.seconds)})</small>"

    def place(self, at: float) -> str:
        """Return a time."""
        return f"{at:.2f} s"


class SoundInput(Input[Sound]):
    """Sound at any rate: a path, a `Sound`, or samples and their rate.

    Args:
        format: what the network hears.
    """

    name: ClassVar[str] = "sound"
    length_of: ClassVar[str | None] = "frames"
    role: ClassVar[str] = "sound"
    column_names: ClassVar[tuple[str, ...]] = AUDIO_KEYS
    features_are: ClassVar[str] = "the mean and the spread of frames"
    # a sound may last hours
    side_by_side: ClassVar[int] = 1
    finer: ClassVar[str] = "a smaller --stride makes more steps"
    options: ClassVar[type[Settings]] = SoundOptions
    Network: ClassVar[type[Settings]] = SoundNetwork
    Shown: ClassVar[type[results.Shown]] = ShownSound

    def __init__(self, format: SoundFormat) -> None:
        self.format = format

    @classmethod
    def fit(cls, examples: Sequence[Example], options: Settings, progress: Progress) -> SoundInput:
        """Choose the rate that most of the sound has, and as many bands as it has room for."""
        chosen = SoundOptions.of(options)
        rate = chosen.rate or min(FASTEST, usual_rate(examples))
        bands = chosen.bands or (40 if rate < 12_000 else 64)
        return cls(SoundFormat(LogMel(rate, bands), chosen.stride or STRIDE, chosen.per_utterance))

    @classmethod
    def load(cls, folder: Path) -> SoundInput:
        """Read sound.json."""
        return cls(SoundFormat.from_json(read_json(folder / FORMAT), folder / FORMAT))

    def save(self, folder: Path) -> None:
        """Write sound.json."""
        write_json(folder / FORMAT, self.format.as_json())

    @classmethod
    def check(
        cls, train: Sequence[Example], dev: Sequence[Example], options: Settings, findings: Findings, progress: Progress
    ) -> None:
        """Point out stereo, mixed rates, and very long sound."""
        everything = [(example, excerpt_of(example.given)) for example in (*train, *dev)]
        usual = usual_rate([*train, *dev]) if everything else 0
        for example, sound in everything:
            place = (example.path, example.line)
            if sound.header.channels > 1:
                message = f"{sound.path} has {sound.header.channels} channels, which are mixed into one"
                findings.warning("several channels", message, *place)
            if sound.header.rate != usual:
                message = f"{sound.path} has {sound.header.rate} Hz, most have {usual}; it is resampled"
                findings.warning("another rate", message, *place)
            if sound.seconds > LONG:
                message = f"{sound.seconds:.0f} s in one piece take much memory; cut it at pauses"
                findings.warning("long sound", message, *place)

    @classmethod
    def check_decodable(
        cls, train: Sequence[Example], dev: Sequence[Example], options: Settings, findings: Findings, progress: Progress
    ) -> None:
        """Decode all sound once; name what is damaged or too short, and point out silence."""
        examples = [*train, *dev]
        if not examples:
            return
        source = cls.fit(examples, options, progress)
        for n, example in enumerate(examples):
            progress("listening to the data", n, len(examples))
            try:
                if source.given(example.given).is_silent:
                    message = f"{excerpt_of(example.given).path} is silent throughout"
                    findings.warning("silent", message, example.path, example.line)
            except DataError as error:
                findings.caught(located(error, example), "unusable sound")

    def of_cell(self, cell: object, row: TableRow) -> object:
        """Return the path of the sound."""
        return path_beside(cell, row)

    @classmethod
    def is_one(cls, value: object) -> bool:
        """Return whether these are samples and their rate."""
        return isinstance(value, (tuple, list)) and len(value) == 2 and isinstance(value[1], (int, np.integer))

    def given(self, value: object) -> Sound:
        """Return decoded sound of at least one frame."""
        path: Path | None = None
        if isinstance(value, (str, Path)):
            path, sound = Path(value), read_sound(value)
        elif isinstance(value, Excerpt):
            path, sound = value.path, value.sound()
        elif isinstance(value, Sound):
            sound = value
        elif isinstance(value, (tuple, list)) and self.is_one(value):
            sound = Sound(value[0], value[1])
        else:
            raise ArgumentError(
                f"input: expected the path of a sound file, a Sound, or (samples, rate), found {type(value).__name__}"
            )
        if not self.format.frames_in(sound.seconds):
            window = self.format.mel.window
            message = f"sound: {sound.seconds * 1000:.0f} ms are too short, a frame covers {window * 1000:.0f} ms"
            raise DataError(message, path) if path is not None else ArgumentError(message)
        return sound

    def encode(self, given: Sound, options: Settings | None = None) -> Arrays:
        """Return `frames` (T, F)."""
        return {"frames": self.format.frames(given)}

    @property
    def step_size(self) -> float:
        """How far a step of the network goes, in seconds."""
        return self.format.step_seconds

    def count_steps(self, arrays: Arrays) -> int:
        """Return how many steps of the network a sound has."""
        return self.format.steps(len(arrays["frames"]))

    def extent(self, arrays: Arrays) -> str:
        """Return how long it is."""
        mel = self.format.mel
        return f"{((len(arrays['frames']) - 1) * mel.step + mel.width) / mel.rate:.2f} s of sound"

    def collate(
        self, model: AnyFitted, examples: Sequence[Arrays], draw: np.random.Generator | None = None
    ) -> dict[str, Tensor]:
        """Return `frames` (T, B, F) and `lengths` (B,); varied while training."""
        frames = [example["frames"] for example in examples]
        options, stride = SoundOptions.of(model.options), self.format.stride
        if draw is not None and options.augment:
            how = Variation(options.speed, options.gain, options.noise, options.hide_time, options.hide_bands)
            blank = stacked_frames(model.network).frames.mean.cpu().numpy()
            # the last step may be of a single frame
            least = [max(1, (model.output.least_steps(example) - 1) * stride + 1) for example in examples]
            mel = self.format.mel
            frames = [varied(f, mel, how, draw, blank, n) for f, n in zip(frames, least, strict=True)]
        return {"frames": padded(frames), "lengths": lengths_of(frames)}

    def feed(self, data: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Return frames and their lengths."""
        return data["frames"], data["lengths"]

    def spans(self, data: Mapping[str, Tensor]) -> Tensor:
        """Return the steps from the first to the last that is loud."""
        spans = active_spans(data["frames"].mean(2), data["lengths"])
        # a step of which one frame is loud is loud
        spans[:, 1] += self.format.stride - 1
        return spans // self.format.stride

    def layer(self, network: Mapping[str, Any]) -> StackedFrames:
        """Return what standardises, stacks and maps frames."""
        return sound_layer(SoundNetwork.picked(network), self.format.mel.bands, self.format.stride)

    def plan(self, options: Settings, store: ExampleStore) -> Json:
        """Return what was fitted: each step sees one before it again, and is as wide as there are bands in it."""
        bands, stride = self.format.mel.bands, self.format.stride
        fitted = {"bands": bands, "stride": stride, "left": stride, "input_size": min(256, 2 * bands * stride)}
        return {**super().plan(options, store), **fitted}

    def standardise(self, network: nn.Module, store: ExampleStore) -> None:
        """Standardise frames by the mean and the spread of the training data."""
        standardise_frames(stacked_frames(network), store)

    def facts(self, train: Sequence[Example], dev: Sequence[Example]) -> Json:
        """Return how much sound there is, and the rate it is heard at."""
        return {
            "train_hours": round(seconds_in(train) / 3600, 4),
            "dev_hours": round(seconds_in(dev) / 3600, 4),
            "rate": self.format.mel.rate,
        }

    def measured(self, examples: Sequence[Example], seconds: float) -> Json:
        """Return how much was heard, and how long that took for each second of it."""
        heard = seconds_in(examples)
        return {"sound_seconds": heard, "real_time": seconds / heard}

    def shown(self, given: Sound, arrays: Arrays) -> results.Shown:
        """Return how long it is, and what was done to it."""
        notes, rate = [], self.format.mel.rate
        if given.channels > 1:
            notes.append(f"{given.channels} channels were mixed into one")
        if given.rate != rate:
            notes.append(f"resampled from {given.rate} to {rate} Hz")
        if given.is_silent:
            notes.append("silent throughout")
        return ShownSound(seconds=given.seconds, notes=tuple(notes))

    def to_json(self, given: Sound) -> Json:
        """Return the sound as a WAV file."""
        return {"sound": base64.b64encode(wav(given)).decode()}

    def features(self, examples: Sequence[Arrays]) -> NDArray[np.float32]:
        """Return the mean and the standard deviation of each sound's frames, (N, 2F)."""
        frames = [example["frames"] for example in examples]
        return np.stack([np.concatenate([one.mean(axis=0), one.std(axis=0)]) for one in frames])

    def steps(self, model: AnyFitted, given: Sound, limit: int) -> InputSteps:
        """Lay out a sound by the steps of the network."""
        return sound_steps(self.format, self.format.frames(given), limit)

    def stream(self, model: AnyFitted) -> SoundStream:
        """Return what turns samples as they come into steps."""
        return SoundStream(self.format, stacked_frames(model.network))


def excerpt_of(given: object) -> Excerpt:
    """Return where the sound of an example is: an `Excerpt` as it is, or the whole of a file.

    Raises:
        StorageError, DataError: as `read_header`.
        ArgumentError: it is neither.
    """
    if isinstance(given, Excerpt):
        return given
    if isinstance(given, (str, Path)):
        return Excerpt(Path(given), read_header(given))
    if isinstance(given, Sound):
        return Excerpt(Path("sound"), SoundHeader(given.rate, given.channels, len(given.samples)))
    raise ArgumentError(f"given: expected a path, an Excerpt or a Sound, found {type(given).__name__}")


def usual_rate(examples: Sequence[Example]) -> int:
    """Return the rate that most of the examples' sound has, Hz; of equally frequent ones the first."""
    return Counter(excerpt_of(example.given).header.rate for example in examples).most_common(1)[0][0]


def seconds_in(examples: Sequence[Example]) -> float:
    """Return how much sound there is in all."""
    return sum(excerpt_of(example.given).seconds for example in examples)
