"""Operators that are layers: products, softmax, normalisation, convolution, pooling."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from unrolled.export.onnx.graph import GraphNode
from unrolled.export.onnx.reading.operators.table import operator

_CONVOLUTIONS = {3: F.conv1d, 4: F.conv2d, 5: F.conv3d}
_MAX_POOLS = {3: F.max_pool1d, 4: F.max_pool2d, 5: F.max_pool3d}
_MEAN_POOLS = {3: F.avg_pool1d, 4: F.avg_pool2d, 5: F.avg_pool3d}


@operator("MatMul")
def _mat_mul(node: GraphNode, x: Tensor, y: Tensor) -> Tensor:
    return x @ y


@operator("Gemm", attributes="alpha beta transA transB broadcast")
def _gemm(node: GraphNode, a: Tensor, b: Tensor, c: Tensor | None = None) -> Tensor:
    a, b = (a.T if node.get("transA", 0) else a), (b.T if node.get("transB", 0) else b)
    alpha, beta = node.get("alpha", 1.0), node.get("beta", 1.0)
    y = a @ b if alpha == 1 else alpha * (a @ b)
    return y if c is None else y + (c if beta == 1 else beta * c)


@operator("Einsum", attributes="equation")
def _einsum(node: GraphNode, *inputs: Tensor) -> Tensor:
    return torch.einsum(node.get("equation", ""), *inputs)


@operator("Softmax", "LogSoftmax", attributes="axis")
def _softmax(node: GraphNode, x: Tensor) -> Tensor:
    function = torch.softmax if node.op == "Softmax" else torch.log_softmax
    if node.opset >= 13:
        return function(x, node.get("axis", -1))
    # before opset 13 all axes from this one on are one
    axis = node.get("axis", 1) % max(x.dim(), 1)
    return function(x.flatten(axis) if axis < x.dim() else x, axis).reshape(x.shape)


@operator("BatchNormalization", attributes="epsilon momentum spatial is_test training_mode consumed_inputs")
def _batch_normalization(
    node: GraphNode, x: Tensor, scale: Tensor, bias: Tensor, mean: Tensor, variance: Tensor
) -> Tensor:
    if node.get("training_mode", 0):
        raise node.error("attribute 'training_mode' is 1; export the model for inference")
    return F.batch_norm(x, mean, variance, scale, bias, eps=node.get("epsilon", 1e-5))


@operator("LayerNormalization", attributes="axis epsilon stash_type")
def _layer_normalization(node: GraphNode, x: Tensor, scale: Tensor, bias: Tensor | None = None) -> Tensor:
    axis = node.get("axis", -1) % x.dim()
    y = F.layer_norm(x, x.shape[axis:], eps=node.get("epsilon", 1e-5)) * scale
    return y if bias is None else y + bias


@operator("InstanceNormalization", attributes="epsilon consumed_inputs")
def _instance_normalization(node: GraphNode, x: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
    return F.instance_norm(x, weight=scale, bias=bias, eps=node.get("epsilon", 1e-5))


def _padded(node: GraphNode, x: Tensor, kernel: list[int], value: float) -> Tensor:
    """Return x with the padding that a window's attributes ask for."""
    count = x.dim() - 2
    dilations, strides = node.get("dilations", [1] * count), node.get("strides", [1] * count)
    auto = node.get("auto_pad", "NOTSET")
    if auto in ("SAME_UPPER", "SAME_LOWER"):
        pads = []
        for size, width, step, apart in zip(x.shape[2:], kernel, strides, dilations, strict=True):
            total = max((-(-size // step) - 1) * step + (width - 1) * apart + 1 - size, 0)
            pads.append((total // 2, total - total // 2) if auto == "SAME_UPPER" else (total - total // 2, total // 2))
    elif auto == "VALID":
        pads = [(0, 0)] * count
    else:
        flat = node.get("pads", [0] * 2 * count)
        pads = list(zip(flat[:count], flat[count:], strict=True))
    sides = [side for pair in reversed(pads) for side in pair]
    return F.pad(x, sides, value=value) if any(sides) else x


@operator("Conv", attributes="auto_pad dilations group kernel_shape pads strides")
def _convolution(node: GraphNode, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    count = x.dim() - 2
    x = _padded(node, x, list(weight.shape[2:]), 0.0)
    convolve = _CONVOLUTIONS[x.dim()]
    strides, dilations = node.get("strides", [1] * count), node.get("dilations", [1] * count)
    return convolve(x, weight, bias, stride=strides, dilation=dilations, groups=node.get("group", 1))


@operator("MaxPool", attributes="auto_pad ceil_mode dilations kernel_shape pads storage_order strides")
def _max_pool(node: GraphNode, x: Tensor) -> Tensor:
    count, kernel = x.dim() - 2, list(node.get("kernel_shape", [1]))
    strides, dilations = node.get("strides", [1] * count), node.get("dilations", [1] * count)
    x = _padded(node, x, kernel, float("-inf"))
    pool = _MAX_POOLS[x.dim()]
    return pool(x, kernel, strides, dilation=dilations, ceil_mode=bool(node.get("ceil_mode", 0)))


@operator("AveragePool", attributes="auto_pad count_include_pad kernel_shape pads strides")
def _average_pool(node: GraphNode, x: Tensor) -> Tensor:
    kernel, pool = list(node.get("kernel_shape", [1])), _MEAN_POOLS[x.dim()]
    strides = node.get("strides", [1] * (x.dim() - 2))
    total = pool(_padded(node, x, kernel, 0.0), kernel, strides)
    if node.get("count_include_pad", 0):
        return total
    share = pool(_padded(node, torch.ones_like(x), kernel, 0.0), kernel, strides)
    return total / share


@operator("GlobalAveragePool", "GlobalMaxPool")
def _global_pool(node: GraphNode, x: Tensor) -> Tensor:
    axes = list(range(2, x.dim()))
    return x.mean(axes, True) if node.op == "GlobalAveragePool" else x.amax(axes, True)
