"""RNNCell, LSTMCell and GRUCell: one step as a module, drop-in for torch.nn's.

Letters: B batch, I input, H hidden.
"""

from __future__ import annotations

from contextlib import nullcontext

import torch
from torch import Tensor, nn
from torch.compiler import is_compiling

from unrolled import cells
from unrolled.cells import State
from unrolled.errors import ArgumentError, DTypeError, ShapeError
from unrolled.kernels import Call, Choice, Direction, choose, may_use_prepared, plainest_call, run
from unrolled.kernels.dispatch import check_engine_name
from unrolled.layers.recurrent.arguments import autocast_dtype, check_options, join_states
from unrolled.layers.recurrent.cached import CachedEngine
from unrolled.layers.recurrent.initial import initialise


class CellModule(CachedEngine):
    """A recurrent cell with parameters of its own: what RNNCell, LSTMCell and GRUCell have in common.

    Parameters are named and shaped as torch.nn's (`weight_ih`, `weight_hh`, `bias_ih`, `bias_hh`), so state_dicts load
    both ways; with equal options and seed the initial values are torch.nn's too. To run a cell over a whole sequence,
    the layer of the same name (`LSTM` for `LSTMCell`) is faster than a loop.

    Args:
        cell: the recurrence.
        input_size: I.
        hidden_size: H.
        bias: whether the cell has biases.
        engine: "auto", or one of "native", "torch", "scan" to insist on it.

    Raises:
        ArgumentError: for an option out of range, naming it.
    """

    num_directions = 1
    batch_first = residual = learn_initial_state = False
    truncate = None
    zoneout = ()
    dropout = recurrent_dropout = weight_dropout = 0.0

    def __init__(
        self,
        cell: cells.Cell,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        *,
        engine: str = "auto",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        sizes = {"input_size": input_size, "hidden_size": hidden_size}
        # torch's cells take any bias as true or false
        check_options(cell, sizes, {}, {}, (0.0,) * len(cell.state_names), None)
        self.cell, self.input_size, self.hidden_size, self.bias = cell, input_size, hidden_size, bool(bias)
        self._engine = check_engine_name(engine)
        shapes = cell.parameter_shapes(input_size, hidden_size, self.bias)
        for name, shape in shapes.items():
            self.register_parameter(name, nn.Parameter(torch.empty(shape, device=device, dtype=dtype)))
        # as torch's: a cell without biases has them as None
        for name in () if bias else ("bias_ih", "bias_hh"):
            self.register_parameter(name, None)
        self._names = [{name: name for name in shapes}]
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the parameters anew from U(−1/√H, 1/√H)."""
        initialise(self.cell, self.parameter_blocks(), self.hidden_size, "uniform", None)

    @property
    def engine(self) -> Choice:
        """The engine that would serve a step in training now, and why. Set it to a name to insist on one."""
        return choose(plainest_call(self.cell, self.parameter_blocks()[0]), self._engine)

    @engine.setter
    def engine(self, name: str) -> None:
        self._engine = check_engine_name(name)

    def forward(self, input: Tensor, hx: Tensor | State | None = None) -> Tensor | State:
        """Take one step.

        Args:
            input: (B, I), or (I,) for one sequence.
            hx: the previous state, h of shape (B, H), or (h, c) for an LSTM; (H,) each for one sequence. None is zeros.

        Returns:
            The next state, shaped as `hx`.

        Raises:
            ShapeError, DTypeError, ArgumentError, EngineError: naming the argument and the way out.
        """
        given = () if hx is None else tuple(hx) if isinstance(hx, (tuple, list)) else (hx,)
        self._check(input, given)
        x, state = input, given
        if input.dim() == 1:
            x, state = input.unsqueeze(0), tuple(s.unsqueeze(0) for s in given)
        new_state = self._step(x, state)
        if input.dim() == 1:
            new_state = tuple(s.squeeze(0) for s in new_state)
        return new_state if len(new_state) > 1 else new_state[0]

    def _step(self, x: Tensor, state: State) -> State:
        """Return the next state of x (B, I) and a checked state, or none for zeros, by the shortest way there is."""
        prepared = None if is_compiling() else self._prepared or self.prepared()
        if prepared is not None and may_use_prepared(prepared):
            given = join_states([state]) if state else None
            with_graph = torch.is_grad_enabled()
            result = prepared.run(x.unsqueeze(0), given, None) if with_graph else prepared.step(x, given)
            if result is not None:
                return _parts(result[1])
        low, params = autocast_dtype(x), self._used_blocks()[0]
        state = state or self.cell.initial_state(len(x), self.hidden_size, x)
        if low is not None:
            x, params = x.to(low), {name: p.to(low) for name, p in params.items()}
            # as torch's: on a CPU autocast lowers the products, on other devices the whole step
            if x.is_cpu:
                return self.cell.step(self.cell.project_input(x, params), state, params)
            state = tuple(s.to(low) for s in state)
        with nullcontext() if low is None else torch.autocast(x.device.type, enabled=False):
            return run(Call(self.cell, x.unsqueeze(0), (Direction(params, state),)), self._engine).states[0]

    def _check(self, x: Tensor, state: State) -> None:
        like, names = getattr(self, "weight_ih"), self.cell.state_names  # noqa: B009
        called = [f"hx[{name}]" for name in names] if len(names) > 1 else ["hx"]
        for name, tensor in (("input", x), *zip(called, state, strict=False)):
            if not isinstance(tensor, Tensor):
                raise DTypeError(f"{name}: expected a Tensor, found {type(tensor).__name__}")
            if tensor.device != like.device:
                raise DTypeError(f"{name}: expected device {like.device}, found {tensor.device}; move it with .to()")
            if tensor.dtype != like.dtype and autocast_dtype(x) is None:
                raise DTypeError(f"{name}: expected dtype {like.dtype}, found {tensor.dtype}; cast it with .to()")
        if x.dim() not in (1, 2) or x.shape[-1] != self.input_size:
            raise ShapeError("input", f"(B, I={self.input_size}) or (I={self.input_size},)", x.shape)
        if state and len(state) != len(names):
            expected = f"a tuple ({', '.join(names)})" if len(names) > 1 else "a tensor h"
            raise ArgumentError(f"hx: expected {expected}, found {len(state)} tensors")
        for name, tensor, size in zip(called, state, self.cell.state_sizes(self.hidden_size), strict=False):
            if tuple(tensor.shape) != (*x.shape[:-1], size):
                expected = f"(B={x.shape[0]}, H={size})" if x.dim() == 2 else f"(H={size},), as input is one sequence"
                raise ShapeError(name, expected, tensor.shape)

    def extra_repr(self) -> str:
        """The options that differ from their defaults."""
        return f"{self.cell}, {self.input_size}, {self.hidden_size}" + ("" if self.bias else ", bias=False")


class RNNCell(CellModule):
    """`torch.nn.RNNCell`, and more: `nonlinearity` may also be "sigmoid", and the gates layer-normalised.

    >>> import torch, unrolled
    >>> tuple(unrolled.RNNCell(3, 5)(torch.zeros(4, 3)).shape)
    (4, 5)
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        layer_norm: bool = False,
        engine: str = "auto",
    ) -> None:
        cell = cells.RNNCell(nonlinearity=nonlinearity, layer_norm=layer_norm)
        super().__init__(cell, input_size, hidden_size, bias, engine=engine, device=device, dtype=dtype)
        self.nonlinearity = nonlinearity


class LSTMCell(CellModule):
    """`torch.nn.LSTMCell`, and more: peepholes, a coupled input-forget gate, layer norm; see `unrolled.cells.LSTMCell`.

    >>> import torch, unrolled
    >>> h, c = unrolled.LSTMCell(3, 5)(torch.zeros(4, 3))
    >>> tuple(h.shape), tuple(c.shape)
    ((4, 5), (4, 5))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        peephole: bool = False,
        coupled: bool = False,
        layer_norm: bool = False,
        engine: str = "auto",
    ) -> None:
        cell = cells.LSTMCell(peephole=peephole, coupled=coupled, layer_norm=layer_norm)
        super().__init__(cell, input_size, hidden_size, bias, engine=engine, device=device, dtype=dtype)


class GRUCell(CellModule):
    """`torch.nn.GRUCell`, and more: `reset_after=False` is Cho et al.'s own form, and layer norm."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        reset_after: bool = True,
        layer_norm: bool = False,
        engine: str = "auto",
    ) -> None:
        cell = cells.GRUCell(reset_after=reset_after, layer_norm=layer_norm)
        super().__init__(cell, input_size, hidden_size, bias, engine=engine, device=device, dtype=dtype)


def _parts(state: Tensor | State) -> State:
    """Return the states (1, B, size) of a stack of one layer as those of a cell, (B, size)."""
    return tuple(s.squeeze(0) for s in (state if isinstance(state, tuple) else (state,)))
