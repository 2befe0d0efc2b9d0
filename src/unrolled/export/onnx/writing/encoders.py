"""Encoders of single items as nodes of a graph: vectors of features, and images through convolutions.

Letters: N items, H height, W width, C channels, I width of a vector, P positions of a grid, G width of its vectors.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from unrolled.errors import ArgumentError
from unrolled.export.onnx.writing.builder import Builder
from unrolled.layers import Frames, ImageEncoder
from unrolled.layers.inputs.clips import ImageVector
from unrolled.layers.inputs.images import ResidualBlock


def add_encoder(graph: Builder, layer: nn.Module, x: str) -> str:
    """Add an encoder of items x (N, …), floating point: (N, I). Features may have more dimensions before the last.

    Raises:
        ArgumentError: for a layer that has no such form.
    """
    for kind, add in ENCODERS.items():
        if isinstance(layer, kind):
            return add(graph, layer, x)
    known = ", ".join(kind.__name__ for kind in ENCODERS)
    raise ArgumentError(f"inputs: a {type(layer).__name__} has no ONNX form; these have one: {known}")


def item_shape(layer: nn.Module) -> tuple[int | str, ...]:
    """Return the shape of what an encoder reads: (F,), or (H, W, C) of an image, 0 to 255."""
    if isinstance(layer, Frames):
        return (layer.features,)
    if isinstance(layer, ImageVector):
        return (layer.height, layer.width, layer.encoder.channels)
    if isinstance(layer, ImageEncoder):
        return ("height", "width", layer.channels)
    raise ArgumentError(f"inputs: a {type(layer).__name__} has no ONNX form")


def add_grid(graph: Builder, layer: nn.Module, x: str) -> str:
    """Add the vectors of all positions: images (B, H, W, C), or features of each position as they are; (B, P, G)."""
    if not isinstance(layer, ImageEncoder):
        return add_encoder(graph, layer, x)
    maps = _maps(graph, layer, x)
    flat = graph.node("Reshape", maps, graph.whole(0, 0, -1))
    return graph.node("Transpose", flat, perm=[0, 2, 1])


def add_linear(graph: Builder, layer: nn.Module, x: str) -> str:
    """Add a linear layer; what passes its input through in evaluation is left out."""
    if isinstance(layer, (nn.Identity, nn.Dropout)):
        return x
    if not isinstance(layer, nn.Linear):
        raise ArgumentError(f"module: expected a linear layer, found a {type(layer).__name__}, which has no ONNX form")
    return graph.linear(x, layer.weight, layer.bias)


def _standardised(graph: Builder, layer: Any, x: str) -> str:
    centred = graph.node("Sub", x, graph.constant(layer.mean, "mean"))
    return graph.node("Div", centred, graph.constant(layer.std, "std"))


def _frames(graph: Builder, layer: Frames, x: str) -> str:
    return add_linear(graph, layer.linear, _standardised(graph, layer, x))


def _image(graph: Builder, layer: ImageEncoder, x: str) -> str:
    return add_linear(graph, layer.linear, graph.node("ReduceMean", _maps(graph, layer, x), axes=[2, 3], keepdims=0))


def _image_vector(graph: Builder, layer: ImageVector, x: str) -> str:
    maps = graph.node("Transpose", _maps(graph, layer.encoder, x), perm=[0, 2, 3, 1])
    flat = add_linear(graph, layer.linear, graph.node("Flatten", maps))
    norm = (graph.constant(layer.norm.weight, "norm"), graph.constant(layer.norm.bias, "norm"))
    return graph.node("Relu", graph.node("LayerNormalization", flat, *norm, axis=-1, epsilon=layer.norm.eps))


def _maps(graph: Builder, layer: ImageEncoder, x: str) -> str:
    """Add the last feature maps, (N, G, h, w)."""
    x = graph.node("Transpose", _standardised(graph, layer, x), perm=[0, 3, 1, 2])
    for part in (*_parts(layer.stem), *_parts(layer.stages)):
        x = _block(graph, part, x) if isinstance(part, ResidualBlock) else _plain(graph, part, x)
    return x


def _parts(layer: nn.Module) -> list[nn.Module]:
    return list(layer) if isinstance(layer, nn.Sequential) else [layer]


def _block(graph: Builder, block: ResidualBlock, x: str) -> str:
    y = graph.node("Relu", _plain(graph, block.first_norm, _plain(graph, block.first, x)))
    y = _plain(graph, block.second_norm, _plain(graph, block.second, y))
    for part in block.skip:
        x = _plain(graph, part, x)
    return graph.node("Relu", graph.node("Add", y, x))


def _plain(graph: Builder, layer: nn.Module, x: str) -> str:
    if isinstance(layer, nn.Conv2d):
        pads, strides = [int(p) for p in layer.padding] * 2, list(layer.stride)
        weights = [graph.constant(t, "kernel") for t in (layer.weight, layer.bias) if t is not None]
        return graph.node("Conv", x, *weights, pads=pads, strides=strides, kernel_shape=list(layer.kernel_size))
    if isinstance(layer, nn.BatchNorm2d):
        statistics = (layer.weight, layer.bias, layer.running_mean, layer.running_var)
        names = [graph.constant(tensor, "norm") for tensor in statistics if tensor is not None]
        return graph.node("BatchNormalization", x, *names, epsilon=layer.eps)
    if isinstance(layer, nn.ReLU):
        return graph.node("Relu", x)
    if isinstance(layer, nn.AvgPool2d):
        return _averaged(graph, layer, x)
    raise ArgumentError(f"inputs: a {type(layer).__name__} has no ONNX form")


def _averaged(graph: Builder, layer: nn.AvgPool2d, x: str) -> str:
    """Add the mean of squares of pixels; of those at an odd edge the ones that are there."""
    size = [layer.kernel_size] * 2 if isinstance(layer.kernel_size, int) else list(layer.kernel_size)
    return graph.node("AveragePool", x, kernel_shape=size, strides=size, ceil_mode=1)


#: encoders by the layer they are of
ENCODERS: dict[type[nn.Module], Callable[[Builder, Any, str], str]] = {
    Frames: _frames,
    ImageEncoder: _image,
    ImageVector: _image_vector,
}
