"""The model without recurrence that stands beside `label`: each step by itself, the same encoder, the same training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import nn

from unrolled.data import ExampleBatch, ExampleStore
from unrolled.errors import ModelError
from unrolled.storage import write_whole
from unrolled.tasks.core.example_task import on_device
from unrolled.tasks.core.values import DATA, Progress
from unrolled.tasks.uses.label.scoring import (
    frame_by_frame,
    log_probabilities,
    mean_loss,
    scores_of,
    targets_of,
)
from unrolled.training import Batches, LossReport, QuietReporter, TrainingSettings, fit
from unrolled.training.progress import Snapshot

BASELINE = "baseline.safetensors"
#: evaluations without a better metric after which its training ends
PATIENCE = 8


class PerFrameLearner:
    """Scores the steps of a batch one by one.

    Args:
        network: from (N, …) steps to (N, K) logits; carries its `loss`.
        dev: development data.
        background: the background's number, or None.
    """

    def __init__(self, network: nn.Module, dev: ExampleStore, background: int | None) -> None:
        self._network, self._dev, self._background = network, dev, background
        self._forward = frame_by_frame(network)

    @property
    def network(self) -> nn.Module:
        """The network."""
        return self._network

    def loss(self, batch: ExampleBatch, carried: Any) -> LossReport:
        """Forward through the steps of one batch."""
        data = on_device(self._network, batch.data)
        logits = self._forward(data)
        mean, total, count = self._network.loss(logits, data["targets"])  # type: ignore[operator]
        return LossReport(mean, total, count, None)

    def evaluate(self) -> dict[str, float]:
        """The same metrics as the model's."""
        targets, log_probs = targets_of(self._dev), log_probabilities(self._network, self._forward, self._dev)
        predicted = [scores.argmax(axis=1) for scores in log_probs]
        return {"loss": mean_loss(targets, log_probs), **scores_of(targets, predicted, self._background)}

    def sample(self) -> str | None:
        """None."""
        return None


class _Told(QuietReporter):
    """Passes on how far it has come."""

    def __init__(self, progress: Progress, steps: int | None) -> None:
        self._progress, self._steps = progress, steps

    def stepped(self, now: Snapshot) -> None:
        """A step is done."""
        self._progress("training the per-frame model to compare with", now.step, self._steps)


def train_per_frame(
    network: nn.Module,
    dev: ExampleStore,
    batches: Batches,
    settings: TrainingSettings,
    folder: Path,
    *,
    background: int | None,
    identity: dict[str, Any],
    progress: Progress,
) -> dict[str, Any]:
    """Train the baseline on what the model was trained on, and leave it in the model's folder.

    It ends early when it has not become better for a while: without context there is less to learn. A run that was
    killed goes on where it was.

    Args:
        network: initialised.
        dev: development data, by which the best weights are kept.
        batches: the training data, as the model saw it.
        settings: the model's, with a budget of epochs.
        folder: the model's.
        background: the background's number, or None.
        identity: what the model is, so that another model's baseline is not gone on with.
        progress: told how far it has come.

    Returns:
        Epochs, seconds and the best metrics on the development data, as JSON.
    """
    chosen = settings.replace(
        until=None, patience=PATIENCE, sample_every=0, schedule=None, keep_every=0, minutes=None, steps=None
    )
    steps = None if chosen.epochs is None else int(chosen.epochs * batches.batches_per_epoch)
    result = fit(
        PerFrameLearner(network, dev, background),
        batches,
        chosen,
        folder / DATA / "per-frame",
        identity=identity,
        resume=True,
        reporter=_Told(progress, steps),
    )
    network.eval()
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    write_whole(folder / BASELINE, save_tensors(tensors, {"format": "pt"}))
    return {"epochs": result.epoch, "seconds": result.seconds, "dev": result.best}


def load_per_frame(network: nn.Module, folder: Path) -> bool:
    """Put the baseline's weights into a network that was built for them.

    Returns:
        Whether there are any: a model whose training was interrupted has no baseline.

    Raises:
        ModelError: they are damaged, or of another network.
    """
    from unrolled.tasks.core.fitted import check_fit

    path = folder / BASELINE
    if not path.is_file():
        return False
    try:
        tensors = load_tensors(path.read_bytes())
    except (SafetensorError, OSError, ValueError) as error:
        raise ModelError(f"{path}: corrupt or cut short ({error}); restore it from a copy of the model") from error
    check_fit(network, tensors, str(path))
    network.load_state_dict(tensors)
    network.eval()
    return True
