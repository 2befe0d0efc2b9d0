"""A run's loss and gradient norm over steps, as two plots. Needs matplotlib, from the extra `plot`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from unrolled.errors import MissingDependencyError
from unrolled.storage import make_folder, written_aside
from unrolled.training.saving.files import read_metrics
from unrolled.types import Json


def plot_run(folder: str | Path) -> list[Path]:
    """Draw `plots/loss.png` and `plots/grad_norm.png` from a run's `metrics.jsonl`.

    Args:
        folder: the run's folder.

    Returns:
        The files written.

    Raises:
        MissingDependencyError: matplotlib is not installed.
        StorageError: the metrics can't be read, or the plots can't be written.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingDependencyError("matplotlib", "plot", "drawing the loss") from error

    records = read_metrics(Path(folder) / "metrics.jsonl")
    plots = Path(folder) / "plots"
    make_folder(plots)
    drawn = []
    for name, label in (("loss", "loss (nats per item)"), ("grad_norm", "gradient norm, before clipping")):
        figure = Figure(figsize=(7, 4), layout="constrained")
        axes = figure.subplots()
        for split in ("train", "dev"):
            steps, values = _series(records, split, name)
            if steps:
                axes.plot(steps, values, label=split, marker="o" if split == "dev" else None, markersize=3, linewidth=1)
        axes.set(xlabel="step", ylabel=label)
        if name == "grad_norm":
            axes.set_yscale("log")
        if axes.has_data():
            axes.legend()
        axes.grid(alpha=0.3)
        path = plots / f"{name}.png"
        with written_aside(path) as stream:
            figure.savefig(stream, format="png", dpi=120)
        drawn.append(path)
    return drawn


def _series(records: Sequence[Json], split: str, name: str) -> tuple[list[int], list[float]]:
    points = [
        (record["step"], record[name])
        for record in records
        if record["split"] == split and record.get(name) is not None
    ]
    return [step for step, _ in points], [value for _, value in points]
