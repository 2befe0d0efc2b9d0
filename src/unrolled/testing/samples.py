"""Random problems for a cell: a short ragged batch, parameters, states, and a loss that sees every result.

Letters: T time, B batch, I input, H hidden, P width of h.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from unrolled.cells import Cell, State
from unrolled.scan import Masks, ScanResult, bptt, scan, unfold
from unrolled.testing.compare import tolerance


@dataclass(frozen=True)
class Sample:
    """One call of `scan`, and the weights of a loss Σ w ⊙ output + Σ w ⊙ final states.

    Attributes:
        cell, x, state, params, lengths, reverse, truncate, masks, reset, start: as `scan` takes them.
        weights: of the loss, (T, B, P) and one shaped as each final state.
    """

    cell: Cell
    x: Tensor
    state: State
    params: dict[str, Tensor]
    weights: tuple[Tensor, ...]
    lengths: Tensor | None = None
    reverse: bool = False
    truncate: int | None = None
    masks: Masks | None = None
    reset: Tensor | None = None
    start: State | None = None

    def named(self) -> dict[str, Tensor]:
        """Return every tensor for which a gradient may be asked, by its name in messages."""
        states = {f"state {name}": s for name, s in zip(self.cell.state_names, self.state, strict=True)}
        starts = {f"start {name}": s for name, s in zip(self.cell.state_names, self.start or (), strict=False)}
        return {"x": self.x, **states, **starts, **self.params}

    def with_tensors(self, tensors: Sequence[Tensor]) -> Sample:
        """Return the same problem over other tensors, in the order of `named`."""
        rest = iter(tensors)
        x, state = next(rest), tuple(next(rest) for _ in self.state)
        start = None if self.start is None else tuple(next(rest) for _ in self.start)
        return replace(self, x=x, state=state, start=start, params=dict(zip(self.params, rest, strict=True)))

    def leaves(self) -> Sample:
        """Return the same problem over fresh leaves that require a gradient."""
        return self.with_tensors([t.detach().clone().requires_grad_() for t in self.named().values()])

    def to(self, dtype: torch.dtype) -> Sample:
        """Return the same problem in another floating dtype."""
        masks = self.masks
        if masks is not None and masks.recurrent is not None:
            masks = replace(masks, recurrent=masks.recurrent.to(dtype))
        cast = self.with_tensors([t.to(dtype) for t in self.named().values()])
        return replace(cast, weights=tuple(w.to(dtype) for w in self.weights), masks=masks)

    def scan(self) -> ScanResult:
        """Run it by the definition."""
        return scan(self.cell, self.x, self.state, self.params, **self._options())

    def loss(self, result: ScanResult) -> Tensor:
        """Return the loss: a weighted sum of outputs and final states."""
        return sum(
            ((w * t).sum() for w, t in zip(self.weights, (result.output, *result.state), strict=True)),
            self.x.new_zeros(()),
        )

    def results(self, result: ScanResult) -> dict[str, Tensor]:
        """Return outputs and final states by name."""
        finals = {f"final state {name}": s for name, s in zip(self.cell.state_names, result.state, strict=True)}
        return {"output": result.output, **finals}

    def by_autograd(self) -> dict[str, Tensor]:
        """Return results and gradients (`dx`, `dstate h`, `dweight_hh`, …) by autograd through `scan`."""
        leaves = self.leaves()
        result = leaves.scan()
        named = leaves.named()
        grads = torch.autograd.grad(self.loss(result), list(named.values()), allow_unused=True)
        gradients = {
            f"d{name}": torch.zeros_like(t) if d is None else d
            for (name, t), d in zip(named.items(), grads, strict=True)
        }
        return {k: v.detach() for k, v in self.results(result).items()} | gradients

    def by_bptt(self) -> dict[str, Tensor]:
        """Return the same by `unfold` and `bptt`, that is by the cell's own `step_backward`."""
        with torch.no_grad():
            result, tape = unfold(self.cell, self.x, self.state, self.params, **self._options())
            gradients = bptt(self.cell, tape, self.params, self.weights[0], self.weights[1:])
        dstate = {f"dstate {n}": d for n, d in zip(self.cell.state_names, gradients.dstate, strict=True)}
        dstart = {f"dstart {n}": d for n, d in zip(self.cell.state_names, gradients.dstart, strict=False)}
        dparams = {f"d{name}": d for name, d in gradients.dparams.items()}
        return {**self.results(result), "dx": gradients.dx, **dstate, **dstart, **dparams}

    def _options(self) -> dict[str, Any]:
        names = ("lengths", "reverse", "truncate", "masks", "reset", "start")
        return {name: getattr(self, name) for name in names}


def draw(
    cell: Cell,
    *,
    time: int = 4,
    batch: int = 3,
    input_size: int = 2,
    hidden_size: int = 4,
    bias: bool = True,
    lengths: Sequence[int] | None = None,
    seed: int = 0,
    dtype: torch.dtype = torch.float64,
) -> Sample:
    """Draw a random problem, the same for the same arguments whatever the caller's own seed."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    shapes = cell.parameter_shapes(input_size, hidden_size, bias)
    sizes = cell.state_sizes(hidden_size)
    # weights of about 1/√n keep gates away from saturation, where every gradient is near 0 and shows little
    params = {
        name: normal(*shape) * 0.9 / max(shape[-1], 1) ** (0.5 * (len(shape) > 1)) for name, shape in shapes.items()
    }
    x, state = normal(time, batch, input_size), tuple(normal(batch, size) * 0.7 for size in sizes)
    if cell.joint_states:
        # states that have a meaning only together are not drawn one by one, but reached
        state = scan(cell, normal(2, batch, input_size), cell.initial_state(batch, hidden_size, x), params).state
    sample = Sample(
        cell,
        x,
        state,
        params,
        (normal(time, batch, sizes[0]), *(normal(batch, size) for size in sizes)),
        None if lengths is None else torch.tensor(lengths),
    )
    return sample if dtype == torch.float64 else sample.to(dtype)


#: where documents begin, for a sample with T=4, B=3: one in the middle, one at every step, one at the very start
RESETS = torch.tensor([[0, 1, 1], [0, 1, 0], [1, 1, 0], [0, 1, 1]], dtype=torch.bool)


def with_documents(sample: Sample, other: Sample) -> Sample:
    """Return a sample, with T=4 and B=3, of which the rows hold documents that start from another sample's states."""
    return replace(sample, reset=RESETS, start=other.state)


def scenarios(make: Callable[..., Sample]) -> Iterator[tuple[str, Sample]]:
    """Yield problems by name that together use every option of a scan; `make` is `draw` with a cell and sizes."""
    ragged = (4, 0, 2)
    yield "plain", make()
    yield "without bias", make(bias=False, seed=1)
    yield "ragged", make(lengths=ragged, seed=2)
    yield "ragged, reversed", replace(make(lengths=ragged, seed=3), reverse=True)
    yield "truncated", replace(make(time=5, seed=4), truncate=2)
    packed = with_documents(make(lengths=(4, 3, 4), seed=7), make(seed=8))
    yield "documents", packed
    yield "documents, reversed", replace(packed, reverse=True)
    sample = make(lengths=ragged, seed=5)
    generator = torch.Generator().manual_seed(6)
    kept = tuple(torch.rand(4, *s.shape, generator=generator) < 0.4 for s in sample.state)
    yield "zoneout", replace(sample, masks=Masks(zoneout=kept))
    if sample.cell.accepts_mask:
        mask = torch.rand(sample.state[0].shape, generator=generator, dtype=torch.float64).round() * 2
        yield "recurrent mask", replace(sample, masks=Masks(recurrent=mask))
        expected = tuple(0.3 for _ in sample.state)
        yield "mask and zoneout", replace(sample, masks=Masks(mask, expected), reverse=True)


def tolerances(sample: Sample, reference: dict[str, Tensor], dtype: torch.dtype) -> dict[str, float]:
    """Return for each result by name how far one in `dtype` may be from its `reference` in float64."""
    if dtype == torch.float64:
        plain = sample.to(torch.float32).by_autograd()
        # the witness is of another dtype, and a tensor of one number may be nearly exact in it by luck
        return {name: tolerance(value, plain[name], dtype, factor=64, ulps=32) for name, value in reference.items()}
    plain = sample.to(dtype).by_autograd()
    return {name: tolerance(value, plain[name], dtype) for name, value in reference.items()}
