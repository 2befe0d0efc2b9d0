"""One input on its way through a network, so that what happens inside can be looked at without knowing the task.

A task says with a `Probe` what the steps of the input are called, how its network is run over it, and what its outputs
mean; `unrolled.inspection` does the rest. Letters: T steps of the input, S steps of the output, K classes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from unrolled.errors import ArgumentError, ShapeError

if TYPE_CHECKING:
    from unrolled.tasks.core.values import InputSteps


@dataclass(frozen=True)
class Probe:
    """A network and one input for it, in evaluation.

    Attributes:
        network: the network.
        input_layer: the part of it whose output is x_1 … x_T: what gradients are taken for, and what is replaced.
        steps: (T) what each step of the input is called: characters, words, times.
        run: one pass over this input → logits (S, K); differentiable.
        outputs: (S) what each step of the output is called.
        classes: what class k is called.
        targets: (S,) int64, the class that each step of the output is asked about: the true one, or the predicted.
        axis: the axis of the input layer's output that is time.
        note: what was left out, e.g. by a window; empty if nothing was.
        values: whether the outputs are values, which stand for themselves, and no logits.
        synced: whether step t of the output is said when step t of the input has been read.
        decoder: the name of the part of the network whose layers run over the steps of the output instead of those of
            the input; empty where there is none.
        separator: what stands between the steps where they are a text; None where they are none.
        grid: rows and columns, where attention looks at the positions of an image.
        options: names of the options that such a network is trained with, for advice; None where there is no command.

    Raises:
        ShapeError: other numbers of outputs and targets.
    """

    network: nn.Module
    input_layer: nn.Module
    steps: tuple[str, ...]
    run: Callable[[], Tensor]
    outputs: tuple[str, ...]
    classes: Callable[[int], str]
    targets: Tensor
    axis: int = 0
    note: str = ""
    values: bool = False
    synced: bool = False
    decoder: str = ""
    separator: str | None = None
    grid: tuple[int, int] | None = None
    options: frozenset[str] | None = None

    def __post_init__(self) -> None:
        if tuple(self.targets.shape) != (len(self.outputs),):
            raise ShapeError("targets", f"(S={len(self.outputs)},), one an output", self.targets.shape)
        if self.synced and len(self.steps) != len(self.outputs):
            raise ArgumentError(f"synced: {len(self.steps)} steps of the input, {len(self.outputs)} of the output")

    @property
    def unit(self) -> str:
        """Of scores."""
        return "value" if self.values else "nats"

    def vectors(self) -> Tensor:
        """x_1 … x_T as the input layer yields them, usually (T, 1, I); outside the graph.

        Raises:
            ArgumentError: the input layer is passed through not once, so that its output is not the whole input.
        """
        found: list[Tensor] = []
        handle = self.input_layer.register_forward_hook(lambda module, given, result: found.append(result.detach()))
        try:
            with torch.no_grad():
                self.run()
        finally:
            handle.remove()
        if len(found) != 1:
            raise ArgumentError(f"input layer: is passed {len(found)} times, expected once; it can't be replaced")
        if found[0].shape[self.axis] != len(self.steps):
            raise ShapeError("input layer's output", f"{len(self.steps)} steps on axis {self.axis}", found[0].shape)
        return found[0]

    def logits(self, x: Tensor | None = None) -> Tensor:
        """(S, K), with x in place of what the input layer yields, if it is given."""
        if x is None:
            return self.run()
        with replaced(self.input_layer, x):
            return self.run()

    def scores(self, x: Tensor | None = None) -> Tensor:
        """Return the score asked about at each output step, (S,): ln p of the target, nats; or the value itself."""
        return self.scores_of(self.logits(x))

    def scores_of(self, logits: Tensor) -> Tensor:
        """The same of logits (S, K) that are there already."""
        scores = logits if self.values else logits.log_softmax(-1)
        return scores.gather(1, self.targets.to(scores.device).unsqueeze(1)).squeeze(1)


@contextmanager
def replaced(layer: nn.Module, output: Tensor) -> Iterator[None]:
    """Let a layer yield this tensor, whatever it reads."""
    handle = layer.register_forward_hook(lambda module, given, result: output)
    try:
        yield
    finally:
        handle.remove()


def last_steps(count: int, limit: int, name: str) -> tuple[int, str]:
    """Return where the last `limit` of `count` steps begin, and a sentence about those left out."""
    first = max(0, count - limit)
    return first, f"the first {first:,} {name} are left out" if first else ""


def asked_itself(
    network: nn.Module,
    run: Callable[[], Tensor],
    input_layer: nn.Module,
    steps: InputSteps,
    outputs: Sequence[str],
    classes: Sequence[str] | Callable[[int], str],
    *,
    synced: bool = False,
) -> Probe:
    """Return a probe of a network that is asked about what it predicts itself, where nobody says what is right.

    Args:
        network: the network.
        run: one pass over the input → logits (S, K).
        input_layer: as for `Probe`.
        steps: of the input.
        outputs: (S) what each step of the output is called.
        classes: the names of the classes, or what names them.
        synced: as for `Probe`.
    """
    with torch.no_grad():
        targets = run().argmax(-1).cpu()
    return Probe(
        network,
        input_layer,
        steps.names,
        run,
        tuple(outputs),
        classes if callable(classes) else classes.__getitem__,
        targets,
        note=steps.note,
        synced=synced,
        separator=steps.separator,
    )
