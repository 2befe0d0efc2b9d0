"""The one autograd.Function: the forward pass of any engine as a node of autograd's graph.

The first derivative is the engine's own backward pass. A backward pass that must itself be differentiable
(`create_graph=True`), or whose gradients the engine can't read (batched ones), is done by the scan, which is plain
torch to any order.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch._C._functorch import is_batchedtensor, is_legacy_batchedtensor
from torch.autograd.function import FunctionCtx
from torch.nn import Parameter

from unrolled.cells import Cell, Params, State
from unrolled.kernels.contract import Call, Direction, Engine, Result, Saved, is_traced
from unrolled.scan import scan


def run_scan(call: Call) -> Result:
    """Serve a call by the definition."""
    dtype, call = call.result_dtype, call.to(call.products)
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
            reset=call.reset,
            start=direction.start,
        )
        outputs.append(output)
        states.append(state)
    return Result(outputs[0] if len(outputs) == 1 else torch.cat(outputs, -1), tuple(states)).to(dtype)


def step_by_cell(cell: Cell, x: Tensor, state: State, params: Params, products: torch.dtype | None = None) -> State:
    """Take one step by the definition, (B, I) and states in, states out."""
    plain = Call(cell, x.unsqueeze(0), (Direction(params, state),), products=products)
    call = plain.to(products)
    (direction,) = call.directions
    new = cell.step(cell.project_input(call.x[0], direction.params), direction.state, direction.params)
    return new if products is None else tuple(s.to(plain.result_dtype) for s in new)


def run_engine(engine: Engine, call: Call) -> Result:
    """Serve a call by an engine, as a node of the autograd graph where a gradient is needed."""
    if is_traced():
        # a node of ours would be recorded with its results as constants
        return engine.trace(call) or run_scan(call)
    if not call.needs_grad:
        return engine.infer(call)
    tensors = call.tensors
    result, saved = engine.forward(call.with_tensors([t.detach() for t in tensors]))
    # the call is kept without its tensors: they are saved by autograd, which notices later writes to them
    passed = _EnginePass(engine, call.with_tensors([_NOTHING] * len(tensors)), saved.extra)
    output, *flat = add_node(passed, result.flat, saved.tensors, tensors)
    return Result(output, by_direction(flat, call))


def by_direction(flat: Sequence[Tensor], call: Call) -> tuple[State, ...]:
    """Split final states, or their gradients, by direction."""
    width = len(call.cell.state_names)
    return tuple(tuple(flat[d * width : (d + 1) * width]) for d in range(len(call.directions)))


#: takes the place of tensors that autograd keeps
_NOTHING = torch.empty(0)


class Pass(ABC):
    """A forward pass that an engine has made, and the backward pass of its node in the graph.

    Its tensors are not here but with autograd: `inputs`, for which gradients may be asked, and `kept`.
    """

    #: whether `backward` is given zeros instead of None for an output without a gradient
    wants_zeros: ClassVar[bool] = False

    @abstractmethod
    def backward(
        self,
        inputs: Sequence[Tensor],
        kept: Sequence[Tensor],
        grads: Sequence[Tensor | None],
        needed: Sequence[bool],
    ) -> Sequence[Tensor | None] | None:
        """Return the gradient of each input, None where not needed; or None if the engine can't read a tensor."""

    @abstractmethod
    def repeat(self, inputs: Sequence[Tensor]) -> Sequence[Tensor]:
        """Compute the outputs again by the scan, as differentiable functions of `inputs`."""


@dataclass(frozen=True)
class _EnginePass(Pass):
    """A call that the dispatcher gave to an engine; the inputs are `Call.tensors`."""

    engine: Engine
    call: Call
    extra: object

    wants_zeros: ClassVar[bool] = True

    def backward(
        self,
        inputs: Sequence[Tensor],
        kept: Sequence[Tensor],
        grads: Sequence[Tensor | None],
        needed: Sequence[bool],
    ) -> Sequence[Tensor | None] | None:
        present = [d for d in grads if d is not None]
        if not all(is_plain(d) for d in present):
            return None
        call, saved = self.call.with_tensors(inputs), Saved(tuple(kept), self.extra)
        return self.engine.backward(call, saved, present[0], by_direction(present[1:], call), needed).of

    def repeat(self, inputs: Sequence[Tensor]) -> Sequence[Tensor]:
        return run_scan(self.call.with_tensors(inputs)).flat


def is_plain(tensor: Tensor) -> bool:
    """Whether a tensor has memory of its own that an engine can read: no subclass, and not batched by vmap."""
    return type(tensor) in (Tensor, Parameter) and not (is_batchedtensor(tensor) or is_legacy_batchedtensor(tensor))


def add_node(
    passed: Pass, outputs: Sequence[Tensor], kept: Sequence[Tensor], inputs: Sequence[Tensor]
) -> tuple[Tensor, ...]:
    """Make a forward pass a node of the graph.

    Args:
        passed: the pass.
        outputs: its results, not part of a graph yet.
        kept: the tensors that its backward pass reads besides the inputs; outputs may be among them.
        inputs: the tensors for which a gradient may be asked.

    Returns:
        The outputs, as part of the graph.
    """
    return _apply(passed, tuple(outputs), tuple(kept), *inputs)


class _Context(FunctionCtx):
    """The context of `_EngineFunction`, as torch passes it."""

    passed: Pass
    num_inputs: int
    saved_tensors: tuple[Tensor, ...]
    needs_input_grad: tuple[bool, ...]


class _EngineFunction(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: _Context, passed: Pass, outputs: tuple[Tensor, ...], kept: tuple[Tensor, ...], *inputs: Tensor
    ) -> tuple[Tensor, ...]:
        ctx.passed, ctx.num_inputs = passed, len(inputs)
        ctx.save_for_backward(*inputs, *kept)
        # the gradient of a final state that nothing depends on need not be made
        ctx.set_materialize_grads(passed.wants_zeros)
        return outputs

    @staticmethod
    def backward(ctx: _Context, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        # read once: checkpointing unpacks saved tensors a single time
        saved = ctx.saved_tensors
        inputs, kept, needed = saved[: ctx.num_inputs], saved[ctx.num_inputs :], ctx.needs_input_grad[3:]
        gradients = None if torch.is_grad_enabled() else ctx.passed.backward(inputs, kept, grads, needed)
        if gradients is None:
            gradients = gradients_by_scan(ctx.passed.repeat, inputs, grads, needed)
        return (None, None, None, *gradients)


#: torch's types know nothing of a Function's own arguments
_apply: Callable[..., tuple[Tensor, ...]] = _EngineFunction.apply


def gradients_by_scan(
    repeat: Callable[[Sequence[Tensor]], Sequence[Tensor]],
    inputs: Sequence[Tensor],
    grads: Sequence[Tensor | None],
    needed: Sequence[bool],
) -> list[Tensor | None]:
    """Return the gradients of a pass by autograd, as differentiable functions of `inputs` and `grads` if so asked.

    Args:
        repeat: computes the outputs of the pass by the scan, as in `Pass.repeat`.
        inputs, grads, needed: as in `Pass.backward`.
    """
    is_differentiable = torch.is_grad_enabled()
    with torch.enable_grad():
        if not is_differentiable:
            inputs = [t.detach().requires_grad_(need) for t, need in zip(inputs, needed, strict=True)]
        outputs = repeat(inputs)
    arriving = [(o, d) for o, d in zip(outputs, grads, strict=True) if d is not None and o.requires_grad]
    wanted = [t for t, need in zip(inputs, needed, strict=True) if need]
    if not arriving or not wanted:
        return [None] * len(inputs)
    gradients = iter(
        torch.autograd.grad(
            [o for o, _ in arriving],
            wanted,
            [d for _, d in arriving],
            create_graph=is_differentiable,
            allow_unused=True,
        )
    )
    return [next(gradients) if need else None for need in needed]
