"""What stands beside a labelling network: the same encoder without recurrence, and the most frequent label."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from unrolled.data import Arrays, ExampleStore
from unrolled.layers.inputs.clips import with_differences
from unrolled.tasks.core.example_task import Material
from unrolled.tasks.core.values import Progress
from unrolled.tasks.uses.label.per_step import load_per_frame, train_per_frame
from unrolled.tasks.uses.label.plan import build_per_frame, standardise
from unrolled.tasks.uses.label.scoring import (
    Labels,
    best_weight,
    chosen_labels,
    frame_by_frame,
    log_probabilities,
    mean_loss,
    scores_of,
    targets_of,
    transitions_of,
)
from unrolled.training import Batches, TrainingSettings, seed_everything

if TYPE_CHECKING:
    from unrolled.tasks.core.fitted import Fitted
    from unrolled.tasks.inputs.frames.encode import StepEncoders

#: recordings that the statistics of steps are taken from
MEASURED = 400


def measured(store: ExampleStore, *, differences: bool) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of steps, by channel or feature, and of their differences behind them if wanted."""
    count = 0
    total: Any = 0.0
    squares: Any = 0.0
    for n in np.linspace(0, len(store) - 1, min(MEASURED, len(store))).astype(int):
        x = torch.from_numpy(np.array(store[int(n)]["x"])).double()
        x = (with_differences(x) if differences else x).flatten(0, -2)
        total, squares, count = total + x.sum(0), squares + x.square().sum(0), count + len(x)
    mean = torch.as_tensor(total / count)
    return mean.float(), (torch.as_tensor(squares / count) - mean.square()).clamp(min=0).sqrt().float()


def start_from_frequencies(network: Any, targets: Labels) -> Tensor:
    """Start the output bias at the labels' log-frequencies; returns each label's share, (K,)."""
    labels = np.concatenate([t[t >= 0] for t in targets])
    counts = np.bincount(labels, minlength=network.output.classes).astype(np.float64) + 0.5
    shares = torch.from_numpy(counts / counts.sum())
    with torch.no_grad():
        network.output.bias.copy_(shares.log())
    return shares


def fit_comparison(
    model: Fitted,
    material: Material,
    batches: Batches,
    settings: TrainingSettings,
    epochs: float,
    metric: str,
    progress: Progress,
) -> dict[str, Any]:
    """Train the per-frame model on what the model was trained on, and leave it in the model's folder.

    It may weigh transitions as the model does: their weight is chosen for it on the same development data.

    Args:
        model: trained; has a folder.
        material, batches, settings: what it was trained on, and how.
        epochs: passes over the data, at most.
        metric: by which the weight of transitions is chosen.
        progress: told how far it has come.

    Returns:
        What is known about it, as JSON.
    """
    assert model.folder is not None
    network: Any = model.network
    background = model.encoders.background_number
    seed_everything(settings.seed)
    per_frame = build_per_frame(model.config.network, model.encoders)
    standardise(per_frame.inputs, *measured(material.train, differences=False))
    start_from_frequencies(per_frame, targets_of(material.train))
    per_frame.to(next(network.parameters()).device)
    known = train_per_frame(
        per_frame,
        material.dev,
        batches,
        settings.replace(epochs=epochs),
        model.folder,
        background=background,
        identity={"network": model.config.network, "batching": model.config.batching, "data": model.config.data},
        progress=progress,
    )
    log_probs = log_probabilities(per_frame, frame_by_frame(per_frame), material.dev)
    weight = best_weight(targets_of(material.dev), log_probs, transitions_of(network), background, metric)
    return {**known, "transition_weight": weight}


def compared(model: Fitted, examples: list[Arrays], targets: Labels) -> dict[str, Any]:
    """The per-frame model's metrics, with transitions too where they help it, and those of one label everywhere.

    A model whose training was interrupted has no per-frame model; the most frequent label then stands alone.
    """
    encoders: StepEncoders = model.encoders
    network: Any = model.network
    frequent, background = int(network.label_frequency.argmax()), encoders.background_number
    majority = scores_of(targets, [np.full(len(t), frequent) for t in targets], background)
    per_frame = build_per_frame(model.config.network, encoders)
    if model.folder is None or not load_per_frame(per_frame, model.folder):
        return {"model": f"{encoders.labels[frequent]!r} everywhere", **majority}
    per_frame.to(next(network.parameters()).device)
    log_probs = log_probabilities(per_frame, frame_by_frame(per_frame), examples)
    alone = chosen_labels(log_probs, transitions_of(network), 0.0)
    beside = {
        "model": "each step alone, without recurrence",
        "loss": mean_loss(targets, log_probs),
        **scores_of(targets, alone, background),
        "majority": majority,
    }
    weight = model.fitted.get("per_frame", {}).get("transition_weight", 0.0)
    if weight:
        smoothed = chosen_labels(log_probs, transitions_of(network), weight)
        beside["with_transitions"] = scores_of(targets, smoothed, background)
    return beside
