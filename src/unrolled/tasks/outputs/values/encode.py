"""Numbers for each step of a signal: K of them, learned in standard units.

T steps, B batch, K numbers, Q quantiles.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn
from typing_extensions import Self

from unrolled.data import Arrays, Example, ExampleStore, padded
from unrolled.errors import ArgumentError, DataError, ModelError
from unrolled.layers import Session, StackedFrames
from unrolled.metrics.signals import signal_metrics
from unrolled.settings import Settings
from unrolled.storage import has_part
from unrolled.tasks.core.contract import AnyInput, Output
from unrolled.tasks.core.examples import on_device
from unrolled.tasks.core.fitted import AnyFitted
from unrolled.tasks.core.folder.files import read_json, write_json
from unrolled.tasks.core.probe import Probe
from unrolled.tasks.core.results import Shown, result_type
from unrolled.tasks.core.stream import StepStream
from unrolled.tasks.core.values import InputSteps, Progress, Scored
from unrolled.tasks.outputs.values.baseline import BASELINE, Filter
from unrolled.tasks.outputs.values.decode import answers
from unrolled.tasks.outputs.values.network import start_from_filter, values_network
from unrolled.tasks.outputs.values.options import Level, ValuesNetwork, ValuesOptions
from unrolled.tasks.outputs.values.results import StepValues
from unrolled.tasks.outputs.values.session import ValuesSession
from unrolled.types import Json

log = logging.getLogger("unrolled.tasks")

VALUES = "values.json"

Values = NDArray[np.float32]


class SavedValues(Settings):
    """values.json."""

    names: tuple[str, ...] = ()
    mean: tuple[float, ...]
    std: tuple[Annotated[float, Field(gt=0)], ...]
    delay: Annotated[int, Field(ge=0)] = 0
    levels: tuple[Level, ...] = ()


class ValuesOutput(Output[Values, StepValues]):
    """Numbers for each step.

    Args:
        saved: names, mean and spread of the numbers in training, the delay, and the levels of quantiles.
    """

    name: ClassVar[str] = "values"
    synced: ClassVar[bool] = True
    options: ClassVar[type[Settings]] = ValuesOptions
    Network: ClassVar[type[Settings]] = ValuesNetwork
    Result: ClassVar[type[StepValues]] = StepValues
    baseline_files: ClassVar[tuple[str, ...]] = (BASELINE,)

    def __init__(self, saved: SavedValues) -> None:
        self.saved = saved
        self.names, self.delay, self.levels = saved.names, saved.delay, saved.levels
        self._mean, self._std = np.array(saved.mean, np.float32), np.array(saved.std, np.float32)

    @property
    def width(self) -> int:
        """K."""
        return len(self._mean)

    @property
    def middle(self) -> int:
        """The place of the answer among the quantiles."""
        return self.levels.index(0.5) if self.levels else 0

    @classmethod
    def fit(cls, examples: Sequence[Example], options: Settings, progress: Progress) -> Self:
        """Take the mean and the spread of the targets."""
        chosen = ValuesOptions.of(options)
        targets = np.concatenate([example.target for example in examples]).astype(np.float64)
        std = targets.std(0)
        if not (std > 0).any():
            raise DataError("the target never varies", examples[0].path)
        return cls(
            SavedValues(
                names=getattr(examples[0], "targets", ()),
                mean=tuple(targets.mean(0).tolist()),
                std=tuple(np.where(std > 0, std, 1.0).tolist()),
                delay=chosen.delay,
                levels=chosen.quantiles if chosen.loss == "quantiles" else (),
            )
        )

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read values.json."""
        try:
            return cls(SavedValues(**read_json(folder / VALUES)))
        except (ArgumentError, TypeError) as error:
            raise ModelError(f"{folder / VALUES}: corrupt, {error}") from error

    def save(self, folder: Path) -> None:
        """Write values.json."""
        write_json(folder / VALUES, self.saved.model_dump(mode="json"))

    def unscaled(self, values: Values) -> Values:
        """Return answers in the units of the target, (T, K, Q)."""
        scaled: Values = values * self._std[:, None] + self._mean[:, None]
        return scaled

    def encode(self, target: Values) -> Arrays:
        """Return `wanted` (T + delay, K) in standard units, late by the delay; zeros, the mean, before it."""
        wanted = ((target - self._mean) / self._std).astype(np.float32)
        return {"wanted": np.concatenate([np.zeros((self.delay, self.width), np.float32), wanted])}

    def collate(self, examples: Sequence[Arrays]) -> dict[str, Tensor]:
        """Return `wanted` (T, B, K)."""
        return {"wanted": padded([example["wanted"] for example in examples])}

    def network(self, source: AnyInput, network: Mapping[str, Any]) -> nn.Module:
        """Return hidden layers and a linear output layer."""
        return values_network(source, network, self.width, self.levels, self.delay)

    def initialise(self, network: nn.Module, store: ExampleStore) -> None:
        """Begin as a linear filter."""
        inputs = network.get_submodule("inputs")
        if isinstance(inputs, StackedFrames):
            mean, std = (part.numpy() for part in (inputs.frames.mean, inputs.frames.std))
            pairs = (((e["x"] - mean) / std, e["wanted"]) for e in (store[n] for n in range(len(store))))
            start_from_filter(network, Filter.fit(pairs, 0, inputs.stack.left + 1))

    def score(self, network: nn.Module, x: object, lengths: Tensor | None, data: Mapping[str, Tensor]) -> Scored:
        """Return the loss, in standard units."""
        logits, _ = network(x, None, lengths)
        scored: Scored = network.get_submodule("loss")(logits, data["wanted"], lengths)
        return scored

    def dev_metrics(self, model: AnyFitted, dev: ExampleStore) -> dict[str, float]:
        """Return the loss in standard units, and the errors in those of the target."""
        total, count = 0.0, 0
        for n in range(len(dev)):
            data = {**model.input.collate(model, [dev[n]]), **self.collate([dev[n]])}
            data = on_device(model.network, data)
            x, lengths = model.input.feed(data)
            scored = self.score(model.network, x, lengths, data)
            total, count = total + float(scored.total), count + scored.count
        return {"loss": total / max(count, 1), **self._measured(model, self._wanted(dev), answers(model, dev))}

    def _wanted(self, encoded: Sequence[Arrays] | ExampleStore) -> list[Values]:
        targets = (encoded[n]["wanted"][self.delay :] for n in range(len(encoded)))
        return [wanted * self._std + self._mean for wanted in targets]

    def _measured(self, model: AnyFitted, wanted: Sequence[Values], answered: Sequence[Values]) -> dict[str, float]:
        """Return the errors of the middle answers (T, K, Q), after the warm-up, and how much the quantiles cover."""
        network: Any = model.network
        first = network.loss.warmup - self.delay
        kept = [(w[first:], a[first:]) if len(w) > first else (w, a) for w, a in zip(wanted, answered, strict=True)]
        wanted, answered = [w for w, _ in kept], [a for _, a in kept]
        emphasis = network.loss.preemphasis if network.loss.kind == "esr" else 0.0
        metrics = signal_metrics(wanted, [a[..., self.middle if a.shape[-1] > 1 else 0] for a in answered], emphasis)
        if self.levels and answered[0].shape[-1] > 1:
            inside = [(a[..., 0] <= w) & (w <= a[..., -1]) for w, a in kept]
            metrics["coverage"] = float(np.concatenate(inside).mean())
        return metrics

    def fit_baseline(
        self,
        source: AnyInput,
        train: Sequence[Example],
        dev: Sequence[Example],
        store: ExampleStore,
        folder: Path,
        progress: Progress,
    ) -> None:
        """Fit a linear filter."""
        progress("fitting a linear filter", 0, None)
        examples = (store[n] for n in range(len(store)))
        # the filter has the delay itself
        pairs = ((e["x"][: len(e["x"]) - self.delay], e["wanted"][self.delay :]) for e in examples)
        Filter.fit(pairs, self.delay).save(folder)

    def finish(self, model: AnyFitted, dev: ExampleStore, progress: Progress) -> None:
        """Note what the linear filter reaches on the development data, and warn where the network stays behind it."""
        own = model.config.result.get("dev")
        beside = self._beside(model, [dev[n] for n in range(len(dev))])
        if not own or not beside:
            return
        model.config.result["baseline"] = beside
        if own["mse"] > beside["mse"]:
            log.warning(
                "the network is behind its baseline: a mean squared error of %.4g on the development data, where %s "
                "has %.4g; more time, a larger --hidden-size or --left may help",
                own["mse"],
                beside["model"],
                beside["mse"],
            )

    def _beside(self, model: AnyFitted, encoded: Sequence[Arrays]) -> Json:
        if model.folder is None or not has_part(model.folder / BASELINE):
            return {}
        linear = Filter.load(model.folder, model.input.width, self.width)
        kept = (e["x"][: len(e["x"]) - self.delay] for e in encoded)
        answered = [self.unscaled(linear.answer(x).astype(np.float32)[..., None]) for x in kept]
        return {"model": linear.name, **self._measured(model, self._wanted(encoded), answered)}

    def evaluate(
        self, model: AnyFitted, examples: Iterator[tuple[Example, Arrays]], progress: Progress, options: Settings
    ) -> tuple[Json, Json]:
        """Return errors, how fast the network was, and the errors of the linear filter."""
        encoded = [arrays for _, arrays in examples]
        started = time.perf_counter()
        answered = answers(model, encoded)
        took = time.perf_counter() - started
        wanted = self._wanted(encoded)
        steps = sum(map(len, wanted))
        metrics: Json = {**self._measured(model, wanted, answered), "steps": steps, "steps_per_second": steps / took}
        rate = model.input.rate
        if rate is not None:
            # below 1 it keeps up with the signal
            metrics["real_time"] = took * rate / steps
        return metrics, self._beside(model, encoded)

    def predict(
        self, model: AnyFitted, inputs: Sequence[Arrays], shown: Sequence[Shown], options: Settings
    ) -> Iterator[StepValues]:
        """Yield the answers to each input."""
        result: Any = result_type(model.input.Shown, self.Result)
        for given, values in zip(shown, answers(model, inputs), strict=True):
            if not np.isfinite(values).all():
                raise ArgumentError("input: so far from what the model was trained on that it answers nothing finite")
            levels = {f"{level:g}": values[..., q].tolist() for q, level in enumerate(self.levels)}
            middle = values[..., self.middle].tolist()
            yield result(**dict(given), columns=self.names, values=middle, quantiles=levels)

    def probe(self, model: AnyFitted, steps: InputSteps) -> Probe:
        """Ask at each step of the network about the first number that it answers there."""
        x, lengths = model.input.feed(on_device(model.network, steps.data))
        network: Any = model.network

        def run() -> Tensor:
            logits: Tensor = network(x, None, lengths)[0]
            return logits[:, 0]

        return Probe(
            network=network,
            input_layer=network.inputs,
            steps=steps.names,
            run=run,
            outputs=steps.names,
            classes=lambda k: self.names[0] if self.names else "value",
            targets=Tensor([self.middle] * len(steps.names)).long(),
            note=steps.note,
            values=True,
            synced=True,
        )

    def session(self, model: AnyFitted, steps: StepStream[Any]) -> Session:
        """Return a signal in progress."""
        return ValuesSession(model, steps)
