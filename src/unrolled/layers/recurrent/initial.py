"""Initial values of recurrent parameters."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from unrolled.cells import Cell, GRUCell, State
from unrolled.errors import ArgumentError

INITIALISATIONS = ("uniform", "orthogonal", "identity")


def initialise(
    cell: Cell,
    blocks: Sequence[dict[str, nn.Parameter]],
    hidden_size: int,
    method: str,
    forget_bias: float | None,
    chrono: int | None = None,
) -> None:
    """Draw the parameters of a stack in place.

    Args:
        method: "uniform": what the cell's paper says (`Cell.initialise`), which for RNN, LSTM and GRU is U(−1/√H, 1/√H)
            in torch.nn's order, so that equal seeds give torch's values; "orthogonal": each gate's recurrent matrix
            orthogonal (Saxe et al. 2014, arXiv 1312.6120), input matrices Glorot-uniform, biases zero; "identity": as
            orthogonal, with the identity for the recurrent matrices.
        forget_bias: the sum of the forget gate's two biases; None leaves them as drawn.
        chrono: T_max, the longest memory in steps: unit by unit, the gate that keeps the state begins with the bias
            ln u, u ~ U(1, T_max − 1), and an LSTM's input gate with −ln u, so that the units forget over times from 1
            to T_max (Tallec & Ollivier 2018, arXiv 1804.11188, equation 16).

    Raises:
        ArgumentError: for a method that is none of these, or biases that the gates lack.
    """
    if method not in INITIALISATIONS:
        raise ArgumentError(f"initialisation: expected one of {', '.join(INITIALISATIONS)}, found {method!r}")
    with torch.no_grad():
        for block in blocks:
            if method == "uniform":
                cell.initialise(block, hidden_size)
            else:
                _by_kind(block, hidden_size, method)
            if forget_bias is not None:
                _set_forget_bias(cell, block, hidden_size, forget_bias)
            if chrono is not None:
                _set_chrono(cell, block, hidden_size, chrono, forget_bias)


def _by_kind(block: dict[str, nn.Parameter], hidden_size: int, method: str) -> None:
    """Draw recurrent matrices by `method`, other matrices Glorot-uniform; biases are 0 and gains 1."""
    bound = 1 / math.sqrt(hidden_size)
    for name, parameter in block.items():
        if name in ("norm_ih", "norm_hh", "norm_c"):
            nn.init.ones_(parameter)
        elif name in ("weight_hr", "weight_peephole"):
            nn.init.uniform_(parameter, -bound, bound)
        elif name == "weight_hh":
            _recurrent(parameter, hidden_size, method)
        elif name == "weight_ih":
            for gate in torch.split(parameter, hidden_size):
                nn.init.xavier_uniform_(gate)
        elif parameter.dim() == 1:
            nn.init.zeros_(parameter)
        else:
            nn.init.xavier_uniform_(parameter)


def _recurrent(weight: Tensor, hidden_size: int, method: str) -> None:
    for gate in torch.split(weight, hidden_size):
        if method == "orthogonal":
            nn.init.orthogonal_(gate)
        else:
            nn.init.eye_(gate)


def _set_forget_bias(cell: Cell, block: dict[str, nn.Parameter], hidden_size: int, value: float) -> None:
    if "bias_ih" not in block:
        raise ArgumentError("forget_bias: needs bias=True")
    start = (cell.forget_gate or 0) * hidden_size
    block["bias_ih"][start : start + hidden_size] = value
    if "bias_hh" in block:
        block["bias_hh"][start : start + hidden_size] = 0


def _set_chrono(
    cell: Cell, block: dict[str, nn.Parameter], hidden_size: int, longest: int, forget_bias: float | None
) -> None:
    if "bias_ih" not in block:
        raise ArgumentError("chrono: needs bias=True")
    if forget_bias is not None:
        raise ArgumentError("chrono: does not go with forget_bias, both set the same bias")
    if not isinstance(longest, int) or isinstance(longest, bool) or longest < 3:
        raise ArgumentError(f"chrono: expected an integer of at least 3 steps, found {longest!r}")
    keep = torch.empty_like(block["bias_ih"][:hidden_size]).uniform_(1, longest - 1).log_()
    # gates in torch's order: i f g o, coupled f g o; r z n, where z keeps
    at = 1 if isinstance(cell, GRUCell) else cell.forget_gate or 0
    gates = {at: keep} if at == 0 or isinstance(cell, GRUCell) else {at: keep, 0: -keep}
    for gate, bias in gates.items():
        rows = slice(gate * hidden_size, (gate + 1) * hidden_size)
        block["bias_ih"][rows] = bias
        block["bias_hh"][rows] = 0


def initial_states(cell: Cell, hidden_size: int, count: int, x: Tensor, learned: Mapping[str, Tensor]) -> list[State]:
    """Return the states that each of `count` layers and directions starts from, one tensor (B, size) a state.

    Args:
        x: (T, B, I), the input.
        learned: the learned states by name, (count, 1, size); zeros for those that are absent.
    """
    batch = x.shape[1]
    if not learned:
        return [cell.initial_state(batch, hidden_size, x) for _ in range(count)]
    states = [
        learned[name].expand(-1, batch, -1) if name in learned else x.new_zeros(count, batch, size)
        for name, size in zip(cell.state_names, cell.state_sizes(hidden_size), strict=True)
    ]
    return list(zip(*(s.unbind(0) for s in states), strict=True))
