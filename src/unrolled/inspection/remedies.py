"""Trying a remedy: the same network on the same data for a few steps, unchanged and with one change."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from unrolled.errors import ArgumentError, ModelError
from unrolled.layers import Recurrent
from unrolled.layers.recurrent.unfolding import RecordedCall, recording
from unrolled.tasks import Model
from unrolled.tasks.core.values import Progress, silent
from unrolled.training import TrainingSettings, seed_everything
from unrolled.training.criteria import Position
from unrolled.training.gradients.flow import norms_by_lag, verdict_on
from unrolled.training.gradients.verdict import Verdict
from unrolled.training.loop import next_batches
from unrolled.training.optimisation.optimisers import (
    clip_gradients,
    gradient_norm,
    gradients,
    make_optimiser,
    trainable_parameters,
)
from unrolled.training.optimisation.schedules import make_schedule
from unrolled.training.saving.packing import Nest
from unrolled.types import Json


@dataclass(frozen=True)
class Remedy:
    """One change.

    Attributes:
        name: in words, as the command spells it.
        network, training: the changed settings of the network and of the training.
        layer: the changed attributes of every recurrent layer, whose weights are then drawn anew.
    """

    name: str
    network: Mapping[str, Any]
    training: Mapping[str, Any]
    layer: Mapping[str, Any]


@dataclass(frozen=True)
class TriedRemedy:
    """The outcome of one try.

    Attributes:
        name: the remedy, or "as it is".
        first, last: mean loss over the first and the last tenth of the steps, nats per item.
        largest: the largest norm of the gradient before clipping.
        verdicts: on each recurrent layer after the last step.
    """

    name: str
    first: float
    last: float
    largest: float
    verdicts: tuple[Verdict, ...]

    def as_json(self) -> Json:
        """Return the trial as a JSON object."""
        return {**vars(self), "verdicts": [v.as_json() for v in self.verdicts]}


def remedies_for(model: Model) -> list[Remedy]:
    """Return the changes that apply to this model's network and training; as options only those that its task has."""
    network, training = model.config.network, TrainingSettings(**model.config.training)
    cells = {m.cell.name for m in model.network.modules() if isinstance(m, Recurrent)}
    remedies = [Remedy("orthogonal initialisation", {}, {}, {"initialisation": "orthogonal"})]
    if cells == {"lstm"}:
        remedies.append(Remedy("forget-gate bias 2", {}, {}, {"forget_bias": 2.0}))
    if cells == {"rnn"}:
        remedies.append(Remedy("identity initialisation", {}, {}, {"initialisation": "identity"}))
    if network.get("cell") == "rnn":
        remedies += [
            Remedy(f"--cell {cell}", {"cell": cell}, {}, {}) for cell in ("lstm", "gru") if _admits(model, cell=cell)
        ]
    if network.get("layer_norm") is False and _admits(model, layer_norm=True):
        remedies.append(Remedy("--layer-norm", {"layer_norm": True}, {}, {}))
    clip = 1.0 if training.clip_norm is None else training.clip_norm / 4
    remedies.append(Remedy(f"--clip-norm {clip:g}", {}, {"clip_norm": clip}, {}))
    remedies.append(Remedy(f"--lr {training.lr / 3:.3g}", {}, {"lr": training.lr / 3}, {}))
    return remedies


def _admits(model: Model, **changes: Any) -> bool:
    """Return whether a model's task accepts options of these names and values."""
    if not set(changes) <= set(model.task.options.model_fields):
        return False
    try:
        model.task.options(**{**model.config.options, **changes})
    except ArgumentError:
        return False
    return True


class Tries:
    """Remedies that are ready to be tried; everything that could fail has been checked.

    Args:
        model: as loaded from a folder that still has its training data.
        steps: the number of steps of each try.

    Raises:
        ArgumentError: fewer than 10 steps, or the model was not loaded from a folder.
        ModelError: the folder no longer has its training data.
    """

    def __init__(self, model: Model, steps: int = 60) -> None:
        if steps < 10:
            raise ArgumentError(f"steps: expected at least 10, found {steps}")
        if model.folder is None:
            raise ArgumentError(
                "model: trying remedies needs its folder with the training data; load the model from there"
            )
        try:
            self._material = model.task.reopen(model.task.options(**model.config.options), model.folder)
        except (ModelError, OSError) as error:
            raise ModelError(
                f"{model.folder}: trying remedies needs the training data that a run leaves there: {error}"
            ) from error
        self._model, self._steps = model, steps
        self.remedies = [Remedy("as it is", {}, {}, {}), *remedies_for(model)]
        for remedy in self.remedies:
            self._built(remedy)

    def run(self, progress: Progress = silent) -> list[TriedRemedy]:
        """Train an untrained copy for some steps, unchanged and with each remedy, all on the same batches: those of the
        first steps of the model's own run, with its schedule and its warm-up.

        Args:
            progress: called before each try.
        """
        trials = []
        for number, remedy in enumerate(self.remedies):
            progress(f"trying {remedy.name}", number, len(self.remedies))
            trials.append(self._tried(remedy))
        return trials

    def _built(self, remedy: Remedy) -> nn.Module:
        return self._model.task.build({**self._model.config.network, **remedy.network}, self._model.parts)

    def _tried(self, remedy: Remedy) -> TriedRemedy:
        model = self._model
        settings = TrainingSettings(**{**model.config.training, **remedy.training})
        config = copy.deepcopy(model.config)
        config.network.update(remedy.network)
        seed_everything(settings.seed)
        network = self._built(remedy)
        model.task.initialise(network, self._material)
        for layer in network.modules():
            if isinstance(layer, Recurrent) and remedy.layer:
                for name, value in remedy.layer.items():
                    setattr(layer, name, value)
                layer.reset_parameters()
        network.to(next(model.network.parameters()).device).train()
        own = Model(model.task, config, model.parts, network, model.folder)
        return self._trained(remedy.name, own, settings)

    def _trained(self, name: str, own: Model, settings: TrainingSettings) -> TriedRemedy:
        learner = own.task.learner(own, self._material, settings)
        batches = own.task.batches(own, self._material, settings)
        parameters = trainable_parameters(own.network)
        optimiser = make_optimiser(parameters, settings)
        schedule = make_schedule(settings, settings.criteria())
        # a limit in minutes is used up as fast as in the model's own run
        result = own.config.result
        pace = float(result.get("seconds") or 0) / max(1, int(result.get("step") or 0))
        carried: Nest = None
        losses: list[float] = []
        largest = 0.0
        verdicts: tuple[Verdict, ...] = ()
        for step in range(self._steps):
            total, count = 0.0, 0
            for part, batch in enumerate(next_batches(batches, settings.accumulate)):
                start = None if batch.resets else carried
                last = step == self._steps - 1 and part == settings.accumulate - 1
                context: AbstractContextManager[list[RecordedCall]] = nullcontext([])
                with recording(own.network, retain=True) if last else context as calls:
                    report = learner.loss(batch, start)
                (report.mean if settings.accumulate == 1 else report.mean * report.count).backward()
                if last:
                    verdicts = tuple(
                        verdict_on(call, name, norms, own.task.trained_with)
                        for call in calls
                        for name, norms in norms_by_lag(call).items()
                    )
                carried = report.carried
                total, count = total + float(torch.as_tensor(report.total)), count + report.count
            losses.append(total / max(1, count))
            grads = gradients(parameters)
            if settings.accumulate > 1:
                torch._foreach_mul_(grads, 1 / max(1, count))
            norm = float(torch.as_tensor(gradient_norm(grads)))
            largest = max(largest, norm)
            epoch = step * settings.accumulate / batches.batches_per_epoch
            rate = settings.lr * schedule.factor(Position(step, epoch, step * pace))
            for group in optimiser.param_groups:
                group["lr"] = rate
            if norm == norm and norm != float("inf"):
                clip_gradients(grads, norm, settings)
                optimiser.step()
            optimiser.zero_grad(set_to_none=True)
        tenth = max(1, self._steps // 10)
        return TriedRemedy(name, sum(losses[:tenth]) / tenth, sum(losses[-tenth:]) / tenth, largest, verdicts)
