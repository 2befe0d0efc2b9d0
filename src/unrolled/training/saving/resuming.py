"""The whole state of a run as one nest, and a run put back into it, so that it goes on as if it had never stopped."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from unrolled.errors import CheckpointError
from unrolled.training.optimisation.averaging import NoAveraging
from unrolled.training.optimisation.schedules import Schedule
from unrolled.training.saving.packing import move
from unrolled.training.saving.randomness import random_state, set_random_state

if TYPE_CHECKING:
    from unrolled.training.run import Run


def state_of(run: Run) -> dict[str, Any]:
    """Everything that decides how a run goes on, and the settings for the reader's sake."""
    return {
        "network": run.learner.network.state_dict(),
        "optimiser": {"name": run.settings.optimiser, "state": run.optimiser.state_dict()["state"]},
        "schedule": {"name": type(run.schedule).__name__, **run.schedule.state_dict()},
        "averaging": {"name": type(run.averaging).__name__, **run.averaging.state_dict()},
        "progress": run.progress.state_dict(),
        "flow": run.flow.state_dict(),
        "carried": run.carried,
        "batches": run.batches.state_dict(),
        "window": asdict(run.window),
        "sampled_step": run.sampled_step,
        "random": random_state(),
        "journals": {"metrics": run.metrics.length, "samples": run.samples.length},
        "settings": run.settings.model_dump(),
    }


def restore(run: Run, step: int, state: Mapping[str, Any]) -> None:
    """Put a run into a checkpoint's state; what was written after that is taken back.

    Raises:
        CheckpointError: its network or optimiser is not this run's.
    """
    where = run.checkpoints.path(step)
    _check_shapes(where, state["network"], run.learner.network.state_dict())
    run.learner.network.load_state_dict(state["network"])
    was, now = state["optimiser"]["name"], run.settings.optimiser
    if was != now:
        raise CheckpointError(f"{where}: trained with --optimiser {was}, and can't be resumed with {now}")
    # The groups are this run's own, so that a learning rate or decay given now is what counts.
    groups = run.optimiser.state_dict()["param_groups"]
    run.optimiser.load_state_dict({"state": move(state["optimiser"]["state"], run.device), "param_groups": groups})
    for parameter, kept in run.optimiser.state.items():
        # moments that lie in memory otherwise than their weights (channels last) are added up in another order
        kept.update({name: laid_out_as(parameter, value) for name, value in kept.items()})
    restore_part(run, "schedule", run.schedule, state)
    restore_part(run, "averaging", run.averaging, state)
    run.progress.load_state_dict(state["progress"])
    if "flow" in state:
        run.flow.load_state_dict(state["flow"])
    run.carried = move(state["carried"], run.device)
    run.batches.load_state_dict(state["batches"])
    run.window = type(run.window)(**state["window"])
    run.sampled_step = state["sampled_step"]
    for name, journal in (("metrics", run.metrics), ("samples", run.samples)):
        if not journal.take_back(state["journals"][name]):
            run.reporter.notice(f"{journal.path}: lines of before step {step} are missing from it")
    set_random_state(state["random"])
    run.saved_step = step


def laid_out_as(like: Tensor, value: Any) -> Any:
    """A tensor of the same shape in the same memory layout; anything else as it is."""
    if not isinstance(value, Tensor) or value.shape != like.shape or value.stride() == like.stride():
        return value
    return torch.empty_like(like, dtype=value.dtype).copy_(value)


def restore_part(run: Run, name: str, part: Schedule | NoAveraging, state: Mapping[str, Any]) -> None:
    """Put a schedule or an average back into its state, unless another kind is asked for now."""
    saved = dict(state[name])
    kind = saved.pop("name")
    if kind == type(part).__name__:
        part.load_state_dict(saved)
    else:
        run.reporter.notice(f"the {name} was {kind} and is {type(part).__name__} from here on")


def _check_shapes(where: Path, saved: Mapping[str, Any], here: Mapping[str, Any]) -> None:
    """Refuse weights that are not this network's, naming the first that differs."""
    for name in [*here, *saved]:
        shapes = [tuple(table[name].shape) if name in table else None for table in (saved, here)]
        if shapes[0] != shapes[1]:
            raise CheckpointError(
                f"{where}: belongs to another network: {name} has shape {shapes[0]} there and {shapes[1]} here"
            )
