"""The arguments of a recurrent layer: checks, and conversions to the form that the layer works with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar, cast

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence

from unrolled.cells import Cell, GRUCell, LSTMCell, State
from unrolled.errors import ArgumentError, ArgumentTypeError, DTypeError, ShapeError
from unrolled.kernels import StackState
from unrolled.scan import check_reset, valid_steps

#: the state that a call starts from: h, or (h, c), each (L·D, B, size); None is the layer's own
LayerState = StackState | None
AnyState = TypeVar("AnyState", bound=LayerState)

#: the values of the options that a cell may lack, where they are not asked for
_DEFAULTS = {
    "recurrent_dropout": 0.0,
    "weight_dropout": 0.0,
    "learn_initial_state": False,
    "initialisation": "uniform",
    "forget_bias": None,
    "chrono": None,
}


def check_options(
    cell: Cell,
    sizes: Mapping[str, object],
    flags: dict[str, bool],
    rates: dict[str, float],
    zoneouts: tuple[float, ...],
    truncate: int | None,
) -> None:
    """Refuse a constructor's option that is out of range.

    Raises:
        ArgumentError: naming the option, its range and its value.
    """
    for name, flag in flags.items():
        # a number there belongs to another argument
        if not isinstance(flag, bool):
            raise ArgumentTypeError(f"{name}: expected True or False, found {flag!r}")
    _sizes(sizes)
    rates = rates | {f"zoneout of {n}": z for n, z in zip(cell.state_names, zoneouts, strict=False)}
    for name, rate in rates.items():
        # torch takes a dropout of 1; a recurrence of which nothing is left is a mistake
        top = "1" if name == "dropout" else "below 1"
        is_number = isinstance(rate, (int, float)) and not isinstance(rate, bool)
        if not is_number or not (0 <= rate < 1 or (rate == 1 and top == "1")):
            raise ArgumentError(f"{name}: expected a probability from 0 to {top}, found {rate!r}")
    if len(zoneouts) != len(cell.state_names):
        raise ArgumentError(f"zoneout: expected one number or {len(cell.state_names)}, found {len(zoneouts)}")
    if truncate is not None and (not isinstance(truncate, int) or isinstance(truncate, bool)):
        raise ArgumentError(f"truncate: expected at least 1 step, a whole number, found {truncate!r}")
    if truncate is not None and truncate < 1:
        raise ArgumentError(f"truncate: expected at least 1 step, found {truncate}")


def layer_widths(hidden_size: object, num_layers: object) -> tuple[int, ...]:
    """Return the width of each layer: one number for all of `num_layers`, or one for each.

    Raises:
        ArgumentError: they are no sizes, or not as many as there are layers.
    """
    is_each = isinstance(hidden_size, (tuple, list))
    given: Sequence[object] = hidden_size if isinstance(hidden_size, (tuple, list)) else (hidden_size,)
    named = {f"hidden_size[{k}]": size for k, size in enumerate(given)} if is_each else {"hidden_size": hidden_size}
    widths = _sizes({**named, "num_layers": num_layers})
    count = widths.pop()
    if is_each and (not widths or count not in (1, len(widths))):
        raise ArgumentError(f"num_layers: hidden_size has {len(widths)} widths, found {count} layers; leave it out")
    return tuple(widths) if is_each else (widths[0],) * count


def _sizes(named: Mapping[str, object]) -> list[int]:
    sizes: list[int] = []
    for name, size in named.items():
        if not isinstance(size, int) or isinstance(size, bool):
            raise ArgumentTypeError(f"{name}: expected an integer of at least 1, found {size!r}")
        if size < 1:
            raise ArgumentError(f"{name}: expected an integer of at least 1, found {size!r}")
        sizes.append(size)
    return sizes


def check_memory(memory: str | int | None) -> str | int | None:
    """Return a layer's `memory`, if it is one of its forms.

    Raises:
        ArgumentError: saying what was expected and found.
    """
    is_size = isinstance(memory, int) and not isinstance(memory, bool) and memory > 0
    if memory is not None and memory != "sqrt" and not is_size:
        raise ArgumentError(f'memory: expected None, "sqrt" or a number of bytes, found {memory!r}')
    return memory


def lacks(cell: Cell, input_size: int, hidden_size: int) -> dict[str, str]:
    """Return the options of `Recurrent` that a cell can't have, each with the reason."""
    reasons: dict[str, str] = {}
    shapes, sizes = cell.parameter_shapes(input_size, hidden_size), cell.state_sizes(hidden_size)
    if not cell.accepts_mask:
        reasons["recurrent_dropout"] = f"the step of cell {cell.name!r} takes no mask"
    if cell.joint_states:
        together = f"the states {', '.join(cell.joint_states)} of cell {cell.name!r} have a meaning only together"
        reasons |= {"zoneout": f"{together}; a tuple with 0 for these is taken", "learn_initial_state": together}
    if "weight_hh" not in shapes:
        reasons["weight_dropout"] = f"cell {cell.name!r} has no weight_hh"
    if shapes.get("weight_hh") != (cell.num_gates * hidden_size, sizes[0]):
        reasons["initialisation"] = f"cell {cell.name!r} has no matrix from every unit to every gate in weight_hh"
    if cell.forget_gate is None:
        reasons["forget_bias"] = f"a {cell.name} cell has no forget gate"
    if not isinstance(cell, (LSTMCell, GRUCell)):
        reasons["chrono"] = f"a {cell.name} cell has no gate that keeps its state"
    return reasons


def check_lacks(
    cell: Cell, sizes: Mapping[str, int], options: Mapping[str, object], zoneouts: tuple[float, ...]
) -> None:
    """Refuse an option that differs from its default and that the cell lacks.

    Raises:
        ArgumentError: naming the option and the cell.
    """
    joint = [rate for name, rate in zip(cell.state_names, zoneouts, strict=True) if name in cell.joint_states]
    for option, reason in lacks(cell, sizes["input_size"], sizes["hidden_size"]).items():
        if any(joint) if option == "zoneout" else options[option] != _DEFAULTS[option]:
            raise ArgumentError(f"{option}: {reason}")


def check_input(x: object, input_size: int, like: Tensor, batch_first: bool, called: str = "input") -> Tensor:
    """Return an input whose shape, dtype and device fit the layer's.

    Args:
        x: (T, B, I), or (B, T, I) with batch_first, or (T, I).
        input_size: I.
        like: a parameter of the layer.
        batch_first: the layer's.
        called: the name of the argument.

    Raises:
        ShapeError, DTypeError: naming what was expected and found.
    """
    if not isinstance(x, Tensor):
        raise DTypeError(f"{called}: expected a Tensor or a PackedSequence, found {type(x).__name__}")
    order = "(B, T, I={})" if batch_first else "(T, B, I={})"
    if x.dim() not in (2, 3) or x.shape[-1] != input_size:
        raise ShapeError(called, f"{order.format(input_size)} or (T, I={input_size})", x.shape)
    if x.shape[1 if batch_first and x.dim() == 3 else 0] == 0:
        raise ShapeError(called, f"{order.format(input_size)} with T of at least 1", x.shape)
    if x.device != like.device:
        raise DTypeError(f"{called}: expected device {like.device}, found {x.device}; move one of them with .to()")
    if x.dtype != like.dtype and autocast_dtype(x) is None:
        raise DTypeError(f"{called}: expected dtype {like.dtype}, found {x.dtype}; cast it with .to({like.dtype})")
    return x


def check_state(
    given: tuple[Tensor, ...], cell: Cell, hidden: int, count: int, x: Tensor, batched: bool, called: str = "hx"
) -> None:
    """Refuse initial states that do not fit.

    Args:
        given: the states, each (L·D, B, size).
        cell: the recurrence.
        hidden: H.
        count: L·D.
        x: (T, B, I).
        batched: whether the caller's tensors have a dimension B.
        called: the name of the argument.

    Raises:
        ArgumentError, ShapeError, DTypeError: naming the state.
    """
    names = cell.state_names
    if len(given) != len(names) or not all(isinstance(s, Tensor) for s in given):
        expected = f"a tuple ({', '.join(names)})" if len(names) > 1 else "a tensor h"
        raise ArgumentError(f"{called}: expected {expected}, found {len(given)} of {[type(s).__name__ for s in given]}")
    for name, tensor, size in zip(names, given, cell.state_sizes(hidden), strict=True):
        argument = f"{called}[{name}]" if len(names) > 1 else called
        if tuple(tensor.shape) != (count, x.shape[1], size):
            batch = f"B={x.shape[1]}, " if batched else ""
            shape = tensor.shape if batched else (tensor.shape[0], *tensor.shape[2:])
            raise ShapeError(argument, f"(L·D={count}, {batch}{size})", shape)
        if tensor.device != x.device or (tensor.dtype != x.dtype and autocast_dtype(x) is None):
            raise DTypeError(
                f"{argument}: expected {x.dtype} on {x.device} as the input, found {tensor.dtype} on {tensor.device}"
            )


def time_first(reset: object, x: Tensor, batched: bool, batch_first: bool) -> Tensor | None:
    """Return resets as (T, B), or None if there are none; x as the caller holds it.

    Raises:
        DTypeError, ShapeError: they do not fit x.
    """
    if reset is None:
        return None
    if not batched:
        return check_reset(reset, T=x.shape[0]).unsqueeze(1)
    first, second = x.shape[:2]
    return check_reset(reset, B=first, T=second).T if batch_first else check_reset(reset, T=first, B=second)


def autocast_dtype(x: Tensor) -> torch.dtype | None:
    """Return the dtype that an autocast in progress asks for, or None; float64 is left as it is, as torch does."""
    if x.dtype == torch.float64 or not is_autocast(x):
        return None
    return torch.get_autocast_dtype(x.device.type)


def autocast_result_dtype(cell: Cell, x: Tensor, state: Tensor) -> torch.dtype | None:
    """Return the dtype of a layer's results under the autocast in progress, or None; as torch's.

    On a CPU torch's GRU lowers its products alone: it mixes them with the state, which keeps its dtype.
    """
    if isinstance(cell, GRUCell) and x.is_cpu and autocast_dtype(x) is not None:
        return torch.promote_types(x.dtype, state.dtype)
    return autocast_dtype(x)


def is_autocast(x: Tensor) -> bool:
    """Return whether autocast is in progress on the device of `x`."""
    # a device without memory has no autocast to ask for
    return not x.is_meta and torch.is_autocast_enabled(x.device.type)


def pack_like(x: PackedSequence, output: Tensor) -> PackedSequence:
    """Pack `output` (T, B, ·) in the order of `x`."""
    if x.sorted_indices is not None:
        output = output.index_select(1, x.sorted_indices)
    counts = x.batch_sizes
    sorted_lengths = (counts.unsqueeze(0) > torch.arange(int(counts[0])).unsqueeze(1)).sum(1)
    data = pack_padded_sequence(output, sorted_lengths).data
    return PackedSequence(data, counts, x.sorted_indices, x.unsorted_indices)


def join_states(states: Sequence[State]) -> StackState:
    """Join the states of each layer and direction as a caller holds them: h, or (h, c), each (L·D, B, size).

    States that are narrower than others are filled up with zeros.
    """
    if len(states) == 1:
        joined = tuple(s.unsqueeze(0) for s in states[0])
    else:
        joined = tuple(torch.stack(_equally_wide(parts)) for parts in zip(*states, strict=True))
    return joined if len(joined) > 1 else joined[0]


def _equally_wide(parts: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    width = max(part.shape[-1] for part in parts)
    if all(part.shape[-1] == width for part in parts):
        return parts
    return tuple(F.pad(part, (0, width - part.shape[-1])) for part in parts)


def map_state(state: AnyState, change: Callable[[Tensor], Tensor]) -> AnyState:
    """Apply `change` to each tensor of a state; anything else stays, for `check_state` to refuse."""
    if isinstance(state, (tuple, list)):
        return cast(AnyState, tuple(change(s) if isinstance(s, Tensor) else s for s in state))
    return cast(AnyState, change(state)) if isinstance(state, Tensor) else state


def zero_padding(x: Tensor, lengths: Tensor | None) -> Tensor:
    """Return x (T, B, ·) with zeros where a sequence is over."""
    if lengths is None:
        return x
    return x.masked_fill(~valid_steps(lengths, x.shape[0], x.shape[1]).to(x.device).unsqueeze(-1), 0)
