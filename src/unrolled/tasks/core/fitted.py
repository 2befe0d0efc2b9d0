"""A network, its two fitted parts, and how they came about: what inputs, outputs and uses see of a model."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from torch import nn
from typing_extensions import Self

from unrolled.errors import ModelError
from unrolled.layers import fingerprint
from unrolled.settings import Settings
from unrolled.tasks.core.folder.config import ModelConfig

#: what is read, and what is answered
I = TypeVar("I")  # noqa: E741
O = TypeVar("O")  # noqa: E741


@dataclass(frozen=True)
class Parts(Generic[I, O]):
    """The two fitted halves of a model: an `Input` and an `Output`."""

    input: I
    output: O


class Fitted(Generic[I, O]):
    """A network, its two parts and how they came about: what inputs, outputs and uses see of a model.

    Args:
        config: how it was made.
        options: of training, those that were left out at their defaults.
        parts: what is read and what is answered, as fitted.
        network: the network.
        folder: where it was loaded from, if it was.
        cache: what the task mixes into the network's predictions, e.g. one writer's n-gram.
    """

    def __init__(
        self,
        config: ModelConfig,
        options: Settings,
        parts: Parts[I, O],
        network: nn.Module,
        folder: Path | None = None,
        cache: Any = None,
    ) -> None:
        self.config, self.options, self.parts, self.network, self.folder = config, options, parts, network, folder
        self.cache = cache
        self._fingerprint = ""

    @property
    def input(self) -> I:
        """The fitted input."""
        return self.parts.input

    @property
    def output(self) -> O:
        """The fitted output."""
        return self.parts.output

    @property
    def fitted(self) -> dict[str, Any]:
        """The values fitted after training."""
        return self.config.fitted

    @property
    def fingerprint(self) -> str:
        """A hash of the weights and of what is mixed in, which binds saved states of streams to this model."""
        return self._fingerprint or self._hashed()

    def freeze(self) -> Self:
        """Take the weights as final: they are hashed once and for all, not at each save of a stream."""
        self.network.eval()
        self._fingerprint = self._hashed()
        return self

    def _hashed(self) -> str:
        output: Any = self.output
        mixed: list[str] = [output.fingerprint, "" if self.cache is None else self.cache.fingerprint]
        hashed = fingerprint(self.network)
        for part in filter(None, mixed):
            hashed = hashlib.sha256((hashed + part).encode()).hexdigest()
        return hashed

    @property
    def parameters(self) -> int:
        """How many numbers were learned; shared weights count once."""
        return sum(p.numel() for p in self.network.parameters())

    def answering(self, output: O) -> Self:
        """Return a model with another output, and everything else that of this one."""
        twin = copy(self)
        twin.parts, twin._fingerprint = Parts(self.input, output), ""
        return twin

    def adapted(self, *, network: nn.Module, cache: Any) -> Self:
        """A model with another network and cache, and everything else a copy of this one's."""
        twin = copy(self)
        twin.config, twin.network, twin.cache = self.config.model_copy(deep=True), network, cache
        twin._fingerprint = ""
        return twin


#: of any use
AnyFitted = Fitted[Any, Any]


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


def check_fit(network: nn.Module, shapes: Mapping[str, tuple[int, ...]], where: str) -> None:
    """Check that saved tensors have the names and shapes of a network's.

    Raises:
        ModelError: if they don't.
    """
    own = _distinct_tensors(network)
    missing, extra = sorted(own.keys() - shapes.keys()), sorted(shapes.keys() - own.keys())
    if missing or extra:
        raise ModelError(f"{where}: tensors don't fit the network: missing {missing[:3]}, unexpected {extra[:3]}")
    for name, tensor in own.items():
        if tensor.shape != shapes[name]:
            problem = f"expected {tuple(tensor.shape)}, found {shapes[name]}"
            raise ModelError(f"{where}: {name} doesn't fit the network: {problem}")
