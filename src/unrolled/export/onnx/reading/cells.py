"""The cells of ONNX's RNN, GRU and LSTM in full: any activations, clipping, coupled gates and peepholes.

What one of our own cells says, ours computes; these are for the rest. Each runs under `unrolled.scan`, as a cell of a
user's own does. Gates are in our order (i f g o, r z n), not in the files'.

Source: the definition of the operators, https://onnx.ai/onnx/operators/ (RNN, GRU, LSTM).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from unrolled.cells import Cell, Params, State


class _Definition(NamedTuple):
    """An activation as a function of x, α and β, and the defaults of those that it has."""

    function: Callable[[Tensor, float, float], Tensor]
    alpha: float | None = None
    beta: float | None = None


#: by the name in lower case, since files write them as they like
ACTIVATIONS: dict[str, _Definition] = {
    "relu": _Definition(lambda x, a, b: torch.relu(x)),
    "tanh": _Definition(lambda x, a, b: torch.tanh(x)),
    "sigmoid": _Definition(lambda x, a, b: torch.sigmoid(x)),
    "softsign": _Definition(lambda x, a, b: F.softsign(x)),
    "softplus": _Definition(lambda x, a, b: F.softplus(x)),
    "affine": _Definition(lambda x, a, b: a * x + b, 1.0, 0.0),
    "leakyrelu": _Definition(lambda x, a, b: torch.where(x >= 0, x, a * x), 0.01),
    "thresholdedrelu": _Definition(lambda x, a, b: torch.where(x > a, x, torch.zeros_like(x)), 1.0),
    "scaledtanh": _Definition(lambda x, a, b: a * torch.tanh(b * x), 1.0, 1.0),
    "hardsigmoid": _Definition(lambda x, a, b: (a * x + b).clamp(0, 1), 0.2, 0.5),
    "elu": _Definition(lambda x, a, b: torch.where(x > 0, x, a * torch.expm1(x)), 1.0),
}


@dataclass(frozen=True)
class OnnxActivation:
    """An activation by its name in `ACTIVATIONS`, with its α and β."""

    name: str
    alpha: float = 0.0
    beta: float = 0.0

    def __call__(self, x: Tensor, clip: float | None) -> Tensor:
        """Return its value at x, whose elements are first brought into [−clip, clip]."""
        if clip is not None:
            x = x.clamp(-clip, clip)
        return ACTIVATIONS[self.name].function(x, self.alpha, self.beta)


@dataclass(frozen=True)
class OnnxCell(Cell):
    """The base of the three cells.

    Attributes:
        functions: the activations f, g, h, as many as the cell has.
        clip: what is given to an activation is brought into [−clip, clip]; None is no bound.
    """

    functions: tuple[OnnxActivation, ...]
    clip: float | None = None

    gates: ClassVar[int] = 1

    @property
    def num_gates(self) -> int:
        """G."""
        return self.gates

    def state_sizes(self, hidden_size: int) -> tuple[int, ...]:
        """H, for each state."""
        return (hidden_size,) * len(self.state_names)

    def parameter_shapes(self, input_size: int, hidden_size: int, bias: bool = True) -> dict[str, tuple[int, ...]]:
        """As torch.nn's, (G·H, ·)."""
        rows = self.num_gates * hidden_size
        shapes: dict[str, tuple[int, ...]] = {"weight_ih": (rows, input_size), "weight_hh": (rows, hidden_size)}
        return shapes | ({"bias_ih": (rows,), "bias_hh": (rows,)} if bias else {})

    def activate(self, index: int, x: Tensor) -> Tensor:
        """Return f, g or h of x, by its number."""
        return self.functions[index](x, self.clip)

    @abstractmethod
    def step(self, x_gates: Tensor, state: State, params: Params, mask: Tensor | None = None) -> State:
        """Return the next state; `mask` is for training and not taken."""


@dataclass(frozen=True)
class OnnxRNNCell(OnnxCell):
    """H_t = f(W x_t + Wb + R h_{t-1} + Rb)."""

    name: ClassVar[str] = "onnx_rnn"

    def step(self, x_gates: Tensor, state: State, params: Params, mask: Tensor | None = None) -> State:
        """Return (h_t,), (B, H)."""
        return (self.activate(0, x_gates + F.linear(state[0], params["weight_hh"], params.get("bias_hh"))),)


@dataclass(frozen=True)
class OnnxGRUCell(OnnxCell):
    """r, z = f(…), n = g(…), h_t = (1 − z) ⊙ n + z ⊙ h_{t-1}; gate order r, z, n.

    Attributes:
        reset_after: the files' linear_before_reset.
    """

    reset_after: bool = False

    name: ClassVar[str] = "onnx_gru"
    gates: ClassVar[int] = 3

    def step(self, x_gates: Tensor, state: State, params: Params, mask: Tensor | None = None) -> State:
        """Return (h_t,), (B, H)."""
        (h,) = state
        x_r, x_z, x_n = x_gates.chunk(3, -1)
        weights, biases = (
            params["weight_hh"].chunk(3),
            (params["bias_hh"].chunk(3) if "bias_hh" in params else (None,) * 3),
        )
        r, z = (self.activate(0, x + F.linear(h, weights[k], biases[k])) for k, x in enumerate((x_r, x_z)))
        recurrent = F.linear(h if self.reset_after else r * h, weights[2], biases[2])
        n = self.activate(1, x_n + (r * recurrent if self.reset_after else recurrent))
        return ((1 - z) * n + z * h,)


@dataclass(frozen=True)
class OnnxLSTMCell(OnnxCell):
    """i, f, o = f(…), g = g(…), c_t = f ⊙ c_{t-1} + i ⊙ g, h_t = o ⊙ h(c_t); gate order i, f, g, o.

    Attributes:
        coupled: f = 1 − i, the files' input_forget.
        peephole: i and f also see c_{t-1}, and o sees c_t, through `weight_peephole` (order i, f, o).
    """

    coupled: bool = False
    peephole: bool = False

    name: ClassVar[str] = "onnx_lstm"
    state_names: ClassVar[tuple[str, ...]] = ("h", "c")
    gates: ClassVar[int] = 4

    def parameter_shapes(self, input_size: int, hidden_size: int, bias: bool = True) -> dict[str, tuple[int, ...]]:
        """As torch.nn's, and `weight_peephole` (3H,)."""
        shapes = super().parameter_shapes(input_size, hidden_size, bias)
        return shapes | ({"weight_peephole": (3 * hidden_size,)} if self.peephole else {})

    def step(self, x_gates: Tensor, state: State, params: Params, mask: Tensor | None = None) -> State:
        """Return (h_t, c_t), each (B, H)."""
        h, c = state
        gates = x_gates + F.linear(h, params["weight_hh"], params.get("bias_hh"))
        x_i, x_f, x_g, x_o = gates.chunk(4, -1)
        p_i, p_f, p_o = params["weight_peephole"].chunk(3) if self.peephole else (0.0, 0.0, 0.0)
        i = self.activate(0, x_i + p_i * c)
        f = 1 - i if self.coupled else self.activate(0, x_f + p_f * c)
        c = f * c + i * self.activate(1, x_g)
        o = self.activate(0, x_o + p_o * c)
        # as ONNX Runtime has it: clipping is for the gates, and h reads c_t as it is
        return o * self.functions[2](c, None), c
