"""Recurrent nodes of ONNX files as layers of ours, beside ONNX Runtime and onnx's own definition."""

from __future__ import annotations

import copy
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator

import unrolled
from unrolled.errors import ArgumentError, DTypeError, ModelError, ShapeError, StorageError, UnrolledError
from unrolled.export import from_onnx
from unrolled.export.onnx.reading.cells import ACTIVATIONS

from .onnx_models import Arrays, model_of, recurrent_model, runtime_outputs

KINDS = ("RNN", "GRU", "LSTM")
DIRECTIONS = ("forward", "reverse", "bidirectional")


def ours(model: onnx.ModelProto, feeds: Arrays) -> list[np.ndarray]:
    result = from_onnx(model.SerializeToString())(*(torch.from_numpy(array) for array in feeds.values()))
    return [tensor.numpy() for tensor in (result if isinstance(result, tuple) else (result,))]


def assert_equal(model: onnx.ModelProto, feeds: Arrays, expected: list[np.ndarray]) -> None:
    result = ours(model, feeds)
    assert len(result) == len(expected)
    for own, other in zip(result, expected, strict=True):
        np.testing.assert_allclose(own, other, rtol=1e-5, atol=1e-6)


#: attributes, inputs and weights, pairwise enough: each is met with each direction
OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "no bias": {"bias": False},
    "lengths": {"lengths": [5, 1, 3]},
    "states and lengths": {"states": "h", "lengths": [2, 5, 4]},
    "weights as inputs": {"constant": False, "lengths": [4, 5, 1], "states": "h"},
    "clip": {"clip": 0.2},
    "clip of inputs": {"clip": 0.3, "constant": False},
    "opset 7": {"opset": 7, "states": "h"},
    "opset 22": {"opset": 22, "lengths": [1, 2, 5]},
}
OWN: dict[str, dict[str, dict[str, Any]]] = {
    "RNN": {},
    "GRU": {
        "linear before reset": {"linear_before_reset": 1},
        "linear before reset, no bias": {"linear_before_reset": 1, "bias": False},
        "linear before reset, clip": {"linear_before_reset": 1, "clip": 0.3, "states": "h"},
    },
    "LSTM": {
        "c alone": {"states": "c"},
        "both states": {"states": "hc", "lengths": [3, 5, 2]},
        "peepholes": {"peephole": True, "states": "hc"},
        "peepholes of inputs": {"peephole": True, "constant": False},
        "input_forget": {"input_forget": 1},
        "input_forget, peepholes": {"input_forget": 1, "peephole": True, "lengths": [5, 2, 2]},
        "input_forget, peepholes, clip": {"input_forget": 1, "peephole": True, "clip": 0.2, "states": "hc"},
    },
}


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize(
    ("kind", "name"), [(kind, name) for kind in KINDS for name in (*OPTIONS, *OWN[kind])], ids=lambda v: v
)
def test_a_node_is_what_onnx_runtime_makes_of_it(kind: str, name: str, direction: str) -> None:
    options = OPTIONS[name] if name in OPTIONS else OWN[kind][name]
    for seed in (0, 1):
        model, feeds = recurrent_model(kind, seed, direction=direction, **options)
        assert_equal(model, feeds, runtime_outputs(model, feeds))


#: those for which ONNX Runtime has the defaults that ONNX says
WITH_DEFAULTS = ("Relu", "Tanh", "Sigmoid", "Softsign", "Softplus", "LeakyRelu", "HardSigmoid", "Elu")
NAMES = (*WITH_DEFAULTS, "Affine", "ThresholdedRelu", "ScaledTanh")
PER_DIRECTION = {"RNN": 1, "GRU": 2, "LSTM": 3}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("activation", NAMES)
def test_activations(kind: str, activation: str) -> None:
    count = PER_DIRECTION[kind]
    given = {"activation_alpha": [0.3, 0.2, 0.4, 0.5, 0.25, 0.15], "activation_beta": [0.6, 0.1, 0.4, 0.2, 0.25, 0.5]}
    both = {name: values[: 2 * count] for name, values in given.items()}
    model, feeds = recurrent_model(
        kind, direction="bidirectional", activations=[activation] * 2 * count, states="h", clip=2.0, **both
    )
    assert_equal(model, feeds, runtime_outputs(model, feeds))
    if activation in WITH_DEFAULTS:
        model, feeds = recurrent_model(kind, activations=[activation] * count, clip=2.0)
        assert_equal(model, feeds, runtime_outputs(model, feeds))


@pytest.mark.parametrize("kind", KINDS)
def test_alphas_and_betas_go_to_those_that_have_them(kind: str) -> None:
    """And each direction may have activations of its own: the second here has those that a cell of ours has."""
    count = PER_DIRECTION[kind]
    names = ["Sigmoid", "LeakyRelu", "HardSigmoid"][-count:]
    names += {"RNN": ["Relu"], "GRU": ["Sigmoid", "Tanh"], "LSTM": ["Sigmoid", "Tanh", "Tanh"]}[kind]
    model, feeds = recurrent_model(
        kind,
        direction="bidirectional",
        activations=names,
        activation_alpha=[0.3, 0.1][-count:],
        activation_beta=[0.6],
        lengths=[5, 3, 1],
    )
    assert_equal(model, feeds, runtime_outputs(model, feeds))


def test_every_activation_is_tested_and_none_by_its_case() -> None:
    assert {name.lower() for name in NAMES} == set(ACTIVATIONS)
    model, feeds = recurrent_model("RNN", activations=["leakyrelu"], activation_alpha=[0.3])
    other, _ = recurrent_model("RNN", activations=["LeakyRelu"], activation_alpha=[0.3])
    assert_equal(model, feeds, runtime_outputs(other, feeds))


def test_defaults_that_onnx_says_and_its_runtime_lacks() -> None:
    for name, function in (
        ("Affine", lambda x: x),
        ("ScaledTanh", np.tanh),
        ("ThresholdedRelu", lambda x: np.where(x > 1, x, 0)),
    ):
        model, feeds = recurrent_model("RNN", activations=[name], constant=False)
        x, w, b = feeds["X"], feeds["W"][0], feeds["B"][0]
        first = function(8 * x[0] @ w.T + 4 * (b[:4] + b[4:]))
        feeds["X"], feeds["B"] = 8 * x, 4 * feeds["B"]
        np.testing.assert_allclose(ours(model, feeds)[0][0, 0], first, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("direction", DIRECTIONS)
def test_layout_1_and_its_states_by_onnxs_definition(kind: str, direction: str) -> None:
    # the definition forgets the initial states' layout in some versions, and takes no lengths
    model, feeds = recurrent_model(kind, direction=direction, layout=1, opset=22)
    assert_equal(model, feeds, list(ReferenceEvaluator(model).run(None, feeds)))


@pytest.mark.parametrize("kind", KINDS)
def test_layout_1_is_layout_0_transposed(kind: str) -> None:
    options: dict[str, Any] = {"direction": "bidirectional", "lengths": [5, 2, 4], "constant": False}
    states = "hc" if kind == "LSTM" else "h"
    model, feeds = recurrent_model(kind, layout=1, states=states, **options)
    other, plain = recurrent_model(kind, states=states, **options)
    plain |= {n: v.swapaxes(0, 1) if n in ("X", "h_0", "c_0") else v for n, v in feeds.items()}
    y, *finals = runtime_outputs(other, {n: np.ascontiguousarray(v) for n, v in plain.items()})
    assert_equal(model, feeds, [y.transpose(2, 0, 1, 3), *(s.swapaxes(0, 1) for s in finals)])


def test_a_sequence_of_no_steps_keeps_its_state() -> None:
    model, feeds = recurrent_model("GRU", lengths=[5, 3, 1], states="h", direction="bidirectional")
    feeds["lengths"] = np.array([5, 0, 1], np.int32)
    y, y_h = ours(model, feeds)
    assert np.abs(y[:, :, 1]).max() == 0
    np.testing.assert_array_equal(y_h[:, 1], feeds["h_0"][:, 1])


def test_nodes_become_layers_that_train() -> None:
    model, feeds = recurrent_model("LSTM", direction="bidirectional", peephole=True)
    module = from_onnx(model.SerializeToString())
    layer = module.recurrent["cell"].layers[0]
    assert isinstance(layer, unrolled.LSTM)
    assert not layer.weight_ih_l0.requires_grad
    x = torch.from_numpy(feeds["X"])
    torch.testing.assert_close(copy.deepcopy(module)(x), module(x))
    module.requires_grad_()
    module(torch.from_numpy(feeds["X"]))[0].sum().backward()
    assert layer.weight_peephole_l0_reverse.grad.abs().max() > 0
    model, _ = recurrent_model("GRU", clip=1.0, direction="reverse")
    assert from_onnx(model.SerializeToString()).recurrent["cell"].layers[0].cell.name == "onnx_gru"


@pytest.mark.parametrize("dtype", [np.float64, np.float16])
def test_other_precisions(dtype: type) -> None:
    model, feeds = recurrent_model("GRU", constant=False, direction="bidirectional")
    expected = runtime_outputs(model, feeds)
    result = from_onnx(model.SerializeToString())(*(torch.from_numpy(v.astype(dtype)) for v in feeds.values()))
    assert result[0].numpy().dtype == dtype
    np.testing.assert_allclose(result[0].numpy(), expected[0], rtol=1e-2, atol=5e-3 if dtype == np.float16 else 1e-6)


def test_inputs_with_defaults_may_be_left_out_or_given() -> None:
    """Files of the first years list every weight among the inputs too."""
    model, feeds = recurrent_model("RNN")
    weight = next(t for t in model.graph.initializer if t.name == "W")
    model.graph.input.append(helper.make_tensor_value_info("W", 1, list(weight.dims)))
    module, x = from_onnx(model.SerializeToString()), torch.from_numpy(feeds["X"])
    assert (module.inputs, module.required) == (("X", "W"), ("X",))
    expected = runtime_outputs(model, feeds)
    np.testing.assert_allclose(module(x)[0].numpy(), expected[0], atol=1e-6)
    other = 2 * numpy_helper.to_array(weight)
    np.testing.assert_allclose(
        module(x, torch.from_numpy(other))[0].numpy(), runtime_outputs(model, feeds | {"W": other})[0], atol=1e-6
    )
    np.testing.assert_allclose(module(x)[0].numpy(), expected[0], atol=1e-6)


def read_tensor(data: bytes) -> torch.Tensor:
    proto = onnx.TensorProto()
    proto.ParseFromString(data)
    return torch.from_numpy(numpy_helper.to_array(proto).copy())


def test_the_conformance_tests_of_onnx(real_data: Path) -> None:
    path = real_data / "onnx_rnn_nodes" / "onnx_rnn_nodes.zip"
    if not path.is_file():
        pytest.skip("no onnx_rnn_nodes here")
    with zipfile.ZipFile(path) as files:
        names = set(files.namelist())
        folders = sorted(name.removesuffix("/model.onnx") for name in names if name.endswith("/model.onnx"))
        assert len(folders) == 31
        for folder in folders:
            given, expected = (
                [
                    read_tensor(files.read(f"{folder}/test_data_set_0/{kind}_{k}.pb"))
                    for k in range(20)
                    if f"{folder}/test_data_set_0/{kind}_{k}.pb" in names
                ]
                for kind in ("input", "output")
            )
            result = from_onnx(files.read(f"{folder}/model.onnx"))(*given)
            result = result if isinstance(result, tuple) else (result,)
            torch.testing.assert_close(list(result), expected, rtol=1e-5, atol=1e-6, msg=folder)


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"clip": -1.0}, "attribute 'clip' is -1.0; expected a number above 0"),
        ({"direction": "sideways"}, "attribute 'direction' is 'sideways'; expected forward, reverse or bidirectional"),
        ({"activations": ["Sinus"]}, "attribute 'activations' names 'sinus'; supported are relu"),
        ({"activations": ["Tanh", "Tanh"]}, "attribute 'activations' has 2 names; expected 1"),
        ({"layout": 2}, "attribute 'layout' is 2; expected 0 or 1"),
        ({"speed": 3}, "attribute 'speed' is not supported"),
        ({"hidden_size": 5}, "attribute 'hidden_size' is 5, but R has shape (1, 4, 4)"),
        ({"input_forget": 1}, "attribute 'input_forget' is not supported"),
    ],
)
def test_attributes_that_are_not_supported_are_named(attributes: dict[str, Any], message: str) -> None:
    model, _ = recurrent_model("RNN", **attributes)
    with pytest.raises(ModelError) as caught:
        from_onnx(model.SerializeToString())
    assert str(caught.value) == f"node 'cell' (operator RNN, opset 14): {message}" or message in str(caught.value)
    assert "node 'cell' (operator RNN, opset 14)" in str(caught.value)


def test_inputs_that_do_not_fit_are_named() -> None:
    model, feeds = recurrent_model("GRU", constant=False, states="h", lengths=[5, 1, 1])
    module, given = from_onnx(model.SerializeToString()), {n: torch.from_numpy(v) for n, v in feeds.items()}
    for changed, error, message in (
        ({"X": torch.zeros(5, 3)}, ModelError, "input X has shape (5, 3); expected three dimensions"),
        ({"X": torch.zeros(5, 3, 7)}, ShapeError, "X: expected shape (…, I=2)"),
        ({"R": torch.zeros(1, 12, 5)}, ModelError, "attribute 'hidden_size' is 4, but R has shape (1, 12, 5)"),
        ({"B": torch.zeros(1, 12)}, ModelError, "input B has shape (1, 12); expected (1, 24)"),
        ({"h_0": torch.zeros(1, 2, 4)}, ShapeError, "initial_h: expected shape (D=1, B=3, H=4)"),
        ({"lengths": torch.tensor([6, 1, 1])}, ArgumentError, "lengths[0]: expected 0 to T=5, found 6"),
    ):
        with pytest.raises(error) as caught:
            module(*(given | changed).values())
        assert message in str(caught.value)
    with pytest.raises(ArgumentError, match=r"inputs: expected 6 \(X, W, R, B, lengths, h_0\); found 1"):
        module(given["X"])
    with pytest.raises(DTypeError, match="input X: expected a Tensor, found ndarray"):
        module(*feeds.values())


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="no such file"):
        from_onnx(tmp_path / "missing.onnx")
    for data in (b"", b"PK\x03\x04 a zip", b"<html>", np.random.default_rng(0).bytes(300)):
        (tmp_path / "model.onnx").write_bytes(data)
        with pytest.raises(ModelError, match=r"model\.onnx: not an ONNX model"):
            from_onnx(tmp_path / "model.onnx")
    with pytest.raises(ModelError, match="ONNX model: not an ONNX model"):
        from_onnx(b"nothing")


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_files_end_in_an_error_of_ours(kind: str) -> None:
    model, feeds = recurrent_model(kind, direction="bidirectional", states="h", lengths=[5, 2, 3])
    whole, generator, refused = model.SerializeToString(), np.random.default_rng(0), 0
    inputs = [torch.from_numpy(array) for array in feeds.values()]
    for _ in range(60):
        data = bytearray(whole)
        for _ in range(generator.integers(1, 4)):
            # where names, attributes and shapes are, not in the weights
            data[generator.choice([*range(120), *range(len(data) - 200, len(data))])] = generator.integers(256)
        try:
            from_onnx(bytes(data))(*inputs)
        except UnrolledError:
            refused += 1
    assert refused > 20


def test_weights_beside_the_file(tmp_path: Path) -> None:
    model, feeds = recurrent_model("LSTM")
    expected = runtime_outputs(model, feeds)
    onnx.save(model, tmp_path / "model.onnx", save_as_external_data=True, location="weights.bin", size_threshold=0)
    result = from_onnx(tmp_path / "model.onnx")(torch.from_numpy(feeds["X"]))
    np.testing.assert_allclose(result[0].numpy(), expected[0], atol=1e-6)
    (tmp_path / "weights.bin").unlink()
    with pytest.raises(ModelError, match="a damaged ONNX model"):
        from_onnx(tmp_path / "model.onnx")


def test_an_unknown_operator_is_named() -> None:
    x = {"x": np.zeros((2, 2), np.float32)}
    model = model_of([helper.make_node("Det", ["x"], ["y"], name="odd")], x, ["y"], {}, 17)
    with pytest.raises(ModelError, match=r"node 'odd' \(operator Det, opset 17\): this operator is not supported"):
        from_onnx(model.SerializeToString())
    node = helper.make_node("Attention", ["x"], ["y"], domain="com.microsoft")
    with pytest.raises(ModelError, match=r"node 'Attention_0' \(operator com\.microsoft\.Attention, opset 1\)"):
        from_onnx(model_of([node], x, ["y"], {}, 17).SerializeToString())
