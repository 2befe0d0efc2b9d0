"""Layers and engines that are wrong in one way each: every one must be caught, by the check that is there for it."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.nn.utils.rnn import PackedSequence

import unrolled
from unrolled.cells import GRUCell, LSTMCell
from unrolled.kernels import Call, Direction, Gradients, Prepared, Result
from unrolled.kernels.aten import AtenEngine
from unrolled.kernels.autograd import run_engine
from unrolled.scan import valid_steps
from unrolled.testing import ConformanceError, engine_checks, layer_checks


class LengthsIgnored(unrolled.GRU):
    def forward(self, x, state=None, lengths=None):
        output, final = super().forward(x, state)
        if lengths is not None:
            over = ~valid_steps(lengths, x.shape[0], x.shape[1])
            output = output.masked_fill(over.unsqueeze(-1), 0)
        return output, final


class LengthsClamped(unrolled.GRU):
    def forward(self, x, state=None, lengths=None):
        if lengths is not None and len(lengths) == x.shape[1]:
            lengths = lengths.clamp(0, x.shape[0])
        return super().forward(x, state, lengths)


class StateKeptOnModule(unrolled.GRU):
    """Starts each call where the last one ended."""

    def forward(self, x, state=None, lengths=None):
        kept = getattr(self, "kept", None)
        if isinstance(x, torch.Tensor) and kept is not None and state is not None and kept.shape == state.shape:
            state = state + kept
        output, final = super().forward(x, state, lengths)
        self.kept = final.detach()
        return output, final


class StepFromNothing(unrolled.GRU):
    def step(self, x, state=None):
        return super().step(x, None)


class SecondDirectionForwards(unrolled.GRU):
    def _directions(self, *arguments):
        return tuple(replace(d, reverse=False) for d in super()._directions(*arguments))


class PackedInSortedOrder(unrolled.GRU):
    def forward(self, x, state=None, lengths=None):
        output, final = super().forward(x, state, lengths)
        if isinstance(x, PackedSequence) and x.sorted_indices is not None:
            final = final[:, x.sorted_indices]
        return output, final


class ResetsIgnored(unrolled.GRU):
    def forward(self, x, state=None, lengths=None, *, reset=None):
        return super().forward(x, state, lengths, reset=None if reset is None else torch.zeros_like(reset))


class ResetsToTheGivenState(unrolled.GRU):
    def step(self, x, state=None, *, reset=None):
        return super().step(x, state, reset=None if reset is None or state is None else torch.zeros_like(reset))


class DrawnInAnotherOrder(unrolled.GRU):
    def reset_parameters(self) -> None:
        with torch.no_grad():
            for parameter in reversed(list(self.parameters())):
                parameter.uniform_(-(self.hidden_size**-0.5), self.hidden_size**-0.5)


class FinalStateDetached(unrolled.GRU):
    def forward(self, x, state=None, lengths=None):
        output, final = super().forward(x, state, lengths)
        return output, final.detach() + 0 * final


class OptionsSwallowed(unrolled.GRU):
    def __init__(self, *arguments, bidirectionnal=None, **options) -> None:
        super().__init__(*arguments, **options)


class SharedCopies(unrolled.GRU):
    def __deepcopy__(self, memo):
        return self


class AutocastEscaped(unrolled.GRU):
    def forward(self, x, state=None, lengths=None):
        with torch.autocast("cpu", enabled=False):
            return super().forward(x, state, lengths)


LAYERS = [
    (LengthsIgnored, "ragged"),
    (LengthsIgnored, "torch_ragged"),
    (LengthsClamped, "bad_inputs"),
    (StateKeptOnModule, "repeatable"),
    (StepFromNothing, "streaming"),
    (SecondDirectionForwards, "torch_results"),
    (PackedInSortedOrder, "packed"),
    (ResetsIgnored, "reset"),
    (ResetsToTheGivenState, "reset"),
    (DrawnInAnotherOrder, "torch_initial_values"),
    (FinalStateDetached, "final_state"),
    (OptionsSwallowed, "bad_options"),
    (SharedCopies, "copies"),
    (AutocastEscaped, "autocast"),
]


@pytest.mark.parametrize(("layer", "check"), LAYERS, ids=[f"{c.__name__}-{n}" for c, n in LAYERS])
def test_layer_caught(layer: type, check: str) -> None:
    found = {c.name: c for c in layer_checks(layer, like=torch.nn.GRU)}
    with pytest.raises(ConformanceError, match=f"fails '{check}'"):
        found[check]()


class Engine(AtenEngine):
    """torch's engine, for the subclasses to spoil; scan-like in that it serves every sequence of length 0 itself."""

    name = "broken"


class OutputBeyondLength(Engine):
    def forward(self, call):
        result, saved = super().forward(call)
        return Result(result.output + 1e-3, result.states), saved


class FinalStateOfPadding(Engine):
    """Ragged batches end where the longest ends."""

    def forward(self, call):
        result, saved = super().forward(call)
        if call.lengths is None:
            return result, saved
        longest = int(call.lengths.argmax())
        states = tuple(tuple(s[longest : longest + 1].expand_as(s) for s in state) for state in result.states)
        return Result(result.output, states), saved


class ResetsLate(Engine):
    def forward(self, call):
        return super().forward(call if call.reset is None else replace(call, reset=call.reset.roll(1, 0)))


class PaddingGradientLeaks(Engine):
    def backward(self, call, saved, doutput, dstates, needed):
        found = super().backward(call, saved, doutput, dstates, needed)
        leak = doutput.sum(-1, keepdim=True).expand_as(found.of[0]) * 0
        return Gradients((found.of[0] + leak, *found.of[1:]))


class FinalStateGradientLost(Engine):
    def backward(self, call, saved, doutput, dstates, needed):
        nothing = tuple(tuple(torch.zeros_like(d) for d in state) for state in dstates)
        return super().backward(call, saved, doutput, nothing, needed)


class InitialStateGradientLost(Engine):
    def backward(self, call, saved, doutput, dstates, needed):
        of = list(super().backward(call, saved, doutput, dstates, needed).of)
        of[1] = torch.zeros_like(of[1]) if of[1] is not None else None
        return Gradients(tuple(of))


class WeightsOnlyWithInput(Engine):
    def backward(self, call, saved, doutput, dstates, needed):
        of = super().backward(call, saved, doutput, dstates, needed).of
        return Gradients(of if needed[0] else tuple(None for _ in of))


class LowPrecision(Engine):
    def forward(self, call):
        result, saved = super().forward(call)
        return Result(result.output.bfloat16().to(result.output.dtype), result.states), saved


class InferenceRounds(Engine):
    def infer(self, call):
        result = super().infer(call)
        return Result(result.output.bfloat16().to(result.output.dtype), result.states)


class StepWritesState(Engine):
    def step(self, cell, x, state, params):
        new = super().step(cell, x, state, params)
        state[0].copy_(new[0])
        return new


class GradientWrittenTo(Engine):
    def backward(self, call, saved, doutput, dstates, needed):
        found = super().backward(call, saved, doutput, dstates, needed)
        doutput.zero_()
        return found


class SavedConsumed(Engine):
    def backward(self, call, saved, doutput, dstates, needed):
        found = super().backward(call, saved, doutput, dstates, needed)
        saved.extra[1].clear()
        return found


class Dirty(Engine):
    def forward(self, call):
        result, saved = super().forward(call)
        rest = torch.empty_like(result.output)
        return Result(torch.where(rest.isnan(), result.output * 1.01, result.output), result.states), saved


class PlainStream:
    """A stream in Python, as an engine that prepares stacks must offer it."""

    def __init__(self, prepared, batch_size: int) -> None:
        self.prepared, self.state, self.batch_size = prepared, None, batch_size

    def is_current(self) -> bool:
        return self.prepared.is_open

    def step(self, x, out):
        result = self.prepared.step(x, self.state) if self.is_current() else None
        if result is None:
            return None
        y, self.state = result
        return y if out is None else out.copy_(y)

    def get_state(self):
        return self.state

    def set_state(self, state) -> bool:
        self.state = state
        return True


class PlainPrepared(Prepared):
    """A stack of one layer, served by the engine's own calls: not shorter, but a prepared path by contract."""

    engine = "broken"

    def __init__(self, engine, stack) -> None:
        self.served_by, self.stack, self.is_open = engine, stack, True

    def run(self, x, state, lengths):
        (params,) = self.stack.blocks()
        parts = tuple(s[0] for s in (state if isinstance(state, tuple) else (state,)))
        call = Call(self.stack.cell, x, (Direction(params, parts),), lengths)
        output, (final,) = run_engine(self.served_by, call)
        finals = tuple(s.unsqueeze(0) for s in final)
        return output, finals if len(finals) > 1 else finals[0]

    def step(self, x, state):
        (params,) = self.stack.blocks()
        parts = tuple(s[0] for s in (state if isinstance(state, tuple) else (state,)))
        new = tuple(s.unsqueeze(0) for s in self.served_by.step(self.stack.cell, x, parts, params))
        return new[0][0], new if len(new) > 1 else new[0]

    def stream(self, batch_size):
        return PlainStream(self, batch_size)

    def step_together(self, streams, x, out):
        return None

    def close(self) -> None:
        self.is_open = False


class PreparingEngine(Engine):
    prepared = PlainPrepared

    def prepare(self, stack):
        return self.prepared(self, stack)


class PreparedRounds(PreparingEngine):
    class prepared(PlainPrepared):
        def run(self, x, state, lengths):
            output, final = super().run(x, state, lengths)
            return output.bfloat16().to(output.dtype), final


class PreparedWithoutLengths(PreparingEngine):
    class prepared(PlainPrepared):
        def run(self, x, state, lengths):
            return super().run(x, state, None)


class PreparedWithoutGradient(PreparingEngine):
    class prepared(PlainPrepared):
        def run(self, x, state, lengths):
            return super().run(x.detach(), state, lengths)


class PreparedStepsAnew(PreparingEngine):
    class prepared(PlainPrepared):
        def step(self, x, state):
            zeros = tuple(torch.zeros_like(s) for s in state) if isinstance(state, tuple) else torch.zeros_like(state)
            return super().step(x, zeros)


class PreparedNeverClosed(PreparingEngine):
    class prepared(PlainPrepared):
        def close(self) -> None:
            pass


ENGINES = [
    (PreparedRounds(), "prepared", "output"),
    (PreparedWithoutLengths(), "prepared", "output"),
    (PreparedWithoutGradient(), "prepared", "dx"),
    (PreparedStepsAnew(), "prepared", "output of a prepared step"),
    (PreparedNeverClosed(), "prepared", None),
    (OutputBeyondLength(), "ragged", "output"),
    (FinalStateOfPadding(), "ragged", "final state h of direction 0"),
    (ResetsLate(), "reset", "output"),
    (PaddingGradientLeaks(), "padding", "dx"),
    (FinalStateGradientLost(), "final_state", "dx"),
    (InitialStateGradientLost(), "results", "dstate h"),
    (WeightsOnlyWithInput(), "gradients_wanted", "dstate h wanted alone"),
    (LowPrecision(), "results", "output"),
    (InferenceRounds(), "inference", "output of inference"),
    (StepWritesState(), "step", "state h"),
    (GradientWrittenTo(), "inputs_unchanged", "gradient 0"),
    (SavedConsumed(), "backward_twice", None),
    (Dirty(), "uninitialised", "output"),
]


@pytest.mark.parametrize(("engine", "check", "tensor"), ENGINES, ids=[type(e[0]).__name__ for e in ENGINES])
@pytest.mark.parametrize("cell", [LSTMCell(), GRUCell()], ids=["lstm", "gru"])
def test_engine_caught(engine: Engine, check: str, tensor: str | None, cell) -> None:
    found = {c.name: c for c in engine_checks(engine, cell, torch.float32)}
    with pytest.raises(ConformanceError, match=f"engine 'broken' with .* in torch.float32 fails '{check}'") as caught:
        found[check]()
    assert tensor is None or caught.value.tensor == tensor


@pytest.mark.parametrize("engine", [Engine(), PreparingEngine()], ids=["plain", "preparing"])
@pytest.mark.parametrize("cell", [LSTMCell(), GRUCell()], ids=["lstm", "gru"])
def test_the_unspoilt_engine_passes(engine: Engine, cell) -> None:
    for check in engine_checks(engine, cell, torch.float32):
        check()
