"""The choice of an engine for each call, and the reason for it.

In order: what the caller forces (`use_engine`, a layer's `engine=`, the variable UNROLLED_ENGINE); else the first of
native, torch and scan that does not refuse. A forced engine that refuses is an error, never a silent detour.
"""

from __future__ import annotations

import contextlib
import contextvars
import functools
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch._C._functorch import peek_interpreter_stack
from torch.autograd import forward_ad

from unrolled.cells import Cell, Params, State
from unrolled.errors import ArgumentError, EngineError
from unrolled.kernels.aten import AtenEngine
from unrolled.kernels.autograd import run_engine, run_scan, step_by_cell
from unrolled.kernels.compiled import CompiledEngine
from unrolled.kernels.contract import Call, Direction, Engine, Result, is_traced
from unrolled.kernels.native import NativeEngine
from unrolled.kernels.prepared import Prepared, Stack
from unrolled.kernels.recompute import run_recomputing

log = logging.getLogger("unrolled.kernels")

ENGINE_NAMES = ("auto", "native", "torch", "scan", "compiled")
_forced: contextvars.ContextVar[str | None] = contextvars.ContextVar("unrolled_engine", default=None)
_logged: set[tuple[str, str]] = set()


@dataclass(frozen=True)
class Choice:
    """An engine by name ("native", "torch", "scan" or "compiled"), and why it serves this call."""

    name: str
    reason: str

    def __str__(self) -> str:
        return f"{self.name} ({self.reason})"


@functools.cache
def engines() -> dict[str, Engine]:
    """Return the engines that calls may get unasked, by name, fastest first; the scan is the definition, not one."""
    return {engine.name: engine for engine in (NativeEngine(), AtenEngine())}


def engine_named(name: str) -> Engine | None:
    """Return an engine, also one that is to be asked for; None for the scan."""
    return CompiledEngine() if name == CompiledEngine.name else engines().get(name)


def check_engine_name(name: str, argument: str = "engine") -> str:
    """Return `name`, if an engine has it.

    Raises:
        ArgumentError: naming those that exist.
    """
    if name not in ENGINE_NAMES:
        raise ArgumentError(f"{argument}: expected one of {', '.join(ENGINE_NAMES)}, found {name!r}")
    return name


@contextlib.contextmanager
def use_engine(name: str) -> Iterator[None]:
    """Force an engine for every call in this context (and thread), over a layer's own choice.

    >>> import unrolled
    >>> with unrolled.use_engine("scan"):
    ...     unrolled.LSTM(2, 3).engine.name
    'scan'
    """
    token = _forced.set(check_engine_name(name))
    try:
        yield
    finally:
        _forced.reset(token)


def choose(call: Call, own: str = "auto") -> Choice:
    """Return the engine that will serve a call.

    Args:
        call: the call.
        own: the engine that the layer insists on.

    Raises:
        EngineError: the engine that is forced can't serve it.
    """
    asked, by = asked_engine(own)
    if asked == "scan":
        return Choice("scan", by)
    if asked != "auto":
        refusal = _refusal(asked, call)
        if refusal is not None:
            raise EngineError(f"engine {asked!r} was {by}, but {refusal}; engine='auto' would take another")
        return Choice(asked, by)
    refusals: list[str] = []
    for name in engines():
        refusal = _refusal(name, call)
        if refusal is None:
            return Choice(name, "; ".join(refusals) or "fastest engine present")
        refusals.append(refusal)
    return Choice("scan", "; ".join(refusals))


def asked_engine(own: str) -> tuple[str, str]:
    """Return the engine asked for, and by whom: the context before the layer, the layer before the environment."""
    context = _forced.get()
    if context is not None and context != "auto":
        return context, "forced by use_engine"
    return _lasting_preference(own)


def _lasting_preference(own: str) -> tuple[str, str]:
    """Return the engine asked for outside any context, and by whom."""
    if own != "auto":
        return own, "forced by the layer's engine="
    variable = os.environ.get("UNROLLED_ENGINE", "auto")
    return check_engine_name(variable, "UNROLLED_ENGINE"), "forced by UNROLLED_ENGINE"


def _refusal(name: str, call: Call) -> str | None:
    engine = engine_named(name)
    if engine is None:
        return f"engine {name!r} is not part of this build"
    if is_transformed(call):
        return "forward-mode and torch.func transforms are the scan's"
    return engine.unavailable() or engine.refuses(call)


def is_transformed(call: Call) -> bool:
    """Return whether torch.func or forward-mode differentiation is in progress, which engines can't follow."""
    if peek_interpreter_stack() is not None:
        return True
    level: int = forward_ad._current_level
    return level >= 0 and any(forward_ad.unpack_dual(t).tangent is not None for t in call.tensors)


def serve(call: Call, own: str = "auto") -> Result:
    """Serve a call by the engine chosen for it; a slower choice is logged once with its reason."""
    choice = choose(call, own)
    if choice.name == "scan" and (choice.name, choice.reason) not in _logged:
        _logged.add((choice.name, choice.reason))
        log.info("the scan serves %s: %s", call.cell, choice.reason)
    engine = engine_named(choice.name)
    if call.memory is not None and call.needs_grad and not is_traced() and not is_transformed(call):
        return run_recomputing(engine, call)
    return run_scan(call) if engine is None else run_engine(engine, call)


def step(
    cell: Cell, x: Tensor, state: State, params: Params, own: str = "auto", products: torch.dtype | None = None
) -> State:
    """One step of one direction, (B, I) and states in, states out; never part of an autograd graph.

    Args:
        cell, x, state, params, products: as in `Call`.
        own: the engine that the layer insists on.

    Raises:
        EngineError: the engine that is forced has no single step for this cell.
    """
    asked, by = asked_engine(own)
    if asked in ("auto", "native"):
        # makes no graph whatever the mode, and is too short to pay for a context manager
        native = engines().get("native")
        is_there = native is not None and native.unavailable() is None
        result = native.step(cell, x, state, params, products) if native is not None and is_there else None
        if result is not None:
            return result
    with torch.no_grad():
        for name in engines() if asked == "auto" else [asked] if asked != "scan" else []:
            engine = engine_named(name)
            lacks = f"engine {name!r} is not part of this build" if engine is None else engine.unavailable()
            result = None if engine is None or lacks is not None else engine.step(cell, x, state, params, products)
            if result is not None:
                return result
            if asked == name:
                raise EngineError(f"engine {asked!r} was {by}, but {lacks or f'has no single step for {cell}'}")
        return step_by_cell(cell, x, state, params, products)


def prepare(stack: Stack, own: str = "auto") -> Prepared | None:
    """Have a stack prepared by the engine that would serve its plainest call.

    Args:
        stack: the stack.
        own: the engine that the layer insists on. The variable UNROLLED_ENGINE counts as it is now; `use_engine` does
            not count, since the result outlives its context.

    Returns:
        None if that engine prepares nothing, or is not there.
    """
    blocks = stack.blocks()
    if blocks is None:
        return None
    asked, _ = _lasting_preference(own)
    call = plainest_call(stack.cell, blocks[0])
    for name, engine in engines().items():
        if asked in ("auto", name) and _refusal(name, call) is None:
            return engine.prepare(stack)
    return None


def plainest_call(cell: Cell, params: Params) -> Call:
    """Return a call of one step of one sequence in one direction, about which engines can be asked."""
    weight = params["weight_ih"]
    state = cell.initial_state(1, cell.hidden_size(params), weight)
    return Call(cell, weight.new_empty(1, 1, weight.shape[1]), (Direction(params, state),))


def may_use_prepared(prepared: Prepared | None, *, is_step: bool = False) -> bool:
    """Return whether a call made here and now may take a prepared path. No other place decides this.

    Args:
        prepared: the prepared stack; None asks for any engine's.
        is_step: whether the call is a single step, which makes no graph and so does not concern gradients.
    """
    forced = _forced.get()
    if forced is not None and forced != "auto" and prepared is not None and forced != prepared.engine:
        return False
    if torch.is_autocast_enabled("cpu"):
        return False
    return is_step or (peek_interpreter_stack() is None and forward_ad._current_level < 0)


def forget(params: Params) -> None:
    """Have every engine drop what it keeps of these parameters, after a write that can't be noticed."""
    for engine in engines().values():
        engine.forget(params)
