"""The optimisers, torch's own: SGD with momentum or Nesterov, Adam, AdamW; each in its fastest form on the device."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from unrolled.errors import ArgumentError
from unrolled.training.settings import TrainingSettings


def trainable_parameters(network: nn.Module) -> list[nn.Parameter]:
    """Return the parameters that require a gradient, each once even if it is shared.

    Raises:
        ArgumentError: there are none.
    """
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    if not parameters:
        raise ArgumentError("network: no parameter requires a gradient, so there is nothing to train")
    return parameters


def make_optimiser(parameters: Sequence[nn.Parameter], settings: TrainingSettings) -> torch.optim.Optimizer:
    """Return the optimiser that the settings name.

    Weight decay does not apply to vectors (biases, gains of norms): shrinking them does not regularise.

    Source: Nesterov's form as in Sutskever et al. 2013; Adam: Kingma & Ba 2015, arXiv 1412.6980; AdamW: Loshchilov &
    Hutter 2019, arXiv 1711.05101.
    """
    matrices = [parameter for parameter in parameters if parameter.dim() > 1]
    vectors = [parameter for parameter in parameters if parameter.dim() <= 1]
    groups = [
        {"params": members, "weight_decay": decay}
        for members, decay in ((matrices, settings.weight_decay), (vectors, 0.0))
        if members
    ]
    # One fused kernel a step where torch has one. AdamW of a 2×256 LSTM on one core: 0.5 ms, with foreach 3.9 ms.
    fused = all(parameter.device.type in ("cpu", "cuda") and parameter.is_floating_point() for parameter in parameters)
    form = {"fused": fused, "foreach": not fused}
    if settings.optimiser == "sgd":
        return torch.optim.SGD(groups, lr=settings.lr, momentum=settings.momentum, nesterov=settings.nesterov, **form)
    rule = torch.optim.Adam if settings.optimiser == "adam" else torch.optim.AdamW
    return rule(groups, lr=settings.lr, betas=settings.betas, **form)


def gradients(parameters: Iterable[nn.Parameter]) -> list[Tensor]:
    """Return the gradients that the last backward pass left."""
    return [parameter.grad for parameter in parameters if parameter.grad is not None]


def gradient_norm(grads: Sequence[Tensor]) -> Tensor:
    """Return the Euclidean norm of all gradients as one vector: a 0-d tensor on their device, not synchronised."""
    if not grads:
        return torch.zeros(())
    norm: Tensor = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(list(grads))))
    return norm


def clip_gradients(grads: Sequence[Tensor], norm: float, settings: TrainingSettings) -> bool:
    """Clip gradients in place, by their joint norm and then by value, as the settings say.

    Args:
        grads: the gradients.
        norm: their joint norm, already read from the device.
        settings: `clip_norm` and `clip_value`.

    Returns:
        True if the norm was above its limit.

    Source: Pascanu, Mikolov & Bengio 2013, arXiv 1211.5063.
    """
    limit = math.inf if settings.clip_norm is None else settings.clip_norm
    clipped = norm > limit
    if clipped:
        # The small term is that of torch.nn.utils.clip_grad_norm_, so that both give the same bits.
        torch._foreach_mul_(list(grads), limit / (norm + 1e-6))
    if settings.clip_value is not None:
        torch._foreach_clamp_min_(list(grads), -settings.clip_value)
        torch._foreach_clamp_max_(list(grads), settings.clip_value)
    return clipped
