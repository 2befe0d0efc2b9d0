"""Losses and gradients that are not finite: detecting them, and locating where they arise."""

from __future__ import annotations

import math
from functools import partial

import torch
from torch import Tensor, nn

from unrolled.training.contract import B, Learner
from unrolled.training.saving.packing import Nest, tensors_in

#: this many skipped steps in a row end a run
LIMIT_IN_A_ROW = 10


def all_finite(tree: Nest) -> bool:
    """Return whether every number in every tensor of a nest is finite. Synchronises with the device."""
    return all(bool(torch.isfinite(tensor).all()) for tensor in tensors_in(tree))


def locate_nonfinite(learner: Learner[B], batch: B, carried: Nest) -> str:
    """Return where the numbers stop being finite, in words: a parameter, a layer's output or a parameter's gradient.

    Args:
        learner: its network still has the gradients of the failed step.
        batch: the batch that failed; it is scored once more with a hook on each layer.
        carried: the carried state it was scored with.
    """
    network = learner.network
    for name, parameter in network.named_parameters():
        if not all_finite(parameter.detach()):
            return f"the parameter {name} is not finite"
    culprits: list[str] = []

    def check(name: str, module: nn.Module, inputs: object, output: Nest) -> None:
        if not culprits and not all_finite(output):
            culprits.append(f"the layer {name} ({type(module).__name__}) is the first whose output is not finite")

    hooks = [
        module.register_forward_hook(partial(check, name or "network")) for name, module in network.named_modules()
    ]
    try:
        with torch.no_grad():
            learner.loss(batch, carried)
    finally:
        for hook in hooks:
            hook.remove()
    if culprits:
        return culprits[0]
    for name, parameter in network.named_parameters():
        if parameter.grad is not None and not all_finite(parameter.grad):
            return f"the gradient of {name} is the first that is not finite, though every layer's output is"
    return "the loss is not finite, though every layer's output and gradient is"


def read_scalars(*values: float | Tensor) -> list[float]:
    """Return numbers and 0-d tensors as floats, with a single synchronisation if the tensors are on one device."""
    tensors = [value for value in values if isinstance(value, Tensor)]
    if len({tensor.device for tensor in tensors}) == 1:
        read = iter(torch.stack([tensor.detach() for tensor in tensors]).tolist())
    else:
        read = iter([tensor.item() for tensor in tensors])
    return [float(next(read)) if isinstance(value, Tensor) else float(value) for value in values]


class GradientWatch:
    """Warns, once each, when the gradients of a run vanish or explode.

    Vanishing: their norm stays below `tiny` for `steps` steps. Exploding: over about the last `steps` steps, most
    norms were more than `huge` times the typical norm (a slow geometric mean of the earlier norms).
    """

    def __init__(self, steps: int = 50, tiny: float = 1e-6, huge: float = 100.0) -> None:
        self.steps, self.tiny, self.huge = steps, tiny, huge
        self._vanished = self._exploded = 0.0
        self._typical: float | None = None
        self._said: set[str] = set()

    def observe(self, norm: float) -> str | None:
        """Record a step's gradient norm; return a warning if one is due."""
        self._vanished = self._vanished + 1 if norm < self.tiny else 0
        log_norm = math.log(max(norm, 1e-30))
        if self._typical is None:
            self._typical = log_norm
        high = log_norm > self._typical + math.log(self.huge)
        self._exploded += (float(high) - self._exploded) / self.steps
        self._typical += 0.01 * (min(log_norm, self._typical + 1.0) - self._typical)
        if self._vanished >= self.steps:
            return self._once(
                "vanish",
                f"below {self.tiny:g} for {self.steps} steps: nothing is being learned. "
                "Try a higher --lr, gated cells (lstm, gru) or fewer layers",
            )
        if self._exploded > 0.5:
            return self._once(
                "explode",
                f"more than {self.huge:g} times the usual, most of the time. Try a lower --lr or a lower --clip-norm",
            )
        return None

    def _once(self, verb: str, text: str) -> str | None:
        if verb in self._said:
            return None
        self._said.add(verb)
        return f"the gradients {verb}: their norm has been {text}"
