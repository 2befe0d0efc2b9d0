"""Uses whose input and output are not yet parts of their own: one object, `encoders`, stands for both."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from torch import nn

from unrolled.errors import ArgumentError
from unrolled.tasks.core.contract import Use
from unrolled.tasks.core.fitted import Parts

if TYPE_CHECKING:
    from unrolled.tasks.core.api import Wire


class Task(Use[Any, Any, Any]):
    """A use whose encoders are one object."""

    reads: ClassVar[Literal["text", "path"]] = "text"

    def parts(self, material: Any) -> Parts[Any, Any]:
        """Return the encoders as if they were an input."""
        return Parts(self.encoders(material), None)

    def save_parts(self, parts: Parts[Any, Any], folder: Path) -> None:
        """Write the encoders."""
        self.save_encoders(parts.input, folder)

    def load_parts(self, folder: Path) -> Parts[Any, Any]:
        """Read the encoders."""
        return Parts(self.load_encoders(folder), None)

    def build(self, network: Any, parts: Any) -> nn.Module:
        """Return the untrained network."""
        return self.build_network(network, parts.input)

    def check_fitted(self, fitted: Any) -> None:
        """Check what was fitted."""
        return

    @abstractmethod
    def build_network(self, network: Any, encoders: Any) -> nn.Module:
        """Return the untrained network."""

    @abstractmethod
    def encoders(self, material: Any) -> Any:
        """Return what turns inputs into tensors and back, as fitted by `prepare`."""

    @abstractmethod
    def save_encoders(self, encoders: Any, folder: Path) -> None:
        """Write the encoders into a model's folder."""

    @abstractmethod
    def load_encoders(self, folder: Path) -> Any:
        """Read what `save_encoders` wrote."""

    def wire(self) -> Wire:
        """Return how this use is spoken to over HTTP."""
        raise ArgumentError(f"the task {self.name!r} can't be served")
