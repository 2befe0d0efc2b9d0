"""How fast a network trains, by a clock of the test's own."""

from __future__ import annotations

from itertools import count

import torch

from unrolled.training import updates_per_second

from .toy_run import ToyLearner, ToyWindows, toy_settings


def test_the_speed_is_measured_in_steps_that_are_timed() -> None:
    learner, windows = ToyLearner(), ToyWindows()
    ticks = count()
    before = torch.get_rng_state()
    # the clock goes on by a second each time: as many steps as there are seconds
    assert updates_per_second(learner, windows, toy_settings(), 5.0, lambda: float(next(ticks))) == 1.0
    assert windows.position == 6
    assert torch.equal(before, torch.get_rng_state())
    assert updates_per_second(learner, windows, toy_settings(), 0.0, lambda: next(ticks) / 4) == 4.0
