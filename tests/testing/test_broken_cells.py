"""Cells that are wrong in one way each: every one must be caught, by the check that is there for it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import pytest
import torch
from torch.autograd import Function

from unrolled.cells import (
    Cell,
    GRUCell,
    LRUCell,
    LSTMCell,
    MogrifierLSTMCell,
    RGLRUCell,
    RNNCell,
    SLSTMCell,
    SRUCell,
    StepGradients,
)
from unrolled.testing import ConformanceError, cell_checks, check_cell


class ForgetGateSign(LSTMCell):
    def step_backward(self, trace, dstate, params) -> StepGradients:
        found = super().step_backward(trace, dstate, params)
        i, f, g, o = found.dx_gates.chunk(4, -1)
        return found._replace(dx_gates=torch.cat([i, -f, g, o], -1))


class StateGradientForgotten(LSTMCell):
    def step_backward(self, trace, dstate, params) -> StepGradients:
        found = super().step_backward(trace, dstate, params)
        return found._replace(dstate=(torch.zeros_like(found.dstate[0]), found.dstate[1]))


class CellErrorReplaced(LSTMCell):
    """Loses what comes back through c from later steps: the constant error carousel stands still."""

    def step_backward(self, trace, dstate, params) -> StepGradients:
        return super().step_backward(trace, (dstate[0], torch.zeros_like(dstate[1])), params)


class PeepholeGradientMissing(LSTMCell):
    def step_backward(self, trace, dstate, params) -> StepGradients:
        found = super().step_backward(trace, dstate, params)
        found.dparams.pop("weight_peephole", None)
        return found


class PeepholeErrorMissing(LSTMCell):
    """Has the peepholes' own gradient, but sends no error back through them."""

    def step_backward(self, trace, dstate, params) -> StepGradients:
        found = super().step_backward(trace, dstate, params)
        blind = replace(self, peephole=False)
        return found._replace(dstate=LSTMCell.step_backward(blind, trace, dstate, params).dstate)


class BiasGradientDropped(RNNCell):
    def step_backward(self, trace, dstate, params) -> StepGradients:
        found = super().step_backward(trace, dstate, params)
        found.dparams.pop("bias_hh", None)
        return found


class BiasGradientAveraged(RNNCell):
    def step_backward(self, trace, dstate, params) -> StepGradients:
        found = super().step_backward(trace, dstate, params)
        if "bias_hh" in found.dparams:
            found.dparams["bias_hh"] = found.dparams["bias_hh"] / trace["h"].shape[0]
        return found


class ResetForgotten(GRUCell):
    """As a published library's: the n gate's recurrent gradient without the factor r."""

    def recur_backward(self, dgates, trace, params, rows=slice(None), key="hh"):
        r, z, n = dgates.chunk(3, -1)
        return super().recur_backward(torch.cat([r, z, n / trace["r"]], -1), trace, params, rows, key)


class MaskForgottenBackwards(GRUCell):
    def step_backward(self, trace, dstate, params) -> StepGradients:
        return super().step_backward({k: v for k, v in trace.items() if k != "mask"}, dstate, params)


class MaskIgnored(RNNCell):
    def trace(self, x_gates, state, params, mask=None):
        return super().trace(x_gates, state, params)


class NormTreatedAsConstant(RNNCell):
    """Layer norm's backward without the terms of its mean and variance."""

    def recur_backward(self, dgates, trace, params, rows=slice(None), key="hh"):
        _, dparams = super().recur_backward(dgates, trace, params, rows, key)
        dsums = dgates * params["norm_hh"] * trace["hh.inverse_std"]
        return dsums @ params["weight_hh"], dparams


class InputGradientScaled(LSTMCell):
    def project_input_backward(self, x, dx_gates, params):
        dx, dparams = super().project_input_backward(x, dx_gates, params)
        return dx * 1.0001, dparams


class StabiliserTreatedAsConstant(SLSTMCell):
    """As if m were detached: right for h, wrong for what arrives at c, n and m."""

    def step_backward(self, trace, dstate, params) -> StepGradients:
        found = super().step_backward(trace, dstate, params)
        return found._replace(dstate=(*found.dstate[:3], torch.zeros_like(found.dstate[3])))


class HeadsMixedUp(SLSTMCell):
    """What comes back through R is handed to the other head."""

    def _mix_backward(self, dgates, h, weight):
        dh, dweight = super()._mix_backward(dgates, h, weight)
        return dh.unflatten(-1, (2, -1)).flip(1).flatten(1), dweight


class PhaseReversed(LRUCell):
    """The conjugate forgotten: the error is turned on instead of back."""

    def step_backward(self, trace, dstate, params) -> StepGradients:
        found = super().step_backward(trace, dstate, params)
        re, im = self.eigenvalues(params)
        _, dre, dim = found.dstate
        turned = (re * dre - im * dim, re * dim + im * dre)
        return found._replace(dstate=(found.dstate[0], *turned))


class HighwayForgotten(SRUCell):
    def project_input_backward(self, x, dx_gates, params):
        return super().project_input_backward(
            x, dx_gates * dx_gates.new_tensor([1, 1, 1, 0]).repeat_interleave(4), params
        )


class RootTreatedAsConstant(RGLRUCell):
    def coefficients_backward(self, trace, da, db, params):
        blind = {**trace, "a.fresh": torch.full_like(trace["a.fresh"], float("inf"))}
        found, dparams = super().coefficients_backward(trace, da, db, params)
        dr = super().coefficients_backward(blind, da, db, params)[0].chunk(3, -1)[0]
        return torch.cat([dr, *found.chunk(3, -1)[1:]], -1), dparams


class LastRoundNotUndone(MogrifierLSTMCell):
    def step_backward(self, trace, dstate, params) -> StepGradients:
        gate = torch.full_like(trace["weight_q5.gate"], 0.5)
        return super().step_backward({**trace, "weight_q5.gate": gate}, dstate, params)


class WidthMisread(SRUCell):
    def hidden_size(self, params) -> int:
        return params["weight_ih"].shape[0] // 2


class TraceOfAnotherStep(RNNCell):
    def step(self, x_gates, state, params, mask=None):
        return (super().trace(x_gates, state, params, mask)[0][0] * 1.001,)


class GradientWrittenTo(RNNCell):
    def step_backward(self, trace, dstate, params) -> StepGradients:
        params["weight_hh"].mul_(1.0)
        return super().step_backward(trace, dstate, params)


@dataclass(frozen=True)
class Own(Cell):
    """A sound tanh cell with `step` alone, for the subclasses to spoil."""

    name: ClassVar[str] = "own"

    @property
    def num_gates(self) -> int:
        return 1

    def state_sizes(self, hidden_size: int) -> tuple[int, ...]:
        return (hidden_size,)

    def parameter_shapes(self, input_size: int, hidden_size: int, bias: bool = True) -> dict[str, tuple[int, ...]]:
        shapes = {"weight_ih": (hidden_size, input_size), "weight_hh": (hidden_size, hidden_size)}
        return shapes | ({"bias_ih": (hidden_size,)} if bias else {})

    def step(self, x_gates, state, params, mask=None):
        return (torch.tanh(x_gates + state[0] @ params["weight_hh"].T),)


class StateDetached(Own):
    def step(self, x_gates, state, params, mask=None):
        return super().step(x_gates, (state[0].detach(),), params)


class StateModified(Own):
    def step(self, x_gates, state, params, mask=None):
        new = super().step(x_gates, state, params)
        state[0].detach().mul_(0.5)
        return new


class InputModified(Own):
    def step(self, x_gates, state, params, mask=None):
        new = super().step(x_gates, state, params)
        x_gates.detach().add_(0.0)
        return new


class RowsMixed(Own):
    def step(self, x_gates, state, params, mask=None):
        (h,) = super().step(x_gates, state, params)
        return (h - 0.1 * h.mean(0) if len(h) else h,)


class PaddingUsed(Own):
    def project_input(self, x, params):
        return super().project_input(x - x.mean(0) if x.dim() == 3 else x, params)


class FutureRead(Own):
    def project_input(self, x, params):
        return super().project_input(x.roll(-1, 0) if x.dim() == 3 else x, params)


class Noisy(Own):
    def step(self, x_gates, state, params, mask=None):
        (h,) = super().step(x_gates, state, params)
        return (h + 1e-12 * torch.rand_like(h),)


class DirtyMemory(Own):
    def step(self, x_gates, state, params, mask=None):
        (h,) = super().step(x_gates, state, params)
        sums = torch.empty_like(h)
        return (h + 0 * sums.nan_to_num(1.0).clamp(0, 1) + sums.isnan() * 1e-3,)


class ContiguousOnly(Own):
    def step(self, x_gates, state, params, mask=None):
        return super().step(x_gates, (state[0].view(-1).view_as(state[0]),), params)


class TailUnwritten(Own):
    """A loop over whole vectors of 8 that forgets the rest."""

    def step(self, x_gates, state, params, mask=None):
        (h,) = super().step(x_gates, state, params)
        whole = h.shape[-1] // 8 * 8
        if h.shape[-1] < 8 or whole == h.shape[-1]:
            return (h,)
        return (torch.cat([h[:, :whole], h[:, whole:] * float("nan")], -1),)


class PrecisionRaised(Own):
    def step(self, x_gates, state, params, mask=None):
        weight = params["weight_hh"].double()
        return (torch.tanh(x_gates.double() + state[0].double() @ weight.T),)


class StateInList(Own):
    def step(self, x_gates, state, params, mask=None):
        return list(super().step(x_gates, state, params))


class SecondDerivativeLost(Own):
    def step(self, x_gates, state, params, mask=None):
        return (_Tanh.apply(x_gates + state[0] @ params["weight_hh"].T),)


class DerivativeWrong(Own):
    def step(self, x_gates, state, params, mask=None):
        return (_WrongTanh.apply(x_gates + state[0] @ params["weight_hh"].T),)


class _Tanh(Function):
    """tanh whose first derivative is right, and held constant by the second."""

    @staticmethod
    def forward(ctx, a):
        ctx.y = torch.tanh(a).detach()
        return torch.tanh(a)

    @staticmethod
    def backward(ctx, dy):
        return dy * (1 - ctx.y**2)


class _WrongTanh(_Tanh):
    @staticmethod
    def backward(ctx, dy):
        return dy * (1 - ctx.y**2) * 1.001


class Unhashable(Own):
    """Can't be the key of anything."""

    __hash__ = None


BROKEN = [
    (ForgetGateSign(), "step_backward", "dx|dweight_ih|dbias_ih"),
    (StateGradientForgotten(), "step_backward", "dx"),
    (CellErrorReplaced(), "step_backward", "dx"),
    (PeepholeGradientMissing(peephole=True), "step_backward", "dweight_peephole"),
    (PeepholeErrorMissing(peephole=True), "step_backward", "dx"),
    (BiasGradientDropped(), "step_backward", "dbias_hh"),
    (BiasGradientAveraged(), "step_backward", "dbias_hh"),
    (ResetForgotten(), "step_backward", "dx"),
    (MaskForgottenBackwards(), "step_backward", "dx"),
    (MaskIgnored(), "mask", "dweight_hh under a mask of zeros"),
    (NormTreatedAsConstant(layer_norm=True), "step_backward", "dx"),
    (InputGradientScaled(), "step_backward", "dx"),
    (StabiliserTreatedAsConstant(), "step_backward", "dx"),
    (HeadsMixedUp(num_heads=2), "step_backward", "dx"),
    (PhaseReversed(), "step_backward", "dx"),
    (HighwayForgotten(), "step_backward", "dx|dweight_ih"),
    (RootTreatedAsConstant(), "step_backward", "dx"),
    (LastRoundNotUndone(), "step_backward", "dx"),
    (WidthMisread(), "contract", None),
    (TraceOfAnotherStep(), "trace", "state h of trace, against step"),
    (GradientWrittenTo(), "inputs_unchanged", "weight_hh"),
    (StateDetached(), "gradcheck", "dx"),
    (StateModified(), "inputs_unchanged", "state h"),
    (InputModified(), "inputs_unchanged", "x_gates"),
    (RowsMixed(), "rows", "dx of other rows"),
    (PaddingUsed(), "ragged", "output of length 2"),
    (FutureRead(), "chunks", "output"),
    (Noisy(), "repeatable", "output"),
    (DirtyMemory(), "uninitialised", "output"),
    (ContiguousOnly(), "strides", None),
    (TailUnwritten(), "sizes", "output"),
    (PrecisionRaised(), "dtypes", "output"),
    (StateInList(), "contract", None),
    (SecondDerivativeLost(), "double_backward", None),
    (DerivativeWrong(), "gradcheck", "dx"),
    (Unhashable(), "contract", None),
]


@pytest.mark.parametrize(("cell", "check", "tensor"), BROKEN, ids=[type(b[0]).__name__ for b in BROKEN])
def test_caught(cell: Cell, check: str, tensor: str | None) -> None:
    found = {c.name: c for c in cell_checks(cell)}
    with pytest.raises(ConformanceError) as caught:
        found[check]()
    assert caught.value.check == check
    assert str(caught.value).startswith(f"{cell!r} fails {check!r}: ")
    if tensor is not None:
        assert caught.value.tensor in tensor.split("|")


def test_check_cell_stops_at_a_broken_cell_and_says_how_far_it_is_off() -> None:
    with pytest.raises(
        ConformanceError, match=r"dbias_hh: largest deviation \d.* allowed .*\(in the problem 'plain'\)"
    ) as caught:
        check_cell(BiasGradientAveraged())
    assert caught.value.deviation is not None
    assert caught.value.deviation > 0.1


def test_the_unspoilt_cell_passes() -> None:
    assert check_cell(Own())[-1] == "bad_inputs"


def test_a_check_can_be_skipped_but_only_by_its_name() -> None:
    assert "double_backward" not in check_cell(SecondDerivativeLost(), skip=("double_backward", "forward_mode"))
    with pytest.raises(ValueError, match="skip: no check is called"):
        check_cell(Own(), skip=("gradchek",))
