"""Plans: training settings, networks and schedules that fit how much data there is."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch

from unrolled.data import ExampleStore
from unrolled.data.core.pieces import Pieces
from unrolled.errors import ArgumentError
from unrolled.settings import Settings
from unrolled.tasks.core.contract import AnyInput, AnyOutput, AnyUse
from unrolled.tasks.core.fitted import Fitted
from unrolled.tasks.core.folder.config import ModelConfig
from unrolled.tasks.core.recurrent import RecurrentOptions
from unrolled.tasks.core.values import Plan
from unrolled.training import TrainingSettings, own_device, updates_per_second
from unrolled.types import Json

#: sequences longer than this are learned from in pieces, where every step has a target
LONG, WINDOW = 400, 256
#: steps of little data, and of much
SOME, MANY = 20_000, 200_000
#: what is spent on measuring how fast a network trains: a share of the time given, and seconds at most
MEASURING, LONGEST_MEASURING = 0.02, 3.0


def plan_epochs(
    examples: int, batch_size: int, training: Mapping[str, Any], *, epochs: float, patience: int, **chosen: Any
) -> TrainingSettings:
    """Training settings in which an epoch is the measure: evaluated, sampled and saved once in each.

    Args:
        examples: N of the training data.
        batch_size: B.
        training: the settings that the user gave; they overrule everything.
        epochs: at most so many, and with `patience`, where the user named no end.
        patience: evaluations without a better metric after which it ends.
        chosen: further settings, e.g. lr, dropout's companions, monitor.
    """
    given = {k: v for k, v in training.items() if v is not None}
    steps = max(1, math.ceil(examples / batch_size))
    settings: dict[str, Any] = {
        "warmup_steps": min(200, max(1, steps // 2)),
        "evaluate_every": steps,
        "sample_every": steps,
        "save_every": steps,
        "log_every": 10,
        **chosen,
    }
    if not any(given.get(name) is not None for name in ("steps", "epochs", "minutes")):
        settings |= {"epochs": epochs, "patience": patience}
    return TrainingSettings(**{**settings, **given})


def plan_recurrent(
    source: AnyInput,
    output: AnyOutput,
    store: ExampleStore,
    options: Settings,
    training: Mapping[str, Any],
    *,
    network: Mapping[str, Any] | None = None,
    batch_sizes: tuple[int, int, int] = (8, 16, 32),
    updates: int = 1000,
    **schedule: Any,
) -> Plan:
    """Return a network and a schedule by how many steps there are: the plan of a use that has none of its own.

    Args:
        source: what the network reads; plans its own settings.
        output: what it answers; likewise.
        store: the training data, encoded.
        options: of the use, `RecurrentOptions` among them; `batch_size` and `window` are read where it has them.
        training: the training settings that were given.
        network: settings to choose where the options leave them open, instead of the usual ones.
        batch_sizes: B of less than 1,000 sequences, of less than 10,000, and of more.
        updates: after which a network has learned what it can, about.
        schedule: training settings to choose instead of the usual ones.
    """
    chosen, part = RecurrentOptions.of(options), source.length_of
    lengths = source.lengths(store)
    steps, longest = (len(store), 1) if lengths is None else (int(lengths.sum()), int(lengths.max()))
    window, examples = 0, len(store)
    if part is not None and output.synced:
        window = getattr(options, "window", None) or (WINDOW if longest > LONG else 0)
        examples = len(Pieces(store, part, window)) if window else examples
    usual = {"hidden_size": 64 if steps < SOME else 128 if steps < MANY else 256, "num_layers": 1, "dropout": 0.3}
    planned: Json = {
        **{name: value for name, value in usual.items() if name in output.Network.model_fields},
        **(network or {}),
        **source.plan(options, store),
        **output.plan(options, store),
    }
    batch = getattr(options, "batch_size", None) or batch_sizes[(examples >= 1000) + (examples >= 10_000)]
    batches = max(1, math.ceil(examples / batch))
    settings = {
        "epochs": min(150, max(20, round(updates / batches))),
        # the schedule has its own end: stopping before it would leave the learning rate high
        "patience": 10**6,
        "lr": 2e-3,
        "weight_decay": 0.02,
        "averaging": "ema",
        # about one pass, so that short runs do not average in where they began
        "ema_decay": 1 - 1 / min(500, max(20, batches)),
    }
    sizes = f"{planned.get('num_layers', 1)} × {planned.get('hidden_size', 'no')}"
    reasons = [f"{sizes} {chosen.cell} units for {steps:,} steps"]
    if window:
        reasons.append(f"pieces of {window} steps, as sequences are up to {longest:,} long")
    reasons.append(f"{examples:,} sequences or pieces of them, {batch} a step")
    fitting = plan_epochs(examples, batch, training, **{**settings, **schedule})
    return Plan(planned, fitting, {"batch_size": batch, "window": window}, reasons)


def measured_speed(use: AnyUse, material: Any, options: Settings, plan: Plan, candidates: int = 1) -> float:
    """Return how many steps a second this machine trains what a plan says, by doing some.

    Args:
        use: whose plan it is.
        material: the data, as the use prepared it.
        options: of the use.
        plan: network, batching, and settings that have `minutes`.
        candidates: plans that are to be measured, which share the time for it.
    """
    parts = use.parts(material)
    network = use.build(plan.network, parts).to(chosen_device(plan.training.device))
    chosen, training = options.model_dump(exclude_unset=True), plan.training.model_dump()
    config = ModelConfig(task=use.name, options=chosen, network=plan.network, training=training, batching=plan.batching)
    model = Fitted(config, options, parts, network)
    seconds = min(MEASURING * 60 * (plan.training.minutes or 0.0), LONGEST_MEASURING) / candidates
    return updates_per_second(
        use.learner(model, material, plan.training),
        use.batches(model, material, plan.training),
        plan.training,
        seconds,
    )


def chosen_device(name: str) -> torch.device:
    """Return the device called `name`; "auto" is a GPU if there is one, of several workers each its own.

    Raises:
        ArgumentError: torch knows no such device, or this machine has none.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    name = own_device(name)
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ArgumentError(f"--device: {name!r} can't be used here: {str(error).splitlines()[0]}") from error
    return device
