"""The linear baseline of a label: multinomial logistic regression on an input's features."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from unrolled.data import ExampleStore
from unrolled.tasks.core.contract import AnyInput
from unrolled.tasks.core.folder.files import read_arrays, write_arrays
from unrolled.tasks.outputs.label.regression import SoftmaxRegression

BASELINE = "baseline.safetensors"
#: inputs that it is fitted on, at most
BASELINE_FROM = 60_000


def fit_regression(source: AnyInput, store: ExampleStore, classes: int, folder: Path) -> None:
    """Fit logistic regression on the features of the training part, and write it into a model's folder."""
    step = max(1, -(-len(store) // BASELINE_FROM))
    chosen = [store[n] for n in range(0, len(store), step)]
    labels = np.array([int(arrays["label"][0]) for arrays in chosen])
    regression = SoftmaxRegression.fit(source.features(chosen), labels, classes)
    write_arrays(folder / BASELINE, regression.to_arrays())


def load_regression(folder: Path | None) -> SoftmaxRegression | None:
    """Return what `fit_regression` wrote; None for a model that lies in no folder.

    Raises:
        ModelError: the file is missing or damaged.
    """
    if folder is None:
        return None
    return SoftmaxRegression.from_arrays(read_arrays(folder / BASELINE), str(folder / BASELINE))
