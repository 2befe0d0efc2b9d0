"""Small ONNX models, made with onnx.helper."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

Arrays = dict[str, np.ndarray]
GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}


def model_of(
    nodes: list[onnx.NodeProto], inputs: Arrays, outputs: list[str], constants: Arrays, opset: int
) -> onnx.ModelProto:
    """A model whose inputs are shaped as these arrays; outputs have no type, which readers need not know."""
    values = [
        helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(v.dtype), v.shape) for n, v in inputs.items()
    ]
    results = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs]
    initializers = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    graph = helper.make_graph(nodes, "graph", values, results, initializers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def recurrent_model(
    kind: str,
    seed: int = 0,
    *,
    lengths: list[int] | None = None,
    bias: bool = True,
    peephole: bool = False,
    states: str = "",
    constant: bool = True,
    opset: int = 14,
    **attributes: Any,
) -> tuple[onnx.ModelProto, Arrays]:
    """One recurrent node over T=5, B=3, I=2, H=4, and what to feed it.

    Args:
        states: which initial states are inputs: "", "h", "c" or "hc".
        constant: whether the weights are constants, or inputs after X.
    """
    generator = np.random.default_rng(seed)
    directions, layout = 2 if attributes.get("direction") == "bidirectional" else 1, attributes.get("layout", 0)

    def random(*shape: int) -> np.ndarray:
        return (0.5 * generator.standard_normal(shape)).astype(np.float32)

    rows = GATES[kind] * 4
    weights = {"W": random(directions, rows, 2), "R": random(directions, rows, 4)}
    weights |= {"B": random(directions, 2 * rows)} if bias else {}
    weights |= {"P": random(directions, 12)} if peephole else {}
    state = (3, directions, 4) if layout else (directions, 3, 4)
    feeds = {"X": random(3, 5, 2) if layout else random(5, 3, 2)} | ({} if constant else weights)
    feeds |= {"lengths": np.array(lengths, np.int32)} if lengths else {}
    feeds |= {f"{name}_0": random(*state) for name in states}
    names = ["X", "W", "R", "B", "lengths", "h_0", "c_0", "P"][: 8 if kind == "LSTM" else 6]
    names = [name if name in feeds or name in weights else "" for name in names]
    outputs = ["Y", "Y_h", "Y_c"] if kind == "LSTM" else ["Y", "Y_h"]
    node = helper.make_node(kind, names, outputs, name="cell", **({"hidden_size": 4} | attributes))
    return model_of([node], feeds, outputs, weights if constant else {}, opset), feeds


def runtime_outputs(model: onnx.ModelProto | bytes, feeds: Arrays) -> list[np.ndarray]:
    """What ONNX Runtime yields."""
    data = model if isinstance(model, bytes) else model.SerializeToString()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return list(onnxruntime.InferenceSession(data, options).run(None, feeds))
