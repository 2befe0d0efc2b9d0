"""The native engine: our C++ kernels (native/ in the sources) behind the contract. See docs/engine.md.

The functions `forward` and `backward` of the compiled module take addresses and sizes and check nothing, so that all is
checked here: what they can't take is refused with a reason. The module may be absent, where the package was installed
without a C++ compiler; the engine then says so, and the dispatcher takes another.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor
from torch._C._functorch import peek_interpreter_stack
from torch.nn import Parameter

from unrolled.cells import Cell, GRUCell, LSTMCell, Params, RNNCell, State
from unrolled.kernels.contract import Call, Direction, Engine, Gradients, Result, Saved, is_traced
from unrolled.kernels.native import elementwise
from unrolled.kernels.native.arrays import Layout, readable, strided
from unrolled.kernels.native.binding import (
    NativeBackward,
    NativeMasks,
    NativePacked,
    Products,
    addresses,
    compiled,
    load,
    spec,
)
from unrolled.kernels.native.packed import DTYPES, NARROW, cached, forget, is_lasting, pack, widened
from unrolled.kernels.native.prepared import NativePrepared
from unrolled.kernels.prepared import Prepared, Stack
from unrolled.scan import Masks


def lacks(cell: Cell) -> str | None:
    """Return what of this cell the engine lacks, or None."""
    if elementwise.is_elementwise(cell):
        return None
    # a subclass may compute something else
    if not isinstance(cell, (RNNCell, LSTMCell, GRUCell)) or type(cell) not in (RNNCell, LSTMCell, GRUCell):
        return f"the native engine has no kernel for {cell}"
    return "the native engine has no layer norm" if cell.layer_norm else None


def _products(call: Call) -> Products:
    return Products.NARROW if NARROW in (call.products, call.x.dtype) else Products.WHOLE


def _wide(call: Call) -> Call:
    """Return the call as the compiled module takes it: in float32 if there is bfloat16 in it."""
    return call if _products(call) is Products.WHOLE else call.to(torch.float32)


def _unfit(name: str, tensor: Tensor, dtype: torch.dtype) -> str | None:
    """Return why the engine can't read a tensor, or None."""
    if type(tensor) is not Tensor and type(tensor) is not Parameter:
        return f"{name} is a {type(tensor).__name__}, and the native engine reads plain tensors"
    if tensor.dtype is not dtype:
        return f"{name} is {tensor.dtype} where x is {dtype}"
    if tensor.device.type != "cpu":
        return f"{name} is on {tensor.device}, and the native engine runs on the CPU"
    if tensor.layout is not torch.strided or tensor.is_neg():
        return f"{name} has a layout that the native engine can't read"
    return None


def _misshapen(call: Call) -> str | None:
    """Return which tensor does not have the shape that the contract gives it, or None."""
    sizes, batch = call.cell.state_sizes(call.hidden_size), call.x.shape[1]
    for direction in call.directions:
        wrong = _misshapen_parameters(call.cell, call.x, direction.params)
        if wrong is not None:
            return wrong
        for state in (direction.state, direction.start or direction.state):
            for name, tensor, size in zip(call.cell.state_names, state, sizes, strict=True):
                if tensor.shape != (batch, size):
                    return f"state {name} does not have the shape {(batch, size)}"
    return None


def _misshapen_parameters(cell: Cell, x: Tensor, params: Params) -> str | None:
    hidden = cell.hidden_size(params)
    for name, shape in cell.parameter_shapes(x.shape[-1], hidden, "bias_ih" in params).items():
        if name not in params or params[name].shape != shape:
            return f"{name} does not have the shape {shape}"
    return None


class _Regularisers(NamedTuple):
    """A direction's masks as the compiled module takes them, and the tensors that they point into."""

    native: NativeMasks
    held: tuple[Tensor, ...]


def _regularisers(masks: Masks | None) -> _Regularisers:
    mask_addresses, rates, held = [0, 0, 0], [0.0, 0.0], []
    if masks is not None:
        flags = masks.zoneout or ()
        for place, mask in enumerate((masks.recurrent, *flags)):
            if isinstance(mask, Tensor):
                held.append(mask.contiguous())
                mask_addresses[place] = held[-1].data_ptr()
            elif mask is not None:
                rates[place - 1] = float(mask)
    recurrent, keep_h, keep_c = mask_addresses
    return _Regularisers(compiled().Masks((recurrent, keep_h, keep_c), *rates), tuple(held))


class NativeEngine(Engine):
    """Our C++ kernels: float32, float64 and bfloat16 on the CPU.

    Of bfloat16 are the factors of products alone, with weight_ih and weight_hh. Their sums, gates, states and gradients
    are float32 throughout a call, whatever the dtype of its tensors.
    """

    name: ClassVar[str] = "native"

    def unavailable(self) -> str | None:
        """Return that it was not built, if so."""
        module, reason = load()
        return None if module is not None else reason

    def refuses(self, call: Call) -> str | None:
        """Refuse layer norm, truncation, traced calls, and all but float32, float64 and bfloat16 on the CPU."""
        dtype = call.x.dtype
        lack = self.lacks(call.cell, dtype, call.products)
        if lack is not None:
            return lack
        if call.truncate is not None:
            return "the native engine does not truncate BPTT"
        if is_traced():
            return "the native engine can't be traced"
        tensors = call.tensors
        for index, tensor in enumerate(tensors):
            # products in another dtype mix both
            own = tensor.dtype if call.products is not None and tensor.dtype in (torch.float32, NARROW) else dtype
            unfit = _unfit("x" if index == 0 else "a state or parameter", tensor, own)
            if unfit is not None:
                return unfit
        if call.is_masked:
            unfit = self._refuses_masks(call)
            if unfit is not None:
                return unfit
        return _misshapen(call)

    @staticmethod
    def lacks(cell: Cell, dtype: torch.dtype, products: torch.dtype | None = None) -> str | None:
        """Return that the engine lacks a cell, a dtype, or products in a dtype, or None."""
        lack = lacks(cell)
        if lack is None and dtype not in (*DTYPES, NARROW):
            return f"x is {dtype}, and the native engine computes in float32, float64 and bfloat16"
        if lack is None and NARROW in (dtype, products) and elementwise.is_elementwise(cell):
            return f"the native engine computes {cell} in float32 and float64"
        if lack is None and products not in (None, NARROW):
            return f"products are in {products}, and the native engine's in float32, float64 and bfloat16"
        return lack

    @staticmethod
    def kept_shapes(cell: Cell, steps: int, params: Params) -> list[tuple[int, ...]]:
        """Return the shapes of what a forward pass keeps for each direction: gates, and cell states."""
        if elementwise.is_elementwise(cell):
            return elementwise.kept_shapes(cell, steps, params)
        hidden_size = cell.hidden_size(params)
        gates = [] if cell.name == "rnn" else [(steps, 4 if cell.name == "gru" else cell.num_gates, hidden_size)]
        return [*gates, (steps, hidden_size)] if len(cell.state_names) == 2 else [*gates]

    @staticmethod
    def _refuses_masks(call: Call) -> str | None:
        batch, hidden = call.x.shape[1], call.hidden_size
        sizes = call.cell.state_sizes(hidden)
        for direction in call.directions:
            masks = direction.masks or Masks()
            if masks.recurrent is not None:
                unfit = _unfit("the recurrent mask", masks.recurrent, call.x.dtype)
                if unfit is not None or masks.recurrent.shape != (batch, sizes[0]):
                    return unfit or f"the recurrent mask does not have the shape {(batch, sizes[0])}"
            for keep, size in zip(masks.zoneout or (), sizes, strict=False):
                if keep is not None and elementwise.is_elementwise(call.cell):
                    return f"the native engine has no zoneout for {call.cell}"
                if isinstance(keep, Tensor):
                    unfit = _unfit("a zoneout mask", keep, torch.bool)
                    if unfit is not None or keep.shape != (call.x.shape[0], batch, size):
                        return unfit or f"a zoneout mask does not have the shape {(call.x.shape[0], batch, size)}"
                elif keep and call.needs_grad and isinstance(call.cell, RNNCell):
                    return "the native engine does not keep what a gradient through mixed zoneout of an RNN needs"
        return None

    def infer(self, call: Call) -> Result:
        """Run all directions; weights are packed once until they change."""
        packed = [cached(call.cell, d.params, _products(call)).packed for d in call.directions]
        return self._forward(_wide(call), packed, training=False)[0].to(call.result_dtype)

    def forward(self, call: Call) -> tuple[Result, Saved]:
        """Run as `infer` does, and keep gates, cell states and the output. Weights are packed anew."""
        packed = [pack(call.cell, d.params, _products(call)) for d in call.directions]
        result, kept = self._forward(_wide(call), packed, training=True)
        return result.to(call.result_dtype), Saved((result.output, *kept))

    def _forward(self, call: Call, packed: Sequence[NativePacked], training: bool) -> tuple[Result, list[Tensor]]:
        if elementwise.is_elementwise(call.cell):
            return elementwise.run_forward(call, packed, Layout(call), training)
        module = compiled()
        cell, x = call.cell, readable(call.x)
        time, batch = x.shape[0], x.shape[1]
        width, has_cell_state = call.output_size * len(call.directions), len(cell.state_names) == 2
        if call.batch_first:
            output = x.new_empty((batch, time, width)).transpose(0, 1)
        else:
            output = x.new_empty((time, batch, width))
        layout = Layout(call)
        kept: list[Tensor] = []
        states: list[State] = []
        directions, held = [], []
        for direction, weights in zip(call.directions, packed, strict=True):
            initial = layout.initial_states(direction)
            final = tuple(torch.empty_like(s) for s in initial)
            masks = _regularisers(direction.masks)
            own = (
                [x.new_empty(shape) for shape in self.kept_shapes(cell, layout.steps, direction.params)]
                if training
                else []
            )
            kept += own
            saved = ([tensor.data_ptr() for tensor in own] + [0, 0])[:2]
            arrays = (
                initial[0].data_ptr(),
                initial[1].data_ptr() if has_cell_state else 0,
                final[0].data_ptr(),
                final[1].data_ptr() if has_cell_state else 0,
                *saved,
            )
            directions.append(module.ForwardDirection(weights, direction.reverse, arrays, masks.native))
            states.append(final)
            held.append((initial, masks))
        module.forward(directions, layout.native, strided(x), strided(output), torch.get_num_threads())
        if layout.documents is not None:
            states = [layout.documents.final_states(d, s) for d, s in zip(call.directions, states, strict=True)]
        return Result(output, tuple(states)), kept

    def backward(
        self, call: Call, saved: Saved, doutput: Tensor, dstates: tuple[State, ...], needed: Sequence[bool]
    ) -> Gradients:
        """BPTT by hand; the gradients of the weights are one product over all steps."""
        products, tensors, call = _products(call), call.tensors, _wide(call)
        if elementwise.is_elementwise(call.cell):
            return elementwise.run_backward(call, saved, Layout(call), doutput, dstates, needed)
        x, doutput = readable(call.x), readable(widened(doutput))
        dstates = tuple(tuple(widened(d) for d in state) for state in dstates)
        output, *rest = saved.tensors
        kept = iter(rest)
        layout = Layout(call)
        wanted = iter(needed)
        dx = torch.empty_like(x) if next(wanted) else None
        sides = []
        for direction, dfinal in zip(call.directions, dstates, strict=True):
            gates = next(kept) if call.cell.name != "rnn" else None
            cells = next(kept) if len(call.cell.state_names) == 2 else None
            own = [next(wanted) for _ in direction.tensors]
            sides.append(_BackwardSide(call, direction, layout, dfinal, gates, cells, own))
        compiled().backward(
            spec(call.cell, x.shape[2], call.hidden_size, products),
            x.dtype is torch.float64,
            [side.native for side in sides],
            layout.native,
            strided(x),
            strided(output),
            strided(doutput),
            (0, 0, 0) if dx is None else strided(dx),
            torch.get_num_threads(),
        )
        gradients = (dx, *(gradient for side in sides for gradient in side.gradients()))
        return Gradients(tuple(None if d is None else d.to(t.dtype) for d, t in zip(gradients, tensors, strict=True)))

    def step(
        self, cell: Cell, x: Tensor, state: State, params: Params, products: torch.dtype | None = None
    ) -> State | None:
        """Take one step of one direction; a layer takes a shorter path (`prepared`)."""
        if self.unavailable() is not None or peek_interpreter_stack() is not None:
            return None
        call = Call(cell, x.unsqueeze(0), (Direction(params, state),), products=products)
        if self.refuses(call) is not None:
            return None
        if elementwise.is_elementwise(cell):
            return self.infer(Call(cell, x.detach().unsqueeze(0), (Direction(params, state),))).states[0]
        wide = _wide(call)
        packed = cached(cell, params, _products(call)).packed
        stack = compiled().PackedStack([packed], [], {}, [], (False, False, True), 1)
        parts = tuple(s.detach().contiguous().unsqueeze(0) for s in wide.directions[0].state)
        result = stack.step(wide.x[0].detach().contiguous(), parts if len(parts) > 1 else parts[0])
        if result is None:
            return None
        new = result[1] if isinstance(result[1], tuple) else (result[1],)
        return tuple(s.squeeze(0).to(call.result_dtype) for s in new)

    def prepare(self, stack: Stack) -> Prepared | None:
        """Prepare a stack of float32 or float64 parameters that are plain tensors; of RNN, LSTM or GRU only."""
        blocks = stack.blocks()
        if blocks is None or elementwise.is_elementwise(stack.cell):
            return None
        dtype = blocks[0]["weight_ih"].dtype
        lasting = all(is_lasting(tensor, dtype) for params in blocks for tensor in params.values())
        return NativePrepared(stack) if lasting else None

    def forget(self, params: Params) -> None:
        """Drop the packed copies of these parameters."""
        forget(params)


class _BackwardSide:
    """One direction of a backward pass: its gradients, and all tensors whose addresses the compiled module gets."""

    def __init__(
        self,
        call: Call,
        direction: Direction,
        layout: Layout,
        dfinal: State,
        gates: Tensor | None,
        cells: Tensor | None,
        needed: Sequence[bool],
    ) -> None:
        cell, x, hidden, width = call.cell, call.x, call.hidden_size, call.output_size
        steps = layout.steps
        self._direction, self._documents, self._needed = direction, layout.documents, needed
        self.params = {name: p.contiguous() for name, p in direction.params.items()}
        initial = layout.initial_states(direction)
        dfinal = dfinal if self._documents is None else self._documents.dfinal(direction, dfinal)
        arriving = [d.contiguous().resolve_neg() for d in dfinal]
        dgates = x.new_empty((steps, 4 if cell.name == "gru" else cell.num_gates, hidden))
        dh = x.new_empty((steps, width)) if width != hidden else None
        self._dinitial = dinitial = tuple(torch.empty_like(s) for s in initial)
        wanted = needed[len(needed) - len(self.params) :]
        self._dparams = dparams = {
            name: torch.empty_like(p) for (name, p), need in zip(self.params.items(), wanted, strict=True) if need
        }
        self.masks = _regularisers(direction.masks)
        h_0, c_0 = _pair(initial)
        dh_n, dc_n = _pair(arriving)
        dh_0, dc_0 = _pair(dinitial)
        self.arrays = (h_0, c_0, gates, cells, dh_n, dc_n, dgates, dh, dh_0, dc_0)
        self.native: NativeBackward = compiled().BackwardDirection(
            direction.reverse,
            addresses(self.params),
            addresses(dparams),
            tuple(0 if a is None else a.data_ptr() for a in self.arrays),
            self.masks.native,
        )

    def gradients(self) -> list[Tensor | None]:
        """Return the gradients of `Direction.tensors` after the pass, None where not needed."""
        dstates = self._dinitial
        if self._documents is not None:
            dstates = self._documents.dinitial(self._direction, dstates)
        kept = [d if need else None for d, need in zip(dstates, self._needed, strict=False)]
        return [*kept, *(self._dparams.get(name) for name in self.params)]


def _pair(states: Sequence[Tensor]) -> tuple[Tensor, Tensor | None]:
    """Return h and c, None for cells without c."""
    return states[0], states[1] if len(states) == 2 else None
