"""Problems for the native engine's tests, and plain comparisons of two engines' results."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from unrolled.cells import Cell
from unrolled.kernels import Call, Direction, Result
from unrolled.kernels.autograd import run_engine, run_scan
from unrolled.kernels.native import NativeEngine
from unrolled.scan import Masks
from unrolled.testing.compare import tolerance

ENGINE = NativeEngine()


def problem(
    cell: Cell,
    *,
    time: int = 5,
    batch: int = 3,
    inputs: int = 3,
    hidden: int = 9,
    directions: int = 1,
    bias: bool = True,
    ragged: bool = False,
    masks: bool = False,
    documents: bool = False,
    batch_first: bool = False,
    dtype: torch.dtype = torch.float32,
    seed: int = 0,
) -> Call:
    """A random call, the padding of a ragged one full of NaN; every tensor asks for a gradient."""
    make = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=make, dtype=torch.float64).to(dtype)

    sides = []
    for place in range(directions):
        shapes = cell.parameter_shapes(inputs, hidden, bias)
        params = {k: (normal(*s) / max(s[-1], 4) ** 0.5).requires_grad_() for k, s in shapes.items()}
        sizes = cell.state_sizes(hidden)
        state = tuple(normal(batch, n).requires_grad_() for n in sizes)
        drawn = None
        if masks:
            recurrent = (torch.rand((batch, sizes[0]), generator=make) < 0.7).to(dtype) / 0.7
            keep = tuple(torch.rand((time, batch, n), generator=make) < 0.3 for n in sizes)
            drawn = Masks(recurrent, keep)
        start = tuple(normal(batch, n).requires_grad_() for n in sizes) if documents else None
        sides.append(Direction(params, state, reverse=place == 1, masks=drawn, start=start))
    x = normal(time, batch, inputs)
    lengths = None
    if ragged:
        lengths = torch.randint(0, time + 1, (batch,), generator=make)
        for b, n in enumerate(lengths.tolist()):
            x[n:, b] = float("nan")
    reset = torch.rand((time, batch), generator=make) < 0.3 if documents else None
    return Call(cell, x.requires_grad_(), tuple(sides), lengths, batch_first=batch_first, reset=reset)


def flat(result: Result) -> list[Tensor]:
    """The output, then all final states."""
    return [result.output, *(s for state in result.states for s in state)]


def solve(call: Call, native: bool) -> list[Tensor]:
    """Outputs, final states, and the gradient of every tensor of the call through a loss of all of them."""
    result = run_engine(ENGINE, call) if native else run_scan(call)
    found = flat(result)
    make = torch.Generator().manual_seed(99)
    loss = sum((o * torch.randn(o.shape, generator=make).to(o.dtype)).sum() for o in found)
    grads = torch.autograd.grad(loss, call.tensors, allow_unused=True)
    return [
        *(o.detach() for o in found),
        *(torch.zeros_like(t) if g is None else g for g, t in zip(grads, call.tensors, strict=True)),
    ]


def widened(call: Call) -> Call:
    """The same call in float64."""
    tensors = [t.detach().double().requires_grad_() for t in call.tensors]
    wide = call.with_tensors(tensors)
    sides = []
    for side in wide.directions:
        drawn = side.masks
        if drawn is not None and drawn.recurrent is not None:
            drawn = Masks(drawn.recurrent.double(), drawn.zoneout)
        sides.append(replace(side, masks=drawn))
    return replace(wide, directions=tuple(sides))


def assert_keeps_contract(call: Call) -> None:
    """Native equals the scan in everything, as near as plain torch in this dtype is to the truth in float64."""
    assert ENGINE.refuses(call) is None
    found, plain = solve(call, native=True), solve(call, native=False)
    wide = call.x.dtype == torch.float64
    truth = plain if wide else solve(widened(call), native=False)
    names = ["output", *(f"state {i}" for i in range(len(plain)))]
    scale = max(float(t.abs().max()) if t.numel() else 0.0 for t in truth)
    for name, ours, theirs, exact in zip(names, found, plain, truth, strict=False):
        assert ours.shape == exact.shape
        if exact.numel() == 0:
            continue
        eps = torch.finfo(call.x.dtype).eps
        allowed = (64 if wide else 8) * eps * scale + (0 if wide else tolerance(exact, theirs))
        gap = (ours.double() - exact.double()).abs()
        assert not gap.isnan().any(), name
        assert float(gap.max()) <= allowed, (name, float(gap.max()), allowed)
