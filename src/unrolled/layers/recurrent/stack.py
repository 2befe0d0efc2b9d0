"""A stack of one cell, unfolded over time: the base of RNN, LSTM and GRU.

Letters: T time, B batch, I input, H hidden, P width of h (the projection, else H), L layers, D directions, G gates.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import overload

import torch
from torch import Tensor, nn
from torch.compiler import is_compiling
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence

from unrolled.cells import Cell, State
from unrolled.errors import ArgumentError, ShapeError
from unrolled.kernels import Choice, StackState, choose, may_use_prepared, plainest_call, step
from unrolled.kernels.dispatch import check_engine_name
from unrolled.layers.recurrent.arguments import (
    LayerState,
    autocast_dtype,
    autocast_result_dtype,
    check_input,
    check_lacks,
    check_memory,
    check_options,
    is_autocast,
    join_states,
    layer_widths,
    map_state,
    pack_like,
    time_first,
)
from unrolled.layers.recurrent.initial import initialise
from unrolled.layers.recurrent.passes import StackPasses
from unrolled.layers.recurrent.regularise import draw_masks
from unrolled.layers.recurrent.streams import LayerStream
from unrolled.scan import check_reset

#: the options that `repr` shows where they differ from these defaults
_SHOWN: dict[str, object] = {
    "num_layers": 1,
    "bias": True,
    **dict.fromkeys(("batch_first", "bidirectional", "variational", "residual", "learn_initial_state"), False),
    **dict.fromkeys(("dropout", "recurrent_dropout", "weight_dropout"), 0.0),
    "memory": None,
}


class Recurrent(StackPasses):
    """A stack of one cell, unfolded over time: the hidden layers of a recurrent network.

    Parameters are named and shaped as torch.nn's (`weight_ih_l0`, `bias_hh_l1_reverse`, …), so state_dicts load both
    ways; in the textbook's letters weight_ih is U, weight_hh is W, and b is the sum of the two biases. With equal
    options and seed the initial values are torch.nn's too. Cells that torch lacks have the parameters that they say.

    Args:
        cell: the recurrence; one of `unrolled.cells`, or your own.
        input_size: I.
        hidden_size: H; or one width for each layer, such as (512, 256). States, h_n too, are then as wide as the widest
            layer, with zeros beyond a layer's own width, which are never read: one tensor (L·D, B, size) for each
            state, as otherwise. `layer.hidden_size` is that width, `layer.hidden_sizes` has all.
        num_layers: L; each layer after the first reads the outputs of the one before. Left out with several widths.
        bias: whether the cell has biases.
        batch_first: x and output are (B, T, ·) instead of (T, B, ·).
        dropout: probability of zeroing a unit between layers, while training.
        bidirectional: D = 2; the second direction runs from the last valid step to the first.
        variational: draw `dropout`'s mask once a sequence instead of once a step (Gal & Ghahramani 2016).
        recurrent_dropout: variational dropout on h_{t-1} where it enters the gates; one mask a sequence.
        zoneout: probability that a unit keeps its old state; one number, or one for each state (Krueger et al. 2017).
        weight_dropout: probability of zeroing an entry of weight_hh, drawn once a call (Merity et al. 2018).
        residual: add its input to the output of each layer where both are equally wide.
        learn_initial_state: make the initial states parameters, `initial_h` and `initial_c`, (L·D, 1, size); those
            that a cell reads.
        initialisation: "uniform" (torch's, or the paper's of a cell that torch lacks), "orthogonal", "identity" (Le,
            Jaitly & Hinton 2015, arXiv 1504.00941).
        forget_bias: the initial bias of the forget gate; None leaves it as drawn (1 is Jozefowicz et al. 2015).
        chrono: the longest memory in steps, for gates that begin with biases for memories of up to so many (Tallec &
            Ollivier 2018, arXiv 1804.11188); LSTM and GRU.
        truncate: cut the gradient every so many steps.
        memory: what training keeps of each layer for its backward pass, beside input and output: None is all, O(T);
            "sqrt" is O(√T), for one more forward pass, with the same gradients; a number of bytes is as much as fits,
            for none more or as many as it takes (Gruslys et al. 2016, arXiv 1606.03401).
        engine: "auto", or "native", "torch", "scan" or "compiled" to insist on that engine.
        compiled: have torch.compile compile the steps, a few at a time, for a cell that has no kernel; the first call
            takes some ten seconds. It is `engine="compiled"`.

    Raises:
        ArgumentError: an option is out of range, or the cell lacks it; names it.
    """

    def __init__(
        self,
        cell: Cell,
        input_size: int,
        hidden_size: int | Sequence[int],
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        *,
        variational: bool = False,
        recurrent_dropout: float = 0.0,
        zoneout: float | tuple[float, ...] = 0.0,
        weight_dropout: float = 0.0,
        residual: bool = False,
        learn_initial_state: bool = False,
        initialisation: str = "uniform",
        forget_bias: float | None = None,
        chrono: int | None = None,
        truncate: int | None = None,
        memory: str | int | None = None,
        engine: str = "auto",
        compiled: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        zoneouts = zoneout if isinstance(zoneout, tuple) else (zoneout,) * len(cell.state_names)
        self.hidden_sizes = layer_widths(hidden_size, num_layers)
        widest, num_layers = max(self.hidden_sizes), len(self.hidden_sizes)
        sizes = {"input_size": input_size, "hidden_size": widest}
        rates = {"dropout": dropout, "recurrent_dropout": recurrent_dropout, "weight_dropout": weight_dropout}
        check_options(cell, sizes, {"bias": bias, "batch_first": batch_first}, rates, zoneouts, truncate)
        start = {"initialisation": initialisation, "forget_bias": forget_bias, "chrono": chrono}
        check_lacks(cell, sizes, {**rates, **start, "learn_initial_state": bool(learn_initial_state)}, zoneouts)
        self.cell = cell
        self.input_size, self.hidden_size, self.num_layers = input_size, widest, num_layers
        self.bias, self.batch_first, self.bidirectional = bias, batch_first, bool(bidirectional)
        self.dropout, self.variational = float(dropout), bool(variational)
        self.recurrent_dropout, self.weight_dropout = float(recurrent_dropout), float(weight_dropout)
        self.zoneout, self.truncate, self.memory = zoneouts, truncate, check_memory(memory)
        self.residual, self.learn_initial_state = bool(residual), bool(learn_initial_state)
        self.initialisation, self.forget_bias, self.chrono = initialisation, forget_bias, chrono
        self.num_directions = 2 if self.bidirectional else 1
        if compiled and engine not in ("auto", "compiled"):
            raise ArgumentError(f'compiled: is engine="compiled", and does not go with engine={engine!r}')
        self._engine = check_engine_name("compiled" if compiled else engine)

        self._learned = [n for n in cell.state_names if learn_initial_state and n not in cell.unread_states]
        self._register(device, dtype)
        self.reset_parameters()

    def _register(self, device: torch.device | str | None, dtype: torch.dtype | None) -> None:
        """Register the parameters, not initialised."""
        shapes: dict[str, tuple[int, ...]] = {}
        self._names: list[dict[str, str]] = []
        width = self.input_size
        for layer, own in enumerate(self.hidden_sizes):
            for suffix in (f"_l{layer}", f"_l{layer}_reverse")[: self.num_directions]:
                block = self.cell.parameter_shapes(width, own, self.bias)
                shapes |= {name + suffix: shape for name, shape in block.items()}
                self._names.append({name: name + suffix for name in block})
            width = self.cell.state_sizes(own)[0] * self.num_directions
        self.output_size = width
        sizes = dict(zip(self.cell.state_names, self.cell.state_sizes(self.hidden_size), strict=True))
        shapes |= {f"initial_{n}": (self.num_layers * self.num_directions, 1, sizes[n]) for n in self._learned}
        for name, shape in shapes.items():
            self.register_parameter(name, nn.Parameter(torch.empty(shape, device=device, dtype=dtype)))

    def reset_parameters(self) -> None:
        """Draw the parameters anew, by `initialisation`, `forget_bias` and `chrono`."""
        blocks, how = self.parameter_blocks(), (self.initialisation, self.forget_bias, self.chrono)
        for layer, width in enumerate(self.hidden_sizes):
            own = blocks[layer * self.num_directions : (layer + 1) * self.num_directions]
            initialise(self.cell, own, width, *how)
        for name in self._learned:
            nn.init.zeros_(self.get_parameter(f"initial_{name}"))

    @property
    def engine(self) -> Choice:
        """The engine that would serve a plain batch now, and why. Set it to a name to insist on one."""
        call = replace(plainest_call(self.cell, self.parameter_blocks()[0]), truncate=self.truncate)
        if self.training and (self.recurrent_dropout or any(self.zoneout)):
            plain = call.directions[0]
            masks = draw_masks(self.recurrent_dropout, self.zoneout, True, 1, plain.state, call.x)
            call = replace(call, directions=(replace(plain, masks=masks),))
        return choose(call, self._engine)

    @engine.setter
    def engine(self, name: str) -> None:
        self._engine = check_engine_name(name)

    @overload
    def forward(
        self,
        input: Tensor,
        hx: LayerState = None,
        lengths: Tensor | None = None,
        *,
        reset: Tensor | None = None,
        state: LayerState = None,
    ) -> tuple[Tensor, StackState]: ...
    @overload
    def forward(
        self,
        input: PackedSequence,
        hx: LayerState = None,
        *,
        reset: Tensor | None = None,
        state: LayerState = None,
    ) -> tuple[PackedSequence, StackState]: ...
    @overload
    def forward(
        self, *, x: Tensor, state: LayerState = None, lengths: Tensor | None = None, reset: Tensor | None = None
    ) -> tuple[Tensor, StackState]: ...
    def forward(
        self,
        input: Tensor | PackedSequence | None = None,
        hx: LayerState = None,
        lengths: Tensor | None = None,
        *,
        reset: Tensor | None = None,
        x: Tensor | PackedSequence | None = None,
        state: LayerState = None,
    ) -> tuple[Tensor | PackedSequence, StackState]:
        """Run the stack over a batch of sequences.

        Args:
            input: (T, B, I), or (B, T, I) with batch_first, or (T, I) for one sequence, or a PackedSequence.
            hx: the initial states, h of shape (L·D, B, P), or (h, c) with c (L·D, B, H); (L·D, size) for one
                sequence. None is zeros, or the learned initial state.
            lengths: (B,) integers, the valid steps of each sequence; steps beyond them are never read.
            reset: (T, B) bool, or (B, T) with batch_first, or (T,) for one sequence; true where a document begins, of
                which a row may hold many. Each begins with the layer's own initial state, no gradient passes from one
                to another, and each gives what it gives alone, in both directions; in reverse the one before begins at
                t − 1. `hx` serves a row's first step, unless a reset is there. Masks are drawn once a row.
            x, state: other names of `input` and `hx`.

        Returns:
            The outputs, shaped as the input with D·P for I and zero beyond each length, and the final states, shaped
            as `hx`: of a ragged sequence, those after its last valid step.

        Raises:
            ShapeError, DTypeError, ArgumentError, EngineError: naming the argument and the way out.
        """
        x, state = input if x is None else x, hx if state is None else state
        # what was prepared knows no resets, and keeps everything for a backward pass
        is_plain = reset is None and (self.memory is None or not torch.is_grad_enabled())
        prepared = self._prepared or self.prepared() if is_plain and not is_compiling() else None
        if prepared is not None and may_use_prepared(prepared):
            result = prepared.run(x, state, lengths)
            if result is not None:
                return result
        if isinstance(x, PackedSequence):
            if lengths is not None:
                raise ArgumentError("lengths: a PackedSequence carries its own; pass one or the other")
            # like torch: data in sorted order, states in the caller's
            padded, lengths = pad_packed_sequence(x)
            check_input(padded, self.input_size, self.parameter_blocks()[0]["weight_ih"], False)
            reset = time_first(reset, padded, batched=True, batch_first=self.batch_first)
            output, final = self._run(padded, state, lengths, reset, batched=True, packed=x)
            return pack_like(x, output), final
        x = check_input(x, self.input_size, self.parameter_blocks()[0]["weight_ih"], self.batch_first)
        batched = x.dim() == 3
        reset = time_first(reset, x, batched, self.batch_first)
        if not batched:
            if lengths is not None:
                raise ArgumentError("lengths: an unbatched sequence (T, I) has none; slice it instead")
            x, state = x.unsqueeze(1), map_state(state, lambda s: s.unsqueeze(1))
        elif self.batch_first:
            x = x.transpose(0, 1)
        output, final = self._run(x, state, lengths, reset, batched)
        if not batched:
            return output.squeeze(1), map_state(final, lambda s: s.squeeze(1))
        return (output.transpose(0, 1) if self.batch_first else output), final

    def step(self, x: Tensor, state: LayerState = None, *, reset: Tensor | None = None) -> tuple[Tensor, StackState]:
        """Take one time step, for streams: the same numbers as `forward` over a sequence, without a graph.

        Args:
            x: (B, I), or (I,) for one stream.
            state: as `forward` takes and returns it; None starts a stream.
            reset: (B,) bool, or () for one stream; true where a document begins, with the layer's own initial state.

        Returns:
            The output (B, P), or (P,), and the new state.

        Raises:
            ArgumentError: the layer is bidirectional and can't be streamed, or is training with regularisers.
        """
        prepared = None if is_compiling() else self._prepared or self.prepared()
        if reset is None and prepared is not None and may_use_prepared(prepared, is_step=True):
            result = prepared.step(x, state)
            if result is not None:
                return result
        self._check_streamable("step")
        if x.dim() == 1:
            begins = None if reset is None else check_reset(reset).unsqueeze(0)
            y, final = self.step(x.unsqueeze(0), map_state(state, lambda s: s.unsqueeze(1)), reset=begins)
            return y.squeeze(0), map_state(final, lambda s: s.squeeze(1))
        if x.dim() != 2 or x.shape[1] != self.input_size:
            raise ShapeError("x", f"(B, I={self.input_size}) or (I={self.input_size},)", x.shape)
        check_input(x.unsqueeze(0), self.input_size, self.parameter_blocks()[0]["weight_ih"], False, "x")
        if reset is not None:
            return self.step(x, self.restarted(state, check_reset(reset, B=len(x))))
        with torch.no_grad():
            blocks = self._used_blocks()
            states = self._states(state, x.unsqueeze(0), True, "state")
            if any(self.zoneout):
                output, final = self._run(x.unsqueeze(0), join_states(states), None, None, batched=True)
                return output.squeeze(0), final
            low, dtype = autocast_dtype(x), autocast_result_dtype(self.cell, x, states[0][0])
            finals: list[State] = []
            with torch.autocast(x.device.type, enabled=False) if is_autocast(x) else nullcontext():
                for params, previous in zip(blocks, states, strict=True):
                    new = step(self.cell, x, previous, params, self._engine, low)
                    finals.append(new)
                    x = new[0] + x if self.residual and new[0].shape == x.shape else new[0]
            # states keep every bit that a whole sequence would carry
            return x if dtype is None else x.to(dtype), join_states(finals)

    def stream(self, batch_size: int = 1, state: LayerState = None) -> LayerStream:
        """Start streams that keep their state: faster than `step`, with the same numbers.

        Args:
            batch_size: B, how many are stepped together; `unrolled.layers.step_together` steps several such streams.
            state: as `forward` takes and returns it; None starts anew.

        Raises:
            ArgumentError, ShapeError, DTypeError: as from `step`.
        """
        self._check_streamable("stream")
        return LayerStream(self, batch_size, state)

    def stream_state(self, batch_size: int, state: LayerState) -> StackState:
        """Return a state that streams can start from: a copy of the one given, or the layer's own."""
        with torch.no_grad():
            states = self._stream_states(batch_size, state)
            return join_states([tuple(s.detach() for s in state) for state in states])

    def _stream_states(self, batch_size: int, state: LayerState) -> list[State]:
        like = self.parameter_blocks()[0]["weight_ih"]
        return self._states(state, like.new_empty(1, batch_size, self.input_size), True, "state")

    def restarted(self, state: LayerState, reset: Tensor) -> StackState:
        """Return a state of B streams in which those where `reset`, (B,) bool, is true begin a document."""
        begins = reset.unsqueeze(-1)
        with torch.no_grad():
            start, given = self._stream_states(len(reset), None), self._stream_states(len(reset), state)
            pairs = [zip(*pair, strict=True) for pair in zip(start, given, strict=True)]
            return join_states([tuple(torch.where(begins, new, old) for new, old in pair) for pair in pairs])

    def _check_streamable(self, where: str) -> None:
        if self.bidirectional:
            raise ArgumentError(f"{where}: a bidirectional layer reads the future and can't be streamed; use forward")
        if self.training and (self.dropout or self.recurrent_dropout or self.weight_dropout or any(self.zoneout)):
            raise ArgumentError(f"{where}: dropout and zoneout are for training on whole sequences; call eval() first")

    def extra_repr(self) -> str:
        """Return the options that differ from their defaults."""
        widths = self.hidden_size if self.is_even else self.hidden_sizes
        shown = [f"{self.cell}, {self.input_size}, {widths}"]
        shown += [f"{name}={getattr(self, name)}" for name, usual in _SHOWN.items() if getattr(self, name) != usual]
        return ", ".join(shown + [f"zoneout={self.zoneout}"] * any(self.zoneout))
