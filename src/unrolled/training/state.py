"""The parts of a run, saved in every checkpoint and restored from it as if the run had never stopped."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Generic

import torch
from torch import Tensor

from unrolled.errors import CheckpointError
from unrolled.storage import make_folder
from unrolled.training.contract import B, Batches, Learner
from unrolled.training.criteria import Best, Progress
from unrolled.training.distributed import part_of_state, whole_state, workers
from unrolled.training.gradients.flow import FlowMonitor
from unrolled.training.gradients.verdict import CLIPPING
from unrolled.training.optimisation.averaging import NoAveraging, make_averaging
from unrolled.training.optimisation.finite import GradientWatch
from unrolled.training.optimisation.optimisers import make_optimiser, trainable_parameters
from unrolled.training.optimisation.schedules import Schedule, make_schedule
from unrolled.training.overfitting import Overfitting
from unrolled.training.precision import choose_precision
from unrolled.training.progress import Reporter
from unrolled.training.saving.checkpoints import Checkpoints
from unrolled.training.saving.files import Journal, NoJournal
from unrolled.training.saving.packing import Nest, move
from unrolled.training.saving.randomness import random_state, set_random_state
from unrolled.training.settings import TrainingSettings


@dataclass
class LogWindow:
    """Sums over the steps since the last logged line, skipped steps left out except for their time."""

    total: float = 0.0
    count: int = 0
    steps: int = 0
    norms: float = 0.0
    clipped: int = 0
    seconds: float = 0.0


class RunState(Generic[B]):
    """Everything that the loop's six steps work on.

    Args:
        learner, batches, settings, out, identity, reporter, options: as for `loop.fit`.

    Raises:
        ArgumentError: nothing to train, or no criterion is set.
        StorageError: the folder can't be written.
    """

    def __init__(
        self,
        learner: Learner[B],
        batches: Batches[B],
        settings: TrainingSettings,
        out: Path,
        identity: Mapping[str, Any],
        reporter: Reporter,
        options: Collection[str] | None = None,
    ) -> None:
        self.workers = workers()
        self.learner, self.settings, self.reporter = learner, settings, reporter
        self.batches = self.workers.part_of(batches)
        # where time alone is the end, nobody has said how often the data may be seen
        self.overfitting = Overfitting() if settings.minutes and settings.patience is None else None
        self.criteria = [*settings.criteria(), *([] if self.overfitting is None else [self.overfitting])]
        self.progress = Progress(batches.batches_per_epoch, Best(settings.monitor))
        self.parameters = trainable_parameters(learner.network)
        self.device = self.parameters[0].device
        self.precision = choose_precision(settings.precision, self.device)
        self.optimiser = make_optimiser(self.parameters, settings)
        self.schedule = make_schedule(settings, self.criteria)
        self.averaging = make_averaging(self.parameters, settings)
        self.carried: Nest = None
        self.window = LogWindow()
        in_place = {CLIPPING} if settings.clip_norm is not None and settings.clip_norm <= 1 else ()
        self.flow = FlowMonitor(learner.network, options, in_place)
        make_folder(out)
        journal = Journal if self.workers.leads else NoJournal
        self.checkpoints = Checkpoints(out / "checkpoints", identity, writes=self.workers.leads)
        self.metrics, self.samples = journal(out / "metrics.jsonl"), journal(out / "samples.md")
        self.saved_step: int | None = None
        self.sampled_step: int | None = None
        self.lr = settings.lr
        self.watch = GradientWatch()
        self._improved = self._unsaved = self.interrupted = False
        self._since = time.perf_counter()

    @property
    def weighs_batches(self) -> bool:
        """Whether a step is made of several batches or shares, so that each counts by its items."""
        return self.settings.accumulate > 1 or self.workers.count > 1

    def close(self) -> None:
        """Close the files."""
        self.metrics.close()
        self.samples.close()

    def state_dict(self) -> dict[str, Any]:
        """Return everything that the rest of the run depends on, and the settings for the reader's sake.

        It holds for any number of workers, each of which calls this; but only as many have their own randomness back.
        """
        states = self.workers.gathered(random_state())
        return {
            "network": self.learner.network.state_dict(),
            "optimiser": {"name": self.settings.optimiser, "state": self.optimiser.state_dict()["state"]},
            "schedule": {"name": type(self.schedule).__name__, **self.schedule.state_dict()},
            "averaging": {"name": type(self.averaging).__name__, **self.averaging.state_dict()},
            "progress": self.progress.state_dict(),
            "overfitting": None if self.overfitting is None else self.overfitting.state_dict(),
            "flow": self.flow.state_dict(),
            "carried": whole_state(self.carried),
            "batches": self.batches.state_dict(),
            "window": asdict(self.window),
            "sampled_step": self.sampled_step,
            "random": states[0],
            "random_of_others": states[1:],
            "journals": {"metrics": self.metrics.length, "samples": self.samples.length},
            "settings": self.settings.model_dump(),
        }

    def restore(self, step: int, state: Mapping[str, Any]) -> None:
        """Restore a checkpoint's state; whatever was written after it is removed from the journals.

        Raises:
            CheckpointError: its network or optimiser is not this run's.
        """
        where = self.checkpoints.path(step)
        _check_shapes(where, state["network"], self.learner.network.state_dict())
        self.learner.network.load_state_dict(state["network"])
        was, now = state["optimiser"]["name"], self.settings.optimiser
        if was != now:
            raise CheckpointError(f"{where}: trained with --optimiser {was}, and can't be resumed with {now}")
        # The groups are this run's own, so that a learning rate or decay given now is what counts.
        groups = self.optimiser.state_dict()["param_groups"]
        self.optimiser.load_state_dict(
            {"state": move(state["optimiser"]["state"], self.device), "param_groups": groups}
        )
        for parameter, moments in self.optimiser.state.items():
            # moments whose memory layout differs from their weights' (channels last) are summed in another order
            moments.update({name: _laid_out_as(parameter, value) for name, value in moments.items()})
        self.restore_part("schedule", self.schedule, state)
        self.restore_part("averaging", self.averaging, state)
        self.progress.load_state_dict(state["progress"])
        if self.overfitting is not None and state.get("overfitting"):
            self.overfitting.load_state_dict(state["overfitting"])
        if "flow" in state:
            self.flow.load_state_dict(state["flow"])
        self.carried = move(part_of_state(state["carried"]), self.device)
        self.batches.load_state_dict(state["batches"])
        self.window = LogWindow(**state["window"])
        self.sampled_step = state["sampled_step"]
        for name, journal in (("metrics", self.metrics), ("samples", self.samples)):
            if not journal.truncate(state["journals"][name]):
                self.reporter.notice(f"{journal.path}: lines of before step {step} are missing from it")
        states = [state["random"], *state.get("random_of_others", ())]
        if self.workers.rank < len(states):
            set_random_state(states[self.workers.rank])
        self.saved_step = step

    def restore_part(self, name: str, part: Schedule | NoAveraging, state: Mapping[str, Any]) -> None:
        """Restore a schedule or an average, unless the settings now name another kind."""
        saved = dict(state[name])
        kind = saved.pop("name")
        if kind == type(part).__name__:
            part.load_state_dict(saved)
        else:
            self.reporter.notice(f"the {name} was {kind} and is {type(part).__name__} from here on")


def _laid_out_as(like: Tensor, value: Any) -> Any:
    """Return a tensor of the same shape in the memory layout of `like`; anything else unchanged."""
    if not isinstance(value, Tensor) or value.shape != like.shape or value.stride() == like.stride():
        return value
    return torch.empty_like(like, dtype=value.dtype).copy_(value)


def _check_shapes(where: Path, saved: Mapping[str, Tensor], here: Mapping[str, Tensor]) -> None:
    """Refuse weights that are not this network's, naming the first that differs."""
    for name in [*here, *saved]:
        shapes = [tuple(table[name].shape) if name in table else None for table in (saved, here)]
        if shapes[0] != shapes[1]:
            raise CheckpointError(
                f"{where}: belongs to another network: {name} has shape {shapes[0]} there and {shapes[1]} here"
            )
