"""Baselines of a labelling network: the same layers without recurrence, and the most frequent label."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from unrolled.data import Arrays
from unrolled.errors import ArgumentError
from unrolled.layers import CrossEntropy, InputLayer, LinearOutput
from unrolled.networks import FeedForward
from unrolled.scan import valid_steps
from unrolled.storage import has_part
from unrolled.tasks.core.examples import ExampleLearner, ExampleUse, Material
from unrolled.tasks.core.fitted import AnyFitted, check_fit
from unrolled.tasks.core.folder.files import read_arrays, write_arrays
from unrolled.tasks.core.values import DATA, Progress
from unrolled.tasks.outputs.labels.decode import log_probabilities
from unrolled.tasks.outputs.labels.network import start_from_frequencies
from unrolled.tasks.outputs.labels.options import LabelsNetwork
from unrolled.tasks.outputs.labels.scoring import Labels, mean_loss, targets_of
from unrolled.tasks.uses.label.scoring import best_weight, chosen_labels, transitions_of
from unrolled.training import QuietReporter, TrainingSettings, fit, seed_everything
from unrolled.training.progress import Snapshot
from unrolled.types import Json

BASELINE = "baseline.safetensors"
#: evaluations without a better metric after which its training ends
PATIENCE = 8


class PerFrameNetwork(nn.Module):
    """A network without recurrence that is called as a synced one: each step by itself."""

    def __init__(self, inputs: InputLayer, hidden: FeedForward, output: LinearOutput) -> None:
        super().__init__()
        self.inputs, self.hidden, self.output = inputs, hidden, output

    def forward(self, x: Tensor, state: None = None, lengths: Tensor | None = None) -> tuple[Tensor, None]:
        """Return logits (T, B, K) of steps (T, B, …), 0 beyond the lengths (B,); and no state."""
        lengths = torch.full(x.shape[1:2], len(x), device=x.device) if lengths is None else lengths
        valid = valid_steps(lengths, *x.shape[:2])
        scored: Tensor = self.output(self.hidden(self.inputs(x[valid])))
        logits = scored.new_zeros(*x.shape[:2], scored.shape[-1])
        logits[valid] = scored
        return logits, None


def per_frame_model(model: AnyFitted) -> AnyFitted:
    """Return a model like this one whose untrained network is the comparison: a hidden layer as wide as the recurrent
    ones put out, over each step alone.
    """
    network = model.config.network
    chosen, inputs = LabelsNetwork.picked(network), model.input.step_layer(network)
    width = chosen.hidden_size * (2 if chosen.bidirectional else 1)
    hidden = FeedForward(inputs.output_size, (width,), dropout=chosen.dropout)
    built = PerFrameNetwork(inputs, hidden, LinearOutput(width, len(model.output.labels)))
    built.loss = CrossEntropy(smoothing=chosen.smoothing)
    return model.adapted(network=built.to(next(model.network.parameters()).device), cache=None)


class _Counting(QuietReporter):
    """Passes on how far it has come."""

    def __init__(self, progress: Progress, steps: int) -> None:
        self._progress, self._steps = progress, steps

    def stepped(self, now: Snapshot) -> None:
        """Pass on that a step is done."""
        self._progress("training the per-frame model to compare with", now.step, self._steps)


def fit_comparison(
    use: ExampleUse[Any, Any],
    model: AnyFitted,
    material: Material[Any, Any],
    settings: TrainingSettings,
    epochs: float,
    metric: str,
    progress: Progress,
) -> Json:
    """Train the per-frame model on what the model was trained on, and leave it in the model's folder.

    It ends early when it has not become better for a while: without context there is less to learn. A run that was
    killed is resumed, unless it was of another model. It may weigh transitions as the model does: their weight is
    chosen for it on the same development data.

    Args:
        use: `label`.
        model: trained.
        material, settings: what it was trained on, and how.
        epochs: passes over the data, at most.
        metric: by which the weight of transitions is chosen.
        progress: is called as it goes.

    Returns:
        What is known about it, as JSON.

    Raises:
        ArgumentError: the model lies in no folder.
    """
    if model.folder is None:
        raise ArgumentError("model: is saved nowhere, and its comparison can't be kept")
    seed_everything(settings.seed)
    beside, targets = per_frame_model(model), targets_of(material.train)
    beside.input.standardise(beside.network, material.train)
    start_from_frequencies(beside.network, targets, len(model.output.labels))
    batches, config = use.batches(model, material, settings), model.config
    result = fit(
        ExampleLearner(use, beside, material.dev),
        batches,
        settings.replace(
            until=None, patience=PATIENCE, sample_every=0, schedule=None, keep_every=0, minutes=None, steps=None,
            epochs=epochs,
        ),
        model.folder / DATA / "per-frame",
        identity={"network": config.network, "batching": config.batching, "data": config.data},
        resume=True,
        reporter=_Counting(progress, int(epochs * batches.batches_per_epoch)),
    )  # fmt: skip
    beside.network.eval()
    state = beside.network.state_dict()
    write_arrays(model.folder / BASELINE, {name: tensor.detach().cpu().numpy() for name, tensor in state.items()})
    dev, chain = targets_of(material.dev), transitions_of(model.network)
    weight = best_weight(dev, log_probabilities(beside, material.dev), chain, model.output.background_number, metric)
    return {"epochs": result.epoch, "seconds": result.seconds, "dev": result.best, "transition_weight": weight}


def load_comparison(model: AnyFitted) -> AnyFitted | None:
    """Return the per-frame model that lies in a model's folder; None if its training was interrupted.

    Raises:
        ModelError: it is damaged, or of another network.
    """
    path = None if model.folder is None else model.folder / BASELINE
    if path is None or not has_part(path):
        return None
    beside = per_frame_model(model)
    tensors = {name: torch.from_numpy(array.copy()) for name, array in read_arrays(path).items()}
    check_fit(beside.network, {name: tuple(tensor.shape) for name, tensor in tensors.items()}, str(path))
    beside.network.load_state_dict(tensors)
    beside.network.eval()
    return beside


def compared(model: AnyFitted, examples: list[Arrays], targets: Labels) -> Json:
    """Return the per-frame model's metrics, with transitions too where they help it, and those of one label everywhere.

    A model whose training was interrupted has no per-frame model; the most frequent label then stands alone.
    """
    output, beside = model.output, load_comparison(model)
    frequent, everywhere = output.everywhere(model, targets)
    majority = output.measured(targets, everywhere)
    if beside is None:
        return {"model": f"{frequent!r} everywhere", **majority}
    log_probs, chain = log_probabilities(beside, examples), transitions_of(model.network)
    metrics = {
        "model": "each step alone, without recurrence",
        "loss": mean_loss(targets, log_probs),
        **output.measured(targets, chosen_labels(log_probs, chain, 0.0)),
        "majority": majority,
    }
    weight = model.fitted.get("per_frame", {}).get("transition_weight", 0.0)
    if weight:
        metrics["with_transitions"] = output.measured(targets, chosen_labels(log_probs, chain, weight))
    return metrics
