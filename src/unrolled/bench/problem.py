"""The numbers of a case, the reference in float64, and how far an answer may be from it.

Letters: T time, B batch, I input, H hidden, G gates.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from unrolled.bench.grid import Case
from unrolled.cells import CELLS
from unrolled.scan import scan

#: the results of a contender by name: `output`, `h_n`, `c_n`, and from training `dx` and a gradient per parameter
Answer = dict[str, Tensor]

#: the largest distance from float64 of results and of gradients, as a share of the tensor's largest entry. Plain
#: float32 stays within 2e-6 and 2e-5 on this grid; a wrong answer is off by 1e-2 at least
TOLERANCES = {"float32": (3e-5, 3e-4), "bfloat16": (0.05, 0.1)}

_LAYERS: dict[str, Any] = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}


@dataclass(frozen=True)
class Problem:
    """The input of every contender.

    Attributes:
        case: the row.
        weights: `weight_ih` (G·H, I), `weight_hh` (G·H, H), `bias_ih` and `bias_hh` (G·H,), torch's gate order; of an
            elementwise cell its own parameters.
        x: (T, B, I); of a step (B, I).
        state: h, or (h, c), each (B, H), for a step. Sequences start at zero.
        doutput: (T, B, H), the gradient that training's backward pass starts from.
        lengths: (B,) int64, longest first; None if all are T.
    """

    case: Case
    weights: dict[str, Tensor]
    x: Tensor
    state: tuple[Tensor, ...]
    doutput: Tensor
    lengths: Tensor | None

    @property
    def state_dict(self) -> dict[str, Tensor]:
        """The weights by the names of a first layer."""
        return {f"{name}_l0": tensor for name, tensor in self.weights.items()}


def make(case: Case, seed: int = 0) -> Problem:
    """Draw the numbers of a case: weights as layers begin with them, inputs from the normal distribution."""
    generator = torch.Generator().manual_seed(seed)
    hidden, cell = case.hidden, CELLS[case.cell]()
    weights = {name: torch.empty(shape) for name, shape in cell.parameter_shapes(hidden, hidden).items()}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        cell.initialise(weights, hidden)
    shape = (case.time, case.batch, hidden)
    dtype = getattr(torch, case.dtype)
    weights = {name: weight.to(dtype) for name, weight in weights.items()}
    x = torch.randn(shape[1:] if case.mode == "step" else shape, generator=generator).to(dtype)
    state = tuple((torch.randn(case.batch, hidden, generator=generator) / 2).to(dtype) for _ in cell.state_names)
    lengths = torch.tensor(case.lengths) if case.mode == "ragged" else None
    return Problem(case, weights, x, state, torch.randn(shape, generator=generator).to(dtype), lengths)


def rounded(problem: Problem) -> Problem:
    """Return the same problem with its matrices rounded to bfloat16, in float32."""
    weights = {name: w.bfloat16().float() if w.dim() == 2 else w for name, w in problem.weights.items()}
    return replace(problem, weights=weights)


def torch_layer(problem: Problem, dtype: torch.dtype | None = None) -> Any:
    """Return torch.nn's layer with the weights of a problem, in its dtype or another."""
    layer = _LAYERS[problem.case.cell](problem.case.hidden, problem.case.hidden, dtype=dtype or problem.x.dtype)
    layer.load_state_dict(problem.state_dict)
    return layer


def truth(problem: Problem) -> Answer:
    """Compute the answer in float64, by torch.nn or, for cells that it lacks, by the scan."""
    case = problem.case
    x = problem.x.double()
    if case.is_elementwise:
        return _truth_by_scan(problem, x)
    layer = torch_layer(problem, torch.float64)
    if case.mode == "training":
        x.requires_grad_()
        output, final = layer(x)
        output.backward(problem.doutput.double())
        return named(output, final) | gradients(layer, x)
    with torch.no_grad():
        if case.mode == "step":
            start = tuple(s.double().unsqueeze(0) for s in problem.state)
            output, final = layer(x.unsqueeze(0), start if len(start) > 1 else start[0])
            return named(output[0], final)
        if problem.lengths is None:
            return named(*layer(x))
        output, final = layer(pack_padded_sequence(x, problem.lengths))
        return named(pad_packed_sequence(output, total_length=case.time)[0], final)


def _truth_by_scan(problem: Problem, x: Tensor) -> Answer:
    case, cell = problem.case, CELLS[problem.case.cell]()
    is_training = case.mode == "training"
    leaves = {name: w.double().requires_grad_(is_training) for name, w in problem.weights.items()}
    if case.mode == "step":
        new = cell.step(cell.project_input(x, leaves), tuple(s.double() for s in problem.state), leaves)
        return named(new[0], new)
    x.requires_grad_(is_training)
    state = cell.initial_state(case.batch, case.hidden, x)
    output, final = scan(cell, x, state, leaves, lengths=problem.lengths)
    if not is_training:
        return named(output, final)
    grads = torch.autograd.grad(output, [x, *leaves.values()], problem.doutput.double())
    return named(output, final) | {f"d{name}": d for name, d in zip(("x", *leaves), grads, strict=True)}


def named(output: Tensor, final: Any) -> Answer:
    """Return output and final state by name, from what torch.nn and our layers return."""
    states = final if isinstance(final, tuple) else (final,)
    parts = {name: s.reshape(s.shape[-2:]) for name, s in zip(("h_n", "c_n"), states, strict=False)}
    return {name: t.detach() for name, t in {"output": output, **parts}.items()}


def gradients(layer: nn.Module, x: Tensor) -> Answer:
    """Return the gradients that a backward pass left, by name."""
    named_grads = {"dx": x.grad} | {f"d{name.removesuffix('_l0')}": p.grad for name, p in layer.named_parameters()}
    return {name: g for name, g in named_grads.items() if g is not None}


def mistake(answer: Answer, true: Answer, lengths: Tensor | None, dtype: str = "float32") -> str | None:
    """Return what is wrong with an answer, or None.

    Outputs beyond the end of a sequence are ignored, since libraries differ in what they put there.
    """
    for name, expected in true.items():
        actual = answer.get(name)
        if actual is None:
            return f"{name} is missing"
        if actual.shape != expected.shape:
            return f"{name} has shape {tuple(actual.shape)}, not {tuple(expected.shape)}"
        if lengths is not None and name == "output":
            valid = torch.arange(expected.shape[0]).unsqueeze(1) < lengths
            actual, expected = actual[valid], expected[valid]
        scale = expected.abs().max().item() or 1.0
        distance = (actual.double() - expected).abs().max().item() / scale
        allowed = TOLERANCES[dtype][name.startswith("d")]
        # a comparison that NaN fails, too
        if not distance <= allowed:
            return f"{name} is off by {distance:.1e} of its largest entry; {allowed:.0e} is allowed"
    return None
