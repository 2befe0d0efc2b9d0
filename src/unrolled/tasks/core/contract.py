"""The contract of a use: what is read, what is answered, and the plan that joins the two.

An `Input` is what a use reads, fitted on data: it turns what a caller has into arrays, batches and the vectors of an
input layer, and names its steps. An `Output` is what a use answers, fitted likewise: targets, output and loss layer,
decoder, result, metrics and baseline. A `Use` names one of each. Training, the command, the server and inspection walk
over these three and know no use by name.

Letters: T time, B batch, I input of the recurrent layer, K output classes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn
from typing_extensions import Self

from unrolled.data import Arrays, Example, ExampleStore, Findings
from unrolled.errors import ArgumentError
from unrolled.settings import Settings
from unrolled.tasks.core import results
from unrolled.tasks.core.probe import Probe
from unrolled.training import Batches, Learner, TrainingSettings
from unrolled.types import Json

if TYPE_CHECKING:
    from unrolled.layers import Session
    from unrolled.tasks.core.examples import Material
    from unrolled.tasks.core.model import AnyModel, Model
    from unrolled.tasks.core.stream import StepStream

#: called with a sentence that says what is being done, how much is done, and of how much (None: unknown)
Progress = Callable[[str, int, int | None], None]

#: large encoded data lies here, inside the model's folder; it is not part of the model
DATA = "data"


def silent(sentence: str, done: int, of: int | None) -> None:
    """Ignore progress."""


@dataclass(frozen=True)
class Sources:
    """Where the data is.

    Attributes:
        train: files and folders to learn from.
        dev: files and folders to choose by; empty lets the use hold out a part of `train`.
    """

    train: tuple[Path, ...]
    dev: tuple[Path, ...] = ()


class Plan(NamedTuple):
    """A network and a way to train it that fit the data.

    Attributes:
        network: what `Use.build` reads, as JSON.
        training: how to train.
        batching: how data is batched, as JSON: batch size, window and the like.
        reasons: one sentence for each thing that was chosen, for the log and the card.
    """

    network: Json
    training: TrainingSettings
    batching: Json
    reasons: list[str]


@dataclass(frozen=True)
class Evaluation:
    """The result of `evaluate`.

    Attributes:
        task: the use's name.
        data: what was evaluated on.
        metrics: the model's.
        baseline: the same metrics of the baseline on the same data.
        seconds: how long it took.
    """

    task: str
    data: list[str]
    metrics: Json
    baseline: Json = field(default_factory=dict)
    seconds: float = 0.0

    def as_json(self) -> Json:
        """Return the object that `unrolled evaluate --json` prints."""
        return asdict(self)


class NoOptions(Settings):
    """No options."""


class Scored(NamedTuple):
    """What a batch cost: `LossReport` without a carried state."""

    mean: Tensor
    total: Tensor | float
    # typing has no way to say that a field may be called as tuple.count is
    count: int  # type: ignore[assignment]


class Steps(NamedTuple):
    """The steps of one encoded input, for inspection.

    Attributes:
        data: the input as a batch of one, cut to the steps that are looked at.
        names: (T,) what each step is called: words, rows, times.
        note: what was left out; empty if nothing was.
        separator: what stands between the steps where they are a text; None where they are none.
    """

    data: dict[str, Tensor]
    names: tuple[str, ...]
    note: str = ""
    separator: str | None = None


G = TypeVar("G")
T = TypeVar("T")
R = TypeVar("R", bound=results.Result)


class Input(ABC, Generic[G]):
    """What a use reads, fitted on the training part. `G` is one input in memory: a text, pixels, samples, rows."""

    #: of its folder in `inputs/`, and of the page's widget
    name: ClassVar[str]
    #: what an input of `predict` is on the command line: a line of text, or the path of a file or folder
    reads: ClassVar[Literal["text", "path"]] = "path"
    #: what `features` are called
    features_are: ClassVar[str] = "features"
    #: the part of an encoded input by whose length examples are put together; None for no such order
    length_of: ClassVar[str | None] = None
    #: how inputs are fitted, encoded and disturbed while training; None in a field lets the data decide
    options: ClassVar[type[Settings]] = NoOptions
    predict_options: ClassVar[type[Settings]] = NoOptions
    #: the fields of a plan's network that the input layer reads
    Network: ClassVar[type[Settings]] = NoOptions
    #: the fields by which a result names its input
    Shown: ClassVar[type[results.Shown]] = results.Shown

    @classmethod
    @abstractmethod
    def fit(cls, examples: Sequence[Example], options: Settings, progress: Progress) -> Self:
        """Fit on the training part.

        Raises:
            DataError: the examples can't be read side by side; naming the file.
        """

    @classmethod
    @abstractmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote into a model's folder.

        Raises:
            ModelError, StorageError: naming the file.
        """

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write into a model's folder."""

    @abstractmethod
    def given(self, value: object) -> G:
        """Return an input in memory from what a caller hands to `predict`: a path, an array, a text.

        Raises:
            ArgumentError, DataError: it is none, or can't be decoded.
        """

    def each(self, value: object) -> Iterator[G]:
        """Yield all inputs that a value handed to `predict` holds; a table may hold several."""
        yield self.given(value)

    @abstractmethod
    def encode(self, given: G, options: Settings | None = None) -> Arrays:
        """Return one input as arrays: always the same parts, dtypes and numbers of dimensions.

        Args:
            given: the input.
            options: of `predict`; None while training and evaluating.
        """

    @abstractmethod
    def collate(
        self, model: AnyModel, examples: Sequence[Arrays], draw: np.random.Generator | None = None
    ) -> dict[str, Tensor]:
        """Return several encoded inputs as tensors.

        Args:
            model: whose options and batching say how inputs are disturbed.
            examples: as `encode` made them; parts of the output may be among them.
            draw: for what is random while training; None otherwise.
        """

    @abstractmethod
    def feed(self, data: Mapping[str, Tensor]) -> tuple[object, Tensor | None]:
        """Return what the input layer reads of a batch, and the valid steps of each sequence, (B,), or None."""

    @abstractmethod
    def layer(self, network: Mapping[str, Any]) -> nn.Module:
        """Return the input layer: from what `feed` yields to (T, B, I), or to (B, I) where nothing is a sequence.

        Args:
            network: the plan's; a layer reads its own fields of it.
        """

    def is_sequence(self, network: Mapping[str, Any]) -> bool:
        """Return whether the input layer yields steps, (T, B, I), rather than one vector, (B, I)."""
        return True

    def beside(self, network: Mapping[str, Any], classes: int) -> nn.Module | None:
        """Return a linear model of the same input whose logits are added to those of a label, or None."""
        return None

    def standardise(self, network: nn.Module, store: ExampleStore) -> None:
        """Give a network's input layer, its part `inputs`, the statistics of the training data."""
        return

    def facts(self, train: Sequence[Example], dev: Sequence[Example]) -> Json:
        """Return counts, for `describe` and `plan`."""
        return {}

    @classmethod
    def check(
        cls,
        train: Sequence[Example],
        dev: Sequence[Example],
        options: Settings,
        findings: Findings,
        progress: Progress,
    ) -> None:
        """Look for inputs that can't be used, beyond empty, duplicated and leaked ones."""
        return

    @classmethod
    def check_decodable(
        cls,
        train: Sequence[Example],
        dev: Sequence[Example],
        options: Settings,
        findings: Findings,
        progress: Progress,
    ) -> None:
        """Decode everything that is decoded only when it is encoded, for `unrolled data check`."""
        return

    def shown(self, given: G, arrays: Arrays) -> results.Shown:
        """Return the fields by which a result names its input; `arrays` is the same, encoded."""
        return self.Shown()

    def features(self, examples: Sequence[Arrays]) -> NDArray[np.float32]:
        """Return a vector of fixed size for each encoded input, (N, F), for linear baselines."""
        raise ArgumentError(f"the input {self.name!r} has no features for a linear baseline")

    def empty(self) -> Arrays:
        """Return an encoded input without a step, for what a model expects before it reads.

        Raises:
            ArgumentError: there is no such input.
        """
        raise ArgumentError("session: nothing was read yet; push something first")

    def steps(self, model: AnyModel, given: G, limit: int) -> Steps:
        """Lay out an input by its steps, the last `limit` of them.

        Raises:
            ArgumentError: it has no steps to look into.
        """
        raise ArgumentError(f"the input {self.name!r} has no steps to look into")

    def stream(self, model: AnyModel) -> StepStream:
        """Return what turns pushed pieces into steps of the network.

        Raises:
            ArgumentError: this input can't be streamed; says what to train instead.
        """
        raise ArgumentError(f"the input {self.name!r} can't be streamed")


class Output(ABC, Generic[T, R]):
    """What a use answers, fitted on the training part. `T` is a target, `R` the type of a prediction."""

    #: of its folder in `outputs/`, and of the page's view
    name: ClassVar[str]
    #: how targets are fitted and the loss is computed; None in a field lets the data decide
    options: ClassVar[type[Settings]] = NoOptions
    evaluate_options: ClassVar[type[Settings]] = NoOptions
    predict_options: ClassVar[type[Settings]] = NoOptions
    #: the fields of a plan's network that hidden and output layers read
    Network: ClassVar[type[Settings]] = NoOptions
    #: what is answered; a prediction names its input besides
    Result: ClassVar[type[results.Result]]
    #: files of the baseline that `fit_baseline` leaves in the model's folder
    baseline_files: ClassVar[tuple[str, ...]] = ()

    @classmethod
    @abstractmethod
    def fit(cls, examples: Sequence[Example], options: Settings, progress: Progress) -> Self:
        """Fit on the training part.

        Raises:
            DataError: nothing can be learned from these targets; naming the file.
        """

    @classmethod
    @abstractmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote into a model's folder.

        Raises:
            ModelError, StorageError: naming the file.
        """

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write into a model's folder."""

    @abstractmethod
    def encode(self, target: T) -> Arrays:
        """Return one target as arrays: always the same parts, dtypes and numbers of dimensions."""

    @abstractmethod
    def collate(self, examples: Sequence[Arrays]) -> dict[str, Tensor]:
        """Return the targets of several encoded examples as tensors."""

    @abstractmethod
    def network(self, source: AnyInput, network: Mapping[str, Any]) -> nn.Module:
        """Return a network around an input's layer: hidden layers, output layer, and what the loss needs to know.

        Raises:
            ArgumentError: settings that make no network.
        """

    @abstractmethod
    def score(self, network: nn.Module, x: object, lengths: Tensor | None, data: Mapping[str, Tensor]) -> Scored:
        """Run the forward pass and the loss of one batch, which is on the network's device."""

    @abstractmethod
    def dev_metrics(self, model: AnyModel, dev: ExampleStore) -> dict[str, float]:
        """Return metrics on the development data while training, "loss" (nats per counted item) among them."""

    @abstractmethod
    def evaluate(
        self, model: AnyModel, examples: Iterator[tuple[Example, Arrays]], progress: Progress, options: Settings
    ) -> tuple[Json, Json]:
        """Return the standard metrics on encoded examples, and those of the baseline on the same."""

    @abstractmethod
    def predict(
        self, model: AnyModel, inputs: Sequence[Arrays], shown: Sequence[results.Shown], options: Settings
    ) -> Iterator[R]:
        """Yield a prediction for each encoded input.

        Args:
            model: the model.
            inputs: as `Input.encode` made them.
            shown: the fields by which each result names its input.
            options: of `predict_options`.
        """

    @abstractmethod
    def probe(self, model: AnyModel, steps: Steps) -> Probe:
        """Lay out one input for inspection, asked about what the network itself predicts."""

    def initialise(self, network: nn.Module, store: ExampleStore) -> None:
        """Set what the targets suggest before the first step, e.g. an output bias at the classes' frequencies."""
        return

    def facts(self, train: Sequence[Example], dev: Sequence[Example]) -> Json:
        """Return counts, for `describe` and `plan`."""
        return {}

    @classmethod
    def check(cls, train: Sequence[Example], dev: Sequence[Example], options: Settings, findings: Findings) -> None:
        """Look for targets that ruin a run without a word."""
        return

    def check_known(self, examples: Sequence[Example]) -> None:
        """Check that the model can be judged by these targets.

        Raises:
            DataError: one that it does not know; naming file and line.
        """
        return

    def fit_baseline(
        self,
        source: AnyInput,
        train: Sequence[Example],
        dev: Sequence[Example],
        store: ExampleStore,
        folder: Path,
        progress: Progress,
    ) -> None:
        """Fit the baseline that every evaluation puts beside the model, into `baseline_files`.

        Args:
            source: the fitted input, whose `features` a linear baseline reads.
            train, dev: as read.
            store: the training part, encoded.
            folder: the model's.
            progress: is called as it goes.
        """
        return

    def finish(self, model: AnyModel, material: Material[Any, Any], progress: Progress) -> None:
        """Fit what comes after training on the development data, e.g. thresholds, into `model.fitted`."""
        return

    @classmethod
    def check_fitted(cls, fitted: Mapping[str, Any]) -> None:
        """Check that what `finish` put into config.json is what this output can work with.

        Raises:
            ArgumentError: naming the value.
        """
        return

    def sample(self, model: AnyModel, dev: ExampleStore) -> str | None:
        """Return text that shows what the model produces now, for the terminal and samples.md."""
        return None

    def session(self, model: AnyModel, steps: StepStream) -> Session:
        """Return a stream in progress.

        Raises:
            ArgumentError: this model can't be streamed; says what to train instead.
        """
        raise ArgumentError(f"the output {self.name!r} can't be streamed")


#: what a use reads and answers
I = TypeVar("I", bound="AnyInput")  # noqa: E741
O = TypeVar("O", bound="AnyOutput")  # noqa: E741
#: what `Use.prepare` makes of the data
M = TypeVar("M")


@dataclass(frozen=True)
class Parts(Generic[I, O]):
    """The two fitted halves of a model."""

    input: I
    output: O


class Use(ABC, Generic[I, O, M]):
    """One use: an input, an output, and how the two are trained. Holds no data: what is fitted lives in the `Model`."""

    name: ClassVar[str]
    #: one line, for --help
    summary: ClassVar[str]
    #: which of the five shapes it has
    shape: ClassVar[str]
    #: what is read, and what is answered
    input: type[I]
    output: type[O]
    #: options of training; None in a field means that the data decides
    options: ClassVar[type[Settings]]
    #: options of `evaluate` and `predict`; the command makes options of their fields
    evaluate_options: ClassVar[type[Settings]] = NoOptions
    predict_options: ClassVar[type[Settings]] = NoOptions
    #: options of writing on from a prompt; None if sessions of this use don't write
    writing_options: ClassVar[type[Settings] | None] = None

    @property
    def reads(self) -> Literal["text", "path"]:
        """What an input of `predict` is on the command line."""
        return self.input.reads

    @property
    def trained_with(self) -> frozenset[str]:
        """The names of all options of a training run: the use's own, and those of every training."""
        return frozenset(self.options.model_fields) | frozenset(TrainingSettings.model_fields)

    def check(self, sources: Sources, options: Any, findings: Findings, progress: Progress) -> Json:
        """Look for what is wrong with the data and for what ruins runs without a word: `unrolled data check`.

        Args:
            sources, options, progress: as for `prepare`.
            findings: collects what is wrong.

        Returns:
            Counts, as JSON: what was looked at.

        Raises:
            ArgumentError: the use has no such check.
        """
        raise ArgumentError(f"the task {self.name!r} has no check of its data")

    @abstractmethod
    def prepare(self, sources: Sources, options: Any, folder: Path, progress: Progress) -> M:
        """Read the data, fit both parts on the training data, and encode all of it.

        Args:
            sources: where the data is.
            options: of type `options`.
            folder: the model's, which exists, with `DATA` in it for what is large and only needed for training.
            progress: is called as it goes.

        Raises:
            DataError, StorageError: naming file and line.
        """

    @abstractmethod
    def reopen(self, options: Any, folder: Path) -> M:
        """Return the material that `prepare` left in the model's folder, for a run that is resumed.

        Raises:
            ModelError: it is not whole.
        """

    @abstractmethod
    def plan(self, material: M, options: Any, training: Mapping[str, Any]) -> Plan:
        """Choose what was left open, by how much data there is and how long training may take.

        Args:
            training: the training settings that were given.
        """

    @abstractmethod
    def describe(self, material: M) -> Json:
        """Return counts of the data, and fingerprints that bind a model's checkpoints to it."""

    @abstractmethod
    def parts(self, material: M) -> Parts[I, O]:
        """Return both parts as `prepare` fitted them."""

    def save_parts(self, parts: Parts[I, O], folder: Path) -> None:
        """Write both parts into a model's folder."""
        parts.input.save(folder)
        parts.output.save(folder)

    def load_parts(self, folder: Path) -> Parts[I, O]:
        """Read what `save_parts` wrote.

        Raises:
            ModelError, StorageError: naming the file.
        """
        return Parts(self.input.load(folder), self.output.load(folder))

    def save_extras(self, model: Model[I, O], folder: Path) -> None:
        """Write what belongs to a model beside its parts and weights: baselines, `model.cache`."""
        return

    def load_cache(self, folder: Path, parts: Parts[I, O]) -> Any:
        """Return the `cache` of a model that was adapted to somebody, or None.

        Raises:
            ModelError, StorageError: naming the file.
        """
        return None

    def personalise(
        self, model: Model[I, O], paths: tuple[Path, ...], progress: Progress, **options: object
    ) -> Model[I, O]:
        """Return a copy of the model, adapted to whoever wrote these files.

        Raises:
            ArgumentError: the use has no such adaptation.
        """
        raise ArgumentError(f"the task {self.name!r} can't be adapted to a person")

    def check_fitted(self, fitted: Mapping[str, Any]) -> None:
        """Check that what `finish` put into a model's config.json is what this use can work with.

        Raises:
            ArgumentError: naming the value.
        """
        return

    @abstractmethod
    def build(self, network: Mapping[str, Any], parts: Parts[I, O]) -> nn.Module:
        """Return the untrained network.

        Raises:
            ModelError: settings that make no network.
        """

    def initialise(self, network: nn.Module, material: M) -> None:
        """Set what the data suggests before the first step, e.g. an output bias at the classes' frequencies."""
        return

    @abstractmethod
    def learner(self, model: Model[I, O], material: M, training: TrainingSettings) -> Learner:
        """Return what the loop trains."""

    @abstractmethod
    def batches(self, model: Model[I, O], material: M, training: TrainingSettings) -> Batches:
        """Return the training data."""

    def finish(self, model: Model[I, O], material: M, progress: Progress) -> None:
        """Fit what comes after training on the development data, e.g. thresholds, into `model.fitted`."""
        return

    @abstractmethod
    def evaluate(
        self, model: Model[I, O], paths: tuple[Path, ...], progress: Progress, **options: object
    ) -> Evaluation:
        """Return the use's standard metrics beside its baseline's."""

    @abstractmethod
    def predict(self, model: Model[I, O], inputs: Iterable[Any], **options: object) -> Iterator[Any]:
        """Yield a prediction for each input."""

    def is_one_input(self, given: object) -> bool:
        """Return whether `Model.predict` was given one input, and not several."""
        # an array is one image, clip or series, however many rows it has
        return (
            isinstance(given, (str, bytes, bytearray, memoryview, Mapping))
            or hasattr(given, "ndim")
            or not isinstance(given, Iterable)
        )

    def probe(self, model: Model[I, O], given: object, limit: int) -> Probe:
        """Lay out one input for `unrolled.inspection`.

        Args:
            model: the model.
            given: an input as for `predict`.
            limit: steps that can be looked at; of a longer input the last ones are taken, and `note` says so.

        Raises:
            ArgumentError: the use can't be looked into, or there is nothing in the input to look at.
        """
        raise ArgumentError(f"the task {self.name!r} can't be looked into")

    def stream(self, model: Model[I, O]) -> Session:
        """Return a session that takes input piece by piece.

        Raises:
            ArgumentError: the use or this model can't be streamed.
        """
        raise ArgumentError(f"the task {self.name!r} can't be streamed")


class Cache(ABC):
    """What a use mixes into a network's predictions, such as one writer's n-gram."""

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """A hash, which binds saved states of streams to it."""

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write into a model's folder."""


#: any use whatever, for what walks over all of them
AnyUse = Use[Any, Any, Any]
AnyInput = Input[Any]
AnyOutput = Output[Any, Any]
