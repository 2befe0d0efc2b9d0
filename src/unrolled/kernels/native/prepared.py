"""Short calls of the native engine: the compiled module reads the tensors of a call and makes the results.

Without a graph the weights are packed once, and each call checks that the parameters are the same objects and that
nobody can have written to them since; where somebody can, it compares torch's counts of writes, and every bit. With a
graph they are read and packed at each call, and the graph gets one node for each layer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal, cast

import torch
from torch import Tensor

from unrolled.kernels.autograd import Pass, add_node, run_scan
from unrolled.kernels.contract import Call, Direction
from unrolled.kernels.native.binding import PARAMETERS, NativeStack, Products, compiled, spec
from unrolled.kernels.native.packed import cached, is_lasting
from unrolled.kernels.prepared import Prepared, PreparedStream, Stack, StackResult


class NativePrepared(Prepared):
    """A stack of RNN, LSTM or GRU layers in float32 or float64 on the CPU."""

    engine: ClassVar[str] = "native"

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._packed: NativeStack | None = None
        first = range(0, len(stack.names), stack.num_directions)
        self._layers = [TrainingPasses(stack, stack.names[at : at + stack.num_directions]) for at in first]

    def run(self, x: object, state: object, lengths: object) -> StackResult | None:
        """Run the stack over a batch of sequences; arguments as in `Prepared.run`."""
        if self._stack.residual:
            return None
        if torch.is_grad_enabled():
            result = self._run_with_graph(x, state, lengths)
            # rounded weights are for calls without gradients only
            if result is not False or self._stack.weights_dtype is not None:
                return result or None
        packed = self._packed
        if packed is not None:
            inferred = packed.infer(x, state, lengths)
            if inferred is not None:
                return inferred
        packed = self._pack()
        return None if packed is None else packed.infer(x, state, lengths)

    def step(self, x: object, state: object) -> StackResult | None:
        """Take one step; arguments as in `Prepared.step`."""
        packed = self._packed
        if packed is not None:
            result = packed.step(x, state)
            if result is not None:
                return result
        packed = self._pack()
        return None if packed is None else packed.step(x, state)

    def stream(self, batch_size: int) -> PreparedStream | None:
        """Return `batch_size` streams with states of zeros."""
        packed = self._pack() or self._packed
        return None if packed is None else compiled().Stream(packed, batch_size)

    def step_together(self, streams: Sequence[PreparedStream], x: Tensor, out: Tensor | None) -> Tensor | None:
        """Take one step of several streams; each weight is read once for all."""
        return compiled().step_many(streams, x, out)

    def close(self) -> None:
        """End its use."""
        if self._packed is not None:
            self._packed.expire()
            self._packed = None

    def _pack(self) -> NativeStack | None:
        """Pack the weights anew; None if they are packed as they are, or can't be."""
        stack, old = self._stack, self._packed
        blocks = stack.blocks()
        if blocks is None or (old is not None and old.is_current()):
            return None
        dtype = blocks[0]["weight_ih"].dtype
        products = Products.WHOLE if stack.weights_dtype is None else Products.NARROW_WEIGHTS
        if products is not Products.WHOLE and dtype is not torch.float32:
            return None
        if not all(is_lasting(tensor, dtype) for params in blocks for tensor in params.values()):
            return None
        watched = [
            (full, blocks[index][name], index, PARAMETERS.index(name))
            for index, names in enumerate(stack.names)
            for name, full in names.items()
        ]
        entries = [cached(stack.cell, params, products) for params in blocks]
        packed, digests = [entry.packed for entry in entries], [entry.digest for entry in entries]
        flags = (stack.batch_first, stack.residual, stack.zero_start)
        # streams of the weights as they were must not go on with them
        self.close()
        self._packed = compiled().PackedStack(packed, digests, stack.parameters, watched, flags, stack.num_directions)
        return self._packed

    def _run_with_graph(self, x: object, state: object, lengths: object) -> StackResult | Literal[False] | None:
        """Run the stack as part of a graph; False if nothing requires a gradient."""
        given = () if state is None else state if isinstance(state, tuple) else (state,)
        if not given and not self._stack.zero_start:
            return None
        if len(self._layers) == 1:
            outputs = self._layers[0].run(x, given, lengths)
            if outputs is None or outputs is False:
                return outputs
            return outputs[0], outputs[1] if len(outputs) == 2 else outputs[1:]
        return self._run_layers_with_graph(x, given, lengths)

    def _run_layers_with_graph(
        self, x: object, state: tuple[object, ...], lengths: object
    ) -> StackResult | Literal[False] | None:
        """Run several layers, each of which reads the output of the one before."""
        directions, finals = self._stack.num_directions, []
        count = directions * len(self._layers)
        given = [s for s in state if isinstance(s, Tensor) and s.dim() == 3 and s.shape[0] == count]
        if len(given) < len(state):
            return None
        output: Tensor | None = None
        for index, layer in enumerate(self._layers):
            own = tuple(s[index * directions : (index + 1) * directions] for s in given)
            outputs = layer.run(x if output is None else output, own, lengths)
            if outputs is False and output is None and not any(t.requires_grad for t in self._tensors()):
                return False
            if outputs is None or outputs is False:
                return None
            output = outputs[0]
            finals.append(outputs[1:])
        joined = tuple(torch.cat(parts) for parts in zip(*finals, strict=True))
        return cast(Tensor, output), joined if len(joined) > 1 else joined[0]

    def _tensors(self) -> list[Tensor]:
        """The parameters as they are now."""
        return [tensor for params in self._stack.blocks() or [] for tensor in params.values()]


class TrainingPasses:
    """The passes of one layer, all its directions, as part of a graph."""

    def __init__(self, stack: Stack, names: Sequence[Mapping[str, str]]) -> None:
        self.cell, self.batch_first, self.num_directions = stack.cell, stack.batch_first, stack.num_directions
        self._parameters = stack.parameters
        self._names = [full for block in names for full in block.values()]
        self._own_names = tuple(names[0])
        weight = cast(Tensor, stack.parameters[names[0]["weight_ih"]])
        self.hidden_size = stack.cell.hidden_size({"weight_ih": weight})
        self.native = compiled().TrainingLayer(
            spec(stack.cell, weight.shape[1], self.hidden_size),
            weight.dtype is torch.float64,
            stack.num_directions,
            stack.batch_first,
            [PARAMETERS.index(name) for name in names[0]],
        )
        self._num_outputs = 1 + len(stack.cell.state_names)

    def run(self, x: object, state: tuple[object, ...], lengths: object) -> tuple[Tensor, ...] | Literal[False] | None:
        """Return output and final states; False if nothing requires a gradient, None if a tensor is unusual."""
        tensors = self._parameters
        try:
            params = tuple([tensors[name] for name in self._names])
        except KeyError:
            return None
        results = self.native.forward(x, state, lengths, params)
        if results is None or results is False:
            return results
        outputs = results[: self._num_outputs]
        passed = _LayerPass(self, cast("Tensor | None", lengths), len(state))
        # what the module has read are tensors
        inputs = cast("tuple[Tensor, ...]", (x, *state, *params))
        return add_node(passed, outputs, (outputs[0], *results[self._num_outputs :]), inputs)

    def call(self, x: Tensor, state: Sequence[Tensor], lengths: Tensor | None, params: Sequence[Tensor]) -> Call:
        """Return the call that the dispatcher would be given."""
        x = x.transpose(0, 1) if self.batch_first else x
        rest = iter(params)
        directions = []
        for index in range(self.num_directions):
            own = {name: next(rest) for name in self._own_names}
            initial = tuple(s[index] for s in state) or self.cell.initial_state(x.shape[1], self.hidden_size, x)
            directions.append(Direction(own, initial, bool(index)))
        return Call(self.cell, x, tuple(directions), lengths, None, self.batch_first)


class _LayerPass(Pass):
    """A pass of one layer; the inputs are x, the states given, (D, B, size) each, and the parameters."""

    __slots__ = ("layer", "lengths", "num_states")

    def __init__(self, layer: TrainingPasses, lengths: Tensor | None, num_states: int) -> None:
        self.layer, self.lengths, self.num_states = layer, lengths, num_states

    def backward(
        self,
        inputs: Sequence[Tensor],
        kept: Sequence[Tensor],
        grads: Sequence[Tensor | None],
        needed: Sequence[bool],
    ) -> Sequence[Tensor | None] | None:
        doutput, *dstates = grads
        first = 1 + self.num_states
        return self.layer.native.backward(
            inputs[0],
            inputs[1:first],
            self.lengths,
            inputs[first:],
            kept[0],
            kept[1:],
            torch.zeros_like(kept[0]) if doutput is None else _solid(doutput),
            tuple([None if d is None else _solid(d) for d in dstates]),
            needed,
        )

    def repeat(self, inputs: Sequence[Tensor]) -> Sequence[Tensor]:
        first = 1 + self.num_states
        result = run_scan(self.layer.call(inputs[0], inputs[1:first], self.lengths, inputs[first:]))
        output = result.output.transpose(0, 1) if self.layer.batch_first else result.output
        return (output, *(torch.stack(parts) for parts in zip(*result.states, strict=True)))


def _solid(tensor: Tensor) -> Tensor:
    """Return a gradient as the compiled module reads it: contiguous, its sign resolved."""
    tensor = tensor.contiguous()
    return tensor.resolve_neg() if tensor.is_neg() else tensor
