"""Layers made ready for training: a call's tensors are checked by the compiled module, and the graph gets one node.

What a short sequence costs in Python, through `Call`, `dispatch` and `autograd`, is as much as its kernels take. Here
the compiled module reads the tensors, makes the results and packs the weights, anew at each call. What it does not take
it leaves to the long way, which computes the same, bit for bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

from unrolled.cells import Cell, State
from unrolled.kernels.autograd import backward_by_scan
from unrolled.kernels.contract import Call, Direction, Saved
from unrolled.kernels.native import NativeEngine
from unrolled.kernels.packed import PARAMETERS, compiled, spec
from unrolled.kernels.prepared import may_use, serves


def may_train() -> bool:
    """Whether a layer made ready may be used here: a graph is made, and nothing else looks on or changes dtypes."""
    return (
        torch.is_grad_enabled()
        and may_use()
        and not torch.is_autocast_enabled("cpu")
        and forward_ad._current_level < 0
        and torch._C._functorch.peek_interpreter_stack() is None
    )


def make_ready(
    cell: Cell,
    parameters: dict[str, Any],
    names: Sequence[dict[str, str]],
    directions: int,
    *,
    batch_first: bool,
    starts_at_zero: bool,
    engine: str,
) -> ReadyStack | None:
    """A stack made ready for training, or None where the native engine can't serve it or must not.

    Args:
        cell: the recurrence.
        parameters: the layer's own dictionary of parameters, which is looked into again at each call.
        names: for each layer and direction the names in `parameters`, by the cell's names.
        directions: D.
        batch_first: whether x and output are (B, T, ·).
        starts_at_zero: whether no state means zeros.
        engine: what the layer insists on.
    """
    if not serves(cell, parameters, names, engine):
        return None
    layers = [
        _ReadyLayer(cell, parameters, names[at : at + directions], batch_first)
        for at in range(0, len(names), directions)
    ]
    return ReadyStack(layers, starts_at_zero)


class ReadyStack:
    """All layers of a stack, each of whose outputs is the next one's input."""

    def __init__(self, layers: list[_ReadyLayer], starts_at_zero: bool) -> None:
        self.layers, self.starts_at_zero = layers, starts_at_zero

    def __call__(self, x: Any, state: Any, lengths: Any) -> tuple[Tensor, Any] | None:
        """What the layer returns, or None where something is not as it was prepared for."""
        given: tuple[Any, ...] = () if state is None else state if type(state) is tuple else (state,)
        if not given and not self.starts_at_zero:
            return None
        if len(self.layers) == 1:
            found = self.layers[0](x, given, lengths)
            if found is None:
                return None
            return found[0], found[1] if len(found) == 2 else found[1:]
        directions, finals = self.layers[0].directions, []
        count = directions * len(self.layers)
        if any(not isinstance(s, Tensor) or s.dim() != 3 or s.shape[0] != count for s in given):
            return None
        for index, layer in enumerate(self.layers):
            own = tuple(s[index * directions : (index + 1) * directions] for s in given)
            found = layer(x, own, lengths)
            if found is None:
                return None
            x = found[0]
            finals.append(found[1:])
        joined = tuple(torch.cat(parts) for parts in zip(*finals, strict=True))
        return x, joined if len(joined) > 1 else joined[0]


class _ReadyLayer:
    """One layer, all its directions."""

    def __init__(
        self, cell: Cell, parameters: dict[str, Any], names: Sequence[dict[str, str]], batch_first: bool
    ) -> None:
        self.cell, self.parameters, self.directions, self.batch_first = cell, parameters, len(names), batch_first
        self.names = [full for block in names for full in block.values()]
        self.own_names = tuple(names[0])
        weight = parameters[names[0]["weight_ih"]]
        self.hidden_size = weight.shape[0] // cell.num_gates
        self.native = compiled().Training(
            spec(cell, weight.shape[1], self.hidden_size),
            weight.dtype is torch.float64,
            self.directions,
            batch_first,
            [PARAMETERS.index(own) for own in names[0]],
        )

    def __call__(self, x: Tensor, state: tuple[Any, ...], lengths: Tensor | None) -> tuple[Tensor, ...] | None:
        """Output and final states, or None."""
        tensors = self.parameters
        try:
            params = tuple([tensors[name] for name in self.names])
        except KeyError:
            return None
        found = self.native.forward(x, state, lengths, params)
        if found is None:
            return None
        outputs: tuple[Tensor, ...] = _Ready.apply(self, found, lengths, len(state), x, *state, *params)
        return outputs

    def call(self, x: Tensor, state: tuple[Tensor, ...], lengths: Tensor | None, params: Sequence[Tensor]) -> Call:
        """The same as the long way has it."""
        x = x.transpose(0, 1) if self.batch_first else x
        if not state:
            state = tuple(
                torch.stack(parts)
                for parts in zip(
                    *[self.cell.initial_state(x.shape[1], self.hidden_size, x) for _ in range(self.directions)],
                    strict=True,
                )
            )
        count, rest = len(self.own_names), iter(params)
        directions = tuple(
            Direction(
                {name: next(rest) for name in self.own_names[:count]}, tuple(s[index] for s in state), bool(index)
            )
            for index in range(self.directions)
        )
        return Call(self.cell, x, directions, lengths, None, self.batch_first)


class _Ready(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, layer: _ReadyLayer, found: Any, lengths: Any, states: int, *tensors: Tensor) -> Any:
        outputs = found[: 1 + len(layer.cell.state_names)]
        ctx.layer, ctx.lengths, ctx.states, ctx.count = layer, lengths, states, len(tensors)
        ctx.save_for_backward(*tensors, found[0], *found[len(outputs) :])
        # the gradient of a final state that nothing depends on need not be made
        ctx.set_materialize_grads(False)
        return outputs

    @staticmethod
    def backward(ctx: Any, doutput: Tensor | None, *dstates: Tensor | None) -> Any:
        layer, states, saved = ctx.layer, 1 + ctx.states, ctx.saved_tensors
        x, state, params = saved[0], saved[1:states], saved[states : ctx.count]
        output, kept = saved[ctx.count], saved[ctx.count + 1 :]
        needed = ctx.needs_input_grad[4:]
        doutput = torch.zeros_like(output) if doutput is None else doutput
        found = None
        if not torch.is_grad_enabled():
            found = layer.native.backward(
                x,
                state,
                ctx.lengths,
                params,
                output,
                kept,
                doutput.contiguous(),
                tuple([None if d is None else d.contiguous() for d in dstates]),
                needed,
            )
        if found is None:
            found = _the_long_way(layer, x, state, ctx.lengths, params, (output, *kept), doutput, dstates, needed)
        return (None, None, None, None, *found)


def _the_long_way(
    layer: _ReadyLayer,
    x: Tensor,
    state: tuple[Tensor, ...],
    lengths: Tensor | None,
    params: Sequence[Tensor],
    kept: tuple[Tensor, ...],
    doutput: Tensor,
    dstates: Sequence[Tensor | None],
    needed: Sequence[bool],
) -> list[Tensor | None]:
    """A backward pass that must itself be differentiable, or over gradients that the short way can't read."""
    call = layer.call(x, state, lengths, params)
    first, width, size = call.directions[0], len(layer.cell.state_names), len(layer.own_names)
    zeros = [torch.zeros_like(s) for s in first.state]
    by_direction: list[State] = [
        tuple(z if d is None else d[index] for d, z in zip(dstates, zeros, strict=True))
        for index in range(layer.directions)
    ]
    # x, then for each direction its states and parameters
    wants, places = [needed[0]], [0]
    for index in range(layer.directions):
        wants += [needed[1 + i] if state else False for i in range(width)]
        places += [1 + i if state else -1 for i in range(width)]
        at = 1 + len(state) + index * size
        wants += needed[at : at + size]
        places += range(at, at + size)
    across = doutput.transpose(0, 1) if layer.batch_first else doutput
    if torch.is_grad_enabled():
        grads = (across, *(d for one in by_direction for d in one))
        found: Sequence[Tensor | None] = backward_by_scan(call, grads, wants)
    else:
        output = kept[0].transpose(0, 1) if layer.batch_first else kept[0]
        found = NativeEngine().backward(call, Saved((output, *kept[1:])), across, tuple(by_direction), wants).of
    parts: dict[int, list[Tensor]] = {}
    for place, gradient in zip(places, found, strict=True):
        if gradient is not None and place >= 0:
            parts.setdefault(place, []).append(gradient)
    gathered: list[Tensor | None] = []
    for place in range(len(needed)):
        own = parts.get(place)
        if own is None:
            gathered.append(None)
        elif place == 0:
            gathered.append(own[0].transpose(0, 1) if layer.batch_first else own[0])
        else:
            gathered.append(torch.stack(own) if place <= len(state) else own[0])
    return gathered
