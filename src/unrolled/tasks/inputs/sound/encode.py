"""What turns sound into frames and transcripts into units, and back: fitted on training data, kept as labels.json."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unrolled.data.sound.files import Sound
from unrolled.data.sound.resampling import resampled
from unrolled.data.sound.spectrograms import Frames, LogMel
from unrolled.data.sound.transcripts import Utterance, plain_text
from unrolled.errors import ArgumentError, DataError, ModelError
from unrolled.tasks.core.example_task import read_json, write_json

LABELS = "labels.json"
_FORMAT = "unrolled.speech"

Units = Literal["characters", "words"]
TextForm = Literal["plain", "as_is"]

#: sound is taken at its own rate, up to this, Hz: speech has little above half of it
FASTEST = 16_000
#: up to so many words, each said so often on average, are units of their own: a closed vocabulary, such as commands
FEW_WORDS, OFTEN = 500, 8
#: frames a step where every text can be spelled with that; fewer where it can't
STRIDE = 3


@dataclass(frozen=True)
class SpeechEncoders:
    """Sound → frames, text → units, and units → text.

    Attributes:
        mel: makes frames of samples.
        units: what a class stands for.
        vocabulary: the text of each class; class 0 is CTC's blank and has none.
        text: "plain" is lower case without punctuation.
        stride: frames a step of the network.
        per_utterance: whether each utterance's frames are standardised by themselves, which needs all of it.
    """

    mel: LogMel
    units: Units
    vocabulary: tuple[str, ...]
    text: TextForm
    stride: int
    per_utterance: bool = False

    @property
    def between(self) -> str:
        """What stands between the text of two units."""
        return " " if self.units == "words" else ""

    @property
    def step_seconds(self) -> float:
        """How far a step of the network goes."""
        return self.stride * self.mel.step / self.mel.rate

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {unit: n for n, unit in enumerate(self.vocabulary) if n}

    def normalised(self, text: str) -> str:
        """A transcript as the model is to write it, and as it is scored."""
        return plain_text(text) if self.text == "plain" else " ".join(text.split())

    def units_of(self, text: str) -> tuple[NDArray[np.int32], list[str]]:
        """The classes of a normalised text, (U,), and what of it has none."""
        numbers, parts = self._numbers, _parts(text, self.units)
        return np.array([numbers[p] for p in parts if p in numbers], np.int32), [p for p in parts if p not in numbers]

    def spelled(self, units: Sequence[int]) -> str:
        """The text of some classes, one space between words."""
        return " ".join(self.between.join(self.vocabulary[unit] for unit in units).split())

    def frames(self, sound: Sound) -> Frames:
        """(T, F); T may be 0."""
        frames = self.mel(resampled(sound, self.mel.rate).samples)
        if self.per_utterance and len(frames):
            frames = (frames - frames.mean(axis=0)) / (frames.std(axis=0) + 1e-2)
        return frames

    def steps(self, frames: int) -> int:
        """Steps of the network for T frames."""
        return -(-frames // self.stride)

    def steps_in(self, seconds: float) -> int:
        """Steps of the network for so much sound."""
        return self.steps(self.mel.count(round(seconds * self.mel.rate)))

    def save(self, folder: Path) -> None:
        """Write labels.json.

        Raises:
            StorageError: it can't be written.
        """
        names = ("units", "vocabulary", "text", "stride", "per_utterance")
        write_json(
            folder / LABELS, {"format": _FORMAT, "mel": self.mel.as_json(), **{n: getattr(self, n) for n in names}}
        )

    @classmethod
    def load(cls, folder: Path) -> SpeechEncoders:
        """Read labels.json.

        Raises:
            ModelError, StorageError: it is missing or damaged.
        """
        path = folder / LABELS
        raw = read_json(path)
        try:
            if raw["format"] != _FORMAT:
                raise ValueError(f"its format is not {_FORMAT!r}")
            found = cls(
                mel=LogMel(**raw["mel"]),
                units=raw["units"],
                vocabulary=tuple(raw["vocabulary"]),
                text=raw["text"],
                stride=raw["stride"],
                per_utterance=raw["per_utterance"],
            )
            found._check()
        except (KeyError, TypeError, ValueError) as error:
            raise ModelError(f"{path}: corrupt, {error}; restore it from a copy of the model") from error
        return found

    def _check(self) -> None:
        strings = all(isinstance(unit, str) for unit in self.vocabulary)
        if not strings or len(set(self.vocabulary)) != len(self.vocabulary) or self.vocabulary[:1] != ("",):
            raise ValueError("vocabulary: expected different strings, the first empty")
        if self.units not in ("characters", "words") or self.text not in ("plain", "as_is"):
            raise ValueError(f"units, text: {self.units!r}, {self.text!r}")
        if not isinstance(self.stride, int) or not 1 <= self.stride <= 100 or not isinstance(self.per_utterance, bool):
            raise ValueError(f"stride, per_utterance: {self.stride!r}, {self.per_utterance!r}")


def fit_encoders(
    train: Sequence[Utterance],
    *,
    units: Literal["auto", "characters", "words"] = "auto",
    text: TextForm = "plain",
    rate: int | None = None,
    bands: int | None = None,
    stride: int | None = None,
    per_utterance: bool = False,
) -> SpeechEncoders:
    """Choose what is open by the training data, and collect its vocabulary.

    Raises:
        DataError: there is no text in it.
        ArgumentError: a rate or number of bands that makes no spectrogram.
    """
    rates = Counter(utterance.header.rate for utterance in train)
    if rate is None:
        rate = min(FASTEST, rates.most_common(1)[0][0])
    if bands is None:
        bands = 40 if rate < 12_000 else 64
    mel = LogMel(rate, bands)
    form = SpeechEncoders(mel, "words", ("",), text, 1, per_utterance)
    texts = [form.normalised(utterance.text) for utterance in train]
    words = Counter(word for one in texts for word in one.split())
    if not words:
        raise DataError("no text in any of the training data's transcripts", train[0].path)
    if units == "auto":
        is_closed = len(words) <= FEW_WORDS and sum(words.values()) >= OFTEN * len(words)
        units = "words" if is_closed else "characters"
    vocabulary = ("", *sorted({part for one in texts for part in _parts(one, units)}))
    found = SpeechEncoders(mel, units, vocabulary, text, stride or STRIDE, per_utterance)
    while stride is None and found.stride > 1 and _fitting(found, train, texts) < 0.995:
        found = replace(found, stride=found.stride - 1)
    return found


def _fitting(encoders: SpeechEncoders, train: Sequence[Utterance], texts: Sequence[str]) -> float:
    """The share of utterances that are long enough for what is said in them."""
    pairs = zip(train, texts, strict=True)
    return sum(encoders.steps_in(u.seconds) >= steps_needed(encoders.units_of(t)[0]) for u, t in pairs) / len(train)


def encode_utterance(utterance: Utterance, encoders: SpeechEncoders) -> dict[str, NDArray[Any]]:
    """An example for training: `frames` (T, F), `units` (U,), `text` (bytes of UTF-8).

    Raises:
        StorageError, DataError: the sound can't be read, is too short for a frame, or for what is said in it.
    """
    frames = read_frames(utterance, encoders)
    text = encoders.normalised(utterance.text)
    units, _ = encoders.units_of(text)
    needed, there = steps_needed(units), encoders.steps(len(frames))
    if needed > there:
        raise DataError(
            f"{len(units)} {encoders.units} need {needed} steps of CTC, and {utterance.seconds:.2f} s of sound make "
            f"{there}: is it the right transcript? A smaller --stride makes more steps",
            utterance.path,
            utterance.line,
        )
    return {"frames": frames, "units": units, "text": np.frombuffer(text.encode(), np.uint8)}


def read_frames(utterance: Utterance, encoders: SpeechEncoders) -> Frames:
    """The frames of an utterance, one at least.

    Raises:
        StorageError, DataError: the sound can't be read, or is too short; names the manifest's line.
    """
    try:
        return frames_of(utterance.sound(), encoders)
    except (DataError, ArgumentError) as error:
        text = str(error)
        place = "" if str(utterance.audio) in text else f"{utterance.audio}: "
        raise DataError(place + text, utterance.path, utterance.line) from error


def frames_of(sound: Sound, encoders: SpeechEncoders) -> Frames:
    """The frames of a sound, one at least.

    Raises:
        ArgumentError: it is shorter than one.
    """
    frames = encoders.frames(sound)
    if not len(frames):
        raise ArgumentError(
            f"sound: {sound.seconds * 1000:.0f} ms are too short, a frame covers {encoders.mel.window * 1000:.0f} ms"
        )
    return frames


def speech_spans(frames: Tensor, lengths: Tensor) -> Tensor:
    """The first and the last frame in which somebody speaks: that are louder than four tenths of the way from the
    quietest twentieth to the loudest.

    Args:
        frames: (T, B, F) log-mel.
        lengths: (B,) frames, one at least.

    Returns:
        (B, 2) int64.
    """
    found = torch.zeros(len(lengths), 2, dtype=torch.int64, device=frames.device)
    for b, length in enumerate(lengths.tolist()):
        loudness = frames[:length, b].mean(1)
        low, high = torch.quantile(loudness, 0.05), torch.quantile(loudness, 0.95)
        loud = (loudness >= low + 0.4 * (high - low)).nonzero()
        found[b, 0], found[b, 1] = loud[0, 0], loud[-1, 0]
    return found


def steps_needed(units: NDArray[np.integer[Any]]) -> int:
    """The steps that CTC needs for some units: one each, and one between two equal ones."""
    return len(units) + int((units[1:] == units[:-1]).sum())


def _parts(text: str, units: str) -> list[str]:
    return text.split() if units == "words" else list(text)
