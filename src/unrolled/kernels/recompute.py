"""Exact BPTT in bounded memory: a long call is run in pieces, of which the backward pass repeats the forward pass.

    forwards   state ─▶ piece ─▶ state ─▶ piece ─▶ … ─▶ final state       the states between pieces are kept, no more
    backwards  from the last piece to the first: run it once more from its state, keeping all, and walk it back

Pieces of √T steps keep √T states and √T steps instead of T, for one more forward pass; pieces of pieces keep less, for
one more each. Directions are run one after the other. Letters: T time, B batch, P width of h, D directions.

Source: Gruslys et al. 2016, arXiv 1606.03401; Chen et al. 2016, arXiv 1604.06174.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from unrolled.cells import State
from unrolled.errors import ArgumentError
from unrolled.kernels.autograd import Pass, add_node, by_direction, gradients_by_scan, is_plain, run_engine, run_scan
from unrolled.kernels.contract import Call, Direction, Engine, Result
from unrolled.scan import Masks

#: a memory so small that it takes more levels of pieces than this is refused
MOST_LEVELS = 8


def run_recomputing(engine: Engine | None, call: Call) -> Result:
    """Serve a call that needs a gradient within its `memory`, by an engine, or by the scan if it is None.

    Raises:
        ArgumentError: the memory is too small for any pieces.
    """
    lengths = piece_lengths(call)
    if not lengths:
        return run_scan(call) if engine is None else run_engine(engine, call)
    plain = call.with_tensors([t.detach() for t in call.tensors])
    pieces = [_Pieces(engine, one) for one in _by_direction(plain)]
    (time, batch), width = call.x.shape[:2], call.output_size * len(pieces)
    shape = (batch, time, width) if call.batch_first else (time, batch, width)
    output = call.x.new_empty(shape)
    output = output.transpose(0, 1) if call.batch_first else output
    finals, kept = [], []
    with torch.no_grad():
        for own, part in zip(pieces, output.chunk(len(pieces), -1), strict=True):
            borders, final = own.run(lengths[0], part)
            finals.append(final)
            kept += [torch.stack(parts) for parts in zip(*borders, strict=True)]
    passed = _RecomputedPass(engine, call.with_tensors([torch.empty(0)] * len(call.tensors)))
    output, *flat = add_node(passed, (output, *(s for final in finals for s in final)), kept, call.tensors)
    return Result(output, by_direction(flat, call))


def gradients_recomputing(
    engine: Engine | None,
    call: Call,
    grads: Sequence[Tensor | None],
    needed: Sequence[bool],
    kept: Sequence[Tensor] = (),
) -> list[Tensor | None]:
    """Return the gradients of `Call.tensors`, piece by piece.

    Args:
        engine: None for the scan.
        call: as in the forward pass.
        grads: the gradients of `Result.flat`; None is zeros.
        needed: which are wanted.
        kept: for each direction and state, (pieces, B, size), the states that pieces start from; none makes them anew.
    """
    lengths = piece_lengths(call)
    doutput, dstates = grads[0], grads[1:]
    singles, num_states = _by_direction(call), len(call.cell.state_names)
    wanted = iter(needed[1:])
    dx = torch.zeros_like(call.x) if needed[0] else None
    gradients: list[Tensor | None] = []
    for at, one in enumerate(singles):
        own = [next(wanted) for _ in one.directions[0].tensors]
        part = None if doutput is None else doutput.chunk(len(singles), -1)[at]
        arriving = [
            torch.zeros_like(s) if d is None else d
            for s, d in zip(one.directions[0].state, dstates[at * num_states :], strict=False)
        ]
        states = [t.unbind(0) for t in kept[at * num_states : (at + 1) * num_states]]
        borders = list(zip(*states, strict=True)) if states else None
        sums = _Sums([torch.zeros_like(t) if need else None for t, need in zip(one.tensors[1:], own, strict=True)])
        dstate = _Pieces(engine, one).walk_back(lengths, borders, part, tuple(arriving), dx, sums)
        gradients += sums.with_states(dstate)
    return [dx, *gradients]


@dataclass(frozen=True)
class _RecomputedPass(Pass):
    """A call that was run in pieces; the inputs are `Call.tensors`."""

    engine: Engine | None
    call: Call

    def backward(
        self,
        inputs: Sequence[Tensor],
        kept: Sequence[Tensor],
        grads: Sequence[Tensor | None],
        needed: Sequence[bool],
    ) -> Sequence[Tensor | None] | None:
        if not all(is_plain(d) for d in grads if d is not None):
            return None
        return gradients_recomputing(self.engine, self.call.with_tensors(inputs), grads, needed, kept)

    def repeat(self, inputs: Sequence[Tensor]) -> Sequence[Tensor]:
        return run_scan(self.call.with_tensors(inputs)).flat


class _Sums:
    """The gradients of a direction's tensors, to which each piece adds its own; None where they are not wanted."""

    def __init__(self, of: list[Tensor | None]) -> None:
        self.of = of

    def add(self, first: int, shares: Sequence[Tensor | None]) -> None:
        """Add the shares of the tensors from number `first` on."""
        for total, share in zip(self.of[first:], shares, strict=False):
            if total is not None and share is not None:
                total += share

    def with_states(self, dstate: State) -> list[Tensor | None]:
        """Return all, with the gradients of the initial states, which are no sums."""
        states = [d if total is not None else None for total, d in zip(self.of, dstate, strict=False)]
        return [*states, *self.of[len(dstate) :]]


@dataclass(frozen=True)
class _Pieces:
    """A call of one direction, to be run in pieces of time."""

    engine: Engine | None
    call: Call

    def run(self, length: int, output: Tensor | None) -> tuple[list[State], State]:
        """Return the states that pieces of so many steps start from, and the final ones; write the output if given."""
        pieces, state = list(self._cut(length)), self.call.directions[0].state
        # in one block: small tensors that stay between large ones that go would keep the heap from being reused
        every = [s.new_empty(len(pieces), *s.shape) for s in state]
        for index, piece in enumerate(pieces):
            for kept, entering in zip(every, self._entering(piece, state), strict=True):
                kept[index].copy_(entering)
            state = tuple(kept[index] for kept in every)
            part = self._piece(piece, state)
            result = run_scan(part) if self.engine is None else self.engine.infer(part)
            if output is not None:
                output[piece].copy_(result.output)
            state = result.states[0]
            del result, part
        return [tuple(kept[index] for kept in every) for index in range(len(pieces))], state

    def walk_back(
        self,
        lengths: Sequence[int],
        borders: list[State] | None,
        doutput: Tensor | None,
        dstate: State,
        dx: Tensor | None,
        sums: _Sums,
    ) -> State:
        """Return the gradient of the initial states; write that of x, and add up those of the other tensors.

        Args:
            lengths: of pieces, of pieces of these, and so on; none runs the call as a whole.
            borders: the states that the pieces start from, if they are known.
            doutput: the gradient of the output, or None for zeros.
            dstate: the gradient of the final states.
            dx: where the gradient of x is added.
            sums: of the gradients of `Direction.tensors`.
        """
        if not lengths:
            return self._walk_back_whole(doutput, dstate, dx, sums)
        if borders is None:
            borders, _ = self.run(lengths[0], None)
        for piece, state in reversed(list(zip(self._cut(lengths[0]), borders, strict=True))):
            part = _Pieces(self.engine, self._piece(piece, state))
            own, to = (None if t is None else t[piece] for t in (doutput, dx))
            dstate = part.walk_back(lengths[1:], None, own, dstate, to, sums)
            dstate = self._leaving(piece, dstate, sums)
        return dstate

    def _walk_back_whole(self, doutput: Tensor | None, dstate: State, dx: Tensor | None, sums: _Sums) -> State:
        call, count = self.call, len(dstate)
        if doutput is None:
            doutput = call.x.new_zeros(*call.x.shape[:2], call.output_size)
        needed = [dx is not None, *[True] * count, *(total is not None for total in sums.of[count:])]
        if self.engine is None:
            again = partial(_scan_over, call)
            gradients = gradients_by_scan(again, call.tensors, [doutput, *dstate], needed)
        else:
            _, saved = self.engine.forward(call)
            gradients = list(self.engine.backward(call, saved, doutput, (dstate,), needed).of)
        if dx is not None and gradients[0] is not None:
            dx += gradients[0]
        sums.add(count, gradients[1 + count :])
        arrived = zip(gradients[1 : 1 + count], dstate, strict=True)
        return tuple(torch.zeros_like(d) if own is None else own for own, d in arrived)

    def _cut(self, length: int) -> Iterator[slice]:
        """Yield the pieces in the order of steps."""
        time = len(self.call.x)
        if self.call.directions[0].reverse:
            yield from (slice(max(0, end - length), end) for end in range(time, 0, -length))
        else:
            yield from (slice(start, min(start + length, time)) for start in range(0, time, length))

    def _piece(self, piece: slice, state: State) -> Call:
        """Return the call of a piece that starts from these states."""
        call, (direction,) = self.call, self.call.directions
        masks = direction.masks
        if masks is not None and masks.zoneout is not None:
            masks = Masks(masks.recurrent, tuple(k[piece] if isinstance(k, Tensor) else k for k in masks.zoneout))
        return replace(
            call,
            x=call.x[piece],
            directions=(replace(direction, state=state, masks=masks),),
            lengths=None if call.lengths is None else (call.lengths - piece.start).clamp(0, piece.stop - piece.start),
            reset=None if call.reset is None else call.reset[piece],
            memory=None,
        )

    def _begun(self, piece: slice) -> Tensor | None:
        """Return (B, 1), the rows of which a document ends with a piece that is run in reverse, or None."""
        call, end = self.call, piece.stop
        if call.reset is None or not call.directions[0].reverse or end == len(call.x):
            return None
        begun = call.reset[end].to(call.x.device)
        return (begun if call.lengths is None else begun & (call.lengths.to(begun.device) > end)).unsqueeze(-1)

    def _entering(self, piece: slice, state: State) -> State:
        """Return the states that a piece starts from: those of the one before, but where a document ends with it."""
        begun, start = self._begun(piece), self.call.directions[0].start or ()
        if begun is None:
            return state
        return tuple(torch.where(begun, new, old) for new, old in zip(start, state, strict=True))

    def _leaving(self, piece: slice, dstate: State, sums: _Sums) -> State:
        """Return the gradient of the states that the piece before ended with."""
        if self.call.truncate is not None:
            return tuple(torch.zeros_like(d) for d in dstate)
        begun = self._begun(piece)
        if begun is None:
            return dstate
        sums.add(len(dstate), [d.masked_fill(~begun, 0) for d in dstate])
        return tuple(d.masked_fill(begun, 0) for d in dstate)


def _scan_over(call: Call, tensors: Sequence[Tensor]) -> Sequence[Tensor]:
    return run_scan(call.with_tensors(tensors)).flat


def _by_direction(call: Call) -> list[Call]:
    return [replace(call, directions=(direction,)) for direction in call.directions]


def piece_lengths(call: Call) -> list[int]:
    """Return how long pieces are, pieces of these, and so on; none where everything may be kept.

    Raises:
        ArgumentError: the memory is too small, with the least that would do.
    """
    time = len(call.x)
    if call.memory is None or time == 1:
        return []
    if call.memory == "sqrt":
        # packing weights takes as long as some steps, so that pieces are longer where there are many
        root = math.isqrt(time - 1) + 1
        lengths = [max(root, min(4 * root, time // 4))]
    else:
        step, state = (call.x.shape[1] * call.x.element_size() * width for width in _widths(call))
        # of all directions the states between pieces are kept, of one at a time the steps
        lengths = fitting_lengths(time, step, state * len(call.directions), int(call.memory))
    if call.truncate is not None:
        # a piece cuts where the whole does
        lengths = [-(-length // call.truncate) * call.truncate for length in lengths]
    return [length for length in lengths if length < time]


def fitting_lengths(time: int, step: int, state: int, memory: int) -> list[int]:
    """Return the lengths of pieces by which `time` steps fit into a memory, with as few levels as will do.

    >>> fitting_lengths(10_000, step=60, state=20, memory=600_000), fitting_lengths(10_000, 60, 20, 60_000)
    ([], [996])
    >>> fitting_lengths(10_000, 60, 20, 6_000)
    [465, 22]

    Args:
        time: T.
        step: bytes that a step keeps for its backward pass, and what that works with.
        state: bytes of the states between two steps.
        memory: the bytes that there are.

    Raises:
        ArgumentError: it is too small for MOST_LEVELS levels; names the least that would do.
    """
    if time * step <= memory:
        return []
    # one level: the largest k with k · step + (T / k) · state ≤ memory
    longest = (memory + math.isqrt(max(0, memory * memory - 4 * step * state * time))) // (2 * step)
    while longest > 0 and longest * step + -(-time // longest) * state > memory:
        longest -= 1
    if longest > 0 and memory * memory >= 4 * step * state * time:
        return [longest]
    least = memory
    for levels in range(1, MOST_LEVELS + 1):
        lengths = [max(1, math.ceil(time ** (1 - (k + 1) / (levels + 1)))) for k in range(levels)]
        cost = _cost(time, lengths, step, state)
        if cost <= memory:
            return lengths
        least = cost if levels == 1 else min(least, cost)
    least = min(least, time * step)
    raise ArgumentError(f"memory: {memory} bytes are too few for T={time}, at least {least} are needed here")


def _cost(time: int, lengths: Sequence[int], step: int, state: int) -> int:
    """Return the bytes that pieces of these lengths take: the states of one piece at every level, and its steps."""
    wholes = [time, *lengths[:-1]]
    return sum(-(-whole // length) * state for whole, length in zip(wholes, lengths, strict=True)) + lengths[-1] * step


def _widths(call: Call) -> tuple[int, int]:
    """Return how many numbers a row of the batch takes for a step, with its backward pass, and between steps."""
    direction: Direction = call.directions[0]
    gates, state = direction.params["weight_ih"].shape[0], sum(s.shape[1] for s in direction.state)
    # gates, states and output, the gradients of all these, and x; autograd keeps a tensor for each operation
    return 3 * gates + 4 * state + 3 * call.output_size + 2 * call.x.shape[2], state
