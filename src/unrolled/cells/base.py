"""The contract every cell keeps.

Letters: B batch, I input, H hidden, P projected hidden (H where there is no projection), G gates, X width of x_gates
(G·H in most cells).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

State = tuple[Tensor, ...]
Params = Mapping[str, Tensor]
Trace = dict[str, Tensor]


class StepGradients(NamedTuple):
    """The gradients of one step of BPTT.

    Attributes:
        dx_gates: (B, X), the gradient of the input's share of the gates.
        dstate: the gradient of each previous state, shaped as that state.
        dparams: this step's contribution to the gradient of each parameter that the step itself uses.
    """

    dx_gates: Tensor
    dstate: State
    dparams: dict[str, Tensor]


class Cell(ABC):
    """One recurrence. Subclasses are frozen dataclasses: two cells with equal options are equal and hash alike.

    A cell of your own needs `name`, `num_gates`, `parameter_shapes`, `state_sizes` and `step`; autograd then does its
    backward pass, and `unrolled.layers.Recurrent` makes a layer of it. Cells that also define `trace` and
    `step_backward` can be looked into and take part in the explicit BPTT of `unrolled.scan`.
    """

    name: ClassVar[str]
    state_names: ClassVar[tuple[str, ...]] = ("h",)
    #: whether `step` takes `mask`, the variational dropout mask on the recurrent connection
    accepts_mask: ClassVar[bool] = False
    #: states that `step` yields and never reads: an output that is not fed back
    unread_states: ClassVar[tuple[str, ...]] = ()
    #: states that have a meaning only together, so that none of them may be learned, or kept by zoneout
    joint_states: ClassVar[tuple[str, ...]] = ()

    @property
    @abstractmethod
    def num_gates(self) -> int:
        """G, the number of blocks of H rows in weight_ih; a cell in which it varies defines `hidden_size`."""

    @abstractmethod
    def parameter_shapes(self, input_size: int, hidden_size: int, bias: bool = True) -> dict[str, tuple[int, ...]]:
        """Names and shapes of the parameters, in torch.nn's order; `weight_ih`, of I columns, is among them."""

    def hidden_size(self, params: Params) -> int:
        """H, read off the shapes of the parameters."""
        return params["weight_ih"].shape[0] // self.num_gates

    def initialise(self, params: Params, hidden_size: int) -> None:
        """Draw the parameters in place: as torch.nn does, from U(−1/√H, 1/√H), in order; gains are 1, their shifts 0.

        A cell whose paper says otherwise overrides it. Called where no graph is made.
        """
        bound = 1 / math.sqrt(hidden_size)
        for name, parameter in params.items():
            if name in ("norm_ih", "norm_hh", "norm_c"):
                nn.init.ones_(parameter)
            elif name == "norm_c_bias":
                nn.init.zeros_(parameter)
            else:
                nn.init.uniform_(parameter, -bound, bound)

    @abstractmethod
    def state_sizes(self, hidden_size: int) -> tuple[int, ...]:
        """Width of each state; the first state is the output."""

    @abstractmethod
    def step(self, x_gates: Tensor, state: State, params: Params, mask: Tensor | None = None) -> State:
        """The next state.

        Args:
            x_gates: what `project_input` made of x_t, (B, X).
            state: the previous state; not modified.
            params: the parameters by name.
            mask: (B, P), multiplies h_{t-1} where it enters the recurrent products, and nowhere else.
        """

    def project_input(self, x: Tensor, params: Params) -> Tensor:
        """Everything of a step that depends on x alone, for any number of leading dimensions, (…, I) → (…, X).

        W_ih x + b_ih, (…, G·H), unless the cell says otherwise. For all T steps it is one product.
        """
        return F.linear(x, params["weight_ih"], params.get("bias_ih"))

    def project_input_backward(self, x: Tensor, dx_gates: Tensor, params: Params) -> tuple[Tensor, dict[str, Tensor]]:
        """The gradient of `project_input`: for x, and for the parameters it uses.

        Args:
            x: (T, B, I).
            dx_gates: (T, B, X).
        """
        rows, drows = x.reshape(-1, x.shape[-1]), dx_gates.reshape(-1, dx_gates.shape[-1])
        dparams = {"weight_ih": drows.T @ rows}
        if "bias_ih" in params:
            dparams["bias_ih"] = drows.sum(0)
        return dx_gates @ params["weight_ih"], dparams

    def trace(self, x_gates: Tensor, state: State, params: Params, mask: Tensor | None = None) -> tuple[State, Trace]:
        """Take a step, and record every gate by name, for `step_backward` and for pictures.

        Raises:
            NotImplementedError: for a cell that defines `step` alone.
        """
        raise NotImplementedError(f"the cell {self.name!r} defines step alone, so it has no record of its gates")

    def step_backward(self, trace: Trace, dstate: State, params: Params) -> StepGradients:
        """Take one step of BPTT: from the gradient of the new state to those of its inputs.

        Args:
            trace: the record of that step.
            dstate: the gradient of each new state, from the loss at this step and from all later ones.

        Raises:
            NotImplementedError: for a cell that defines `step` alone; autograd through `scan` serves it.
        """
        raise NotImplementedError(f"the cell {self.name!r} defines no step_backward; autograd through scan serves it")

    @property
    def activations(self) -> Mapping[str, str]:
        """The activation of each quantity that `trace` records: sigmoid, tanh or relu."""
        return {}

    @property
    def projects_plainly(self) -> bool:
        """Whether `project_input` is W_ih x + b_ih and nothing else, so that the columns of W_ih may be used apart."""
        return type(self).project_input is Cell.project_input

    @property
    def free_states(self) -> tuple[str, ...]:
        """The states that may begin with any numbers, and make a difference if they do."""
        return tuple(n for n in self.state_names if n not in (*self.unread_states, *self.joint_states))

    @property
    def forget_gate(self) -> int | None:
        """Which block of H biases in bias_ih is the gate's that keeps the memory where it is open; None for none."""
        return None

    @property
    def is_traced(self) -> bool:
        """Whether the cell defines `trace` and `step_backward`."""
        return type(self).trace is not Cell.trace and type(self).step_backward is not Cell.step_backward

    def initial_state(self, batch: int, hidden_size: int, like: Tensor) -> State:
        """Zeros of every state, in the dtype and on the device of `like`."""
        return tuple(torch.zeros(batch, n, dtype=like.dtype, device=like.device) for n in self.state_sizes(hidden_size))
