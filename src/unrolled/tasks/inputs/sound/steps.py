"""The steps of sound, called by when they begin."""

from __future__ import annotations

import torch

from unrolled.data.sound.spectrograms import Frames
from unrolled.tasks.core.probe import last_steps
from unrolled.tasks.core.values import InputSteps
from unrolled.tasks.inputs.sound.format import SoundFormat


def sound_steps(format: SoundFormat, frames: Frames, limit: int) -> InputSteps:
    """Name the last `limit` steps of a sound's frames (T, F)."""
    count = format.steps(len(frames))
    first, note = last_steps(count, limit, "steps")
    shown = torch.from_numpy(frames[first * format.stride :]).unsqueeze(1)
    names = tuple(map(format.step_name, range(first, count)))
    return InputSteps({"frames": shown, "lengths": torch.tensor([len(shown)])}, names, note)
