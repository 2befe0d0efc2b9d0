"""The way of a batch through a stack: layer by layer, and in each direction, by the dispatcher or by the scan.

Letters: T time, B batch, I input, P width of h (the projection, else H), L layers, D directions.
"""

from __future__ import annotations

from contextlib import nullcontext
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.utils.rnn import PackedSequence

from unrolled.cells import State, Trace
from unrolled.errors import ShapeError
from unrolled.kernels import Call, Direction, StackState, run
from unrolled.layers.recurrent.arguments import (
    LayerState,
    autocast_dtype,
    autocast_result_dtype,
    check_input,
    check_state,
    is_autocast,
    join_states,
    map_state,
    time_first,
    zero_padding,
)
from unrolled.layers.recurrent.cached import Blocks, CachedEngine
from unrolled.layers.recurrent.initial import initial_states
from unrolled.layers.recurrent.regularise import draw_masks, drop
from unrolled.scan import ScanResult, Tape, unfold, valid_steps


class StackPasses(CachedEngine):
    """A stack that runs over batches; `Recurrent` gives it its parameters and options."""

    input_size: int
    hidden_size: int
    hidden_sizes: tuple[int, ...]
    num_layers: int
    variational: bool
    memory: str | int | None
    _learned: list[str]

    def _run(
        self,
        x: Tensor,
        state: LayerState,
        lengths: Tensor | None,
        reset: Tensor | None,
        batched: bool,
        packed: PackedSequence | None = None,
    ) -> tuple[Tensor, StackState]:
        """Run all layers over x (T, B, I) by the dispatcher; `packed` is what the caller will get it packed like."""
        if lengths is not None:
            valid_steps(lengths, x.shape[0], x.shape[1])
        states = self._states(state, x, batched)
        starts = None if reset is None else self._states(None, x, batched)
        blocks = self._used_blocks()
        low, dtype = autocast_dtype(x), autocast_result_dtype(self.cell, x, states[0][0])
        # entering a context takes as long as a short kernel
        with torch.autocast(x.device.type, enabled=False) if is_autocast(x) else nullcontext():
            finals: list[State] = []
            for layer in range(self.num_layers):
                is_last = layer == self.num_layers - 1
                batch_first = is_last and self.batch_first and packed is None
                directions = self._directions(layer, x, states, starts, blocks)
                options = (lengths, self.truncate, batch_first, reset, self.memory, low)
                output, final = run(Call(self.cell, x, directions, *options), self._engine)
                finals += final
                if self.residual and output.shape == x.shape:
                    output = output + zero_padding(x, lengths)
                x = output
                if self.dropout and self.training and not is_last:
                    x = drop(x, self.dropout, self.variational, packed)
            return x.to(dtype or x.dtype), map_state(join_states(finals), lambda s: s.to(dtype or s.dtype))

    def _directions(
        self, layer: int, x: Tensor, states: list[State], starts: list[State] | None, blocks: Blocks
    ) -> tuple[Direction, ...]:
        directions = []
        for d in range(self.num_directions):
            index = layer * self.num_directions + d
            params = blocks[index]
            if self.weight_dropout and self.training:
                params["weight_hh"] = F.dropout(params["weight_hh"], self.weight_dropout)
            masks = draw_masks(self.recurrent_dropout, self.zoneout, self.training, x.shape[0], states[index], x)
            start = None if starts is None else starts[index]
            directions.append(Direction(params, states[index], bool(d), masks, start))
        return tuple(directions)

    def _states(self, state: LayerState, x: Tensor, batched: bool, called: str = "hx") -> list[State]:
        """Return the initial states of each layer and direction: those given, those learned, or zeros."""
        count = self.num_layers * self.num_directions
        if state is None:
            learned = {n: getattr(self, f"initial_{n}") for n in self._learned if self.learn_initial_state}
            whole = initial_states(self.cell, self.hidden_size, count, x, learned)
        else:
            given = tuple(state) if isinstance(state, (tuple, list)) else (state,)
            check_state(given, self.cell, self.hidden_size, count, x, batched, called)
            whole = list(zip(*(s.unbind(0) for s in given), strict=True))
        if self.is_even:
            return whole
        sizes = [self.cell.state_sizes(width) for width in self.hidden_sizes for _ in range(self.num_directions)]
        return [tuple(s[:, :n] for s, n in zip(*pair, strict=True)) for pair in zip(whole, sizes, strict=True)]

    @property
    def is_even(self) -> bool:
        """Whether all layers are equally wide."""
        return len(set(self.hidden_sizes)) == 1

    def _is_plain(self) -> bool:
        # engines prepare stacks of equal layers
        return self.is_even and super()._is_plain()

    def trace(
        self, x: Tensor, state: LayerState = None, lengths: Tensor | None = None, *, reset: Tensor | None = None
    ) -> list[Trace]:
        """Return every gate and state at every step, by the scan, without a graph and as in evaluation.

        Args:
            x, state, lengths, reset: as in `forward`, batched.

        Returns:
            One dictionary a layer and direction (l0, l0_reverse, l1, …), name → (T, B, H): for an LSTM `i f g o c
            tanh_c h h_prev c_prev`, for a GRU `r z n h h_prev` (and `h_n`), for an RNN `preactivation h h_prev`, and
            for the others what their `trace` says.

        Raises:
            ArgumentError: the cell defines `step` only.
        """
        return [tape.stacked() for _, tape in self.unfold(x, state, lengths, reset=reset)]

    def unfold(
        self, x: Tensor, state: LayerState = None, lengths: Tensor | None = None, *, reset: Tensor | None = None
    ) -> list[tuple[ScanResult, Tape]]:
        """Unfold the stack by the scan, without a graph and as in evaluation: the tapes that `scan.bptt` walks back.

        Args:
            x, state, lengths, reset: as in `forward`, batched.

        Returns:
            A result and a tape for each layer and direction (l0, l0_reverse, l1, …), time first.

        Raises:
            ArgumentError: the cell defines `step` only.
        """
        check_input(x, self.input_size, self.parameter_blocks()[0]["weight_ih"], self.batch_first, "x")
        if x.dim() != 3:
            raise ShapeError("x", "three dimensions", x.shape)
        reset = time_first(reset, x, True, self.batch_first)
        x = x.transpose(0, 1) if self.batch_first else x
        unfolded: list[tuple[ScanResult, Tape]] = []
        over_time = partial(unfold, self.cell, lengths=lengths, truncate=self.truncate, reset=reset)
        with torch.no_grad():
            states, starts = self._states(state, x, True, "state"), self._states(None, x, True)
            blocks = self.parameter_blocks()
            for _ in range(self.num_layers):
                first = len(unfolded)
                for d in range(self.num_directions):
                    own, start, params = states[first + d], starts[first + d], blocks[first + d]
                    masks = draw_masks(0.0, self.zoneout, False, x.shape[0], own, x)
                    unfolded.append(over_time(x, own, params, reverse=bool(d), masks=masks, start=start))
                output = torch.cat([result.output for result, _ in unfolded[first:]], -1)
                if self.residual and output.shape == x.shape:
                    output = output + zero_padding(x, lengths)
                x = output
        return unfolded
