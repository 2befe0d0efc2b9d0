"""A use: an input, an output, and the walk from files to a trained model."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, Generic, Literal, TypeVar

from pydantic import create_model
from torch import nn

from unrolled.data import Findings
from unrolled.data.core.files import Source
from unrolled.data.core.folders import Place
from unrolled.errors import ArgumentError, ModelError
from unrolled.layers import Session
from unrolled.settings import Settings
from unrolled.storage import available_memory, has_part, read_part, write_whole
from unrolled.tasks.core.contract.input import AnyInput
from unrolled.tasks.core.contract.output import AnyAnswer
from unrolled.tasks.core.fitted import Fitted, Parts
from unrolled.tasks.core.probe import Probe
from unrolled.tasks.core.tuning.space import RECURRENT, Space
from unrolled.tasks.core.values import Evaluation, NoOptions, Plan, Progress, Sources
from unrolled.training import Batches, Learner, TrainingSettings
from unrolled.types import Json

#: what is read, what is answered, and what `Use.prepare` makes of the data
I = TypeVar("I", bound=AnyInput)  # noqa: E741
O = TypeVar("O", bound=AnyAnswer)  # noqa: E741
M = TypeVar("M")


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
    #: the settings that `unrolled tune` searches, and what they may be; names that are no options are left out
    space: ClassVar[Space] = RECURRENT
    #: options of `evaluate` and `predict`; the command makes options of their fields
    evaluate_options: ClassVar[type[Settings]] = NoOptions
    predict_options: ClassVar[type[Settings]] = NoOptions
    #: options of how a model is asked, whatever it is asked; those of `evaluate` and `predict` have them too
    asking_options: ClassVar[type[Settings]] = NoOptions
    #: options of writing on from a prompt; None if sessions of this use don't write
    writing_options: ClassVar[type[Settings] | None] = None
    #: uses of the same name that read other inputs; the data decides which of them is trained
    others: ClassVar[tuple[type[AnyUse], ...]] = ()

    @property
    def reads(self) -> Literal["text", "path"]:
        """Whether an input of `predict` is a text or a path on the command line."""
        return self.input.reads

    @classmethod
    def suits(cls, path: Place, options: Mapping[str, Any]) -> bool:
        """Return whether data is for this use, rather than for the one that has it among its `others`.

        Args:
            path: of the training data.
            options: those that were given.

        Raises:
            StorageError, DataError, EncodingError: it can't be read.
        """
        return False

    def for_data(self, path: Place, options: Mapping[str, Any]) -> AnyUse:
        """Return which of the uses of this name reads the data; arguments as for `suits`.

        Raises:
            ArgumentError: an option that another of them has.
        """
        use: AnyUse = next((other() for other in self.others if other.suits(path, options)), self)
        for name in options.keys() - use.options.model_fields:
            if name in self.all_options.model_fields:
                place = path.name if isinstance(path, Source) else path
                message = f"{place} is read as {use.input.name}, for which {use.name} has no such option"
                raise ArgumentError(f"--{name.replace('_', '-')}: {message}")
        return use

    def for_input(self, name: str) -> AnyUse:
        """Return which of the uses of this name reads an input of that name; this one where none does."""
        return next((other() for other in self.others if other.input.name == name), self)

    @property
    def all_options(self) -> type[Settings]:
        """The options of this use and of all `others`, for a command that does not know the data yet."""
        if not self.others:
            return self.options
        fields: dict[str, Any] = {}
        for use in (type(self), *self.others):
            for name, field in use.options.model_fields.items():
                fields.setdefault(name, (field.annotation, field))
        return create_model(f"{self.name.capitalize()}Options", __base__=Settings, **fields)

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

    def extended(self, old: Parts[I, O], new: Parts[I, O]) -> Parts[I, O]:
        """Return the parts of a model that goes on from an older one: the older ones with what is new in the data.

        Raises:
            ArgumentError: the older model answers something else.
        """
        return Parts(old.input.extended(new.input), old.output.extended(new.output))

    def remembered(self, model: Fitted[I, O], folder: Path) -> dict[str, float]:
        """Return a model's metrics on the development data that lies in the folder of the one it was made from; none
        where it does not lie there any more.
        """
        return {}

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

    def save_extras(self, model: Fitted[I, O], folder: Path) -> None:
        """Write what belongs to a model beside its parts and weights: its baseline."""
        if model.folder is None:
            return
        for name in self.output.baseline_files:
            # an output may have saved a later one than lies there
            if has_part(model.folder / name) and not (folder / name).exists():
                write_whole(folder / name, read_part(model.folder / name, available_memory() // 2))

    def load_cache(self, folder: Path, parts: Parts[I, O]) -> Any:
        """Return the `cache` of a model that was adapted to somebody, or None.

        Raises:
            ModelError, StorageError: naming the file.
        """
        return None

    def personalise(
        self, model: Fitted[I, O], paths: tuple[Place, ...], progress: Progress, **options: object
    ) -> Fitted[I, O]:
        """Return a copy of the model, adapted to whoever wrote these files.

        Raises:
            ArgumentError: the use has no such adaptation.
        """
        raise ArgumentError(f"the task {self.name!r} can't be adapted to a person")

    def asked(self, model: Fitted[I, O], **options: object) -> Fitted[I, O]:
        """Return the model as it is asked with some of `asking_options`; the one given stays as it is."""
        self.asking_options(**options)
        return model

    def check_fitted(self, fitted: Mapping[str, Any]) -> None:
        """Check that what `finish` put into a model's config.json is what this use can work with.

        Raises:
            ArgumentError: naming the value.
        """
        self.output.check_fitted(fitted)

    def build(self, network: Mapping[str, Any], parts: Parts[I, O]) -> nn.Module:
        """Return the untrained network: the output's around the input's layer.

        Raises:
            ModelError: settings that make no network.
        """
        known = {*parts.input.Network.model_fields, *parts.output.Network.model_fields}
        if unknown := sorted(network.keys() - known):
            raise ModelError(f"network: no such setting: {', '.join(unknown)}")
        try:
            return parts.output.network(parts.input, network)
        except (ArgumentError, TypeError) as error:
            reason = str(error).partition("\n")[0]
            raise ModelError(f"network: {reason}") from error

    def initialise(self, network: nn.Module, material: M) -> None:
        """Set what the data suggests before the first step, e.g. an output bias at the classes' frequencies."""
        return

    @abstractmethod
    def learner(self, model: Fitted[I, O], material: M, training: TrainingSettings) -> Learner[Any]:
        """Return what the loop trains."""

    @abstractmethod
    def batches(self, model: Fitted[I, O], material: M, training: TrainingSettings) -> Batches[Any]:
        """Return the training data."""

    def finish(self, model: Fitted[I, O], material: M, progress: Progress) -> None:
        """Fit what comes after training on the development data, e.g. thresholds, into `model.fitted`."""
        return

    def examples(self, model: Fitted[I, O], material: M) -> list[Json | str] | None:
        """Return a few inputs as JSON, to be kept with the model; None for those that were chosen as data was prepared.

        None of them may be what a person wrote to another: such a use writes its own.
        """
        return None

    @abstractmethod
    def evaluate(
        self, model: Fitted[I, O], paths: tuple[Place, ...], progress: Progress, **options: object
    ) -> Evaluation:
        """Return the use's standard metrics beside its baseline's."""

    @abstractmethod
    def predict(self, model: Fitted[I, O], inputs: Iterable[Any], **options: object) -> Iterator[Any]:
        """Yield a prediction for each input."""

    def is_one_input(self, given: object) -> bool:
        """Return whether `Model.predict` was given one input, and not several."""
        # an array is one image, clip or series, however many rows it has
        return (
            isinstance(given, (str, bytes, bytearray, memoryview, Mapping))
            or hasattr(given, "ndim")
            or not isinstance(given, Iterable)
        )

    def probe(self, model: Fitted[I, O], given: object, limit: int) -> Probe:
        """Lay out one input for `unrolled.inspection`.

        Args:
            model: the model.
            given: an input as for `predict`.
            limit: steps that can be looked at; of a longer input the last ones are taken, and `note` says so.

        Raises:
            ArgumentError: the use can't be looked into, or there is nothing in the input to look at.
        """
        raise ArgumentError(f"the task {self.name!r} can't be looked into")

    def stream(self, model: Fitted[I, O]) -> Session:
        """Return a session that takes input piece by piece.

        Raises:
            ArgumentError: the use or this model can't be streamed.
        """
        raise ArgumentError(f"the task {self.name!r} can't be streamed")


#: any use whatever, for what walks over all of them
AnyUse = Use[Any, Any, Any]
