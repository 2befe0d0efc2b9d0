"""How one network hears sound: the frames it reads, and how many of them make a step."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unrolled.data.sound.files import Sound
from unrolled.data.sound.resampling import resampled
from unrolled.data.sound.spectrograms import Frames, LogMel
from unrolled.errors import ModelError
from unrolled.types import Json

#: frames a step, where nothing else is asked for
STRIDE = 3


@dataclass(frozen=True)
class SoundFormat:
    """The form in which a network hears sound.

    Attributes:
        mel: makes frames of samples.
        stride: frames a step of the network.
        per_utterance: whether each utterance's frames are standardised by themselves, which needs all of it.
    """

    mel: LogMel
    stride: int = STRIDE
    per_utterance: bool = False

    @property
    def step_seconds(self) -> float:
        """How far a step of the network goes."""
        return self.stride * self.mel.step / self.mel.rate

    def frames(self, sound: Sound) -> Frames:
        """Return the frames of a sound at any rate, (T, F); T may be 0."""
        frames = self.mel(resampled(sound, self.mel.rate).samples)
        if self.per_utterance and len(frames):
            frames = (frames - frames.mean(axis=0)) / (frames.std(axis=0) + 1e-2)
        return frames

    def frames_in(self, seconds: float) -> int:
        """Return how many frames so much sound has."""
        return self.mel.count(round(seconds * self.mel.rate))

    def steps(self, frames: int) -> int:
        """Return how many steps of the network T frames make."""
        return -(-frames // self.stride)

    def step_name(self, step: int) -> str:
        """Return what a step is called, by when it begins: "0.42 s"."""
        return f"{step * self.step_seconds:.2f} s"

    def as_json(self) -> Json:
        """Return one JSON object."""
        return {"mel": self.mel.as_json(), "stride": self.stride, "per_utterance": self.per_utterance}

    @classmethod
    def from_json(cls, value: Any, path: Path) -> SoundFormat:
        """Return the format of an object with these fields, and maybe others.

        Args:
            value: the object.
            path: the file it was read from.

        Raises:
            ModelError: it is damaged.
        """
        try:
            stride, per_utterance = value["stride"], value["per_utterance"]
            if not isinstance(stride, int) or not 1 <= stride <= 100 or not isinstance(per_utterance, bool):
                raise ValueError(f"stride, per_utterance: {stride!r}, {per_utterance!r}")
            return cls(LogMel(**value["mel"]), stride, per_utterance)
        except (KeyError, TypeError, ValueError) as error:
            raise ModelError(f"{path}: corrupt, {error}; restore it from a copy of the model") from error
