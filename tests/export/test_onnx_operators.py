"""Operators that stand around recurrent ones, beside onnx's own definitions of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from unrolled.errors import ModelError
from unrolled.export import from_onnx
from unrolled.export.onnx.reading.operators import OPERATORS

from .onnx_models import model_of, runtime_outputs

RANDOM = np.random.default_rng(0)


def real(*shape: int) -> np.ndarray:
    return RANDOM.standard_normal(shape).astype(np.float32)


def whole(*numbers: Any) -> np.ndarray:
    return np.array(numbers[0] if len(numbers) == 1 else numbers, np.int64)


def truth(*shape: int) -> np.ndarray:
    return RANDOM.random(shape) < 0.5


X = real(2, 3, 4)
TIED = np.round(real(3, 5)).clip(-1, 1)
UNARY = ("Abs", "Ceil", "Cos", "Erf", "Exp", "Floor", "Identity", "Neg", "Reciprocal", "Relu", "Round", "Sigmoid")
UNARY += (
    "Sign",
    "Sin",
    "Softplus",
    "Softsign",
    "Tanh",
    "Selu",
    "HardSigmoid",
    "HardSwish",
    "LeakyRelu",
    "Elu",
    "IsNaN",
)
UNARY += ("ThresholdedRelu",)
REDUCE = ("Sum", "Mean", "Max", "Min", "Prod", "L1", "L2", "SumSquare", "LogSumExp")

#: operator, opset, inputs (None is left out), attributes, number of outputs
Case = tuple[str, int, list[Any], dict[str, Any], int]
CASES: list[Case] = [
    *((op, 17, [X], {}, 1) for op in UNARY),
    *((op, 17, [np.abs(X)], {}, 1) for op in ("Log", "Sqrt")),
    ("HardSigmoid", 6, [X], {"alpha": 0.3, "beta": 0.4}, 1),
    ("LeakyRelu", 6, [X], {"alpha": 0.3}, 1),
    ("Selu", 6, [X], {"alpha": 1.5, "gamma": 1.1}, 1),
    ("Gelu", 20, [X], {}, 1),
    ("Gelu", 20, [X], {"approximate": "tanh"}, 1),
    ("PRelu", 17, [X, real(4)], {}, 1),
    ("Not", 17, [truth(3, 4)], {}, 1),
    *((op, 17, [truth(3, 4), truth(4)], {}, 1) for op in ("And", "Or", "Xor")),
    ("Where", 17, [truth(3, 1), real(1, 4), real(3, 4)], {}, 1),
    *((op, 17, [X, real(3, 1)], {}, 1) for op in ("Add", "Sub", "Mul", "Div")),
    *(
        (op, 17, [TIED, np.round(real(5))], {}, 1)
        for op in ("Equal", "Greater", "Less", "GreaterOrEqual", "LessOrEqual")
    ),
    ("Div", 17, [whole(-7, 7, 8), whole(2, -2, 3)], {}, 1),
    ("Mod", 17, [whole(-7, 7, 8), whole(2, -2, 3)], {}, 1),
    ("Mod", 17, [real(5), real(5)], {"fmod": 1}, 1),
    ("Pow", 17, [np.abs(X), np.float32(1.5)], {}, 1),
    *((op, 17, [real(3, 4), real(4), real(3, 1)], {}, 1) for op in ("Sum", "Mean", "Max", "Min")),
    ("Clip", 17, [X, np.float32(-0.3), np.float32(0.4)], {}, 1),
    ("Clip", 17, [X, None, np.float32(0.4)], {}, 1),
    ("Clip", 17, [X, np.float32(0.1)], {}, 1),
    ("Clip", 6, [X], {"max": 0.2}, 1),
    ("Cast", 17, [X], {"to": TensorProto.INT64}, 1),
    ("Cast", 17, [whole(0, 1, 2)], {"to": TensorProto.BOOL}, 1),
    ("CastLike", 17, [whole(0, 1, 2), real(1)], {}, 1),
    ("Dropout", 17, [X], {}, 2),
    ("Dropout", 17, [X, np.float32(0.5), np.array(False)], {}, 1),
    ("Constant", 17, [], {"value_floats": [1.0, 2.5]}, 1),
    ("Constant", 17, [], {"value_int": 3}, 1),
    ("Constant", 17, [], {"value": numpy_helper.from_array(real(2, 2))}, 1),
    ("ConstantOfShape", 17, [whole(2, 3)], {}, 1),
    ("ConstantOfShape", 17, [whole(2, 3)], {"value": numpy_helper.from_array(whole([7]))}, 1),
    ("Shape", 17, [X], {}, 1),
    ("Shape", 17, [X], {"start": -2, "end": -1}, 1),
    ("Size", 17, [X], {}, 1),
    ("Range", 17, [whole(3), whole(12), whole(4)], {}, 1),
    ("EyeLike", 17, [real(3, 4)], {"k": 1}, 1),
    ("Reshape", 17, [X, whole(0, -1)], {}, 1),
    ("Reshape", 17, [real(0, 3), whole(0, 4, 3)], {"allowzero": 1}, 1),
    *(("Flatten", 17, [X], {"axis": axis}, 1) for axis in (0, 1, 2, -1)),
    ("Transpose", 17, [X], {}, 1),
    ("Transpose", 17, [X], {"perm": [1, 0, 2]}, 1),
    ("Squeeze", 17, [real(1, 3, 1)], {}, 1),
    ("Squeeze", 17, [real(1, 3, 1), whole([-1])], {}, 1),
    ("Squeeze", 11, [real(1, 3, 1)], {"axes": [0, 2]}, 1),
    ("Unsqueeze", 17, [real(3), whole(0, -1)], {}, 1),
    ("Unsqueeze", 11, [real(3, 2)], {"axes": [1, 3]}, 1),
    ("Concat", 17, [real(2, 3), real(2, 1), real(2, 2)], {"axis": -1}, 1),
    ("Split", 17, [real(2, 7)], {"axis": 1, "split": None}, 7),
    ("Split", 11, [real(2, 7)], {"axis": 1, "split": [3, 4]}, 2),
    ("Split", 17, [real(6, 2), whole(1, 5)], {}, 2),
    ("Split", 18, [real(7, 2)], {"num_outputs": 3}, 3),
    ("Slice", 17, [X, whole(1, -3), whole(100, -1), whole(1, 2)], {}, 1),
    ("Slice", 17, [X, whole([-1]), whole([-(2**62)]), whole([1]), whole([-1])], {}, 1),
    ("Slice", 17, [X, whole(0, 3), whole(3, 0), whole(1, -1), whole(2, -2)], {}, 1),
    ("Slice", 9, [X], {"starts": [1, 0], "ends": [2, -1], "axes": [0, 2]}, 1),
    ("Slice", 9, [X], {"starts": [0, 1], "ends": [1, 2**31]}, 1),
    ("Gather", 17, [X, whole([[0, -1], [2, 1]])], {"axis": 1}, 1),
    ("Gather", 17, [X, whole(1)], {}, 1),
    ("GatherElements", 17, [real(3, 3), whole([[0, -1, 2], [1, 1, 0]])], {"axis": 0}, 1),
    ("GatherND", 17, [X, whole([[0, 2], [1, 0]])], {}, 1),
    ("Expand", 17, [real(3, 1), whole(2, 1, 4)], {}, 1),
    ("Tile", 17, [real(2, 3), whole(2, 2)], {}, 1),
    ("Pad", 17, [real(2, 3), whole(0, 1, 2, 0), np.float32(1.5)], {}, 1),
    ("Pad", 18, [X, whole(1, 2), None, whole([1])], {}, 1),
    ("ReverseSequence", 17, [real(4, 3), whole(2, 4, 1)], {"time_axis": 0, "batch_axis": 1}, 1),
    ("ReverseSequence", 17, [real(3, 4), whole(2, 4, 1)], {"time_axis": 1, "batch_axis": 0}, 1),
    ("OneHot", 17, [whole([[0, 2], [-1, 1]]), whole(3), np.array([0.5, 2], np.float32)], {"axis": 1}, 1),
    ("NonZero", 17, [TIED], {}, 1),
    *(("Trilu", 17, [real(4, 4), whole(1)], {"upper": upper}, 1) for upper in (0, 1)),
    *((f"Reduce{op}", 17 if op == "Sum" else 13, [X], {}, 1) for op in REDUCE),
    *((f"Reduce{op}", 13, [X], {"axes": [0, 2], "keepdims": 0}, 1) for op in REDUCE if op != "Sum"),
    *((f"Reduce{op}", 18, [X, whole([-1])], {"keepdims": 0}, 1) for op in REDUCE),
    ("ReduceSum", 11, [X], {"axes": [1]}, 1),
    ("ReduceSum", 17, [X], {"noop_with_empty_axes": 1}, 1),
    *((op, 17, [TIED], {"axis": 1, "keepdims": keep}, 1) for op in ("ArgMax", "ArgMin") for keep in (0, 1)),
    ("ArgMax", 17, [TIED], {"axis": -1, "select_last_index": 1}, 1),
    ("TopK", 17, [real(3, 6), whole([2])], {"axis": -1}, 2),
    ("TopK", 17, [real(3, 6), whole([2])], {"axis": 0, "largest": 0}, 2),
    *(("CumSum", 17, [real(3, 4), whole(1)], {"exclusive": e, "reverse": r}, 1) for e in (0, 1) for r in (0, 1)),
    ("MatMul", 17, [real(2, 3, 4), real(4, 5)], {}, 1),
    ("Gemm", 17, [real(4, 3), real(5, 4), real(5)], {"alpha": 0.5, "beta": 2.0, "transA": 1, "transB": 1}, 1),
    ("Gemm", 17, [real(3, 4), real(4, 5)], {}, 1),
    ("Einsum", 17, [real(2, 3), real(3, 4)], {"equation": "ij,jk->ki"}, 1),
    *(
        (op, opset, [X], {"axis": axis}, 1)
        for op in ("Softmax", "LogSoftmax")
        for opset in (11, 13)
        for axis in (1, -1)
    ),
    ("Softmax", 17, [X], {}, 1),
    ("BatchNormalization", 15, [X, real(3), real(3), real(3), np.abs(real(3))], {"epsilon": 1e-3}, 1),
    ("LayerNormalization", 17, [X, real(4), real(4)], {}, 1),
    ("LayerNormalization", 17, [X, real(3, 4)], {"axis": 1, "epsilon": 1e-2}, 1),
    ("InstanceNormalization", 17, [X, real(3), real(3)], {}, 1),
    ("Conv", 17, [real(2, 4, 7), real(6, 2, 3), real(6)], {"group": 2, "pads": [2, 1], "dilations": [2]}, 1),
    ("Conv", 17, [real(1, 2, 5, 6), real(3, 2, 3, 2)], {"strides": [2, 1], "auto_pad": "SAME_UPPER"}, 1),
    ("MaxPool", 17, [real(1, 2, 6, 5)], {"kernel_shape": [3, 2], "strides": [2, 2], "pads": [1, 0, 1, 1]}, 1),
    ("MaxPool", 17, [real(1, 2, 7)], {"kernel_shape": [2]}, 1),
    ("AveragePool", 17, [real(1, 2, 7)], {"kernel_shape": [3], "strides": [2], "pads": [1, 1]}, 1),
    ("AveragePool", 17, [real(1, 2, 7)], {"kernel_shape": [3], "pads": [1, 0], "count_include_pad": 1}, 1),
    *((op, 17, [real(2, 3, 4, 5)], {}, 1) for op in ("GlobalAveragePool", "GlobalMaxPool")),
]


@pytest.mark.parametrize("case", CASES, ids=[f"{op}-{opset}-{k}" for k, (op, opset, *_) in enumerate(CASES)])
def test_operator(case: Case) -> None:
    op, opset, inputs, attributes, count = case
    attributes = {name: value for name, value in attributes.items() if value is not None}
    names = ["" if value is None else f"x{k}" for k, value in enumerate(inputs)]
    feeds = {name: np.asarray(value) for name, value in zip(names, inputs, strict=True) if name}
    outputs = [f"y{k}" for k in range(count)]
    model = model_of([helper.make_node(op, names, outputs, **attributes)], feeds, outputs, {}, opset)
    # onnx's definition knows the softmax of today only
    has_changed = op in ("Softmax", "LogSoftmax") and opset < 13
    expected = runtime_outputs(model, feeds) if has_changed else ReferenceEvaluator(model).run(None, feeds)
    result = from_onnx(model.SerializeToString())(*(torch.from_numpy(v) for v in feeds.values()))
    result = result if isinstance(result, tuple) else (result,)
    assert len(result) == len(expected)
    for own, other in zip(result, expected, strict=True):
        assert own.numpy().dtype == np.asarray(other).dtype
        np.testing.assert_allclose(own.numpy(), other, rtol=1e-5, atol=1e-6)


def test_every_operator_has_a_case() -> None:
    assert {op for op, *_ in CASES} | {"ConstantFill"} == set(OPERATORS)


def run(nodes: list[Any], feeds: dict[str, np.ndarray], opset: int = 17, outputs: tuple[str, ...] = ("y",)) -> Any:
    model = model_of(nodes, feeds, list(outputs), {}, opset)
    return from_onnx(model.SerializeToString())(*(torch.from_numpy(v) for v in feeds.values()))


def test_operators_that_onnx_no_longer_defines() -> None:
    fill = helper.make_node("ConstantFill", ["x"], ["y"], input_as_shape=1, value=2.0, extra_shape=[1])
    assert run([fill], {"x": whole(2, 3)}, 6).tolist() == torch.full((2, 3, 1), 2.0).tolist()
    fill = helper.make_node("ConstantFill", [], ["y"], shape=[2], dtype=TensorProto.INT64)
    assert run([fill], {}, 1).tolist() == [0, 0]
    # the second operand along the first's axis 1
    x, y = real(2, 3, 4), real(3)
    result = run([helper.make_node("Add", ["x", "z"], ["y"], broadcast=1, axis=1)], {"x": x, "z": y}, 6)
    np.testing.assert_allclose(result.numpy(), x + y[:, None])
    result = run([helper.make_node("Reshape", ["x"], ["y"], shape=[0, -1])], {"x": x}, 1)
    assert result.shape == (2, 12)
    assert run([helper.make_node("Cast", ["x"], ["y"], to="INT32")], {"x": x}, 1).dtype == torch.int32


def test_constants_are_computed_once() -> None:
    """Weights that nodes put together are parameters of a layer; the rest of a graph is kept as it is needed."""
    w = real(2, 8, 3)
    nodes = [
        helper.make_node("Split", ["both"], ["a", "b"], axis=0),
        helper.make_node("Concat", ["b", "a"], ["w"], axis=1),
        helper.make_node("Neg", ["w"], ["unused"]),
        helper.make_node("RNN", ["x", "w", "r"], ["y", "h"], name="a.b", hidden_size=16),
        helper.make_node("Mul", ["y", "scale"], ["z"]),
    ]
    constants = {"both": w, "r": real(1, 16, 16), "scale": real(16)}
    model = model_of(nodes, {"x": real(5, 2, 3)}, ["z"], constants, 12)
    module = from_onnx(model.SerializeToString())
    assert list(module.recurrent) == ["a_b"]
    assert {name: tuple(p.shape) for name, p in module.named_parameters()} == {
        "constant_1": (16,),
        "recurrent.a_b.layers.0.weight_ih_l0": (16, 3),
        "recurrent.a_b.layers.0.weight_hh_l0": (16, 16),
    }
    x = real(5, 2, 3)
    np.testing.assert_allclose(
        module(torch.from_numpy(x)).numpy(), runtime_outputs(model, {"x": x})[0], rtol=1e-4, atol=1e-5
    )


def graph_of(nodes: list[Any], inputs: tuple[str, ...], outputs: tuple[str, ...]) -> Any:
    values = [[helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in names] for names in (inputs, outputs)]
    return helper.make_graph(nodes, "inner", *values)


def test_a_branch_is_chosen_at_each_call() -> None:
    x = real(4, 3)
    branches = {
        f"{name}_branch": graph_of([helper.make_node(op, ["x"], [name])], (), (name,))
        for name, op in (("then", "Neg"), ("else", "Abs"))
    }
    choice = helper.make_node("If", ["c"], ["y"], **branches)
    for flag in (True, False):
        result = run([choice], {"x": x, "c": np.array(flag)})
        np.testing.assert_array_equal(result.numpy(), -x if flag else np.abs(x))


def test_a_scan_runs_both_ways() -> None:
    x = real(4, 3)
    body = graph_of(
        [helper.make_node("Add", ["h", "x_t"], ["next"]), helper.make_node("Mul", ["next", "w"], ["out"])],
        ("h", "x_t"),
        ("next", "out"),
    )
    for backwards in (0, 1):
        scan = helper.make_node(
            "Scan",
            ["h_0", "x"],
            ["h_n", "y"],
            body=body,
            num_scan_inputs=1,
            scan_input_directions=[backwards],
            scan_output_directions=[backwards],
        )
        feeds = {"x": x, "h_0": real(3), "w": real(3)}
        model = model_of([scan], feeds, ["h_n", "y"], {}, 17)
        result = from_onnx(model.SerializeToString())(*map(torch.from_numpy, feeds.values()))
        for own, other in zip(result, runtime_outputs(model, feeds), strict=True):
            np.testing.assert_allclose(own.numpy(), other, atol=1e-6)


def test_a_loop_runs_until_its_condition_is_false() -> None:
    body = helper.make_graph(
        [
            helper.make_node("Mul", ["h", "w"], ["next"]),
            helper.make_node("ReduceMax", ["next"], ["top"], keepdims=0),
            helper.make_node("Less", ["top", "limit"], ["more"]),
            helper.make_node("Identity", ["next"], ["out"]),
        ],
        "inner",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("c", TensorProto.BOOL, []),
            helper.make_tensor_value_info("h", TensorProto.FLOAT, [2]),
        ],
        [
            helper.make_tensor_value_info("more", TensorProto.BOOL, []),
            helper.make_tensor_value_info("next", TensorProto.FLOAT, [2]),
            helper.make_tensor_value_info("out", TensorProto.FLOAT, [2]),
        ],
    )
    loop = helper.make_node("Loop", ["m", "", "h_0"], ["h", "y"], body=body)
    feeds = {
        "m": np.array(9),
        "h_0": np.array([1, 2], np.float32),
        "w": np.array([1.5, 2], np.float32),
        "limit": np.float32(30),
    }
    h, y = run([loop], {k: np.asarray(v) for k, v in feeds.items()}, outputs=("h", "y"))
    assert h.tolist() == [1.5**4, 32.0]
    assert y.shape == (4, 2)


def test_errors_name_the_node_and_what_it_was_given() -> None:
    x = {"x": real(2, 3)}
    with pytest.raises(ModelError) as caught:
        run([helper.make_node("MatMul", ["x", "x"], ["y"], name="product")], x)
    assert str(caught.value).startswith("node 'product' (operator MatMul, opset 17): ")
    assert "(2, 3) torch.float32, (2, 3) torch.float32" in str(caught.value)
    for node, message in (
        (helper.make_node("Gather", ["x", "i"], ["y"]), "an index is beyond the 2 elements of axis 0"),
        (helper.make_node("Squeeze", ["x", "i"], ["y"]), "axis 0 has 2 elements and can't be squeezed away"),
        (helper.make_node("Pad", ["x", "i"], ["y"], mode="reflect"), "attribute 'mode' is 'reflect'"),
        (helper.make_node("Cast", ["x"], ["y"], to=TensorProto.STRING), "attribute 'to' is 8, a type that is not"),
        (helper.make_node("Concat", ["x", "x"], ["y"], axis="a"), "attribute 'axis' is 'a', which is no int"),
        (helper.make_node("Relu", ["missing"], ["y"]), "reads 'missing', which no node before it yields"),
        (helper.make_node("Relu", ["x"], ["z"]), "no node yields the output 'y'"),
        (helper.make_node("Relu", ["x"], ["y", "z"]), "yields 1 values, and the file asks for 2"),
        (helper.make_node("Softmax", ["x"], ["y"], speed=1), "attribute 'speed' is not supported"),
        (helper.make_node("Dropout", ["x", "r", "t"], ["y"]), "input 'training_mode' is true"),
    ):
        more = {"i": whole([5]) if node.op_type == "Gather" else whole([0])}
        more |= {"r": np.asarray(np.float32(0.5)), "t": np.asarray(True)} if node.op_type == "Dropout" else {}
        with pytest.raises(ModelError) as caught:
            run([node], x | more)
        assert message in str(caught.value)
        assert f"(operator {node.op_type}, opset 17)" in str(caught.value) or "output 'y'" in message
