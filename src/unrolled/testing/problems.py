"""Random problems for a layer: a layer in evaluation, a short batch, states, and a loss that sees every result."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from unrolled.layers import Recurrent
from unrolled.layers.recurrent.state import tensors_of

MakeLayer = Callable[..., nn.Module]
LENGTHS = (4, 0, 2)


@dataclass(frozen=True)
class Problem:
    """One call of a layer whose time comes first, and the weights of a loss over outputs and final states.

    Attributes:
        layer: in evaluation.
        x: (T, B, I).
        state: as the layer takes it.
        lengths: (B,), or None.
        weights: (T, B, ·), and one shaped as each final state.
    """

    layer: Any
    x: Tensor
    state: Any
    lengths: Tensor | None
    weights: tuple[Tensor, ...]

    @property
    def states(self) -> list[Tensor]:
        """The initial states as a list."""
        return list(tensors_of(self.state))

    @property
    def parameters(self) -> dict[str, Tensor]:
        """The layer's parameters by name."""
        return dict(self.layer.named_parameters())

    def leaves(self) -> dict[str, Tensor]:
        """Return input, states and parameters as fresh leaves that require a gradient, by their names in messages."""
        named = {"x": self.x, **{f"state {k}": s for k, s in enumerate(self.states)}, **self.parameters}
        return {name: t.detach().clone().requires_grad_() for name, t in named.items()}

    def call(self, leaves: Mapping[str, Tensor] | None = None) -> tuple[Tensor, Any]:
        """Run the layer, with `leaves` in place of its own input, states and parameters if given."""
        if leaves is None:
            result = self.layer(self.x, self.state, lengths=self.lengths)
        else:
            given = iter([leaves[f"state {k}"] for k in range(len(self.states))])
            state = map_state(self.state, lambda _: next(given))
            parameters = {k: leaves[k] for k in self.parameters}
            result = functional_call(self.layer, parameters, (leaves["x"], state), {"lengths": self.lengths})
        return result

    def loss(self, result: tuple[Tensor, Any]) -> Tensor:
        """Return the loss: a weighted sum of outputs and final states."""
        parts = [result[0], *tensors_of(result[1])]
        return torch.stack([(w * t).sum() for w, t in zip(self.weights, parts, strict=True)]).sum()

    def everything(self) -> dict[str, Tensor]:
        """Return outputs, final states, and the gradients of input, states and parameters, by name."""
        leaves = self.leaves()
        result = self.call(leaves)
        grads = torch.autograd.grad(self.loss(result), list(leaves.values()), allow_unused=True)
        finals = {f"final state {k}": s for k, s in enumerate(tensors_of(result[1]))}
        gradients = {
            f"d{k}": torch.zeros_like(t) if d is None else d for (k, t), d in zip(leaves.items(), grads, strict=True)
        }
        return {k: v.detach() for k, v in {"output": result[0], **finals}.items()} | gradients

    def alone(self, row: int, steps: int) -> Problem:
        """Return one sequence of the batch, without padding."""
        pick = slice(row, row + 1)
        weights = (self.weights[0][:steps, pick], *(w[:, pick] for w in self.weights[1:]))
        return replace(
            self,
            x=self.x[:steps, pick],
            state=map_state(self.state, lambda s: s[:, pick]),
            lengths=None,
            weights=weights,
        )

    def over(self, x: Tensor) -> Problem:
        """Return the same problem over another input."""
        return replace(self, x=x)

    def weighing(self, *weights: Tensor) -> Problem:
        """Return the same problem with another loss."""
        return replace(self, weights=weights)


def problem(
    make_layer: MakeLayer,
    *,
    time: int = 4,
    batch: int = 3,
    hidden_size: int = 4,
    lengths: Sequence[int] | None = None,
    dtype: torch.dtype = torch.float64,
    seed: int = 0,
    **options: Any,
) -> Problem:
    """Draw a random problem with I=2; `options` go to `make_layer`. The caller's random state is not changed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layer = make_layer(2, hidden_size, dtype=dtype, **options).eval()
        with torch.no_grad():
            for parameter in layer.parameters():
                # off the initial values: ones and zeros, as norms and learned states start with, hide errors
                parameter.add_(0.3 * torch.randn_like(parameter))
            x = torch.randn(time, batch, 2, dtype=dtype)
            output, final = layer(x.transpose(0, 1) if options.get("batch_first") else x)
            # states that have a meaning only together are not drawn one by one, but reached
            joint = isinstance(layer, Recurrent) and layer.cell.joint_states
            state = final if joint else map_state(final, lambda s: 0.7 * torch.randn_like(s))
        if options.get("batch_first"):
            output = output.transpose(0, 1)
        weights = (torch.randn_like(output), *(torch.randn_like(s) for s in tensors_of(final)))
    return Problem(layer, x, state, None if lengths is None else torch.tensor(lengths), weights)


def map_state(state: Any, change: Callable[[Tensor], Any]) -> Any:
    """Apply `change` to each tensor of a layer's state, h or (h, c)."""
    return change(state) if isinstance(state, Tensor) else tuple(change(s) for s in state)
