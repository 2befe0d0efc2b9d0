"""Layers of ours made of Keras's and back, beside Keras itself on its torch backend."""

from __future__ import annotations

import io
import json
import os
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import unrolled
from unrolled.errors import ArgumentError, ModelError, StorageError, UnrolledError
from unrolled.export import from_keras, to_keras

os.environ.setdefault("KERAS_BACKEND", "torch")
# Keras's own affair with numpy
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.fixture(scope="module")
def keras() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        library = pytest.importorskip("keras")
    if library.backend.backend() != "torch":
        pytest.skip("Keras runs on another backend here")
    return library


def randomised(layer: Any, inputs: int) -> Any:
    """A layer of Keras's, built, with no weight that is zero."""
    layer.build((None, None, inputs))
    generator = np.random.default_rng(0)
    layer.set_weights([0.5 * generator.standard_normal(w.shape).astype(np.float32) for w in layer.get_weights()])
    return layer


LAYERS: dict[str, Callable[[Any], Any]] = {
    "lstm": lambda k: k.layers.LSTM(5, return_sequences=True, return_state=True),
    "lstm, no bias": lambda k: k.layers.LSTM(5, use_bias=False, return_sequences=True, return_state=True),
    "gru": lambda k: k.layers.GRU(5, return_sequences=True, return_state=True),
    "gru, no bias": lambda k: k.layers.GRU(5, use_bias=False, return_sequences=True, return_state=True),
    "gru before": lambda k: k.layers.GRU(5, reset_after=False, return_sequences=True, return_state=True),
    "gru before, no bias": lambda k: k.layers.GRU(
        5, reset_after=False, use_bias=False, return_sequences=True, return_state=True
    ),
    "tanh": lambda k: k.layers.SimpleRNN(5, return_sequences=True, return_state=True),
    "relu": lambda k: k.layers.SimpleRNN(5, activation="relu", return_sequences=True, return_state=True),
}


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("bidirectional", [False, True], ids=["one", "two"])
def test_a_layer_gives_what_keras_gives(keras: Any, kind: str, bidirectional: bool) -> None:
    layer = LAYERS[kind](keras)
    layer = randomised(keras.layers.Bidirectional(layer) if bidirectional else layer, 3)
    x = torch.randn(4, 7, 3)
    output, *states = (t.detach() for t in layer(x))
    ours = from_keras(layer)
    assert ours.batch_first
    assert not ours.training
    y, final = ours(x)
    torch.testing.assert_close(y, output, rtol=1e-5, atol=1e-6)
    final = final if isinstance(final, tuple) else (final,)
    # Keras has the forward direction's states before the backward's, ours h before c
    result = [s[d] for d in range(ours.num_directions) for s in final]
    torch.testing.assert_close(result, states, rtol=1e-5, atol=1e-6)
    back = to_keras(ours)
    assert len(back) == 1
    for own, other in zip(back[0], layer.get_weights(), strict=True):
        np.testing.assert_allclose(own, other, rtol=1e-6, atol=1e-7)


def test_weights_alone_say_what_they_are_of(keras: Any) -> None:
    for kind, make in LAYERS.items():
        for wrap in (lambda layer: layer, keras.layers.Bidirectional):
            layer = randomised(wrap(make(keras)), 3)
            if kind not in ("relu", "gru before, no bias"):
                x = torch.randn(2, 4, 3)
                result = from_keras(layer.get_weights())(x)[0]
                torch.testing.assert_close(result, layer(x)[0].detach(), rtol=1e-5, atol=1e-6)


def model(keras: Any) -> Any:
    layers = keras.layers
    nested = keras.Sequential([keras.Input((None, 5)), layers.LSTM(4, name="deep", return_sequences=True)])
    made = keras.Sequential(
        [
            keras.Input((None,), dtype="int32"),
            layers.Embedding(11, 3),
            layers.Bidirectional(layers.GRU(4, return_sequences=True, reset_after=False), name="both"),
            layers.SimpleRNN(6, activation="relu", return_sequences=True),
            layers.SimpleRNN(5, return_sequences=True, name="second"),
            nested,
            layers.Dense(2),
        ]
    )
    generator = np.random.default_rng(1)
    made.set_weights([0.5 * generator.standard_normal(w.shape).astype(np.float32) for w in made.get_weights()])
    return made


@pytest.mark.parametrize("suffix", [".keras", ".weights.h5", ".h5"])
def test_files(keras: Any, suffix: str, tmp_path: Path) -> None:
    made, path = model(keras), tmp_path / f"model{suffix}"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made.save_weights(path) if suffix == ".weights.h5" else made.save(path)
    simple = made.layers[2].name
    names = ["both", simple, "second"] + (["deep"] if suffix != ".h5" else [])
    for name in names:
        own = made.layers[4].layers[0] if name == "deep" else made.get_layer(name)
        layer = from_keras(path, name=name)
        # a file of weights does not say which activation they are for
        if not (suffix == ".weights.h5" and name == simple):
            x = torch.randn(2, 6, layer.input_size)
            torch.testing.assert_close(layer(x)[0], own(x).detach(), rtol=1e-5, atol=1e-6)
    with pytest.raises(ModelError, match="several recurrent layers; choose one with name=: both"):
        from_keras(path)
    with pytest.raises(ModelError, match="no recurrent layer called 'third'; there are: both"):
        from_keras(path, name="third")
    assert isinstance(from_keras(made, name="second"), unrolled.RNN)


def test_files_that_do_not_note_names_go_by_class_and_order(keras: Any, tmp_path: Path) -> None:
    """As Keras 3.0 wrote them."""
    h5py = pytest.importorskip("h5py")
    made, path = model(keras), tmp_path / "model.keras"
    made.save(path)
    with zipfile.ZipFile(path) as files:
        parts = {name: files.read(name) for name in files.namelist()}
    buffer = io.BytesIO(parts["model.weights.h5"])
    with h5py.File(buffer, "r+") as file:
        file.visititems(lambda name, item: item.attrs.pop("name", None) and None)
    with zipfile.ZipFile(path, "w") as files:
        for name, data in (parts | {"model.weights.h5": buffer.getvalue()}).items():
            files.writestr(name, data)
    for name, own in (("simple_rnn", made.layers[2]), ("simple_rnn_1", made.get_layer("second"))):
        layer, x = from_keras(path, name=name), torch.randn(2, 6, own.get_weights()[0].shape[0])
        torch.testing.assert_close(layer(x)[0], own(x).detach(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "make",
    [
        lambda: unrolled.LSTM(3, 5, num_layers=2, batch_first=True),
        lambda: unrolled.GRU(3, 5, bidirectional=True, bias=False, batch_first=True),
        lambda: unrolled.GRU(3, 5, reset_after=False, batch_first=True),
        lambda: unrolled.RNN(3, 5, num_layers=2, nonlinearity="relu", bidirectional=True, batch_first=True),
    ],
)
def test_a_stack_becomes_a_keras_file(keras: Any, make: Callable[[], unrolled.Recurrent], tmp_path: Path) -> None:
    torch.manual_seed(0)
    layer = make().eval()
    weights = to_keras(layer, tmp_path / "model.keras")
    assert len(weights) == layer.num_layers
    x = torch.randn(2, 6, 3)
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    torch.testing.assert_close(torch.as_tensor(loaded(x)).detach(), layer(x)[0].detach(), rtol=1e-5, atol=1e-6)
    if layer.num_layers == 1:
        torch.testing.assert_close(from_keras(tmp_path / "model.keras")(x)[0], layer(x)[0])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda k: k.layers.LSTM(2, activation="relu"), "activation is 'relu'; ours has tanh"),
        (lambda k: k.layers.GRU(2, recurrent_activation="hard_sigmoid"), "recurrent_activation is 'hard_sigmoid'"),
        (lambda k: k.layers.SimpleRNN(2, go_backwards=True), "go_backwards=True"),
        (lambda k: k.layers.Bidirectional(k.layers.LSTM(2), merge_mode="sum"), "merge_mode is 'sum'"),
    ],
)
def test_options_that_ours_lacks(keras: Any, make: Callable[[Any], Any], message: str) -> None:
    layer = randomised(make(keras), 3)
    with pytest.raises(ArgumentError) as caught:
        from_keras(layer)
    assert message in str(caught.value)
    assert str(caught.value).startswith(layer.name)


def test_objects_that_are_no_layer(keras: Any) -> None:
    with pytest.raises(ArgumentError, match="has no weights yet"):
        from_keras(keras.layers.LSTM(3))
    with pytest.raises(
        ArgumentError, match="expected a path, a Keras layer or model, or a list of arrays, found a Dense"
    ):
        from_keras(keras.layers.Dense(3))
    with pytest.raises(ModelError, match="there is no LSTM, GRU, SimpleRNN, Bidirectional in it"):
        from_keras(keras.Sequential([keras.layers.Dense(3)]))


def test_the_equations_without_keras() -> None:
    """Keras's GRU and LSTM as its documentation has them, one step from zero and one more."""
    generator = np.random.default_rng(2)
    kernel, recurrent, bias = (generator.standard_normal(s).astype(np.float32) for s in ((2, 9), (3, 9), (2, 9)))
    x, h = generator.standard_normal((2, 2)).astype(np.float32), np.zeros(3, np.float32)
    for x_t in x:
        x_z, x_r, x_h = np.split(x_t @ kernel + bias[0], 3)
        h_z, h_r, h_h = np.split(h @ recurrent + bias[1], 3)
        z, r = 1 / (1 + np.exp(-x_z - h_z)), 1 / (1 + np.exp(-x_r - h_r))
        h = z * h + (1 - z) * np.tanh(x_h + r * h_h)
    result = from_keras([kernel, recurrent, bias])(torch.from_numpy(x).unsqueeze(0))[1]
    np.testing.assert_allclose(result[0, 0].detach().numpy(), h, rtol=1e-5, atol=1e-6)

    kernel, recurrent, bias = (generator.standard_normal(s).astype(np.float32) for s in ((2, 12), (3, 12), (12,)))
    h, c = np.zeros(3, np.float32), np.zeros(3, np.float32)
    for x_t in x:
        i, f, g, o = np.split(x_t @ kernel + h @ recurrent + bias, 4)
        c = c / (1 + np.exp(-f)) + np.tanh(g) / (1 + np.exp(-i))
        h = np.tanh(c) / (1 + np.exp(-o))
    _, (h_n, c_n) = from_keras([kernel, recurrent, bias])(torch.from_numpy(x).unsqueeze(0))
    np.testing.assert_allclose(h_n[0, 0].detach().numpy(), h, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(c_n[0, 0].detach().numpy(), c, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("layer", "option"),
    [
        (lambda: unrolled.LSTM(2, 3, peephole=True), "peephole"),
        (lambda: unrolled.LSTM(2, 3, proj_size=2), "proj_size"),
        (lambda: unrolled.GRU(2, 3, layer_norm=True), "layer_norm"),
        (lambda: unrolled.RNN(3, 3, residual=True), "residual"),
        (lambda: unrolled.RNN(3, 3, zoneout=0.1), "zoneout"),
    ],
)
def test_options_that_keras_lacks(layer: Callable[[], unrolled.Recurrent], option: str) -> None:
    with pytest.raises(ArgumentError, match=f"layer: Keras's .* has no {option}"):
        to_keras(layer())


def zipped(path: Path, **files: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name.replace("_json", ".json").replace("_weights_h5", ".weights.h5"), data)
    return path


def test_files_that_are_none(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    with pytest.raises(StorageError, match="no such file"):
        from_keras(tmp_path / "missing.keras")
    path = tmp_path / "model.keras"
    for data in (b"", b"text", b"PK\x03\x04 torn", b"\x89HDF\r\n\x1a\n torn"):
        path.write_bytes(data)
        with pytest.raises(ModelError, match=r"model\.keras: not a Keras file"):
            from_keras(path)
    for files in ({}, {"config_json": b"{}"}, {"config_json": b"{", "model_weights_h5": b""}):
        with pytest.raises(ModelError, match=r"model\.keras: not a Keras file"):
            from_keras(zipped(path, **files))
    with pytest.raises(ModelError, match="unpacks to 10000000 bytes, which no Keras file does"):
        from_keras(zipped(path, config_json=b"{}", model_weights_h5=bytes(10_000_000)))
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file["layers/dense/vars/0"] = np.zeros((2, 2), np.float32)
    with pytest.raises(ModelError, match="there is no LSTM, GRU, SimpleRNN, Bidirectional in it"):
        from_keras(zipped(path, config_json=b"{}", model_weights_h5=buffer.getvalue()))


def weights_file(path: Path, fill: Callable[[Any, str], Any], config: Any = None) -> Path:
    h5py = pytest.importorskip("h5py")
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        for number, shape in enumerate(((2, 12), (3, 12), (12,))):
            fill(file, f"layers/lstm/cell/vars/{number}")(shape)
    path.write_bytes(buffer.getvalue())
    return (
        path
        if config is None
        else zipped(path, config_json=json.dumps(config).encode(), model_weights_h5=buffer.getvalue())
    )


def test_damaged_files_end_in_an_error_of_ours(tmp_path: Path) -> None:
    def plain(file: Any, name: str) -> Any:
        return lambda shape: file.create_dataset(name, data=np.ones(shape, np.float32))

    path, generator, refused = tmp_path / "model.h5", np.random.default_rng(0), 0
    whole = weights_file(path, plain).read_bytes()
    for _ in range(60):
        data = bytearray(whole)
        for _ in range(generator.integers(1, 8)):
            data[generator.integers(len(data))] = generator.integers(256)
        path.write_bytes(data)
        try:
            from_keras(path)
        except UnrolledError:
            refused += 1
    assert refused > 10


def test_a_file_from_a_stranger_reaches_nothing_beyond_itself(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(bytes(1000))
    path = tmp_path / "model.h5"

    def outside(file: Any, name: str) -> Any:
        size = lambda shape: 4 * int(np.prod(shape))  # noqa: E731
        return lambda shape: file.create_dataset(name, shape, np.float32, external=[(str(secret), 0, size(shape))])

    with pytest.raises(ModelError, match="is kept elsewhere or compressed"):
        from_keras(weights_file(path, outside))

    def empty(file: Any, name: str) -> Any:
        return lambda shape: file.create_dataset(name, (2**20, 2**20), np.float32, chunks=(1024, 1024))

    with pytest.raises(ModelError, match="is kept elsewhere or compressed"):
        from_keras(weights_file(path, empty))

    def plain(file: Any, name: str) -> Any:
        return lambda shape: file.create_dataset(name, data=np.ones(shape, np.float32))

    lambda_ = {"class_name": "Lambda", "config": {"function": "__import__('os').abort()"}}
    lstm = {"class_name": "LSTM", "config": {"name": "lstm", "units": 3}}
    layer = from_keras(weights_file(path, plain, {"config": {"layers": [lambda_, lstm]}}))
    assert (layer.input_size, layer.hidden_size) == (2, 3)
    odd = {"class_name": "Bidirectional", "config": {"name": "lstm", "layer": 3}}
    assert from_keras(weights_file(path, plain, {"config": {"layers": [odd]}})).hidden_size == 3


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        (((2, 12),), r"expected kernel, recurrent kernel and bias, found arrays shaped \[\(2, 12\)\]"),
        (((2, 12), (3, 9)), "expected kernel, recurrent kernel and bias"),
        (((2, 15), (3, 15)), r"are of no LSTM, GRU or SimpleRNN"),
        (((2, 12), (3, 12), (11,)), r"bias_ih is shaped \(.*\), expected \(12,\)"),
    ],
)
def test_weights_that_fit_nothing(shapes: tuple[tuple[int, ...], ...], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        from_keras([np.zeros(shape, np.float32) for shape in shapes])
