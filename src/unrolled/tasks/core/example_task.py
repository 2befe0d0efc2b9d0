"""What tasks over examples share: reading, checking, holding out, encoding once, batching, scoring.

A task whose data is a list of examples, each whole (a sentence, an image, a clip), is a subclass of `ExampleTask` and
says only what is its own: how examples are read, what is fitted on them, how one becomes arrays and several become a
batch, what the loss is, and what is measured.
"""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from torch import Tensor, nn

from unrolled.data import Arrays, Example, ExampleBatch, ExampleBatches, ExampleStore, Findings, split_by_key
from unrolled.errors import DataError, ModelError
from unrolled.storage import write_whole
from unrolled.tasks.core.checks import check_common
from unrolled.tasks.core.examples import ExampleOptions, on_device
from unrolled.tasks.core.files import read_json, write_json
from unrolled.tasks.core.plan import plan_epochs
from unrolled.tasks.core.task import Task
from unrolled.tasks.core.values import DATA, Progress, Scored, Sources, silent
from unrolled.training import Batches, Learner, LossReport, TrainingSettings

if TYPE_CHECKING:
    from unrolled.tasks.core.fitted import Fitted

_FACTS = "facts.json"


@dataclass(frozen=True)
class Material:
    """Encoded examples.

    Attributes:
        encoders: what turned them into arrays.
        train, dev: to learn from, and to choose by.
        facts: counts for `describe` and `plan`, as JSON.
    """

    encoders: Any
    train: ExampleStore
    dev: ExampleStore
    facts: dict[str, Any] = field(default_factory=dict)


class ExampleTask(Task):
    """A task over examples, each whole."""

    #: the part of an encoded example by whose length examples are put together; None for no such order
    length_of: ClassVar[str | None] = None
    #: files of the baseline that `fit_baseline` leaves in the model's folder
    baseline_files: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def read(self, paths: tuple[Path, ...], options: Any, findings: Findings) -> Sequence[Example]:
        """The examples of some files, in order; what is large (images, sound) is named, not yet decoded.

        Raises:
            DataError, StorageError: naming file and line; an example that can't be used goes to `findings`.
        """

    @abstractmethod
    def fit(self, train: Sequence[Example], options: Any, progress: Progress) -> Any:
        """What turns inputs into arrays and back, fitted on the training part."""

    @abstractmethod
    def encode(self, example: Any, encoders: Any) -> Arrays:
        """One example as arrays: always the same parts, dtypes and numbers of dimensions.

        Raises:
            DataError: it can't be decoded.
        """

    @abstractmethod
    def collate(self, model: Fitted, examples: list[Arrays], draw: np.random.Generator | None) -> dict[str, Tensor]:
        """Several encoded examples as one batch of tensors.

        Args:
            model: the model.
            examples: as `encode` made them.
            draw: for what is random while training (augmentation, words made unknown); None otherwise.
        """

    @abstractmethod
    def score(self, network: nn.Module, data: dict[str, Tensor]) -> Scored:
        """Forward pass and loss of one batch, which is on the network's device."""

    def score_to_learn(self, model: Fitted, data: dict[str, Tensor], number: int) -> Scored:
        """Forward pass and loss of one batch while training; `number` batches came before it."""
        return self.score(model.network, data)

    @abstractmethod
    def dev_metrics(self, model: Fitted, dev: ExampleStore) -> dict[str, float]:
        """Metrics on the development data while it trains, "loss" (nats per counted item) among them."""

    def check_examples(
        self, train: Sequence[Any], dev: Sequence[Any], options: Any, findings: Findings, progress: Progress
    ) -> None:
        """Look for more than empty, duplicated and leaked examples and labels that training never saw."""
        return

    def split(self, train: list[Any], dev: list[Any], options: Any) -> tuple[list[Any], list[Any]]:
        """What is learned from, and what is chosen by: development data that was named, or a part that is held out."""
        return (train, dev) if dev else split_by_key(train, options.holdout)

    def fit_baseline(
        self, train: Sequence[Any], dev: Sequence[Any], encoders: Any, folder: Path, progress: Progress
    ) -> None:
        """Fit the baseline that every evaluation puts beside the model, into `baseline_files`."""
        return

    def sample(self, model: Fitted, dev: ExampleStore) -> str | None:
        """Text that shows what the model produces now, for the terminal and samples.md."""
        return None

    def count(self, train: Sequence[Any], dev: Sequence[Any], encoders: Any) -> dict[str, Any]:
        """Facts beyond the numbers of examples, for `describe` and `plan`."""
        return {}

    def check(self, sources: Sources, options: Any, findings: Findings, progress: Progress) -> dict[str, Any]:
        """Read everything, and say what is wrong with it."""
        progress("reading", 0, None)
        train = self.read(sources.train, options, findings)
        dev = self.read(sources.dev, options, findings) if sources.dev else []
        check_common(train, dev, findings)
        self.check_examples(train, dev, options, findings, progress)
        for part, use, paths in ((train, "learn from", sources.train), (dev, "choose by", sources.dev)):
            # where every example is unusable, that has been said of each
            if paths and not part and not findings.errors:
                findings.error("no example", f"no example to {use}", paths[0])
        return {"train": len(train), "dev": len(dev)}

    def prepare(self, sources: Sources, options: Any, folder: Path, progress: Progress) -> Material:
        """Read, check, hold out, fit the encoders and the baseline, and encode everything once."""
        findings = Findings(strict=not options.skip_bad)
        progress("reading", 0, None)
        train = list(self.read(sources.train, options, findings))
        dev = list(self.read(sources.dev, options, findings)) if sources.dev else []
        check_common(train, dev, findings)
        self.check_examples(train, dev, options, findings, progress)
        findings.log(f"unrolled data check {self.name} DATA shows all")
        for part, name, paths in ((train, "train", sources.train), (dev, "dev", sources.dev)):
            if paths and not part:
                raise DataError(f"no example to {'learn from' if name == 'train' else 'choose by'}", paths[0])
        train, dev = self.split(train, dev, options)
        encoders = self.fit(train, options, progress)
        self.save_encoders(encoders, folder)
        stores = []
        for name, part in (("train", train), ("dev", dev)):
            seen = Findings(strict=not options.skip_bad)
            encoded = self.encoded(part, encoders, seen, _told(progress, f"encoding the {name} data", len(part)))
            stores.append(ExampleStore.write(folder / DATA / f"{name}.examples", (arrays for _, arrays in encoded)))
            seen.log(f"unrolled data check {self.name} DATA shows all")
            if not len(stores[-1]):
                raise DataError(f"no example of the {name} data can be read", part[0].path)
        self.fit_baseline(train, dev, encoders, folder, progress)
        facts = {"train_examples": len(stores[0]), "dev_examples": len(stores[1]), **self.count(train, dev, encoders)}
        write_whole(folder / DATA / _FACTS, json.dumps(facts).encode())
        return Material(encoders, stores[0], stores[1], facts)

    def encoded(
        self, examples: Iterable[Any], encoders: Any, findings: Findings, told: Callable[[int], None] | None = None
    ) -> Iterator[tuple[Any, Arrays]]:
        """Each example with its arrays; one that can't be decoded goes to `findings`."""
        for n, example in enumerate(examples):
            if told is not None:
                told(n)
            try:
                arrays = self.encode(example, encoders)
            except DataError as error:
                findings.caught(error, "unreadable")
                continue
            yield example, arrays

    def reopen(self, options: Any, folder: Path) -> Material:
        """Map the examples that `prepare` wrote."""
        stores = [ExampleStore.open(folder / DATA / f"{name}.examples") for name in ("train", "dev")]
        for store in stores:
            store.verify()
        path = folder / DATA / _FACTS
        try:
            facts = json.loads(path.read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise ModelError(f"{path}: missing or damaged ({error}); train anew with --overwrite") from error
        return Material(self.load_encoders(folder), stores[0], stores[1], facts)

    def describe(self, material: Material) -> dict[str, Any]:
        """Counts, and fingerprints that bind checkpoints to this data."""
        return {"train": material.train.fingerprint, "dev": material.dev.fingerprint, **material.facts}

    def encoders(self, material: Material) -> Any:
        """As fitted."""
        return material.encoders

    def learner(self, model: Fitted, material: Material, training: TrainingSettings) -> Learner:
        """Scores batches by `score`."""
        return ExampleLearner(self, model, material.dev)

    def batches(self, model: Fitted, material: Material, training: TrainingSettings) -> Batches:
        """Examples of similar length side by side, in another order each epoch."""

        def collate(examples: list[Arrays], draw: np.random.Generator) -> dict[str, Tensor]:
            return self.collate(model, examples, draw)

        lengths = None if self.length_of is None else material.train.sizes(self.length_of)
        size = int(model.config.batching["batch_size"])
        return ExampleBatches(material.train, lengths, size, collate, seed=training.seed)

    def save_extras(self, model: Fitted, folder: Path) -> None:
        """The baseline's files, when the model is saved elsewhere."""
        if model.folder is None or model.folder == folder:
            return
        for name in self.baseline_files:
            if (model.folder / name).is_file():
                write_whole(folder / name, (model.folder / name).read_bytes())

    def read_for_evaluation(
        self, model: Fitted, paths: tuple[Path, ...], progress: Progress = silent, **changes: Any
    ) -> list[Any]:
        """The examples of some files, read as in training.

        Args:
            changes: options that differ from training's.

        Raises:
            DataError: there is none, or one is wrong and `skip_bad` is not given.
        """
        options = self.options(**{**model.config.options, **{k: v for k, v in changes.items() if v is not None}})
        findings = Findings(strict=not getattr(options, "skip_bad", False))
        progress("reading", 0, None)
        examples = list(self.read(paths, options, findings))
        findings.log(f"unrolled data check {self.name} DATA shows all")
        if not examples:
            raise DataError("no example to evaluate on", paths[0])
        return examples


class ExampleLearner:
    """Scores batches of examples: what the training loop trains."""

    def __init__(self, task: ExampleTask, model: Any, dev: ExampleStore) -> None:
        self._task, self._model, self._dev = task, model, dev

    @property
    def network(self) -> nn.Module:
        """The model's network."""
        network: nn.Module = self._model.network
        return network

    def loss(self, batch: ExampleBatch, carried: Any) -> LossReport:
        """Forward through one batch; nothing is carried."""
        scored = self._task.score_to_learn(self._model, on_device(self.network, batch.data), batch.number)
        return LossReport(scored.mean, scored.total, scored.count, None)

    def evaluate(self) -> dict[str, float]:
        """The task's metrics on the development data."""
        return self._task.dev_metrics(self._model, self._dev) if len(self._dev) else {}

    def sample(self) -> str | None:
        """What the model produces now."""
        return self._task.sample(self._model, self._dev)


def _told(progress: Progress, sentence: str, of: int) -> Callable[[int], None]:
    def told(done: int) -> None:
        progress(sentence, done, of)

    return told


__all__ = [
    "ExampleOptions",
    "ExampleTask",
    "Material",
    "Scored",
    "check_common",
    "on_device",
    "plan_epochs",
    "read_json",
    "write_json",
]
