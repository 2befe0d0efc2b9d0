"""torch.nn's recurrent layers inside any module made ours in place, and back.

A layer stays the object that it was: only its class and the attributes that a class keeps for itself change. So its
parameters, hooks and their handles, its mode, and every reference that anybody holds to it, are kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import cast

import torch
from torch import nn

from unrolled.errors import ArgumentError
from unrolled.kernels import Choice
from unrolled.layers import GRU, LSTM, RNN, CellModule, GRUCell, LSTMCell, Recurrent, RNNCell
from unrolled.layers.recurrent.scripting import shared_options

#: ours, by torch's class
_OURS: dict[type[nn.Module], Callable[..., Recurrent | CellModule]] = {
    nn.RNN: RNN,
    nn.LSTM: LSTM,
    nn.GRU: GRU,
    nn.RNNCell: RNNCell,
    nn.LSTMCell: LSTMCell,
    nn.GRUCell: GRUCell,
}
#: where an accelerated layer keeps torch's class, the names of its attributes, and of those that came with ours
_MARK = "_accelerated_from"
#: views of torch's layers on their own parameters, made anew by `restore`
_FLAT = ("_flat_weights", "_flat_weight_refs")


@dataclass(frozen=True)
class Entry:
    """A layer by its name in the module ("" is the module itself), its class, and why it was swapped or left."""

    name: str
    kind: str
    reason: str


@dataclass(frozen=True)
class AccelerationReport:
    """The result of `accelerate` or `restore`.

    Attributes:
        swapped: the recurrent layers that changed; the reason names the engine that serves them now.
        left: the recurrent layers that did not, and why.
    """

    swapped: tuple[Entry, ...]
    left: tuple[Entry, ...]

    def __str__(self) -> str:
        lines = [f"{len(self.swapped)} swapped, {len(self.left)} left"]
        for title, entries in (("swapped", self.swapped), ("left", self.left)):
            lines += [f"  {title:8} {e.name or '(the module itself)'}: {e.kind}: {e.reason}" for e in entries]
        return "\n".join(lines)


def accelerate(module: nn.Module) -> AccelerationReport:
    """Make every torch.nn RNN, LSTM, GRU, RNNCell, LSTMCell and GRUCell inside a module ours, in place.

    Parameters are shared: they are the same objects, so an optimiser that was made before goes on working, and
    state_dicts keep their keys. Hooks, training mode, dtype and device are kept, and so is a layer that the module
    holds in several places. Layers that are more than torch's own (subclasses, quantised or scripted ones,
    parametrized ones) are left as they are.

    >>> import torch, unrolled
    >>> model = torch.nn.ModuleDict({"rnn": torch.nn.LSTM(3, 5), "out": torch.nn.Linear(5, 2)})
    >>> report = unrolled.accelerate(model)
    >>> [entry.name for entry in report.swapped], report.left, isinstance(model["rnn"], unrolled.LSTM)
    (['rnn'], (), True)
    >>> restored = unrolled.restore(model)
    >>> type(model["rnn"]) is torch.nn.LSTM
    True

    Args:
        module: what contains the layers, or such a layer itself.

    Returns:
        What was swapped, what was left, and why.

    Raises:
        ArgumentError: if `module` is no module.
    """
    swapped: list[Entry] = []
    left: list[Entry] = []
    for layer, names in _layers(module):
        reason = _obstacle(layer)
        if reason is None:
            kind = type(layer).__name__
            try:
                engine = _swap(layer)
            except ArgumentError as error:
                left.append(Entry(names[0], kind, str(error)))
                continue
            swapped.append(Entry(names[0], kind, ", ".join(filter(None, (f"engine {engine}", _also(names[1:]))))))
        elif reason:
            left.append(Entry(names[0], type(layer).__name__, reason))
    return AccelerationReport(tuple(swapped), tuple(left))


def restore(module: nn.Module) -> AccelerationReport:
    """Make the layers that `accelerate` swapped torch's again, in place and with the same parameters.

    Args:
        module: what contains the layers, or such a layer itself.

    Returns:
        As `accelerate`; `left` is empty.

    Raises:
        ArgumentError: if `module` is no module.
    """
    restored: list[Entry] = []
    for layer, names in _layers(module):
        mark = vars(layer).get(_MARK)
        if mark is None:
            continue
        original, held, added = mark
        ours = type(layer)
        # what came with ours, and what ours kept for itself since
        for name in list(vars(layer)):
            own = name not in held and hasattr(ours, name) and not hasattr(original, name)
            if name == _MARK or name in added or own:
                del vars(layer)[name]
        object.__setattr__(layer, "__class__", original)
        if isinstance(layer, nn.RNNBase):
            layer._init_flat_weights()
        restored.append(Entry(names[0], original.__name__, _also(names[1:]) or "torch's own again"))
    return AccelerationReport(tuple(restored), ())


def _layers(module: nn.Module) -> Iterator[tuple[nn.Module, list[str]]]:
    """Yield each module inside `module` once, with all its names."""
    if not isinstance(module, nn.Module):
        raise ArgumentError(f"module: expected a torch.nn.Module, found {type(module).__name__}")
    names: dict[nn.Module, list[str]] = {}
    for name, layer in module.named_modules(remove_duplicate=False):
        names.setdefault(layer, []).append(name)
    yield from names.items()


def _obstacle(layer: nn.Module) -> str | None:
    """Return why a layer can't be swapped: None if it can, empty if it is no layer of torch's or one of ours."""
    kind = type(layer)
    if kind in _OURS:
        own = ("forward", "__call__", "_call_impl")
        replaced = [name for name in own if name in vars(layer)]
        if replaced:
            return f"its {replaced[0]} was replaced on this object; delete it from the layer to have it swapped"
        expected, present = _parameter_names(layer), {n for n, p in layer._parameters.items() if p is not None}
        if present != expected:
            wrong = [f"no {name}" for name in sorted(expected - present)] + sorted(present - expected)
            return f"its parameters are not those of a plain layer: {', '.join(wrong)}"
        if layer._buffers or layer._modules:
            return f"it holds {', '.join([*layer._buffers, *layer._modules])} besides its parameters"
        return None
    if nn.utils.parametrize.is_parametrized(layer) and kind.__mro__[1] in _OURS:
        return f"parametrized: {', '.join(layer.parametrizations)}; torch.nn.utils.parametrize can remove that"  # type: ignore[arg-type]
    if isinstance(layer, torch.jit.ScriptModule):
        scripted = getattr(layer, "original_name", "")
        return "compiled by TorchScript" if scripted in {k.__name__ for k in _OURS} else ""
    if isinstance(layer, (Recurrent, CellModule)):
        return ""
    if isinstance(layer, tuple(_OURS)):
        return f"a subclass of torch.nn.{_base(kind).__name__}, whose own methods might be lost"
    quantised = kind.__module__.startswith(("torch.ao.nn", "torch.nn.quant")) and kind.__name__.startswith(
        ("LSTM", "GRU", "RNN")
    )
    return "quantised, which ours is not" if quantised else ""


def _base(kind: type[nn.Module]) -> type[nn.Module]:
    return next(base for base in kind.__mro__ if base in _OURS)


def _parameter_names(layer: nn.Module) -> set[str]:
    """Return the names of a plain layer's or cell's parameters."""
    if isinstance(layer, nn.RNNBase):
        return set(layer._flat_weights_names)
    return {"weight_ih", "weight_hh"} | ({"bias_ih", "bias_hh"} if layer.bias else set())


def _swap(layer: nn.Module) -> Choice:
    """Change the class of a layer, and return the engine that serves it now.

    Raises:
        ArgumentError: for an option of torch's that ours refuses.
    """
    original, held = type(layer), vars(layer)
    twin = _twin(layer)
    plain = {*vars(nn.Module()), *_FLAT}
    fresh = {name: value for name, value in vars(twin).items() if name not in plain}
    mark = (original, tuple(held), tuple(name for name in fresh if name not in held))
    for name in _FLAT:
        held.pop(name, None)
    held.update(fresh | {_MARK: mark})
    object.__setattr__(layer, "__class__", type(twin))
    return cast(Recurrent, layer).engine


def _twin(layer: nn.Module) -> Recurrent | CellModule:
    """Return a layer of ours with the same options, without memory for its parameters."""
    name = "weight_ih_l0" if isinstance(layer, nn.RNNBase) else "weight_ih"
    options = {"device": "meta", "dtype": layer.get_parameter(name).dtype, **shared_options(layer)}
    return _OURS[type(layer)](layer.input_size, layer.hidden_size, **options)


def _also(names: list[str]) -> str:
    return f"also {', '.join(names)}" if names else ""
