"""Small functions that cells share: activations with their derivatives, masking, layer normalisation."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from unrolled.errors import ArgumentError

#: added to the variance in every layer normalisation here, as torch.nn.LayerNorm's default
NORM_EPS = 1e-5


class Activation(NamedTuple):
    """A nonlinearity and its derivative, the latter as a function of the *output*, which is all that is kept."""

    function: Callable[[Tensor], Tensor]
    derivative: Callable[[Tensor], Tensor]


ACTIVATIONS: dict[str, Activation] = {
    "tanh": Activation(torch.tanh, lambda y: 1 - y * y),
    "relu": Activation(torch.relu, lambda y: (y > 0).to(y.dtype)),
    "sigmoid": Activation(torch.sigmoid, lambda y: y * (1 - y)),
}


def activation(name: str) -> Activation:
    """The activation called `name`.

    Raises:
        ArgumentError: for a name that is not in the table.
    """
    try:
        return ACTIVATIONS[name]
    except KeyError:
        raise ArgumentError(f"nonlinearity: expected one of {', '.join(ACTIVATIONS)}, found {name!r}") from None


def masked(h: Tensor, mask: Tensor | None) -> Tensor:
    """`h ⊙ mask`, or `h` where there is no mask."""
    return h if mask is None else h * mask


def normalise(x: Tensor) -> tuple[Tensor, Tensor]:
    """x̂ = (x − μ) / √(σ² + ε) over the last dimension, and 1/√(σ² + ε), shaped (…, 1).

    Source: Ba, Kiros & Hinton 2016, arXiv 1607.06450, eq. 3.
    """
    centred = x - x.mean(-1, keepdim=True)
    inverse_std = torch.rsqrt((centred * centred).mean(-1, keepdim=True) + NORM_EPS)
    return centred * inverse_std, inverse_std


def normalise_backward(dnormal: Tensor, normal: Tensor, inverse_std: Tensor) -> Tensor:
    """dx of `normalise`: (1/σ)(dx̂ − mean(dx̂) − x̂ · mean(dx̂ ⊙ x̂))."""
    projected = normal * (dnormal * normal).mean(-1, keepdim=True)
    return inverse_std * (dnormal - dnormal.mean(-1, keepdim=True) - projected)


def add_bias(x: Tensor, bias: Tensor | None) -> Tensor:
    """`x + bias`, or `x` where there is no bias."""
    return x if bias is None else x + bias
