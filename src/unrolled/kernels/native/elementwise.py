"""The native engine's elementwise recurrences: cells without W_hh, in which each unit sees its own past alone.

The gates of all steps are products with x; the compiled module makes them some steps at a time, and runs the recurrence
over them while they are in the cache. What depends on parameters alone (`ElementwiseCell.constants`), O(H) numbers, is
made by torch and differentiated by autograd.

Letters: T time, B batch, H hidden, M the valid steps of all sequences.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeGuard, cast

import torch
from torch import Tensor

from unrolled.cells import (
    Cell,
    ElementwiseCell,
    IndRNNCell,
    LRUCell,
    MinGRUCell,
    MinLSTMCell,
    Params,
    RGLRUCell,
    SRUCell,
    State,
)
from unrolled.kernels.contract import Call, Direction, Gradients, Result, Saved
from unrolled.kernels.native.arrays import Layout, address, readable, strided
from unrolled.kernels.native.binding import Addresses, NativePacked, NativeRecurrence, Strided, compiled

_KINDS = (MinGRUCell, MinLSTMCell, SRUCell, RGLRUCell, LRUCell)
#: they follow the others in the compiled module's order
_NONLINEARITIES = ("tanh", "relu", "sigmoid")


def is_elementwise(cell: Cell) -> TypeGuard[ElementwiseCell]:
    """Return whether there is a kernel for a cell here; a subclass may compute something else."""
    return type(cell) in (*_KINDS, IndRNNCell)


def spec(cell: ElementwiseCell, params: Params) -> NativeRecurrence:
    """Return the compiled module's description of a cell and its sizes."""
    if isinstance(cell, IndRNNCell):
        kind = len(_KINDS) + _NONLINEARITIES.index(cell.nonlinearity)
    else:
        kind = _KINDS.index(type(cell))
    scale = cell.highway_scale if isinstance(cell, SRUCell) else 1.0
    width, hidden = params["weight_ih"].shape[1], cell.hidden_size(params)
    return compiled().ElementwiseSpec(kind, cell.is_carrying(params), scale, width, hidden)


def pack(cell: ElementwiseCell, params: Params) -> NativePacked:
    """Pack a copy of one direction's weights."""
    weight = params["weight_ih"]
    solid = {name: tensor.detach().contiguous() for name, tensor in params.items()}
    output = _output_weight(params)
    solid |= {} if output is None else {"weight_out": output}
    return compiled().ElementwisePacked(
        spec(cell, params), weight.dtype is torch.float64, addresses(solid), cell.num_biased
    )


def addresses(params: Params) -> Addresses:
    """Return the addresses of the parameters that are packed, 0 for those that are absent."""
    return address(params["weight_ih"]), address(params.get("bias_ih")), address(params.get("weight_out"))


def _output_weight(params: Params) -> Tensor | None:
    """Return the matrix that makes outputs of states, h = W [Re s, Im s]: LRU's, or None."""
    if "weight_out" not in params:
        return None
    real, imaginary = params["weight_out"].detach().chunk(2, -1)
    return torch.cat([real, -imaginary], -1)


def kept_shapes(cell: ElementwiseCell, steps: int, params: Params) -> list[tuple[int, ...]]:
    """Return the shapes of what a forward pass keeps: gates and, of a cell that does not feed h back, states."""
    hidden = cell.hidden_size(params)
    shapes: list[tuple[int, ...]] = [(steps, len(params["weight_ih"]) // hidden, hidden)]
    carried = len(cell.state_names) - len(cell.unread_states)
    return [*shapes, (steps, carried, hidden)] if cell.unread_states else shapes


def run_forward(
    call: Call, packed: Sequence[NativePacked], layout: Layout, training: bool
) -> tuple[Result, list[Tensor]]:
    """Run all directions.

    Args:
        call: the call.
        packed: the weights of each direction.
        layout: where the sequences of the call are.
        training: whether to keep what the backward pass needs.
    """
    cell, x = cast(ElementwiseCell, call.cell), readable(call.x)
    (time, batch), width = x.shape[:2], call.output_size * len(call.directions)
    output = (
        x.new_empty((batch, time, width)).transpose(0, 1) if call.batch_first else x.new_empty((time, batch, width))
    )
    kept: list[Tensor] = []
    states: list[State] = []
    directions, held = [], []
    for direction, weights in zip(call.directions, packed, strict=True):
        initial, constants = layout.initial_states(direction), _constants(cell, direction)
        final = tuple(torch.empty_like(s) for s in initial)
        own = [x.new_empty(shape) for shape in kept_shapes(cell, layout.steps, direction.params)] if training else []
        directions.append(
            compiled().ElementwiseForward(
                weights, direction.reverse, _rows(constants), _three(initial), _three(final), _two(own)
            )
        )
        kept += own
        states.append(final)
        held.append((initial, constants))
    compiled().elementwise_forward(directions, layout.native, strided(x), strided(output), torch.get_num_threads())
    ended = [layout.final_states(direction, s) for direction, s in zip(call.directions, states, strict=True)]
    return Result(output, tuple(ended)), kept


def run_backward(
    call: Call,
    saved: Saved,
    layout: Layout,
    doutput: Tensor,
    dstates: tuple[State, ...],
    needed: Sequence[bool],
) -> Gradients:
    """Backpropagate through time, as `Engine.backward`; `layout` as in `run_forward`."""
    x, doutput = readable(call.x), readable(doutput)
    output, *rest = saved.tensors
    kept, wanted = iter(rest), iter(needed)
    dx = torch.empty_like(x) if next(wanted) else None
    sides = []
    for direction, dfinal in zip(call.directions, dstates, strict=True):
        own = [next(kept) for _ in kept_shapes(cast(ElementwiseCell, call.cell), 0, direction.params)]
        needs = [next(wanted) for _ in direction.tensors]
        sides.append(_BackwardSide(call, direction, layout, dfinal, own, needs))
    first = call.directions[0]
    compiled().elementwise_backward(
        spec(cast(ElementwiseCell, call.cell), first.params),
        x.dtype is torch.float64,
        [side.native for side in sides],
        layout.native,
        strided(x),
        strided(output),
        strided(doutput),
        (0, 0, 0) if dx is None else strided(dx),
        torch.get_num_threads(),
    )
    return Gradients((dx, *(gradient for side in sides for gradient in side.gradients())))


class _BackwardSide:
    """One direction of a backward pass: its gradients, and all tensors whose addresses the compiled module gets."""

    def __init__(
        self,
        call: Call,
        direction: Direction,
        layout: Layout,
        dfinal: State,
        kept: Sequence[Tensor],
        needed: Sequence[bool],
    ) -> None:
        x, hidden, steps, params = call.x, call.hidden_size, layout.steps, direction.params
        self.cell, self.direction, self.layout, self.needed = (
            cast(ElementwiseCell, call.cell),
            direction,
            layout,
            needed,
        )
        wanted = {name for name, need in zip(params, needed[len(needed) - len(params) :], strict=True) if need}
        self.weight, self.output_weight = params["weight_ih"].contiguous(), _output_weight(params)
        self.constants = _constants(self.cell, direction)
        self.arriving, self.initial = _solid(layout.dfinal(direction, dfinal)), layout.initial_states(direction)
        self.dinitial = tuple(torch.empty_like(s) for s in self.initial)
        rows, is_carrying = len(self.weight), self.cell.is_carrying(params)
        is_mapped = self.output_weight is not None
        self.scratch = (
            x.new_empty(steps, rows),
            x.new_empty(steps, hidden) if is_carrying else None,
            x.new_empty(steps, hidden) if is_mapped else None,
            x.new_empty(steps, 2 * hidden) if is_mapped else None,
        )
        has_constants = self.constants is not None
        count = len(self.initial[0])
        self.dconstants = x.new_empty(len(self.cell.constants(params)), count, hidden) if has_constants else None
        self.dweight = torch.empty_like(self.weight) if "weight_ih" in wanted else None
        # the products know no blocks without a bias
        self.dbias = x.new_empty(rows) if "bias_ih" in wanted else None
        is_wanted = is_mapped and "weight_out" in wanted
        self.doutput_weight = torch.empty_like(cast(Tensor, self.output_weight)) if is_wanted else None
        self.native = compiled().ElementwiseBackward(
            direction.reverse,
            (address(self.weight), address(self.output_weight)),
            _rows(self.constants),
            _three(self.initial),
            _three(self.arriving),
            _three(self.dinitial),
            _two(kept),
            tuple(address(array) for array in self.scratch),
            tuple(address(array) for array in (self.dconstants, self.dweight, self.dbias, self.doutput_weight)),
        )

    def gradients(self) -> list[Tensor | None]:
        """Return the gradients of `Direction.tensors`, None where not needed."""
        made: dict[str, Tensor | None] = {"weight_ih": self.dweight, **self._dconstants()}
        if self.dbias is not None:
            made["bias_ih"] = self.dbias[: len(self.direction.params["bias_ih"])].clone()
        if self.doutput_weight is not None:
            real, imaginary = self.doutput_weight.chunk(2, -1)
            made["weight_out"] = torch.cat([real, -imaginary], -1)
        gradients = [*self.layout.dinitial(self.direction, self.dinitial), *map(made.get, self.direction.params)]
        return [d if need else None for d, need in zip(gradients, self.needed, strict=True)]

    def _dconstants(self) -> dict[str, Tensor]:
        """Return the gradients of the parameters of which the constants are made."""
        if self.dconstants is None:
            return {}
        masks = self.direction.masks
        mask = None if masks is None else masks.recurrent
        if mask is not None and self.layout.documents is not None:
            mask = mask.index_select(0, self.layout.documents.table[:, 0])
        summed = (self.dconstants if mask is None else self.dconstants * mask).sum(1)
        leaves = {
            name: p.detach().requires_grad_()
            for name, p in self.direction.params.items()
            if name not in ("weight_ih", "bias_ih", "weight_out")
        }
        with torch.enable_grad():
            constants = self.cell.constants(leaves)
        return dict(zip(leaves, torch.autograd.grad(constants, list(leaves.values()), summed.unbind(0)), strict=True))


def _constants(cell: ElementwiseCell, direction: Direction) -> Tensor | None:
    """Return the cell's constants, (·, 1, H), or (·, B, H) where recurrent dropout masks each row; None for none."""
    with torch.no_grad():
        constants = cell.constants(direction.params)
        if not constants:
            return None
        stacked = torch.stack(constants).unsqueeze(1)
        masks = direction.masks
        return stacked if masks is None or masks.recurrent is None else stacked * masks.recurrent


def _rows(constants: Tensor | None) -> Strided:
    """Return address of the constants, and their distances from row to row and from each to the next."""
    if constants is None:
        return (0, 0, 0)
    return constants.data_ptr(), constants.stride(1) if constants.shape[1] > 1 else 0, constants.stride(0)


def _solid(states: Sequence[Tensor]) -> State:
    return tuple(s.contiguous().resolve_neg() for s in states)


def _three(states: Sequence[Tensor]) -> tuple[int, int, int]:
    """Return the addresses of up to three tensors, 0 for those that are not there."""
    first, second, third, *_ = (*(s.data_ptr() for s in states), 0, 0, 0)
    return first, second, third


def _two(kept: Sequence[Tensor]) -> tuple[int, int]:
    first, second, _ = _three(kept)
    return first, second
