"""A trained model: task, network, encoders and what was fitted; and the folder it lives in."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, Generic, Literal

import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import nn

from unrolled.errors import ArgumentError, ModelError, StorageError
from unrolled.layers import fingerprint
from unrolled.settings import Settings
from unrolled.storage import make_folder, storage_error, write_whole
from unrolled.tasks.core.card import write_card
from unrolled.tasks.core.contract import Evaluation, I, O, Parts, Progress, Use, silent
from unrolled.tasks.core.probe import Probe

FORMAT = "unrolled.model"
VERSION = 1
CONFIG, WEIGHTS = "config.json", "model.safetensors"


class ModelConfig(BaseModel):
    """config.json: all that is needed to build the network again, and how it came about.

    Attributes:
        task: the task's name.
        options: what the user chose of the task's options.
        network: what `Task.build` reads.
        training: the training settings.
        batching: batch size, window and the like.
        data: what the model was trained on: fingerprint and counts.
        sources: name, files and bytes of each path it was read from.
        fitted: what was fitted after training, e.g. thresholds.
        result: the outcome of training; empty while it goes on.
        versions: of unrolled, torch and Python, at training.
    """

    model_config = ConfigDict(extra="forbid")

    format: Literal["unrolled.model"] = "unrolled.model"
    version: int = VERSION
    task: str
    options: dict[str, Any]
    network: dict[str, Any]
    training: dict[str, Any]
    batching: dict[str, Any] = {}
    data: dict[str, Any] = {}
    sources: dict[str, list[list[Any]]] = {}
    fitted: dict[str, Any] = {}
    result: dict[str, Any] = {}
    versions: dict[str, str] = {}


class Model(Generic[I, O]):
    """A trained model.

    Args:
        task: what it does.
        config: how it was made.
        parts: what is read and what is answered, as fitted.
        network: the network.
        folder: where it was loaded from, if it was.
        cache: what the task mixes into the network's predictions, e.g. one writer's n-gram.
    """

    def __init__(
        self,
        task: Use[I, O, Any],
        config: ModelConfig,
        parts: Parts[I, O],
        network: nn.Module,
        folder: Path | None = None,
        cache: Any = None,
    ) -> None:
        self.task, self.config, self.parts, self.network, self.folder = task, config, parts, network, folder
        self.cache = cache
        self._fingerprint = ""

    @property
    def input(self) -> I:
        """What is read."""
        return self.parts.input

    @property
    def output(self) -> O:
        """What is answered."""
        return self.parts.output

    @property
    def encoders(self) -> I:
        """What is read, of a use whose two parts are one object."""
        return self.parts.input

    @cached_property
    def options(self) -> Settings:
        """The options of training, those that were left out at their defaults."""
        return self.task.options(**self.config.options)

    @property
    def fitted(self) -> dict[str, Any]:
        """What was fitted after training."""
        return self.config.fitted

    @property
    def fingerprint(self) -> str:
        """A hash of the weights (and of the cache), which binds saved states of streams to this model."""
        return self._fingerprint or self._hashed()

    def freeze(self) -> Model[I, O]:
        """Take the weights as final: they are hashed once and for all, not at each save of a stream."""
        self.network.eval()
        self._fingerprint = self._hashed()
        return self

    def _hashed(self) -> str:
        own = fingerprint(self.network)
        return own if self.cache is None else hashlib.sha256((own + self.cache.fingerprint).encode()).hexdigest()

    @property
    def parameters(self) -> int:
        """How many numbers were learned; shared weights count once."""
        return sum(p.numel() for p in self.network.parameters())

    def evaluate(self, *paths: str | Path, progress: Progress = silent, **options: Any) -> Evaluation:
        """The task's standard metrics on files or folders, beside its baseline's."""
        if not paths:
            raise ArgumentError("paths: evaluate needs at least one file or folder")
        self.network.eval()
        return self.task.evaluate(self, tuple(Path(p) for p in paths), progress, **options)

    def predict(self, inputs: Any, **options: Any) -> Any:
        """The prediction for one input, or a list of predictions for several (or for one that asks for several)."""
        self.network.eval()
        if self.task.is_one_input(inputs):
            found = list(self.task.predict(self, [inputs], **options))
            return found[0] if len(found) == 1 else found
        return list(self.task.predict(self, inputs, **options))

    def predictions(self, inputs: Iterable[Any], **options: Any) -> Iterator[Any]:
        """As `predict` over several inputs, one at a time as they come."""
        self.network.eval()
        return self.task.predict(self, inputs, **options)

    def probe(self, given: Any, limit: int = 256) -> Probe:
        """One input laid out for `unrolled.inspection`.

        Args:
            given: an input as for `predict`.
            limit: steps that are looked at; of a longer input the last ones, which the probe's `note` says.

        Raises:
            ArgumentError: this task or this input can't be looked into.
        """
        if limit < 1:
            raise ArgumentError(f"limit: expected at least 1 step, found {limit}")
        self.network.eval()
        return replace(self.task.probe(self, given, limit), options=self.task.trained_with)

    def stream(self) -> Any:
        """A session that takes input piece by piece and carries its state."""
        self.network.eval()
        return self.task.stream(self)

    def personalise(
        self, paths: str | Path | Iterable[str | Path], progress: Progress = silent, **options: Any
    ) -> Model[I, O]:
        """A copy of the model, adapted to whoever wrote these files; save it to keep it.

        Args:
            paths: files and folders of theirs.
            progress: told how far it has come.
            options: the task's, e.g. `method` and `minutes`; of `generate`: `uses.generate.personal.PersonalOptions`.

        Raises:
            ArgumentError: for a task that has no such adaptation, or an option out of range.
        """
        chosen = (Path(paths),) if isinstance(paths, (str, Path)) else tuple(Path(p) for p in paths)
        if not chosen:
            raise ArgumentError("paths: personalise needs at least one file or folder")
        self.network.eval()
        return self.task.personalise(self, chosen, progress, **options)

    def adapted(self, *, network: nn.Module, cache: Any) -> Model[I, O]:
        """A model with another network and cache, and everything else a copy of this one's."""
        return Model(self.task, self.config.model_copy(deep=True), self.parts, network, self.folder, cache)

    def save(self, folder: str | Path) -> None:
        """Write the model; every file is whole at every moment, and config.json comes last.

        Raises:
            StorageError: if the disk is full or the folder can't be written.
        """
        folder = Path(folder)
        make_folder(folder)
        self.task.save_parts(self.parts, folder)
        self.task.save_extras(self, folder)
        # one key only: safetensors writes several in a random order, and equal models are to be equal files
        write_whole(folder / WEIGHTS, save_tensors(own_tensors(self.network), {"format": "pt"}))
        write_card(self, folder)
        write_config(folder, self.config)
        self.folder = folder


#: a model of any use
AnyModel = Model[Any, Any]


def own_tensors(network: nn.Module) -> dict[str, torch.Tensor]:
    """The network's tensors on the CPU, a shared one under its first name only."""
    return {name: tensor.detach().cpu().contiguous() for name, tensor in _distinct_tensors(network).items()}


def _distinct_tensors(network: nn.Module) -> dict[str, torch.Tensor]:
    seen: set[int] = set()
    kept = {}
    for name, tensor in network.state_dict(keep_vars=True).items():
        if id(tensor) not in seen:
            seen.add(id(tensor))
            kept[name] = tensor
    return kept


def check_fit(network: nn.Module, tensors: Mapping[str, torch.Tensor], where: str) -> None:
    """See that saved tensors have the names and shapes of a network's.

    Raises:
        ModelError: if they don't.
    """
    own = _distinct_tensors(network)
    missing, extra = sorted(own.keys() - tensors.keys()), sorted(tensors.keys() - own.keys())
    if missing or extra:
        raise ModelError(f"{where}: tensors don't fit the network: missing {missing[:3]}, unexpected {extra[:3]}")
    for name, tensor in own.items():
        if tensor.shape != tensors[name].shape:
            shapes = f"expected {tuple(tensor.shape)}, found {tuple(tensors[name].shape)}"
            raise ModelError(f"{where}: {name} doesn't fit the network: {shapes}")


def load(folder: str | Path, device: str | torch.device = "cpu") -> AnyModel:
    """Read a model folder. Nothing in it is executed or unpickled.

    Raises:
        StorageError: there is no such folder, or it can't be read.
        ModelError: it is no model, is corrupt, of a later version, or its training has not come to an end.
    """
    from unrolled.tasks.core.catalog import task_named

    folder = Path(folder)
    config = read_config(folder)
    try:
        task = task_named(config.task)
    except ArgumentError as error:
        raise ModelError(f"{folder / CONFIG}: {error}; is the package that declares it installed?") from error
    path = folder / WEIGHTS
    if not path.is_file():
        if not config.result:
            raise ModelError(f"{folder}: training has not come to an end yet; go on with unrolled train … --resume")
        raise ModelError(f"{path}: missing; restore it from a copy of the model")
    try:
        task.check_fitted(config.fitted)
    except ArgumentError as error:
        raise ModelError(f"{folder / CONFIG}: corrupt, {error}") from error
    parts = task.load_parts(folder)
    try:
        tensors = load_tensors(path.read_bytes())
    except (SafetensorError, OSError, ValueError) as error:
        raise ModelError(f"{path}: corrupt or cut short ({error}); restore it from a copy of the model") from error
    # sizes in a stranger's config.json may be anything: no memory is taken before the weights are seen to be so large
    with torch.device("meta"):
        check_fit(task.build(config.network, parts), tensors, str(path))
    network = task.build(config.network, parts)
    network.load_state_dict(tensors, strict=False)
    network.to(device).eval()
    return Model(task, config, parts, network, folder, task.load_cache(folder, parts))


def read_config(folder: Path) -> ModelConfig:
    """config.json, validated.

    Raises:
        StorageError, ModelError: as `load`.
    """
    path = folder / CONFIG
    if not folder.is_dir():
        raise StorageError(f"{folder}: no such model folder")
    if not path.is_file():
        raise ModelError(f"{folder}: not a model folder, it has no {CONFIG}")
    try:
        raw = json.loads(path.read_text("utf-8"))
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path}: corrupt, not JSON ({error})") from error
    except OSError as error:
        raise storage_error(error, path, "reading it") from error
    if not isinstance(raw, dict) or raw.get("format") != FORMAT:
        raise ModelError(f"{path}: not a model of unrolled (its format is not {FORMAT!r})")
    version = raw.get("version")
    if isinstance(version, int) and version > VERSION:
        raise ModelError(f"{path}: of a later release (format version {version}, this one reads {VERSION}); upgrade")
    try:
        return ModelConfig(**raw)
    except (ValidationError, TypeError) as error:
        first = str(error).splitlines()[1:2] or [str(error)]
        raise ModelError(f"{path}: corrupt, {first[0].strip()!r} does not fit") from error


def write_config(folder: Path, config: ModelConfig) -> None:
    """Write config.json."""
    write_whole(folder / CONFIG, (json.dumps(config.model_dump(), indent=1, ensure_ascii=False) + "\n").encode())
