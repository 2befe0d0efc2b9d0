"""Trying a remedy: the same network on the same data for a few steps, as it is and with one thing changed."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from unrolled.errors import ArgumentError, ModelError
from unrolled.layers import Recurrent
from unrolled.layers.unfolding import recording
from unrolled.tasks import Model
from unrolled.training import TrainingSettings, seed_everything
from unrolled.training.flow import norms_by_lag
from unrolled.training.optimisers import clip_gradients, gradient_norm, gradients, make_optimiser, trainable_parameters
from unrolled.training.verdict import Verdict, judge


@dataclass(frozen=True)
class Remedy:
    """One change.

    Attributes:
        name: in words, and as the command spells it.
        network, training: what is different in the network's and in the training's settings.
        layer: what is different in every recurrent layer, by attribute; they are then drawn anew.
    """

    name: str
    network: Mapping[str, Any]
    training: Mapping[str, Any]
    layer: Mapping[str, Any]


@dataclass(frozen=True)
class Trial:
    """What came of one try.

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

    def as_json(self) -> dict[str, Any]:
        """As one JSON object."""
        return {**vars(self), "verdicts": [v.as_json() for v in self.verdicts]}


def remedies_for(model: Model) -> list[Remedy]:
    """The changes that this model's network and training admit."""
    network, training = model.config.network, TrainingSettings(**model.config.training)
    cells = {m.cell.name for m in model.network.modules() if isinstance(m, Recurrent)}
    found = [Remedy("orthogonal initialisation", {}, {}, {"initialisation": "orthogonal"})]
    if cells == {"lstm"}:
        found.append(Remedy("forget-gate bias 2", {}, {}, {"forget_bias": 2.0}))
    if cells == {"rnn"}:
        found.append(Remedy("identity initialisation", {}, {}, {"initialisation": "identity"}))
    if network.get("cell") == "rnn":
        found += [Remedy(f"--cell {cell}", {"cell": cell}, {}, {}) for cell in ("lstm", "gru")]
    if network.get("layer_norm") is False:
        found.append(Remedy("--layer-norm", {"layer_norm": True}, {}, {}))
    clip = 1.0 if training.clip_norm is None else training.clip_norm / 4
    found.append(Remedy(f"--clip-norm {clip:g}", {}, {"clip_norm": clip}, {}))
    found.append(Remedy(f"--lr {training.lr / 3:.3g}", {}, {"lr": training.lr / 3}, {}))
    return found


def try_remedies(
    model: Model, steps: int = 60, told: Callable[[str, int, int | None], None] | None = None
) -> list[Trial]:
    """Train an untrained copy of a model for some steps, as it was and with each remedy, all on the same batches.

    Args:
        model: as loaded from a folder that still has its training data.
        steps: of each try.
        told: about progress.

    Raises:
        ArgumentError: fewer than 10 steps, or the model was not loaded from a folder.
        ModelError: the folder no longer has its training data.
    """
    if steps < 10:
        raise ArgumentError(f"steps: expected at least 10, found {steps}")
    if model.folder is None:
        raise ArgumentError("model: trying remedies needs its folder, with the training data in it; load it from there")
    try:
        material = model.task.reopen(model.task.options(**model.config.options), model.folder)
    except (ModelError, OSError) as error:
        raise ModelError(
            f"{model.folder}: trying remedies needs the training data that a run leaves there: {error}"
        ) from error
    tries = [Remedy("as it is", {}, {}, {}), *remedies_for(model)]
    trials = []
    for number, remedy in enumerate(tries):
        if told is not None:
            told(f"trying {remedy.name}", number, len(tries))
        trials.append(_tried(model, material, remedy, steps))
    return trials


def _tried(model: Model, material: Any, remedy: Remedy, steps: int) -> Trial:
    settings = TrainingSettings(**{**model.config.training, **remedy.training})
    config = copy.deepcopy(model.config)
    config.network.update(remedy.network)
    seed_everything(settings.seed)
    network = model.task.build(config.network, model.encoders)
    model.task.initialise(network, material)
    for layer in network.modules():
        if isinstance(layer, Recurrent) and remedy.layer:
            for name, value in remedy.layer.items():
                setattr(layer, name, value)
            layer.reset_parameters()
    network.train()
    own = Model(model.task, config, model.encoders, network, model.folder)
    learner = model.task.learner(own, material, settings)
    batches = model.task.batches(own, material, settings)
    parameters = trainable_parameters(network)
    optimiser = make_optimiser(parameters, settings)
    carried, losses, largest = None, [], 0.0
    verdicts: tuple[Verdict, ...] = ()
    for step in range(steps):
        batch = batches.next_batch()
        start: Any = None if batch.resets else carried
        last = step == steps - 1
        if last:
            with recording(network, retain=True) as calls:
                report = learner.loss(batch, start)
            report.mean.backward()
            verdicts = tuple(
                judge(f"{call.name}.{name}", norms, call.layer.cell.name)
                for call in calls
                for name, norms in norms_by_lag(call).items()
            )
        else:
            report = learner.loss(batch, start)
            report.mean.backward()
        carried = report.carried
        losses.append(float(torch.as_tensor(report.total)) / max(1, report.count))
        grads = gradients(parameters)
        norm = float(torch.as_tensor(gradient_norm(grads)))
        largest = max(largest, norm)
        if norm == norm and norm != float("inf"):
            clip_gradients(grads, norm, settings)
            optimiser.step()
        optimiser.zero_grad(set_to_none=True)
    tenth = max(1, steps // 10)
    first, final = sum(losses[:tenth]) / tenth, sum(losses[-tenth:]) / tenth
    return Trial(remedy.name, first, final, largest, verdicts)
