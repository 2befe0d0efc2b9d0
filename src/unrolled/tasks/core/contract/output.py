"""What a use answers. B batch, N examples, K classes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

from torch import Tensor, nn
from typing_extensions import Self

from unrolled.data import Arrays, Example, ExampleStore, Findings
from unrolled.errors import ArgumentError
from unrolled.layers import Session
from unrolled.settings import Settings
from unrolled.tasks.core import results
from unrolled.tasks.core.contract.input import AnyInput
from unrolled.tasks.core.fitted import AnyFitted
from unrolled.tasks.core.probe import Probe
from unrolled.tasks.core.stream import StepStream
from unrolled.tasks.core.values import NoOptions, Progress, Scored, Steps
from unrolled.types import Json

T = TypeVar("T")
R = TypeVar("R", bound=results.Result)


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
    def dev_metrics(self, model: AnyFitted, dev: ExampleStore) -> dict[str, float]:
        """Return metrics on the development data while training, "loss" (nats per counted item) among them."""

    @abstractmethod
    def evaluate(
        self, model: AnyFitted, examples: Iterator[tuple[Example, Arrays]], progress: Progress, options: Settings
    ) -> tuple[Json, Json]:
        """Return the standard metrics on encoded examples, and those of the baseline on the same."""

    @abstractmethod
    def predict(
        self, model: AnyFitted, inputs: Sequence[Arrays], shown: Sequence[results.Shown], options: Settings
    ) -> Iterator[R]:
        """Yield a prediction for each encoded input.

        Args:
            model: the model.
            inputs: as `Input.encode` made them.
            shown: the fields by which each result names its input.
            options: of `predict_options`.
        """

    @abstractmethod
    def probe(self, model: AnyFitted, steps: Steps) -> Probe:
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

    def finish(self, model: AnyFitted, dev: ExampleStore, progress: Progress) -> None:
        """Fit what comes after training on the development data, e.g. thresholds, into `model.fitted`."""
        return

    @classmethod
    def check_fitted(cls, fitted: Mapping[str, Any]) -> None:
        """Check that what `finish` put into config.json is what this output can work with.

        Raises:
            ArgumentError: naming the value.
        """
        return

    def sample(self, model: AnyFitted, dev: ExampleStore) -> str | None:
        """Return text that shows what the model produces now, for the terminal and samples.md."""
        return None

    def session(self, model: AnyFitted, steps: StepStream) -> Session:
        """Return a stream in progress.

        Raises:
            ArgumentError: this model can't be streamed; says what to train instead.
        """
        raise ArgumentError(f"the output {self.name!r} can't be streamed")


#: any output whatever, for what walks over all of them
AnyOutput = Output[Any, Any]
