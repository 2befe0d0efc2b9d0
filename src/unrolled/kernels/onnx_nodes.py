"""A layer as one of ONNX's own nodes, RNN, GRU or LSTM: its weights in ONNX's order, and in torch.onnx.export.

Letters: T time, B batch, I input, H hidden, D directions, G gates.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from unrolled.cells import Cell, GRUCell, LSTMCell, RNNCell
from unrolled.errors import EngineError
from unrolled.kernels.contract import Call, Result

#: ONNX's order of gates in ours: i f g o → i o f c, r z n → z r h
_ORDER = {"lstm": (0, 3, 1, 2), "gru": (1, 0, 2), "rnn": (0,)}
#: the version of the operators
OPSET = 14


def is_exporting() -> bool:
    """Return whether torch.onnx.export is at work."""
    return torch.onnx.is_in_onnx_export()


def has_node(cell: Cell) -> bool:
    """Return whether ONNX has a node for a cell without regularisers."""
    if type(cell) not in (RNNCell, GRUCell, LSTMCell):
        return False
    projected = isinstance(cell, LSTMCell) and cell.proj_size
    return not projected and not getattr(cell, "layer_norm", False)


def node_attributes(cell: Cell, hidden_size: int, directions: int) -> dict[str, int | str | Sequence[str]]:
    """Return the attributes of the node."""
    attributes: dict[str, int | str | Sequence[str]] = {"hidden_size": hidden_size}
    if directions == 2:
        attributes["direction"] = "bidirectional"
    if isinstance(cell, RNNCell) and cell.nonlinearity != "tanh":
        attributes["activations"] = [cell.nonlinearity.title()] * directions
    if isinstance(cell, GRUCell) and cell.reset_after:
        attributes["linear_before_reset"] = 1
    if isinstance(cell, LSTMCell) and cell.coupled:
        attributes["input_forget"] = 1
    return attributes


def node_weights(cell: Cell, directions: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Return W (D, G·H, I), R (D, G·H, H), B (D, 2·G·H) and P (D, 3·H), those of them that there are."""
    each = [_weights(cell, params) for params in directions]
    return {name: torch.stack([own[name] for own in each]) for name in each[0]}


def _weights(cell: Cell, params: Mapping[str, Tensor]) -> dict[str, Tensor]:
    gates = {"W": params["weight_ih"], "R": params["weight_hh"]}
    if "bias_ih" in params:
        gates |= {"Wb": params["bias_ih"], "Rb": params["bias_hh"]}
    split = {name: list(tensor.chunk(cell.num_gates)) for name, tensor in gates.items()}
    peepholes = list(params["weight_peephole"].chunk(cell.num_gates - 1)) if "weight_peephole" in params else []
    if isinstance(cell, LSTMCell) and cell.coupled:
        # ours keeps f and has i = 1 − f; ONNX keeps i = 1 − f = σ(−…), and reads no f
        split = {name: [-own[0], *own] for name, own in split.items()}
        peepholes = [-peepholes[0], *peepholes] if peepholes else []
    ordered = {name: torch.cat([own[k] for k in _ORDER[cell.name]]) for name, own in split.items()}
    weights = {"W": ordered["W"], "R": ordered["R"]}
    if "Wb" in ordered:
        weights["B"] = torch.cat([ordered["Wb"], ordered["Rb"]])
    if peepholes:
        i, f, o = peepholes
        weights["P"] = torch.cat([i, o, f])
    return weights


def add_node(call: Call) -> Result:
    """Add a layer to the graph that torch.onnx.export makes, with its length dynamic.

    Raises:
        EngineError: ONNX has no node for it.
    """
    cell, count = call.cell, len(call.directions)
    if call.reset is not None:
        raise EngineError("reset: ONNX's nodes know no resets; export a layer without, and reset between its calls")
    if not has_node(cell) or call.is_masked or call.truncate is not None:
        raise EngineError(
            f"engine: ONNX has no node for {cell} with these options; unrolled.export.to_onnx writes such a layer"
        )
    weights = node_weights(cell, [direction.params for direction in call.directions])
    states = [torch.stack(parts) for parts in zip(*(d.state for d in call.directions), strict=True)]
    time, batch, hidden = call.x.shape[0], call.x.shape[1], call.hidden_size
    lengths = None if call.lengths is None else call.lengths.to(torch.int32)
    inputs = [call.x, weights["W"], weights["R"], weights.get("B"), lengths, *states]
    if "P" in weights:
        inputs.append(weights["P"])
    output, *finals = torch.onnx.ops.symbolic_multi_out(
        cell.name.upper(),
        inputs,
        {**node_attributes(cell, hidden, count)},
        dtypes=[call.x.dtype] * (1 + len(states)),
        shapes=[(time, count, batch, hidden), *((count, batch, hidden) for _ in states)],
        version=OPSET,
    )
    if call.lengths is not None:
        # a sequence of no step keeps its state, of which runtimes make nothing
        empty = (call.lengths == 0).view(1, -1, 1)
        finals = [torch.where(empty, old, new) for old, new in zip(states, finals, strict=True)]
    joined = output.permute(0, 2, 1, 3).reshape(time, batch, count * hidden)
    return Result(joined, tuple(tuple(state[d] for state in finals) for d in range(count)))
