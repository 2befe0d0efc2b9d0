"""The contract of an answer. B batch, N examples, K classes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
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
from unrolled.tasks.core.values import InputSteps, NoOptions, Progress, Scored, chosen_fields
from unrolled.types import Json

T = TypeVar("T")
R = TypeVar("R", bound=results.Result)
#: what `predict` does, with the model and the options given: from inputs and how they are shown to predictions
Predictor = Callable[[Sequence[Arrays], Sequence[results.Shown]], Iterator[R]]


class Answer(ABC, Generic[R]):
    """The answer of a use, however its data is made up. `R` is the type of a prediction."""

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
    #: files of the baseline, in the model's folder
    baseline_files: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote into a model's folder.

        Raises:
            ModelError, StorageError: naming the file.
        """
        return cls()

    def save(self, folder: Path) -> None:
        """Write into a model's folder what was fitted, if anything was."""
        return

    def extended(self, other: Self) -> Self:
        """Return this answer with the labels or characters that another one knows besides, for a model that goes on
        from this one. All that this one knows keeps its number.

        Raises:
            ArgumentError: the two answer different things.
        """
        return self

    @property
    def sizes(self) -> Mapping[str, int]:
        """The fields of a network that follow from what was fitted."""
        return {}

    @property
    def fingerprint(self) -> str:
        """A hash of what is mixed into the network's predictions; empty where nothing is."""
        return ""

    @abstractmethod
    def network(self, source: AnyInput, network: Mapping[str, Any]) -> nn.Module:
        """Return a network around an input's layer: hidden layers, output layer, and what the loss needs to know.

        Raises:
            ArgumentError: settings that make no network.
        """

    @classmethod
    def check_fitted(cls, fitted: Mapping[str, Any]) -> None:
        """Check that what `finish` put into config.json is what this output can work with.

        Raises:
            ArgumentError: naming the value.
        """
        return


class Output(Answer[R], Generic[T, R]):
    """The answer of a use over examples, fitted on the training part. `T` is a target."""

    #: whether every step has a target, so that a long sequence may be learned in pieces
    synced: ClassVar[bool] = False
    #: whether a target may need more steps than the network has for it; `check_pair` says so of each
    needs_steps: ClassVar[bool] = False

    @classmethod
    def fit(cls, examples: Sequence[Example], options: Settings, progress: Progress) -> Self:
        """Fit on the training part; an output that remembers nothing is made without arguments.

        Raises:
            DataError: nothing can be learned from these targets; naming the file.
        """
        return cls()

    def encode(self, target: T) -> Arrays:
        """Return one target as arrays: always the same parts, dtypes and numbers of dimensions. None where the targets
        are later steps of what is read.
        """
        return {}

    def collate(self, examples: Sequence[Arrays]) -> dict[str, Tensor]:
        """Return the targets of several encoded examples as tensors, those of `encode`."""
        return {}

    def plan(self, options: Settings, store: ExampleStore) -> Json:
        """Return the fields of `Network` that fit the data and the options, for a use without a plan of its own."""
        return chosen_fields(self.Network, options)

    @abstractmethod
    def score(self, network: nn.Module, x: object, lengths: Tensor | None, data: Mapping[str, Tensor]) -> Scored:
        """Run the forward pass and the loss of one batch, which is on the network's device."""

    def score_learning(
        self, model: AnyFitted, x: object, lengths: Tensor | None, data: Mapping[str, Tensor], number: int
    ) -> Scored:
        """Do as `score` while training; `number` batches were learned from before this one."""
        return self.score(model.network, x, lengths, data)

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

    def predictor(self, model: AnyFitted, options: Settings) -> Predictor[R]:
        """Return what predicts some inputs after others; what the options take long to make is made once, here."""
        return partial(self.predict, model, options=options)

    @abstractmethod
    def probe(self, model: AnyFitted, steps: InputSteps) -> Probe:
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

    def least_steps(self, arrays: Arrays) -> int:
        """Return how many steps of the network an encoded target needs at least."""
        return 0

    def check_pair(self, source: AnyInput, arrays: Arrays) -> None:
        """Check that an encoded target can be learned from its encoded input.

        Raises:
            DataError: it can't.
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

    def sample(self, model: AnyFitted, dev: ExampleStore) -> str | None:
        """Return text that shows what the model produces now, for the terminal and samples.md."""
        return None

    def session(self, model: AnyFitted, steps: StepStream[Any]) -> Session:
        """Return a stream in progress.

        Raises:
            ArgumentError: this model can't be streamed; says what to train instead.
        """
        raise ArgumentError(f"the output {self.name!r} can't be streamed")


#: any output whatever, for what walks over all of them
AnyAnswer = Answer[Any]
AnyOutput = Output[Any, Any]
