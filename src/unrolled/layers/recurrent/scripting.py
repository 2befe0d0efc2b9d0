"""The options that torch and we share, and the layer of torch that TorchScript compiles for one of ours."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from unrolled.cells import Cell
from unrolled.errors import ArgumentError
from unrolled.kernels import engines, plainest_call

#: the options of a layer that torch's lack
_BEYOND = (
    "variational",
    "recurrent_dropout",
    "weight_dropout",
    "residual",
    "learn_initial_state",
    "truncate",
    "memory",
)


def shared_options(layer: nn.Module) -> dict[str, Any]:
    """Return the options of a layer or cell, torch's or ours, as the constructor of the other takes them."""
    names = ["bias"]
    if hasattr(layer, "num_layers"):
        names += ["num_layers", "batch_first", "dropout", "bidirectional"]
    names += [name for name in ("proj_size", "nonlinearity") if getattr(layer, name, 0)]
    return {name: getattr(layer, name) for name in names}


def torchs_own(layer: nn.Module, cell: Cell, params: dict[str, Tensor]) -> nn.Module:
    """Return torch.nn's layer of the same options, with the same parameters.

    Args:
        layer: a recurrent layer or cell of ours.
        cell: its cell.
        params: the parameters of its first direction.

    Raises:
        ArgumentError: torch's lacks an option, naming it, or the layer is of a class of the caller's.
    """
    kind = type(layer)
    extras = [name for name in _BEYOND if getattr(layer, name, None)]
    extras += [name for name in ("zoneout", "weights_dtype") if any(_tuple(getattr(layer, name)))]
    reason = engines()["torch"].refuses(plainest_call(cell, params))
    if not kind.__module__.startswith("unrolled.layers.") or not hasattr(nn, kind.__name__):
        reason = f"torch has no layer for the class {kind.__name__}"
    elif extras:
        reason = f"torch's {kind.__name__} has no {', '.join(extras)}"
    if reason is not None:
        raise ArgumentError(
            f"torch.jit.script: {reason}; it compiles torch's own layers alone. torch.jit.trace and torch.export "
            "record this one"
        )
    twin: nn.Module = getattr(nn, kind.__name__)(
        layer.input_size, layer.hidden_size, device="meta", **shared_options(layer)
    )
    for name, parameter in layer._parameters.items():
        setattr(twin, name, parameter)
    twin._forward_hooks, twin._forward_pre_hooks = layer._forward_hooks, layer._forward_pre_hooks
    return twin.train(layer.training)


def _tuple(value: object) -> tuple[object, ...]:
    return value if isinstance(value, tuple) else (value,)
