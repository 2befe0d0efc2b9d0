"""The contract of a task: everything the commands, the server and the export need to know about a use."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

from torch import nn

from unrolled.data import Findings
from unrolled.errors import ArgumentError
from unrolled.settings import Settings
from unrolled.tasks.core.probe import Probe
from unrolled.training import Batches, Learner, TrainingSettings

if TYPE_CHECKING:
    from unrolled.tasks.core.api import Wire
    from unrolled.tasks.core.model import Model

#: told what is being done before training and after it: a sentence, done so far, and of how many (None: unknown)
Progress = Callable[[str, int, int | None], None]


#: large encoded data lies here, inside the model's folder; it is not part of the model
DATA = "data"


def silent(sentence: str, done: int, of: int | None) -> None:
    """Progress that nobody watches."""


@dataclass(frozen=True)
class Sources:
    """Where the data is.

    Attributes:
        train: files and folders to learn from.
        dev: files and folders to choose by; empty lets the task hold out a part of `train`.
    """

    train: tuple[Path, ...]
    dev: tuple[Path, ...] = ()


class Plan(NamedTuple):
    """A network and a way to train it that fit the data.

    Attributes:
        network: what `Task.build` reads, as JSON.
        training: how to train.
        batching: how data is batched, as JSON: batch size, window and the like.
        reasons: one sentence for each thing that was chosen, for the log and the card.
    """

    network: dict[str, Any]
    training: TrainingSettings
    batching: dict[str, Any]
    reasons: list[str]


@dataclass(frozen=True)
class Evaluation:
    """The result of `evaluate`.

    Attributes:
        task: the task's name.
        data: what was evaluated on.
        metrics: the model's.
        baseline: the same metrics of the baseline on the same data.
        seconds: how long it took.
    """

    task: str
    data: list[str]
    metrics: dict[str, Any]
    baseline: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0

    def as_json(self) -> dict[str, Any]:
        """The object that `unrolled evaluate --json` prints."""
        return {
            "task": self.task,
            "data": self.data,
            "metrics": self.metrics,
            "baseline": self.baseline,
            "seconds": self.seconds,
        }


class NoOptions(Settings):
    """Nothing to choose."""


class Task(ABC):
    """One use. Subclasses hold no data: what is fitted lives in the `Model`."""

    name: ClassVar[str]
    #: one line, for --help
    summary: ClassVar[str]
    #: which of the five shapes it has
    shape: ClassVar[str]
    #: what a user may choose; None in a field means that the data decides
    options: ClassVar[type[Settings]]
    #: what `evaluate` and `predict` take; the command makes options of their fields
    evaluate_options: ClassVar[type[Settings]] = NoOptions
    predict_options: ClassVar[type[Settings]] = NoOptions
    #: what its sessions take to write on from a prompt; None if they don't
    writing_options: ClassVar[type[Settings] | None] = None
    #: what an input of `predict` is on the command line: a line of text, or the path of a file or folder
    reads: ClassVar[Literal["text", "path"]] = "text"

    @property
    def trained_with(self) -> frozenset[str]:
        """The names of all options of a training run: the task's own, and those of every training."""
        return frozenset(self.options.model_fields) | frozenset(TrainingSettings.model_fields)

    def check(self, sources: Sources, options: Any, findings: Findings, progress: Progress) -> dict[str, Any]:
        """Look for what is wrong with the data and for what ruins runs without a word: `unrolled data check`.

        Args:
            sources, options, progress: as for `prepare`.
            findings: told of everything that is found.

        Returns:
            Counts, as JSON: what was looked at.

        Raises:
            ArgumentError: if the task has no such check.
        """
        raise ArgumentError(f"the task {self.name!r} has no check of its data")

    @abstractmethod
    def prepare(self, sources: Sources, options: Any, folder: Path, progress: Progress) -> Any:
        """Read the data, fit the encoders on the training part, and encode all of it.

        Args:
            sources: where the data is.
            options: this task's.
            folder: the model's, which exists, with `DATA` in it for what is large and only needed for training.
            progress: told how far it has come.

        Returns:
            The material: whatever `plan`, `learner` and `batches` of this task want.

        Raises:
            DataError, StorageError: naming file and line.
        """

    @abstractmethod
    def reopen(self, options: Any, folder: Path) -> Any:
        """The material that `prepare` left in the model's folder, for a run that goes on.

        Raises:
            ModelError: if it is not whole.
        """

    @abstractmethod
    def plan(self, material: Any, options: Any, training: Mapping[str, Any]) -> Plan:
        """Choose what the user left open, by how much data there is and how long it may train.

        Args:
            training: the training settings that the user did give.
        """

    @abstractmethod
    def describe(self, material: Any) -> dict[str, Any]:
        """What the model is trained on, as JSON: counts, and fingerprints that bind its checkpoints to this data."""

    @abstractmethod
    def encoders(self, material: Any) -> Any:
        """What turns inputs into tensors and back, as fitted by `prepare`; kept with the model."""

    @abstractmethod
    def save_encoders(self, encoders: Any, folder: Path) -> None:
        """Write the encoders into a model's folder."""

    @abstractmethod
    def load_encoders(self, folder: Path) -> Any:
        """Read what `save_encoders` wrote.

        Raises:
            ModelError, StorageError: naming the file.
        """

    def save_extras(self, model: Model, folder: Path) -> None:
        """Write into a model's folder what belongs to it beside encoders and weights: baselines, `model.cache`."""
        return

    def load_cache(self, folder: Path, encoders: Any) -> Any:
        """The `cache` of a model that was adapted to somebody, or None.

        Raises:
            ModelError, StorageError: naming the file.
        """
        return None

    def personalise(self, model: Model, paths: tuple[Path, ...], progress: Progress, **options: Any) -> Model:
        """A copy of the model, adapted to whoever wrote these files.

        Raises:
            ArgumentError: if the task has no such adaptation.
        """
        raise ArgumentError(f"the task {self.name!r} can't be adapted to a person")

    def check_fitted(self, fitted: Mapping[str, Any]) -> None:
        """See that what `finish` put into a model's config.json is what this task can work with.

        Raises:
            ArgumentError: naming the value.
        """
        return

    @abstractmethod
    def build(self, network: Mapping[str, Any], encoders: Any) -> nn.Module:
        """The untrained network.

        Raises:
            ModelError: for settings that make no network.
        """

    def initialise(self, network: nn.Module, material: Any) -> None:
        """Set what the data suggests before the first step, e.g. an output bias at the classes' frequencies."""
        return

    @abstractmethod
    def learner(self, model: Model, material: Any, training: TrainingSettings) -> Learner:
        """What the loop trains."""

    @abstractmethod
    def batches(self, model: Model, material: Any, training: TrainingSettings) -> Batches:
        """The training data."""

    def finish(self, model: Model, material: Any, progress: Progress) -> None:
        """Fit what comes after training on the development data, e.g. thresholds, into `model.fitted`."""
        return

    @abstractmethod
    def evaluate(self, model: Model, paths: tuple[Path, ...], progress: Progress, **options: Any) -> Evaluation:
        """The task's standard metrics beside its baseline's."""

    @abstractmethod
    def predict(self, model: Model, inputs: Iterable[Any], **options: Any) -> Iterator[Any]:
        """One prediction an input; predictions print well and have `as_json()`."""

    def is_one_input(self, given: Any) -> bool:
        """Whether `Model.predict` was given one input, and not several."""
        # an array is one image, clip or series, however many rows it has
        return (
            isinstance(given, (str, bytes, bytearray, memoryview, Mapping))
            or hasattr(given, "ndim")
            or not isinstance(given, Iterable)
        )

    def probe(self, model: Model, given: Any, limit: int) -> Probe:
        """One input laid out for `unrolled.inspection`.

        Args:
            model: the model.
            given: an input as for `predict`.
            limit: steps that can be looked at; of a longer input the last ones are taken, and `note` says so.

        Raises:
            ArgumentError: if the task can't be looked into, or there is nothing in the input to look at.
        """
        raise ArgumentError(f"the task {self.name!r} can't be looked into")

    def wire(self) -> Wire:
        """How this use is spoken to over HTTP.

        Raises:
            ArgumentError: if it can't be.
        """
        raise ArgumentError(f"the task {self.name!r} can't be served")

    def stream(self, model: Model) -> Any:
        """A session that takes input piece by piece.

        Raises:
            ArgumentError: if the task or this model can't be streamed.
        """
        raise ArgumentError(f"the task {self.name!r} can't be streamed")
