"""Which weight of Keras's LSTM, GRU and SimpleRNN is which of ours.

Keras keeps matrices transposed, (I, G·H) and (H, G·H), and one bias, or for a GRU with reset_after two in one, (2, 3H).
Its gates are i f c o, ours i f g o; its GRU's z r h, ours r z n. Letters: I input, H hidden, G gates, L layers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unrolled import cells
from unrolled.errors import ArgumentError, ModelError
from unrolled.export.keras.files import GROUPS, KerasLayer, read_layers, write_layers
from unrolled.export.plain import check_plain
from unrolled.layers import GRU, LSTM, RNN, Recurrent

KINDS = (*GROUPS.values(), "Bidirectional")
_LAYERS: dict[str, Callable[..., Recurrent]] = {"LSTM": LSTM, "GRU": GRU, "SimpleRNN": RNN}
#: the place of each of our gates among Keras's, and of Keras's among ours
_GATES = {"LSTM": (0, 1, 2, 3), "GRU": (1, 0, 2), "SimpleRNN": (0,)}
#: activations of Keras's options that ours has
_ACTIVATIONS: dict[str, dict[str, tuple[str, ...]]] = {
    "LSTM": {"activation": ("tanh",), "recurrent_activation": ("sigmoid",)},
    "GRU": {"activation": ("tanh",), "recurrent_activation": ("sigmoid",)},
    "SimpleRNN": {"activation": ("tanh", "relu", "sigmoid")},
}


def from_keras(source: Any, name: str | None = None) -> Recurrent:
    """Make a layer of ours of one of Keras's: LSTM, GRU, SimpleRNN, or Bidirectional of one of them.

    Args:
        source: the path of a `.keras`, `.weights.h5` or `.h5` file; a layer or model of Keras's; or the list of arrays
            that a layer's `get_weights()` returns. Where there are only weights, the options are Keras's defaults.
        name: which recurrent layer of a file or model, by its Keras name; needed where there are several.

    Returns:
        The layer, batch_first and in evaluation mode. It returns every output and the final state, whatever
        return_sequences and return_state were; Keras's dropouts, which act in training alone, are not taken over.

    Raises:
        StorageError: the file can't be read.
        ModelError: it is no Keras file, or there is no such layer in it.
        ArgumentError: the layer has an option that ours lacks, naming it.
        MissingDependencyError: h5py is not installed.
    """
    if isinstance(source, (str, Path)):
        where, layers = str(source), read_layers(Path(source))
    elif isinstance(source, Sequence):
        where, layers = "weights", [KerasLayer("weights", tuple(np.asarray(w) for w in source))]
    else:
        where, layers = type(source).__name__, list(_objects(source))
    if not layers:
        raise ModelError(f"{where}: there is no {', '.join(KINDS)} in it")
    names = ", ".join(layer.name for layer in layers)
    chosen = [layer for layer in layers if name in (None, layer.name)]
    if not chosen:
        raise ModelError(f"{where}: there is no recurrent layer called {name!r}; there are: {names}")
    if len(chosen) > 1:
        raise ModelError(f"{where}: there are several recurrent layers; choose one with name=: {names}")
    return _ours(chosen[0])


def _objects(source: Any) -> list[KerasLayer]:
    """Return the recurrent layers of an object of Keras's, known by the names of its class and methods."""
    kind = type(source).__name__
    if kind in KINDS and hasattr(source, "get_config"):
        weights = tuple(np.asarray(w) for w in source.get_weights())
        if not weights:
            raise ArgumentError(f"source: the layer {source.name!r} has no weights yet; call or build it first")
        return [KerasLayer(source.name, weights, kind, source.get_config())]
    if not hasattr(source, "layers"):
        raise ArgumentError(f"source: expected a path, a Keras layer or model, or a list of arrays, found a {kind}")
    return [
        found
        for layer in source.layers
        if hasattr(layer, "layers") or type(layer).__name__ in KINDS
        for found in _objects(layer)
    ]


def _ours(layer: KerasLayer) -> Recurrent:
    kind, config = layer.kind, layer.config or {}
    halves = [layer.weights]
    if kind == "Bidirectional" or (kind is None and len(layer.weights) in (4, 6)):
        count = len(layer.weights) // 2
        halves = [layer.weights[:count], layer.weights[count:]]
        kind, config = _inside(layer, config)
    for weights in halves:
        shapes = [w.shape for w in weights]
        if len(weights) not in (2, 3) or len(shapes[0]) != 2 or len(shapes[1]) != 2 or shapes[0][1] != shapes[1][1]:
            raise ArgumentError(
                f"{layer.name}: expected kernel, recurrent kernel and bias, found arrays shaped {shapes}"
            )
    inputs, hidden, gates = halves[0][0].shape[0], halves[0][1].shape[0], halves[0][1].shape[1]
    if kind is None:
        kind = {4: "LSTM", 3: "GRU", 1: "SimpleRNN"}.get(gates // hidden)
    if kind is None or gates != len(_GATES[kind]) * hidden:
        raise ArgumentError(
            f"{layer.name}: weights shaped {[w.shape for w in halves[0]]} are of no LSTM, GRU or SimpleRNN"
        )
    has_bias = len(halves[0]) == 3
    options = _options(layer.name, kind, config)
    if kind == "GRU":
        resets = halves[0][2].ndim == 2 if has_bias else config.get("reset_after", True)
        options["reset_after"] = bool(resets)
    dtype = torch.from_numpy(halves[0][0][:0]).dtype
    made = _LAYERS[kind](inputs, hidden, bias=has_bias, bidirectional=len(halves) == 2, dtype=dtype, **options)
    with torch.no_grad():
        for block, weights in zip(made.parameter_blocks(), halves, strict=True):
            for parameter, array in _block(kind, weights).items():
                target = block[parameter]
                if tuple(array.shape) != tuple(target.shape):
                    shape, expected = tuple(array.shape), tuple(target.shape)
                    raise ArgumentError(f"{layer.name}: {parameter} is shaped {shape}, expected {expected}")
                target.copy_(array)
    return made.eval()


def _inside(layer: KerasLayer, config: dict[str, Any]) -> tuple[str | None, dict[str, Any]]:
    """Return the kind and configuration of both directions of a Bidirectional."""
    if not config:
        return None, {}
    merged = config.get("merge_mode", "concat")
    if merged != "concat":
        raise ArgumentError(
            f"{layer.name}: merge_mode is {merged!r}, and our layers have both directions side by side; convert its "
            f"get_weights() and merge the two halves of the output yourself"
        )
    halves = [config.get("layer"), config.get("backward_layer") or config.get("layer")]
    kinds = [half.get("class_name") if isinstance(half, dict) else None for half in halves]
    if kinds[0] not in _LAYERS or kinds[0] != kinds[1]:
        raise ArgumentError(f"{layer.name}: expected two of LSTM, GRU or SimpleRNN, found {kinds[0]} and {kinds[1]}")
    inner = dict((halves[0] or {}).get("config") or {})
    if inner.pop("go_backwards", False):
        raise ArgumentError(f"{layer.name}: its forward layer has go_backwards=True, and our first direction never has")
    return kinds[0], inner


def _options(name: str, kind: str, config: dict[str, Any]) -> dict[str, Any]:
    """Return the options of our layer.

    Raises:
        ArgumentError: for one that ours lacks.
    """
    if config.get("go_backwards"):
        raise ArgumentError(
            f"{name}: go_backwards=True, and a single direction of ours runs forwards; convert its get_weights() and "
            f"flip the input over time"
        )
    for option, supported in _ACTIVATIONS[kind].items():
        value = config.get(option, supported[0])
        value = value.get("config", value) if isinstance(value, dict) else value
        if value not in supported:
            raise ArgumentError(f"{name}: {option} is {value!r}; ours has {', '.join(supported)}")
    options: dict[str, Any] = {"batch_first": not config.get("time_major", False)}
    if kind == "SimpleRNN":
        value = config.get("activation", "tanh")
        options["nonlinearity"] = value.get("config", value) if isinstance(value, dict) else value
    return options


def _block(kind: str, weights: Sequence[np.ndarray]) -> dict[str, Tensor]:
    """Return one direction's parameters in our names, order and shapes."""
    kernel, recurrent, *bias = (torch.from_numpy(np.ascontiguousarray(w)) for w in weights)
    block = {"weight_ih": kernel.T, "weight_hh": recurrent.T}
    if bias:
        both = bias[0] if bias[0].dim() == 2 else torch.stack((bias[0], torch.zeros_like(bias[0])))
        block |= {"bias_ih": both[0], "bias_hh": both[1]}
    return {name: _reordered(tensor, _GATES[kind]) for name, tensor in block.items()}


def _reordered(tensor: Tensor, order: Sequence[int]) -> Tensor:
    gates = tensor.chunk(len(order))
    return torch.cat([gates[k] for k in order])


def to_keras(layer: Recurrent, path: str | Path | None = None) -> list[list[np.ndarray]]:
    """Return the weights of a stack of ours for layers of Keras's, and write a Keras file of them on request.

    Args:
        layer: an RNN, LSTM or GRU.
        path: a `.keras` file to write: a Sequential of L layers that return sequences. Needs keras.

    Returns:
        For each layer of the stack what `set_weights` takes; for a bidirectional one, what Bidirectional's takes.

    Raises:
        ArgumentError: the layer has an option that Keras lacks, naming it.
        StorageError: the file can't be written.
        MissingDependencyError: keras is not installed.
    """
    kind, config = _keras_config(layer)
    weights: list[list[np.ndarray]] = []
    blocks, directions = layer.parameter_blocks(), layer.num_directions
    with torch.no_grad():
        for index in range(layer.num_layers):
            own = blocks[index * directions : (index + 1) * directions]
            weights.append([array for block in own for array in _arrays(kind, config, block)])
    if path is not None:
        full = {"units": layer.hidden_size, "return_sequences": True, "use_bias": layer.bias} | config
        outer = {"layer": {"class_name": kind, "config": full}} if directions == 2 else full
        name = "Bidirectional" if directions == 2 else kind
        written = [KerasLayer(f"{kind}_{k}", tuple(own), name, outer) for k, own in enumerate(weights)]
        write_layers(Path(path), layer.input_size, written)
    return weights


def _keras_config(layer: Recurrent) -> tuple[str, dict[str, Any]]:
    """Return Keras's class, and its options beside sizes.

    Raises:
        ArgumentError: for what Keras lacks.
    """
    check_plain(layer, "Keras")
    cell = layer.cell
    kind = {"lstm": "LSTM", "gru": "GRU", "rnn": "SimpleRNN"}[cell.name]
    if isinstance(cell, cells.GRUCell):
        return kind, {"reset_after": cell.reset_after}
    return kind, {"activation": cell.nonlinearity} if isinstance(cell, cells.RNNCell) else {}


def _arrays(kind: str, config: dict[str, Any], block: dict[str, Any]) -> list[np.ndarray]:
    # each order undoes itself
    own = {name: _reordered(tensor.detach().cpu(), _GATES[kind]) for name, tensor in block.items()}
    arrays = [own["weight_ih"].T, own["weight_hh"].T]
    if "bias_ih" in own:
        two = (own["bias_ih"], own["bias_hh"])
        arrays.append(torch.stack(two) if config.get("reset_after") else two[0] + two[1])
    return [array.contiguous().numpy() for array in arrays]
