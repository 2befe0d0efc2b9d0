"""Training that goes on from an older model: what is taken over, what is new, and what is forgotten.

The older model's entries keep their numbers, and new words, labels and characters come behind them. So its weights fill
the first rows of the new ones, and what its folder holds encoded reads the same to the new model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor, nn

from unrolled.data.core.folders import Place
from unrolled.errors import ArgumentError, ModelError
from unrolled.storage import available_memory, read_whole, write_whole
from unrolled.tasks.core.contract import AnyUse
from unrolled.tasks.core.fitted import Parts, own_tensors
from unrolled.tasks.core.folder.load import load
from unrolled.tasks.core.model import AnyModel
from unrolled.tasks.core.values import DATA, Plan, Progress, Sources
from unrolled.types import Json

#: the older model's weights, until training is over
START = "start.safetensors"
#: the learning rate, as a share of the one that a new model would begin with
LOWER = 0.3
#: the parts of a network that read, before anything is answered
ENCODER = ("inputs", "hidden", "source", "encoder")


@dataclass(frozen=True)
class Base:
    """An older model that training goes on from.

    Attributes:
        model: the model.
        freeze: whether its encoder is left as it is.
        old_data: what it is measured on; empty for the development data in its folder.
    """

    model: AnyModel
    freeze: bool
    old_data: tuple[Place, ...]

    @classmethod
    def of(
        cls, base: str | Path | AnyModel | None, task: AnyUse, freeze: bool, old_data: tuple[Place, ...]
    ) -> Base | None:
        """Return the older model; None if there is none.

        Raises:
            ArgumentError: it is of another task, or options are given that need it.
            StorageError, ModelError: it can't be loaded.
        """
        if base is None:
            for name, value in (("--freeze", freeze), ("--old-data", old_data)):
                if value:
                    raise ArgumentError(f"{name}: needs --from MODEL, the older model")
            return None
        model = load(base) if isinstance(base, (str, Path)) else base
        if model.task.name != task.name or not isinstance(model.input, task.input):
            own, other = f"{task.name!r} ({task.input.name})", f"{model.task.name!r} ({model.input.name})"
            raise ArgumentError(f"--from: {base} is a model for {other}, and training for {own} can't go on from it")
        return cls(model, freeze, old_data)

    @property
    def name(self) -> str:
        """The name of its folder."""
        return "?" if self.model.folder is None else self.model.folder.resolve().name

    def options(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the options of training: those given, and where nothing was given those that fitted the older model.

        Raises:
            ArgumentError: an option that makes another network.
        """
        parts = (type(self.model.input), type(self.model.output))
        network = self.model.config.network
        for name, value in given.items():
            is_of_network = any(name in part.Network.model_fields for part in parts)
            # an option may bear the name of a size that follows from it
            is_alike = type(value) is type(network.get(name))
            if is_of_network and is_alike and network[name] != value:
                flag = name.replace("_", "-")
                raise ArgumentError(
                    f"--{flag}: the older model has {network[name]!r}, which can't change; leave it out"
                )
        fitting = {name for part in parts for name in (*part.options.model_fields, *part.Network.model_fields)}
        return {**{name: value for name, value in self.model.config.options.items() if name in fitting}, **given}

    def sources(self, sources: Sources) -> Sources:
        """Return where the data is, with what the older model was fitted to."""
        return replace(sources, parts=self.model.parts)

    def plan(self, planned: Plan, parts: Parts[Any, Any], given: Mapping[str, Any]) -> Plan:
        """Return the plan of a network like the older one, for parts that know more, at a lower rate."""
        sizes = {**parts.input.sizes, **parts.output.sizes}
        network = {name: sizes.get(name, value) for name, value in self.model.config.network.items()}
        training = planned.training
        if "lr" not in given:
            training = training.replace(lr=training.lr * LOWER)
        reasons = [f"goes on from {self.name}, at a rate of {training.lr:g}"]
        return Plan(network, training, planned.batching, reasons)

    def begin(self, out: Path, progress: Progress) -> Json:
        """Keep the weights with the new run, and return what config.json says of the older model."""
        write_whole(out / DATA / START, save_tensors(own_tensors(self.model.network), {"format": "pt"}))
        config = self.model.config
        about = {"name": self.name, "task": config.task, "dev": dict(config.result.get("dev") or {})}
        return {**about, "freeze": self.freeze, "before": self.measured(self.model, progress)}

    def measured(self, model: AnyModel, progress: Progress) -> dict[str, float]:
        """Return a model's metrics on the older one's data."""
        progress("measuring what is remembered", 0, None)
        model.network.eval()
        if self.old_data:
            metrics = model.evaluate(*self.old_data, progress=progress).metrics
        else:
            folder = self.model.folder
            metrics = {} if folder is None else self.model.task.remembered(model, folder)
        return {
            name: float(value)
            for name, value in metrics.items()
            if isinstance(value, (int, float)) and not isinstance(value, bool)
        }


def take_over(network: nn.Module, out: Path, *, freeze: bool) -> None:
    """Give a new network the weights of the older model that it goes on from.

    Args:
        network: as it was initialised; what has no part in the older one stays as it is.
        out: the folder of the run.
        freeze: whether the encoder is not trained.

    Raises:
        ModelError: the weights are gone, or fit nowhere.
    """
    path = out / DATA / START
    if not path.is_file():
        raise ModelError(f"{path}: missing, and training can't go on from the older model without it; train anew")
    old = load_tensors(read_whole(path, available_memory()))
    own = network.state_dict(keep_vars=True)
    with torch.no_grad():
        for name, tensor in old.items():
            if name in own:
                copy_rows(own[name], tensor, name)
    if freeze:
        for name, part in network.named_children():
            if name in ENCODER:
                part.requires_grad_(False)


def copy_rows(new: Tensor, old: Tensor, name: str = "tensor") -> None:
    """Copy a tensor into the first entries of one that is as large or larger.

    >>> new = torch.zeros(3, 2)
    >>> copy_rows(new, torch.ones(2, 2))
    >>> new.tolist()
    [[1.0, 1.0], [1.0, 1.0], [0.0, 0.0]]

    Raises:
        ModelError: it is smaller.
    """
    if new.dim() != old.dim() or any(n < o for n, o in zip(new.shape, old.shape, strict=True)):
        raise ModelError(f"{name}: {tuple(old.shape)} of the older model does not fit into {tuple(new.shape)}")
    new[tuple(slice(0, size) for size in old.shape)].copy_(old)
