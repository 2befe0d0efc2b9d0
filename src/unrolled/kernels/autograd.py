"""The one autograd.Function: any engine, made differentiable.

The first derivative is the engine's own backward pass. A backward pass that must itself be differentiable
(`create_graph=True`) is done over again by the scan, which is plain torch to any order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from unrolled.cells import State
from unrolled.kernels.contract import Call, Engine, Result, Saved
from unrolled.scan import scan


def run_scan(call: Call) -> Result:
    """Serve a call by the definition."""
    outputs, states = [], []
    for direction in call.directions:
        output, state = scan(
            call.cell,
            call.x,
            direction.state,
            direction.params,
            lengths=call.lengths,
            reverse=direction.reverse,
            truncate=call.truncate,
            masks=direction.masks,
        )
        outputs.append(output)
        states.append(state)
    return Result(outputs[0] if len(outputs) == 1 else torch.cat(outputs, -1), tuple(states))


def run_engine(engine: Engine, call: Call) -> Result:
    """Serve a call by an engine, as a node of the autograd graph where a gradient is needed."""
    if not call.needs_grad:
        return engine.infer(call)
    output, *flat = _EngineFunction.apply(engine, call, *call.tensors)
    return Result(output, _grouped(flat, call))


def _grouped(flat: list[Any], call: Call) -> tuple[State, ...]:
    width = len(call.cell.state_names)
    return tuple(tuple(flat[d * width : (d + 1) * width]) for d in range(len(call.directions)))


#: in the place of tensors that autograd keeps
_NOTHING = torch.empty(0)


class _EngineFunction(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, engine: Engine, call: Call, *tensors: Tensor) -> tuple[Tensor, ...]:
        # the call is kept without its tensors: they go through save_for_backward, which checks their versions
        result, saved = engine.forward(call.with_tensors([t.detach() for t in tensors]))
        ctx.engine, ctx.call, ctx.extra = engine, call.with_tensors([_NOTHING] * len(tensors)), saved.extra
        ctx.count = len(tensors)
        ctx.save_for_backward(*tensors, *saved.tensors)
        return (result.output, *(s for state in result.states for s in state))

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        tensors, kept = ctx.saved_tensors[: ctx.count], ctx.saved_tensors[ctx.count :]
        call: Call = ctx.call.with_tensors(tensors)
        needed = ctx.needs_input_grad[2:]
        if torch.is_grad_enabled():
            return (None, None, *backward_by_scan(call, grads, needed))
        gradients = ctx.engine.backward(
            call, Saved(tuple(kept), ctx.extra), grads[0], _grouped(list(grads[1:]), call), needed
        )
        return (None, None, *gradients.of)


def backward_by_scan(call: Call, grads: Sequence[Tensor], needed: Sequence[bool]) -> list[Tensor | None]:
    """The backward pass as a differentiable function of the inputs and of `grads`."""
    result = run_scan(call)
    outputs = [result.output, *(s for state in result.states for s in state)]
    wanted = [t for t, need in zip(call.tensors, needed, strict=True) if need]
    found = iter(torch.autograd.grad(outputs, wanted, grads, create_graph=True, allow_unused=True))
    return [next(found) if need else None for need in needed]
