"""The engines as operators of torch.library, which torch.compile and torch.export record whole.

`unrolled::layer` is one layer over one batch, `unrolled::layer_backward` its backward pass. A `Call` becomes tensors
and a text, its form; when the operator runs, the form becomes the call again, and an engine serves it as it would
otherwise. A forward pass of the native engine keeps what the backward pass needs; of other engines the operator keeps
nothing, and the backward pass repeats the forward pass.
"""

from __future__ import annotations

import ast
import functools
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, Protocol, TypeVar

import torch
from torch import Tensor
from torch.compiler import is_compiling, is_exporting

from unrolled.cells import CELLS, Cell, ElementwiseCell, RNNCell
from unrolled.errors import EngineError
from unrolled.kernels import onnx_nodes
from unrolled.kernels.autograd import by_direction, gradients_by_scan, run_scan
from unrolled.kernels.contract import Call, Direction, Result, Saved
from unrolled.kernels.dispatch import asked_engine, choose, engine_named, serve
from unrolled.kernels.native import NativeEngine
from unrolled.kernels.recompute import gradients_recomputing
from unrolled.scan import Masks, valid_steps

F = TypeVar("F", bound=Callable[..., object])


def _constant(function: F) -> F:
    """Mark a function that torch.compile calls while it traces, and whose result it takes for a constant.

    That is `torch.compiler.assume_constant_result`, which would import the compiler here and now.
    """
    vars(function)["_dynamo_marked_constant"] = True
    return function


class _Form(NamedTuple):
    """A call without its tensors.

    Attributes:
        cell: the cell's `repr`.
        names: of a direction's parameters.
        reverse: for each direction.
        slots: for each direction and each of recurrent mask and states, whether there is a mask.
        rates: for each direction and state, the probability of zoneout where there is no mask.
        truncate, batch_first: as in `Call`.
        engine: the engine that the layer insists on.
        memory: as in `Call`; programs of version 0.1 have none.
        products: the dtype's name, or None.
    """

    cell: str
    names: tuple[str, ...]
    reverse: tuple[bool, ...]
    slots: tuple[bool, ...]
    rates: tuple[float, ...]
    truncate: int | None
    batch_first: bool
    engine: str
    memory: str | int | None = None
    products: str | None = None


#: cells of forms that were made in this process, among which may be a user's own
_cells: dict[str, Cell] = {}


@_constant
def _encode(cell: Cell, *fields: object) -> str:
    """Return a form as text."""
    _cells[repr(cell)] = cell
    return repr((repr(cell), *fields))


@functools.lru_cache(maxsize=256)
def _decode(text: str) -> tuple[Cell, _Form]:
    form = _Form(*ast.literal_eval(text))
    if form.cell not in _cells:
        call = ast.parse(form.cell, mode="eval").body
        kinds = {kind.__name__: kind for kind in CELLS.values()}
        if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name) or call.func.id not in kinds:
            raise EngineError(f"cell {form.cell}: it is none of this package; make a layer of it before running this")
        options: dict[str, Any] = {str(k.arg): ast.literal_eval(k.value) for k in call.keywords}
        _cells[form.cell] = kinds[call.func.id](**options)
    return _cells[form.cell], form


@_constant
def _is_exporting_to_onnx() -> bool:
    # a graph's own calls of torch.onnx say no
    return onnx_nodes.is_exporting()


def run(call: Call, own: str = "auto") -> Result:
    """Serve a call by the engine chosen for it, or record it as one operator if torch.compile or torch.export traces.

    Args:
        call: the call.
        own: the engine that the layer insists on.

    Raises:
        EngineError: the engine that is forced can't serve it.
    """
    if not is_compiling():
        return serve(call, own)
    if _is_exporting_to_onnx():
        return onnx_nodes.add_node(call)
    masks: list[Tensor] = []
    slots: list[bool] = []
    rates: list[float] = []
    for direction in call.directions:
        given = direction.masks or Masks()
        parts = (given.recurrent, *(given.zoneout or (None,) * len(direction.state)))
        masks += [part for part in parts if isinstance(part, Tensor)]
        slots += [isinstance(part, Tensor) for part in parts]
        rates += [part if isinstance(part, float) else 0.0 for part in parts[1:]]
    names, reverse = tuple(call.directions[0].params), tuple([d.reverse for d in call.directions])
    products = None if call.products is None else str(call.products).removeprefix("torch.")
    options = (call.truncate, call.batch_first, own, call.memory, products)
    form = _encode(call.cell, names, reverse, tuple(slots), tuple(rates), *options)
    # an exported program is for inference; a backward pass of it repeats the forward pass
    keep = call.needs_grad and not is_exporting() and call.memory is None
    # of each direction the first slot is that of the recurrent mask
    is_drawn = any(slot for index, slot in enumerate(slots) if index % (1 + len(call.cell.state_names)))
    zoneout = "drawn" if is_drawn else "mixed" if any(rates) else ""
    dtypes = (call.x.dtype, call.products)
    keep = keep and _native_serves(call.cell, own, *dtypes, call.x.device.type, call.truncate, zoneout)
    output, *flat = torch.ops.unrolled.layer(call.tensors, masks, call.lengths, form, keep, call.reset)
    return Result(output, by_direction(flat[: len(call.directions) * len(call.cell.state_names)], call))


@_constant
def _native_serves(
    cell: Cell,
    own: str,
    dtype: torch.dtype,
    products: torch.dtype | None,
    device: str,
    truncate: int | None,
    zoneout: str,
) -> bool:
    """Return whether the native engine will serve a call in training and keep what its own results have.

    Args:
        cell, own, dtype, products, device, truncate: of the call.
        zoneout: "drawn" as in training, "mixed" as in evaluation, or "" for none.
    """
    if asked_engine(own)[0] not in ("auto", "native") or device != "cpu" or truncate is not None:
        return False
    engine = NativeEngine()
    # of bfloat16 tensors it keeps more bits of the output than it returns
    is_rounded = dtype is torch.bfloat16 and products is None
    lacks = engine.unavailable() or engine.lacks(cell, dtype, products)
    is_refused = (zoneout and isinstance(cell, ElementwiseCell)) or (zoneout == "mixed" and isinstance(cell, RNNCell))
    return lacks is None and not is_rounded and not is_refused


def _call(
    tensors: Sequence[Tensor], masks: Sequence[Tensor], lengths: Tensor | None, reset: Tensor | None, text: str
) -> tuple[Call, _Form]:
    """Make the call of a form and its tensors."""
    cell, form = _decode(text)
    flags, rates, drawn, rest = iter(form.slots), iter(form.rates), iter(masks), iter(tensors[1:])
    directions = []
    for reverse in form.reverse:
        state = tuple([next(rest) for _ in cell.state_names])
        start = None if reset is None else tuple([next(rest) for _ in cell.state_names])
        params = {name: next(rest) for name in form.names}
        recurrent = next(drawn) if next(flags) else None
        zoneout = [(next(drawn) if next(flags) else None, next(rates)) for _ in cell.state_names]
        is_kept = any(mask is not None or rate for mask, rate in zoneout)
        parts = tuple([mask if mask is not None else rate or None for mask, rate in zoneout]) if is_kept else None
        is_masked = is_kept or recurrent is not None
        directions.append(Direction(params, state, reverse, Masks(recurrent, parts) if is_masked else None, start))
    products = None if form.products is None else getattr(torch, form.products)
    options = (lengths, form.truncate, form.batch_first, reset, form.memory, products)
    return Call(cell, tensors[0], tuple(directions), *options), form


def _empty_results(call: Call, keep: bool) -> list[Tensor]:
    """Return tensors of the shapes and strides of the operator's results."""
    (time, batch, _), hidden, cell = call.x.shape, call.hidden_size, call.cell
    width = call.output_size * len(call.directions)
    first = (batch, time) if call.batch_first else (time, batch)
    like = call.x.new_empty(0, dtype=call.result_dtype)
    output = like.new_empty((*first, width))
    results = [output.transpose(0, 1) if call.batch_first else output]
    results += [like.new_empty((batch, size)) for _ in call.directions for size in cell.state_sizes(hidden)]
    for _ in call.directions if keep else ():
        shapes = NativeEngine.kept_shapes(cell, time * batch, call.directions[0].params)
        results += [like.new_empty(shape) for shape in shapes]
    return results


def _empty_gradients(tensors: Sequence[Tensor], needed: Sequence[bool]) -> list[Tensor]:
    return [torch.empty_like(tensor) for tensor, need in zip(tensors, needed, strict=True) if need]


def _as(results: Sequence[Tensor], expected: Sequence[Tensor]) -> list[Tensor]:
    """Return results in the memory layout that was announced, each with memory of its own."""
    made = []
    for result, empty in zip(results, expected, strict=True):
        if result.shape != empty.shape:
            # of a ragged batch the engine keeps as many rows as there are steps
            empty[: len(result)] = result
            result = empty
        elif result.stride() != empty.stride() or result._is_view():
            result = empty.copy_(result)
        made.append(result)
    return made


@torch.library.custom_op(
    "unrolled::layer",
    mutates_args=(),
    schema="(Tensor[] tensors, Tensor[] masks, Tensor? lengths, str form, bool keep, Tensor? reset=None) -> Tensor[]",
)
def _layer(
    tensors: Sequence[Tensor],
    masks: Sequence[Tensor],
    lengths: Tensor | None,
    form: str,
    keep: bool,
    reset: Tensor | None = None,
) -> list[Tensor]:
    """Run one layer: the output, the final states of each direction, and what is kept."""
    call, own = _call([t.resolve_neg() for t in tensors], masks, lengths, reset, form)
    if lengths is not None:
        valid_steps(lengths, call.x.shape[0], call.x.shape[1])
    with torch.no_grad():
        if keep:
            result, saved = _native(call).forward(call)
            return _as([*result.flat, *saved.tensors[1:]], _empty_results(call, keep))
        engine = engine_named(choose(call, own.engine).name)
        result = run_scan(call) if engine is None else engine.infer(call)
        return _as(result.flat, _empty_results(call, keep))


def _native(call: Call) -> NativeEngine:
    """Return the native engine.

    Raises:
        EngineError: it does not serve the call, though the traced one looked so.
    """
    engine = NativeEngine()
    refusal = engine.unavailable() or engine.refuses(call)
    if refusal is not None:
        raise EngineError(f"engine 'native' was chosen when this was compiled, but {refusal}; compile it anew")
    return engine


@_layer.register_fake
def _(
    tensors: Sequence[Tensor],
    masks: Sequence[Tensor],
    lengths: Tensor | None,
    form: str,
    keep: bool,
    reset: Tensor | None = None,
) -> list[Tensor]:
    return _empty_results(_call(tensors, masks, lengths, reset, form)[0], keep)


@torch.library.custom_op(
    "unrolled::layer_backward",
    mutates_args=(),
    schema="(Tensor[] tensors, Tensor[] masks, Tensor? lengths, Tensor? reset, Tensor[] kept, Tensor[] grads, "
    "bool[] needed, str form) -> Tensor[]",
)
def _layer_backward(
    tensors: Sequence[Tensor],
    masks: Sequence[Tensor],
    lengths: Tensor | None,
    reset: Tensor | None,
    kept: Sequence[Tensor],
    grads: Sequence[Tensor],
    needed: Sequence[bool],
    form: str,
) -> list[Tensor]:
    """Run the backward pass of one layer: the gradients that are needed, in the order of `tensors`."""
    call, own = _call([t.resolve_neg() for t in tensors], masks, lengths, reset, form)
    doutput, dstates = grads[0], by_direction(grads[1:], call)
    engine = engine_named("native" if kept else choose(call, own.engine).name)
    with _autograd():
        if call.memory is not None:
            gradients = gradients_recomputing(engine, call, grads, needed)
        elif engine is None:
            gradients = gradients_by_scan(_repeat(call), tensors, grads, needed)
        else:
            saved = Saved(tuple(kept)) if kept else engine.forward(call)[1]
            gradients = list(engine.backward(call, saved, doutput, dstates, needed).of)
    wanted = [tensor for tensor, need in zip(tensors, needed, strict=True) if need]
    made = [d for d, need in zip(gradients, needed, strict=True) if need]
    zeros = [torch.zeros_like(t) if d is None else d for d, t in zip(made, wanted, strict=True)]
    return _as(zeros, _empty_gradients(tensors, needed))


def _autograd() -> AbstractContextManager[None]:
    """Let operations make a graph again, as they don't inside an operator."""
    included, excluded = torch._C._dispatch_tls_local_include_set(), torch._C._dispatch_tls_local_exclude_set()
    excluded = excluded.remove(torch._C.DispatchKey.AutogradFunctionality)
    guard: AbstractContextManager[None] = torch._C._ForceDispatchKeyGuard(included, excluded)
    return guard


def _repeat(call: Call) -> Callable[[Sequence[Tensor]], Sequence[Tensor]]:
    """Return a function that computes the results of a call of other tensors by the scan."""
    return lambda tensors: run_scan(call.with_tensors(tensors)).flat


@_layer_backward.register_fake
def _(
    tensors: Sequence[Tensor],
    masks: Sequence[Tensor],
    lengths: Tensor | None,
    reset: Tensor | None,
    kept: Sequence[Tensor],
    grads: Sequence[Tensor],
    needed: Sequence[bool],
    form: str,
) -> list[Tensor]:
    return _empty_gradients(tensors, needed)


class _Context(Protocol):
    """The context of the operator's node, as torch passes it."""

    form: str
    counts: tuple[int, int]
    is_ragged: bool
    is_reset: bool
    saved_tensors: tuple[Tensor, ...]
    needs_input_grad: tuple[Any, ...]

    def save_for_backward(self, *tensors: Tensor) -> None: ...
    def set_materialize_grads(self, value: bool) -> None: ...


def _save(
    ctx: _Context,
    inputs: tuple[Sequence[Tensor], Sequence[Tensor], Tensor | None, str, bool, Tensor | None],
    output: Sequence[Tensor],
) -> None:
    tensors, masks, lengths, form, keep, reset = inputs
    given = [tensor for tensor in (lengths, reset) if tensor is not None]
    first = _num_results(form)
    kept = [output[0], *output[first:]] if keep else []
    ctx.form, ctx.counts = form, (len(tensors), len(masks))
    ctx.is_ragged, ctx.is_reset = lengths is not None, reset is not None
    ctx.save_for_backward(*tensors, *masks, *given, *kept, *output[:first])
    # zeros would be made for what is kept, too
    ctx.set_materialize_grads(False)


def _num_results(form: str) -> int:
    """Return the number of outputs and final states."""
    cell, fields = _decode(form)
    return 1 + len(fields.reverse) * len(cell.state_names)


def _backward(ctx: _Context, grads: Sequence[Tensor | None]) -> tuple[Any, ...]:
    num_tensors, num_masks = ctx.counts
    count = _num_results(ctx.form)
    saved = list(ctx.saved_tensors)
    tensors, saved = saved[:num_tensors], saved[num_tensors:]
    masks, saved = saved[:num_masks], saved[num_masks:]
    lengths, saved = (saved[0], saved[1:]) if ctx.is_ragged else (None, saved)
    reset, saved = (saved[0], saved[1:]) if ctx.is_reset else (None, saved)
    kept, results = saved[:-count], saved[-count:]
    needed = list(ctx.needs_input_grad[0])
    gradients: Sequence[Tensor | None]
    if torch.is_grad_enabled():
        call, _ = _call(tensors, masks, lengths, reset, ctx.form)
        gradients = gradients_by_scan(_repeat(call), tensors, grads[:count], needed)
    else:
        arriving = [torch.zeros_like(r) if d is None else d for d, r in zip(grads, results, strict=False)]
        made = iter(torch.ops.unrolled.layer_backward(tensors, masks, lengths, reset, kept, arriving, needed, ctx.form))
        gradients = [next(made) if need else None for need in needed]
    # an argument that has its default may have been left out
    return list(gradients), [None] * num_masks, *[None] * (len(ctx.needs_input_grad) - 2)


_layer.register_autograd(_backward, setup_context=_save)
