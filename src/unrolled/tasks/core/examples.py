"""Uses over examples, each whole (a sentence, an image, a clip): read, checked, held out, encoded once, batched.

`ExampleUse` joins an input and an output: a declaration adds how examples are read and which plan fits them. What is
random about a batch is drawn from its seed, epoch and position, so a resumed run sees the same noise.
"""

from __future__ import annotations

import json
import time
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Generic, TypeVar

import numpy as np
from pydantic import Field
from torch import Tensor, nn

from unrolled.data import Arrays, Example, ExampleBatch, ExampleBatches, ExampleStore, Findings, split_by_key
from unrolled.data.core.folders import Place
from unrolled.data.core.pieces import Pieces, drawn_window
from unrolled.errors import DataError, ModelError
from unrolled.settings import Settings
from unrolled.storage import write_whole
from unrolled.tasks.core.checks import check_common, located
from unrolled.tasks.core.contract import AnyOutput, I, Use
from unrolled.tasks.core.fitted import Parts
from unrolled.tasks.core.folder.examples import chosen_examples, write_examples
from unrolled.tasks.core.plan import plan_recurrent
from unrolled.tasks.core.probe import Probe
from unrolled.tasks.core.values import DATA, Evaluation, Plan, Progress, Scored, Sources, chosen_fields, in_lists
from unrolled.training import Batches, Learner, LossReport, TrainingSettings
from unrolled.types import Json

if TYPE_CHECKING:
    from unrolled.layers import Session
    from unrolled.tasks.core.fitted import Fitted
    from unrolled.tasks.core.results import Result

O = TypeVar("O", bound=AnyOutput)  # noqa: E741

_FACTS = "facts.json"
#: inputs that are predicted side by side
SIDE_BY_SIDE = 128


class ExampleOptions(Settings):
    """Options of every use over examples; None lets the data decide."""

    # sequences read side by side, B
    batch_size: Annotated[int, Field(ge=1)] | None = None
    # share of the examples that is held out where no development data is named
    holdout: Annotated[float, Field(gt=0, lt=1)] = 0.1
    skip_bad: bool = Field(False, description="leave out examples that can't be read, and name them, instead of ending")


@dataclass(frozen=True)
class Material(Generic[I, O]):
    """Encoded examples.

    Attributes:
        parts: what turned them into arrays.
        train, dev: to learn from, and to choose by.
        facts: counts for `describe` and `plan`.
    """

    parts: Parts[I, O]
    train: ExampleStore
    dev: ExampleStore
    facts: Json = field(default_factory=dict)


class ExampleUse(Use[I, O, "Material[I, O]"]):
    """A use over examples, each whole. A declaration adds `read`, and a `plan` where the default is not enough."""

    @abstractmethod
    def read(self, paths: tuple[Place, ...], options: Any, findings: Findings) -> Sequence[Example]:
        """Return the examples of some files, in order; what is large (images, sound) is named, not yet decoded.

        Raises:
            DataError, StorageError: naming file and line; an example that can't be used goes to `findings`.
        """

    def split(self, train: list[Example], dev: list[Example], options: Any) -> tuple[list[Example], list[Example]]:
        """Return what is learned from and what is chosen by: named development data, or a part that is held out."""
        return (train, dev) if dev else split_by_key(train, ExampleOptions.of(options).holdout)

    def fit(self, train: Sequence[Example], options: Any, progress: Progress) -> Parts[I, O]:
        """Fit both parts on the training part."""
        return Parts(self.input.fit(train, options, progress), self.output.fit(train, options, progress))

    def encode(self, example: Example, parts: Parts[I, O]) -> Arrays:
        """Return one example as arrays: always the same parts, dtypes and numbers of dimensions.

        Raises:
            DataError: it can't be decoded.
        """
        return {**parts.input.encode(parts.input.given(example.given)), **parts.output.encode(example.target)}

    def collate(
        self, model: Fitted[I, O], examples: Sequence[Arrays], draw: np.random.Generator | None = None
    ) -> dict[str, Tensor]:
        """Return several encoded examples as one batch of tensors.

        Args:
            model: the model.
            examples: as `encode` made them.
            draw: for what is random while training (augmentation, words made unknown); None otherwise.
        """
        if draw is not None:
            examples = self.varied(model, examples, draw)
        return {**model.input.collate(model, examples, draw), **model.output.collate(examples)}

    def varied(self, model: Fitted[I, O], examples: Sequence[Arrays], draw: np.random.Generator) -> Sequence[Arrays]:
        """Return encoded examples as they are learned from this time: a window of a long one, each read twice.

        A use whose input and target are disturbed together overrides this; what concerns the input alone is for its
        `collate`.
        """
        batching, part = model.config.batching, self.input.length_of
        if part is not None and (window := int(batching.get("window", 0))):
            examples = [drawn_window(example, part, window, draw) for example in examples]
        return [*examples] * int(batching.get("readings", 1))

    def score(self, model: Fitted[I, O], data: Mapping[str, Tensor], number: int = 0) -> Scored:
        """Run the forward pass and the loss of one batch to learn from; there were `number` batches before it."""
        x, lengths = model.input.feed(data)
        return model.output.score_learning(model, x, lengths, data, number)

    def check(self, sources: Sources, options: Any, findings: Findings, progress: Progress) -> Json:
        """Read everything, and say what is wrong with it."""
        progress("reading", 0, None)
        train = self.read(sources.train, options, findings)
        dev = self.read(sources.dev, options, findings) if sources.dev else []
        self._check_examples(train, dev, options, findings, progress)
        self.input.check_decodable(train, dev, options, findings, progress)
        if train and self.output.needs_steps:
            self._check_pairs(train, dev, options, findings, progress)
        for part, use, paths in ((train, "learn from", sources.train), (dev, "choose by", sources.dev)):
            # where every example is unusable, that has been said of each
            if paths and not part and not findings.errors:
                findings.error("no example", f"no example to {use}", str(paths[0]))
        return {"train": self.counted(train), "dev": self.counted(dev)}

    def counted(self, examples: Sequence[Any]) -> int:
        """Return how many examples these are to whoever has made them."""
        return len(examples)

    def _check_examples(
        self, train: Sequence[Example], dev: Sequence[Example], options: Any, findings: Findings, progress: Progress
    ) -> None:
        check_common(train, dev, findings)
        self.input.check(train, dev, options, findings, progress)
        self.output.check(train, dev, options, findings)

    def _check_pairs(
        self, train: Sequence[Example], dev: Sequence[Example], options: Any, findings: Findings, progress: Progress
    ) -> None:
        try:
            parts = self.fit(train, options, progress)
        except DataError as error:
            findings.caught(error, "unusable")
            return
        examples = [*train, *dev]
        # what can't be decoded has been named
        counting = _counting(progress, "comparing inputs and targets", len(examples))
        for example, arrays in self.encoded(examples, parts, Findings(strict=False), counting):
            try:
                parts.output.check_pair(parts.input, arrays)
            except DataError as error:
                findings.caught(located(error, example), "too short")

    def prepare(self, sources: Sources, options: Any, folder: Path, progress: Progress) -> Material[I, O]:
        """Read, check, hold out, fit both parts and the baseline, and encode everything once."""
        strict = not ExampleOptions.of(options).skip_bad
        findings = Findings(strict=strict)
        progress("reading", 0, None)
        train = list(self.read(sources.train, options, findings))
        dev = list(self.read(sources.dev, options, findings)) if sources.dev else []
        self._check_examples(train, dev, options, findings, progress)
        findings.log(f"unrolled data check {self.name} DATA shows all")
        for part, name, paths in ((train, "train", sources.train), (dev, "dev", sources.dev)):
            if paths and not part:
                raise DataError(f"no example to {'learn from' if name == 'train' else 'choose by'}", str(paths[0]))
        train, dev = self.split(train, dev, options)
        parts = self.fit(train, options, progress)
        if sources.parts is not None:
            parts = self.extended(sources.parts, parts)
        self.save_parts(parts, folder)
        stores = []
        for name, part in (("train", train), ("dev", dev)):
            seen = Findings(strict=strict)
            counting = _counting(progress, f"encoding the {name} data", len(part))
            encoded = self.encoded(part, parts, seen, counting, to_learn=True)
            stores.append(ExampleStore.write(folder / DATA / f"{name}.examples", (arrays for _, arrays in encoded)))
            seen.log(f"unrolled data check {self.name} DATA shows all")
            if not len(stores[-1]):
                raise DataError(f"no example of the {name} data can be read", part[0].path)
        parts.output.fit_baseline(parts.input, train, dev, stores[0], folder, progress)
        facts: Json = {"input": parts.input.name, "train_examples": len(stores[0]), "dev_examples": len(stores[1])}
        facts |= {**parts.input.facts(train, dev), **parts.output.facts(train, dev)}
        facts |= {"columns": findings.columns} if findings.columns else {}
        write_whole(folder / DATA / _FACTS, json.dumps(facts).encode())
        write_examples(folder / DATA, chosen_examples(parts.input, dev))
        return Material(parts, stores[0], stores[1], facts)

    def encoded(
        self,
        examples: Iterable[Example],
        parts: Parts[I, O],
        findings: Findings,
        counting: Callable[[int], None] | None = None,
        *,
        to_learn: bool = False,
    ) -> Iterator[tuple[Example, Arrays]]:
        """Yield each example with its arrays; one that can't be decoded, or learned, goes to `findings`."""
        for n, example in enumerate(examples):
            if counting is not None:
                counting(n)
            try:
                arrays = self.encode(example, parts)
                if to_learn:
                    parts.output.check_pair(parts.input, arrays)
            except DataError as error:
                findings.caught(located(error, example), "unreadable")
                continue
            yield example, arrays

    def reopen(self, options: Any, folder: Path) -> Material[I, O]:
        """Map the examples that `prepare` wrote."""
        stores = [ExampleStore.open(folder / DATA / f"{name}.examples") for name in ("train", "dev")]
        for store in stores:
            store.verify()
        path = folder / DATA / _FACTS
        try:
            facts = json.loads(path.read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise ModelError(f"{path}: missing or damaged ({error}); train anew with --overwrite") from error
        return Material(self.load_parts(folder), stores[0], stores[1], facts)

    def plan(self, material: Material[I, O], options: Any, training: Mapping[str, Any]) -> Plan:
        """Choose by how much there is to learn from; a use for which something better was measured overrides this."""
        return plan_recurrent(material.parts.input, material.parts.output, material.train, options, training)

    def describe(self, material: Material[I, O]) -> Json:
        """Return what is read, counts, and fingerprints that bind checkpoints to this data."""
        return {"train": material.train.fingerprint, "dev": material.dev.fingerprint, **material.facts}

    def parts(self, material: Material[I, O]) -> Parts[I, O]:
        """Return both parts as fitted."""
        return material.parts

    def initialise(self, network: nn.Module, material: Material[I, O]) -> None:
        """Standardise the input, and start from what the targets suggest."""
        material.parts.input.standardise(network, material.train)
        material.parts.output.initialise(network, material.train)

    def learner(self, model: Fitted[I, O], material: Material[I, O], training: TrainingSettings) -> Learner[Any]:
        """Return what scores batches by `score`."""
        return ExampleLearner(self, model, material.dev)

    def batches(self, model: Fitted[I, O], material: Material[I, O], training: TrainingSettings) -> Batches[Any]:
        """Return examples, or pieces of long ones, of similar length side by side, in another order each epoch."""

        def collate(examples: list[Arrays], draw: np.random.Generator) -> dict[str, Tensor]:
            return self.collate(model, examples, draw)

        part, batching = self.input.length_of, model.config.batching
        size, window = int(batching["batch_size"]), int(batching.get("window", 0))
        if part is not None and window:
            pieces = Pieces(material.train, part, window)
            return ExampleBatches(pieces, pieces.lengths, size, collate, seed=training.seed)
        lengths = model.input.lengths(material.train)
        return ExampleBatches(material.train, lengths, size, collate, seed=training.seed)

    def remembered(self, model: Fitted[I, O], folder: Path) -> dict[str, float]:
        """Return the output's metrics on development data as the older model encoded it: numbers are still the same."""
        path = folder / DATA / "dev.examples"
        return model.output.dev_metrics(model, ExampleStore.open(path)) if path.is_dir() else {}

    def finish(self, model: Fitted[I, O], material: Material[I, O], progress: Progress) -> None:
        """Fit what comes after training."""
        model.output.finish(model, material.dev, progress)

    def evaluate(
        self, model: Fitted[I, O], paths: tuple[Place, ...], progress: Progress, **options: object
    ) -> Evaluation:
        """Return the output's metrics beside its baseline's.

        Raises:
            ArgumentError: an option is unknown or out of range.
            DataError, StorageError: the examples can't be read, or have a target that the model does not know.
        """
        started = time.perf_counter()
        chosen = self.evaluate_options(**options)
        reading = self.evaluated_with(model, chosen)
        findings = Findings(strict=not ExampleOptions.of(reading).skip_bad)
        progress("reading", 0, None)
        examples = self.to_evaluate(model, list(self.read(paths, reading, findings)), chosen, findings)
        if not examples:
            raise DataError("no example to evaluate on", str(paths[0]))
        encoded = self.encoded(examples, model.parts, findings, _counting(progress, "evaluating", len(examples)))
        read: list[Example] = []
        metrics, beside = model.output.evaluate(model, _noting(encoded, read), progress, chosen)
        findings.log(f"unrolled data check {self.name} DATA shows all")
        took = time.perf_counter() - started
        metrics = {**metrics, **model.input.measured(read, took)}
        return Evaluation(self.name, [str(p) for p in paths], metrics, beside, took)

    def evaluated_with(self, model: Fitted[I, O], chosen: Settings) -> Settings:
        """Return the options by which files are read that are evaluated on: those of training, where not overruled."""
        given = chosen_fields(self.options, chosen)
        return self.options(**{**model.config.options, **given})

    def to_evaluate(
        self, model: Fitted[I, O], examples: list[Example], options: Any, findings: Findings
    ) -> list[Example]:
        """Return what a model is judged by, of what was read.

        Raises:
            DataError: a target that the model does not know; naming file and line.
        """
        model.output.check_known(examples)
        return examples

    def predict(self, model: Fitted[I, O], inputs: Iterable[Any], **options: object) -> Iterator[Result]:
        """Yield a prediction for each input, several for one that holds several.

        Args:
            model: the model.
            inputs: as `Input.given` takes them.
            options: the fields of `predict_options`.
        """
        chosen = self.predict_options(**options)
        predict = model.output.predictor(model, chosen)
        # as they come, unless they are all there
        for some in in_lists(inputs, model.input.side_by_side if isinstance(inputs, (list, tuple)) else 1):
            given = [item for value in some for item in model.input.each(model, value, chosen)]
            arrays = [model.input.encode(item, chosen) for item in given]
            yield from predict(arrays, list(map(model.input.shown, given, arrays)))

    def is_one_input(self, given: object) -> bool:
        """Return whether `Model.predict` was given one input, and not several."""
        return self.input.is_one(given) or super().is_one_input(given)

    def probe(self, model: Fitted[I, O], given: object, limit: int) -> Probe:
        """Lay out one input by its steps, the first of several, asked about what the network itself predicts."""
        item = next(model.input.each(model, given, self.predict_options()))
        return model.output.probe(model, model.input.steps(model, item, limit))

    def stream(self, model: Fitted[I, O]) -> Session:
        """Return a session that takes pieces of an input."""
        return model.output.session(model, model.input.stream(model))


class ExampleLearner(Generic[I, O]):
    """Scores batches of examples: what the training loop trains."""

    def __init__(self, use: ExampleUse[I, O], model: Fitted[I, O], dev: ExampleStore) -> None:
        self._use, self._model, self._dev = use, model, dev

    @property
    def network(self) -> nn.Module:
        """The model's network."""
        return self._model.network

    def loss(self, batch: ExampleBatch, carried: object) -> LossReport:
        """Run forward through one batch; nothing is carried."""
        scored = self._use.score(self._model, on_device(self.network, batch.data), batch.number)
        return LossReport(scored.mean, scored.total, scored.count, None)

    def evaluate(self) -> dict[str, float]:
        """Return the output's metrics on the development data."""
        return self._model.output.dev_metrics(self._model, self._dev) if len(self._dev) else {}

    def sample(self) -> str | None:
        """Return what the model produces now."""
        return self._model.output.sample(self._model, self._dev)


def on_device(network: nn.Module, data: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors where the network's weights are."""
    device = next(network.parameters()).device
    return {name: tensor.to(device) for name, tensor in data.items()}


def _noting(pairs: Iterable[tuple[Example, Arrays]], read: list[Example]) -> Iterator[tuple[Example, Arrays]]:
    for example, arrays in pairs:
        read.append(example)
        yield example, arrays


def _counting(progress: Progress, sentence: str, of: int) -> Callable[[int], None]:
    def counting(done: int) -> None:
        progress(sentence, done, of)

    return counting
