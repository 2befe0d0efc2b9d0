"""Metrics of a label, on the development data and in evaluation, and the temperature of its probabilities.

N inputs, K classes.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from unrolled.data import Arrays, Example, ExampleStore
from unrolled.errors import DataError
from unrolled.metrics.classification import calibration_error, classification_metrics, fit_temperature
from unrolled.tasks.core.examples import SIDE_BY_SIDE
from unrolled.tasks.core.fitted import AnyFitted
from unrolled.tasks.core.values import Progress, in_lists
from unrolled.tasks.outputs.label.baseline import load_regression
from unrolled.tasks.outputs.label.decode import log_probabilities, temperature_of
from unrolled.training import share_out
from unrolled.types import Json

log = logging.getLogger("unrolled.tasks")

#: of all metrics, those that are shown while training
SHOWN = ("loss", "accuracy", "macro_f1")


def measured(log_probs: NDArray[np.floating], gold: NDArray[np.int64], labels: Sequence[str]) -> Json:
    """Return metrics of ln p (N, K) against classes (N,); of a class below 0, unknown, every answer is wrong."""
    known = gold >= 0
    if not known.any():
        return {}
    metrics = classification_metrics(log_probs[known], gold[known], labels)
    return {**metrics, "accuracy": metrics["accuracy"] * float(known.mean())}


def gold_of(inputs: Sequence[Arrays]) -> NDArray[np.int64]:
    """Return the classes of encoded examples, (N,); below 0 for one that training never saw."""
    return np.array([int(arrays["label"][0]) for arrays in inputs], dtype=np.int64)


def stored(store: ExampleStore) -> Iterator[list[Arrays]]:
    """Yield the examples of a store, so many at a time that large ones fit in memory."""
    return in_lists((store[n] for n in range(len(store))), SIDE_BY_SIDE)


def dev_metrics(model: AnyFitted, dev: ExampleStore) -> dict[str, float]:
    """Return loss, accuracy and macro F1 on the development data."""
    log_probs, gold = raw_scores(model, dev)
    return {name: value for name, value in measured(log_probs, gold, model.output.labels).items() if name in SHOWN}


def raw_scores(model: AnyFitted, store: ExampleStore) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return uncalibrated ln p, (N, K), and the classes, (N,), of a store."""
    pairs = [*share_out(stored(store), lambda part: (log_probabilities(model, part, temperature=1.0), gold_of(part)))]
    return np.concatenate([scores for scores, _ in pairs]), np.concatenate([gold for _, gold in pairs])


def calibrate(model: AnyFitted, dev: ExampleStore) -> None:
    """Fit the temperature on the development data, so that probabilities mean what they say."""
    # that of weights before, in a run that is resumed
    model.fitted.clear()
    raw, gold = raw_scores(model, dev)
    raw, gold = raw[gold >= 0], gold[gold >= 0]
    if not len(gold):
        return
    model.fitted["temperature"] = fit_temperature(raw, gold)
    model.fitted["ece_before"] = calibration_error(np.exp(raw), gold)
    model.fitted["ece_after"] = calibration_error(np.exp(scaled(raw, temperature_of(model))), gold)


def compare(model: AnyFitted, dev: ExampleStore) -> None:
    """Note what the linear baseline reaches on the development data, and warn where the model stays behind it."""
    regression, own = load_regression(model.folder), model.config.result.get("dev")
    if regression is None or not own:
        return
    parts = [(regression.log_probabilities(model.input.features(part)), gold_of(part)) for part in stored(dev)]
    scores, gold = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    reached = measured(scores, gold, model.output.labels)
    name = f"logistic regression on {model.input.features_are}"
    model.config.result["baseline"] = {"model": name, **{key: reached[key] for key in SHOWN if key in reached}}
    if own["accuracy"] < reached.get("accuracy", 0.0):
        log.warning(
            "the network is behind its baseline: accuracy %.1f %% on the development data, where %s has %.1f %%; more "
            "data, more time or another --cell, --pooling or --hidden-size may help",
            100 * own["accuracy"],
            name,
            100 * reached["accuracy"],
        )


def scaled(log_probs: NDArray[np.floating], temperature: float) -> NDArray[np.float64]:
    """Return ln p at a temperature, (N, K)."""
    return (torch.from_numpy(log_probs).double() / temperature).log_softmax(-1).numpy()


def evaluate(
    model: AnyFitted, examples: Iterator[tuple[Example, Arrays]], progress: Progress
) -> tuple[Json, Json, list[Example]]:
    """Return accuracy, macro F1, calibration and confusion, those of logistic regression if the model has one, and the
    examples that were read.
    """
    regression = load_regression(model.folder) if model.output.has_regression(model) else None
    raw, linear, gold, read = [], [], [], []
    for pairs in in_lists(examples, SIDE_BY_SIDE):
        arrays = [part for _, part in pairs]
        read += [example for example, _ in pairs]
        gold.append(gold_of(arrays))
        raw.append(log_probabilities(model, arrays, temperature=1.0))
        if regression is not None:
            linear.append(regression.log_probabilities(model.input.features(arrays)))
    if not gold:
        raise DataError("no example that can be read")
    labels, right, scores = model.output.labels, np.concatenate(gold), np.concatenate(raw)
    metrics = measured(scaled(scores, temperature_of(model)), right, labels)
    if "temperature" in model.fitted:
        metrics["ece_uncalibrated"] = calibration_error(np.exp(scores), right)
    beside: Json = {}
    if linear:
        name = f"logistic regression on {model.input.features_are}"
        beside = {"model": name, **measured(np.concatenate(linear), right, labels)}
    return metrics, beside, read
