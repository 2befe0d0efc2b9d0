"""The native engine: our C++ kernels (native/ in the sources) behind the contract. See docs/engine.md.

The compiled module `unrolled._native` takes addresses and sizes and checks nothing, so everything is checked here:
what it can't take is refused with a reason, never handed on. It may be absent, where the package was installed
without a C++ compiler; the engine then says so, and the dispatcher takes another.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor
from torch.nn import Parameter

from unrolled.cells import Cell, GRUCell, LSTMCell, Params, RNNCell, State
from unrolled.kernels.contract import Call, Engine, Gradients, Result, Saved
from unrolled.kernels.packed import (
    addresses,
    cached,
    compiled,
    cpu_variant,
    cpu_variants,
    load,
    pack,
    single_thread_reason,
    spec,
    use_cpu_variant,
)
from unrolled.scan import Masks

__all__ = ["NativeEngine", "cpu_variant", "cpu_variants", "single_thread_reason", "use_cpu_variant"]

_DTYPES = (torch.float32, torch.float64)


def lacks(cell: Cell) -> str | None:
    """What of this cell the engine lacks, or None."""
    if type(cell) not in (RNNCell, LSTMCell, GRUCell):
        return f"the native engine has no kernel for {cell}"
    if cell.layer_norm:  # type: ignore[attr-defined]
        return "the native engine has no layer norm"
    return None


def _unfit(name: str, tensor: Tensor, dtype: torch.dtype) -> str | None:
    """Why the engine can't read a tensor, or None."""
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
    """Which tensor does not have the shape the contract gives it, or None."""
    sizes, batch = call.cell.state_sizes(call.hidden_size), call.x.shape[1]
    for direction in call.directions:
        wrong = _misshapen_parameters(call.cell, call.x, direction.params)
        if wrong is not None:
            return wrong
        for name, tensor, size in zip(call.cell.state_names, direction.state, sizes, strict=True):
            if tensor.shape != (batch, size):
                return f"state {name} does not have the shape {(batch, size)}"
    return None


def _misshapen_parameters(cell: Cell, x: Tensor, params: Params) -> str | None:
    hidden = params["weight_ih"].shape[0] // cell.num_gates
    for name, shape in cell.parameter_shapes(x.shape[-1], hidden, "bias_ih" in params).items():
        if name not in params or params[name].shape != shape:
            return f"{name} does not have the shape {shape}"
    return None


def _strided(tensor: Tensor) -> tuple[int, int, int]:
    """Address and strides of a (T, B, ·) tensor."""
    return tensor.data_ptr(), tensor.stride(0), tensor.stride(1)


def _readable(tensor: Tensor) -> Tensor:
    """A tensor whose last dimension is contiguous, and whose sign is written out: itself, if it can be."""
    tensor = tensor.resolve_neg()
    return tensor if tensor.stride(-1) == 1 or tensor.shape[-1] <= 1 else tensor.contiguous()


class _Regularisers(NamedTuple):
    """A direction's masks as the compiled module takes them, and the tensors they point into."""

    native: Any
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
    return _Regularisers(compiled().Masks(tuple(mask_addresses), *rates), tuple(held))


class NativeEngine(Engine):
    """Our C++ kernels: float32 and float64 on the CPU."""

    name: ClassVar[str] = "native"

    def unavailable(self) -> str | None:
        """That it was not built, if so."""
        module, reason = load()
        return None if module is not None else reason

    def refuses(self, call: Call) -> str | None:
        """Cells with layer norm, dtypes but float32 and float64, devices but the CPU, and truncation."""
        lack = lacks(call.cell)
        if lack is not None:
            return lack
        if call.truncate is not None:
            return "the native engine does not truncate BPTT"
        if torch.compiler.is_compiling():
            return "the native engine can't be traced by torch.compile"
        dtype = call.x.dtype
        if dtype not in _DTYPES:
            return f"x is {dtype}, and the native engine computes in float32 and float64"
        tensors = call.tensors
        for index, tensor in enumerate(tensors):
            unfit = _unfit("x" if index == 0 else "a state or parameter", tensor, dtype)
            if unfit is not None:
                return unfit
        if call.is_masked:
            unfit = self._refuses_masks(call)
            if unfit is not None:
                return unfit
        return _misshapen(call)

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
                if isinstance(keep, Tensor):
                    unfit = _unfit("a zoneout mask", keep, torch.bool)
                    if unfit is not None or keep.shape != (call.x.shape[0], batch, size):
                        return unfit or f"a zoneout mask does not have the shape {(call.x.shape[0], batch, size)}"
                elif keep and call.needs_grad and isinstance(call.cell, RNNCell):
                    return "the native engine does not keep what a gradient through mixed zoneout of an RNN needs"
        return None

    def infer(self, call: Call) -> Result:
        """Run all directions; weights are packed once until they change."""
        packed = [cached(call.cell, d.params).packed for d in call.directions]
        return self._forward(call, packed, training=False)[0]

    def forward(self, call: Call) -> tuple[Result, Saved]:
        """As `infer`, keeping gates, cell states and the output itself. Weights are packed anew."""
        packed = [pack(call.cell, d.params) for d in call.directions]
        result, kept = self._forward(call, packed, training=True)
        return result, Saved((result.output, *kept))

    @staticmethod
    def _forward(call: Call, packed: list[Any], training: bool) -> tuple[Result, list[Tensor]]:
        module = compiled()
        cell, x = call.cell, _readable(call.x)
        time, batch, hidden = x.shape[0], x.shape[1], call.hidden_size
        width, has_cell_state = call.output_size * len(call.directions), len(cell.state_names) == 2
        if call.batch_first:
            output = x.new_empty((batch, time, width)).transpose(0, 1)
        else:
            output = x.new_empty((time, batch, width))
        lengths = None if call.lengths is None else call.lengths.to("cpu", torch.int64).contiguous()
        steps = time * batch if lengths is None else int(lengths.sum())
        kept: list[Tensor] = []
        states: list[State] = []
        directions, held = [], []
        for direction, weights in zip(call.directions, packed, strict=True):
            initial = [s.contiguous() for s in direction.state]
            final = tuple(torch.empty_like(s) for s in initial)
            masks = _regularisers(direction.masks)
            saved = [0, 0]
            if training and cell.name != "rnn":
                gates = x.new_empty((steps, 4 if cell.name == "gru" else cell.num_gates, hidden))
                kept.append(gates)
                saved[0] = gates.data_ptr()
            if training and has_cell_state:
                kept.append(x.new_empty((steps, hidden)))
                saved[1] = kept[-1].data_ptr()
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
        module.forward(
            directions,
            time,
            batch,
            0 if lengths is None else lengths.data_ptr(),
            _strided(x),
            _strided(output),
            torch.get_num_threads(),
        )
        return Result(output, tuple(states)), kept

    def backward(
        self, call: Call, saved: Saved, doutput: Tensor, dstates: tuple[State, ...], needed: Sequence[bool]
    ) -> Gradients:
        """BPTT by hand; the weights' gradients are one product over all steps."""
        module = compiled()
        cell, x, doutput = call.cell, _readable(call.x), _readable(doutput)
        time, batch, hidden, width = x.shape[0], x.shape[1], call.hidden_size, call.output_size
        has_cell_state = len(cell.state_names) == 2
        output, *rest = saved.tensors
        kept = iter(rest)
        lengths = None if call.lengths is None else call.lengths.to("cpu", torch.int64).contiguous()
        steps = time * batch if lengths is None else int(lengths.sum())
        wanted = iter(needed)
        dx = torch.empty_like(x) if next(wanted) else None
        found: list[Tensor | None] = [dx]
        directions, held = [], []
        for direction, dfinal in zip(call.directions, dstates, strict=True):
            initial = [s.contiguous() for s in direction.state]
            darriving = [d.contiguous().resolve_neg() for d in dfinal]
            gates = next(kept) if cell.name != "rnn" else None
            cells = next(kept) if has_cell_state else None
            dgates = x.new_empty((steps, 4 if cell.name == "gru" else cell.num_gates, hidden))
            dh = x.new_empty((steps, width)) if width != hidden else None
            dinitial = [torch.empty_like(s) for s in initial]
            params = {name: p.contiguous() for name, p in direction.params.items()}
            found += [d if need else None for d, need in zip(dinitial, wanted, strict=False)]
            gradients = {name: torch.empty_like(p) for name, p in params.items() if next(wanted)}
            found += [gradients.get(name) for name in params]
            masks = _regularisers(direction.masks)
            arrays = (
                initial[0],
                initial[1] if has_cell_state else None,
                gates,
                cells,
                darriving[0],
                darriving[1] if has_cell_state else None,
                dgates,
                dh,
                dinitial[0],
                dinitial[1] if has_cell_state else None,
            )
            directions.append(
                module.BackwardDirection(
                    direction.reverse,
                    addresses(params),
                    addresses(gradients),
                    tuple(0 if a is None else a.data_ptr() for a in arrays),
                    masks.native,
                )
            )
            held.append((arrays, params, gradients, masks))
        module.backward(
            spec(cell, x.shape[2], hidden),
            x.dtype is torch.float64,
            directions,
            time,
            batch,
            0 if lengths is None else lengths.data_ptr(),
            _strided(x),
            _strided(output),
            _strided(doutput),
            (0, 0, 0) if dx is None else _strided(dx),
            torch.get_num_threads(),
        )
        return Gradients(tuple(found))

    def step(self, cell: Cell, x: Tensor, state: State, params: Params) -> State | None:
        """One step of one direction; a layer's own `step` goes a shorter way (`prepared`)."""
        dtype, batch = x.dtype, x.shape[0]
        if self.unavailable() is not None or lacks(cell) is not None or dtype not in _DTYPES:
            return None
        if any(_unfit(name, p, dtype) is not None for name, p in [("x", x), *params.items()]):
            return None
        if any(_unfit("state", s, dtype) is not None for s in state):
            return None
        if _misshapen_parameters(cell, x, params) is not None:
            return None
        sizes = cell.state_sizes(params["weight_ih"].shape[0] // cell.num_gates)
        if any(s.shape != (batch, size) for s, size in zip(state, sizes, strict=True)):
            return None
        if torch._C._functorch.peek_interpreter_stack() is not None:
            return None
        ready = compiled().Prepared([cached(cell, params).packed], {}, [], (False, False, True), 1)
        parts = tuple(s.detach().contiguous().unsqueeze(0) for s in state)
        found = ready.step(x.detach().contiguous(), parts if len(parts) > 1 else parts[0])
        new = found[1] if len(parts) > 1 else (found[1],)
        return tuple(s.squeeze(0) for s in new)
