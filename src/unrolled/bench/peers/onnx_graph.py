"""A problem as an ONNX model of one LSTM, GRU or RNN node; the weights are constants of the model."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from unrolled.bench.problem import Answer, Problem

#: our gates in ONNX's order: i f g o → i o f c, r z n → z r h
_ORDER = {"lstm": (0, 3, 1, 2), "gru": (1, 0, 2), "rnn": (0,)}
#: the node's inputs after X, W, R and B
_STATES = ("initial_h", "initial_c")


def onnx_model(problem: Problem) -> bytes:
    """Return the model.

    Inputs: x (T, B, I), then `lengths` (B,) int32 if ragged, or the initial states (1, B, H) of a step. Outputs: y
    (T, 1, B, H) and the final states (1, B, H).
    """
    from onnx import TensorProto, checker, helper, numpy_helper

    case, weights = problem.case, problem.weights
    constants = {
        "W": _reordered(weights["weight_ih"], case.cell).unsqueeze(0),
        "R": _reordered(weights["weight_hh"], case.cell).unsqueeze(0),
        "B": torch.cat([_reordered(weights[n], case.cell) for n in ("bias_ih", "bias_hh")]).unsqueeze(0),
    }
    states = _STATES[: len(problem.state)] if case.mode == "step" else ()
    ragged = case.mode == "ragged"
    finals = ["h_n", "c_n"][: len(problem.state)]
    attributes: dict[str, Any] = {"hidden_size": case.hidden}
    if case.cell == "gru":
        attributes["linear_before_reset"] = 1
    node = helper.make_node(
        case.cell.upper(), ["x", "W", "R", "B", "lengths" if ragged else "", *states], ["y", *finals], **attributes
    )
    sizes = (1, case.batch, case.hidden)
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, (case.time, case.batch, case.hidden))]
    if ragged:
        inputs.append(helper.make_tensor_value_info("lengths", TensorProto.INT32, (case.batch,)))
    inputs += [helper.make_tensor_value_info(name, TensorProto.FLOAT, sizes) for name in states]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, (case.time, *sizes))]
    outputs += [helper.make_tensor_value_info(name, TensorProto.FLOAT, sizes) for name in finals]
    graph = helper.make_graph(
        [node], "layer", inputs, outputs, [numpy_helper.from_array(c.numpy(), n) for n, c in constants.items()]
    )
    # versions that all runtimes of recent years read
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    checker.check_model(model)
    return bytes(model.SerializeToString())


def onnx_inputs(problem: Problem) -> dict[str, Any]:
    """Return the model's inputs as numpy arrays by name."""
    inputs = {"x": problem.x.reshape(problem.case.time, problem.case.batch, -1).numpy()}
    if problem.lengths is not None:
        inputs["lengths"] = problem.lengths.to(torch.int32).numpy()
    if problem.case.mode == "step":
        inputs |= {name: s.unsqueeze(0).numpy() for name, s in zip(_STATES, problem.state, strict=False)}
    return inputs


def onnx_answer(problem: Problem, results: Any) -> Answer:
    """Return the model's outputs, given in their order, by our names."""
    import numpy

    y, *finals = (torch.from_numpy(numpy.array(r)) for r in results)
    output = y.reshape(problem.x.shape)
    return {"output": output} | {name: s[0] for name, s in zip(("h_n", "c_n"), finals, strict=False)}


def _reordered(weight: Tensor, cell: str) -> Tensor:
    """Reorder rows by gate as ONNX has them."""
    gates = weight.chunk(len(_ORDER[cell]))
    return torch.cat([gates[k] for k in _ORDER[cell]]).contiguous()
