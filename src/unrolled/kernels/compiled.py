"""The scan with its steps compiled: a few at a time are one function of torch.compile, and the loop over them is ours.

For cells without a kernel, such as a user's own, over long sequences. The first call compiles, for some ten seconds; a
layer insists on it by `compiled=True`, and no layer gets it unasked. Letters: T time, B batch, K steps of a block.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor

from unrolled.cells import Cell, Params, State
from unrolled.errors import EngineError
from unrolled.kernels.aten import GraphEngine
from unrolled.kernels.autograd import step_by_cell
from unrolled.kernels.contract import Call, Direction, Result
from unrolled.scan import restarts, valid_steps

#: K; more steps at once take longer to compile than they gain
BLOCK = 8

#: x_gates (K, B, X), state, parameters, the mask (B, P), valid and restart (K, B, 1), the states that a restart sets
Steps = Callable[[Tensor, State, Params, Tensor | None, Tensor | None, Tensor | None, State], tuple[Tensor, State]]


class CompiledEngine(GraphEngine):
    """The scan, by blocks of steps that torch.compile has compiled, on any device that it knows."""

    name: ClassVar[str] = "compiled"

    def unavailable(self) -> str | None:
        """Return that there is no C++ compiler, if so."""
        return _no_compiler()

    def refuses(self, call: Call) -> str | None:
        """Refuse truncation and zoneout."""
        if call.truncate is not None:
            return "compiled steps do not truncate BPTT"
        if any(d.masks is not None and d.masks.zoneout is not None for d in call.directions):
            return "compiled steps have no zoneout"
        return None

    def step(
        self, cell: Cell, x: Tensor, state: State, params: Params, products: torch.dtype | None = None
    ) -> State | None:
        """Take one step, not compiled: it is not worth it."""
        return step_by_cell(cell, x, state, params, products)

    def run(self, call: Call, train: bool) -> Result:
        """Run each direction by blocks, so that autograd follows."""
        dtype, call = call.result_dtype, call.to(call.products)
        over = [_run(call, direction) for direction in call.directions]
        return Result(torch.cat([output for output, _ in over], -1), tuple(state for _, state in over)).to(dtype)


def _run(call: Call, direction: Direction) -> tuple[Tensor, State]:
    cell, params, x = call.cell, direction.params, call.x
    time, batch = x.shape[:2]
    valid = restart = None
    if call.lengths is not None:
        valid = valid_steps(call.lengths, time, batch).to(x.device)
        x = x.masked_fill(~valid.unsqueeze(-1), 0)
    if call.reset is not None:
        restart = restarts(call.reset, x, valid, direction.reverse).unsqueeze(-1)
    gates, flags = cell.project_input(x, params), [None if valid is None else valid.unsqueeze(-1), restart]
    if direction.reverse:
        gates, flags = gates.flip(0), [None if flag is None else flag.flip(0) for flag in flags]
    mask = None if direction.masks is None else direction.masks.recurrent
    state, outputs, whole = direction.state, [], time - time % BLOCK
    steps = _compiled(cell, tuple(flag is None for flag in (*flags, mask)), torch.is_grad_enabled())
    for begin in range(0, time, BLOCK):
        piece = slice(begin, begin + BLOCK)
        is_valid, begins = (None if flag is None else flag[piece] for flag in flags)
        # what is left over would be compiled for every length anew
        take = steps if begin < whole else functools.partial(_steps, cell)
        output, state = take(gates[piece], state, params, mask, is_valid, begins, direction.start or ())
        outputs.append(output)
    output = torch.cat(outputs)
    if direction.reverse:
        output = output.flip(0)
    return (output if valid is None else output.masked_fill(~valid.unsqueeze(-1), 0)), state


def _steps(
    cell: Cell,
    x_gates: Tensor,
    state: State,
    params: Params,
    mask: Tensor | None,
    valid: Tensor | None,
    restart: Tensor | None,
    start: State,
) -> tuple[Tensor, State]:
    """Take as many steps as there are in x_gates: the outputs, and the states after them."""
    outputs = []
    for k in range(len(x_gates)):
        if restart is not None:
            state = tuple(torch.where(restart[k], new, old) for new, old in zip(start, state, strict=True))
        given = (x_gates[k], state, params)
        proposed = cell.step(*given) if mask is None else cell.step(*given, mask)
        if valid is not None:
            proposed = tuple(torch.where(valid[k], new, old) for new, old in zip(proposed, state, strict=True))
        state = proposed
        outputs.append(state[0])
    return torch.stack(outputs), state


@functools.lru_cache(maxsize=64)
def _compiled(cell: Cell, absent: tuple[bool, ...], with_graph: bool) -> Steps:
    """Return a block of a cell's steps, compiled at its first call; one for each set of arguments that are None."""
    from torch._dynamo.exc import TorchDynamoException
    from torch._functorch import config

    # whole or not at all: a graph that breaks would be slower without a word
    function = torch.compile(functools.partial(_steps, cell), fullgraph=True)

    def steps(
        x_gates: Tensor,
        state: State,
        params: Params,
        mask: Tensor | None,
        valid: Tensor | None,
        restart: Tensor | None,
        start: State,
    ) -> tuple[Tensor, State]:
        try:
            # a graph may be walked back twice, so that its tensors are not to be given away
            with config.patch(donated_buffer=False):
                result: tuple[Tensor, State] = function(x_gates, state, dict(params), mask, valid, restart, start)
                return result
        except TorchDynamoException as error:
            reason = str(error).strip().splitlines()[0]
            raise EngineError(f"compiled: torch.compile can't compile the steps of {cell}: {reason}") from error

    return steps


@functools.cache
def _no_compiler() -> str | None:
    """Return that torch.compile finds no C++ compiler, or None."""
    from torch._inductor.cpp_builder import get_cpp_compiler
    from torch._inductor.exc import InvalidCxxCompiler

    try:
        get_cpp_compiler()
    except InvalidCxxCompiler as error:
        return f"torch.compile finds no C++ compiler ({error}); install one, or name it in CXX"
    return None
