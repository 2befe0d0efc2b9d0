"""Operators that work on each element by itself: arithmetic, comparison, activations, casts."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from unrolled.export.onnx.graph import DTYPES, GraphNode
from unrolled.export.onnx.reading.operators.table import OPERATORS, Operator, operator


def _plain(function: Callable[..., Tensor], node: GraphNode, *inputs: Tensor) -> Tensor:
    return function(*inputs)


_UNARY: dict[str, Callable[..., Tensor]] = {
    "Abs": torch.abs,
    "Ceil": torch.ceil,
    "Cos": torch.cos,
    "Erf": torch.erf,
    "Exp": torch.exp,
    "Floor": torch.floor,
    "IsNaN": torch.isnan,
    "Identity": lambda x: x,
    "Log": torch.log,
    "Neg": torch.neg,
    "Not": torch.logical_not,
    "Reciprocal": torch.reciprocal,
    "Relu": torch.relu,
    "Round": torch.round,
    "Sigmoid": torch.sigmoid,
    "Sign": torch.sign,
    "Sin": torch.sin,
    "Softplus": F.softplus,
    "Softsign": F.softsign,
    "Sqrt": torch.sqrt,
    "Tanh": torch.tanh,
    "And": torch.logical_and,
    "Or": torch.logical_or,
    "Xor": torch.logical_xor,
    "Where": torch.where,
    "PRelu": lambda x, slope: torch.where(x < 0, x * slope, x),
}
for _name, _function in _UNARY.items():
    OPERATORS[_name] = Operator(partial(_plain, _function), frozenset({"consumed_inputs"}))


def _divide(x: Tensor, y: Tensor) -> Tensor:
    return x / y if x.is_floating_point() else torch.div(x, y, rounding_mode="trunc")


_BINARY: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "Add": torch.add,
    "Sub": torch.sub,
    "Mul": torch.mul,
    "Div": _divide,
    "Pow": lambda x, y: torch.pow(x, y).to(x.dtype),
    "Equal": torch.eq,
    "Greater": torch.gt,
    "GreaterOrEqual": torch.ge,
    "Less": torch.lt,
    "LessOrEqual": torch.le,
}


def _binary(function: Callable[[Tensor, Tensor], Tensor], node: GraphNode, x: Tensor, y: Tensor) -> Tensor:
    # before opset 7 the second is laid along the first from `axis` on
    if node.get("broadcast", 0) and y.dim() and "axis" in node.attributes:
        axis = node.get("axis", 0) % x.dim()
        y = y.reshape(*y.shape, *(1,) * (x.dim() - axis - y.dim()))
    return function(x, y)


for _name, _function in _BINARY.items():
    OPERATORS[_name] = Operator(partial(_binary, _function), frozenset({"axis", "broadcast", "consumed_inputs"}))


@operator("Sum", attributes="consumed_inputs")
def _sum(node: GraphNode, *inputs: Tensor) -> Tensor:
    return sum(inputs[1:], inputs[0])


@operator("Mean", attributes="consumed_inputs")
def _mean(node: GraphNode, *inputs: Tensor) -> Tensor:
    return sum(inputs[1:], inputs[0]) / len(inputs)


@operator("Max", "Min", attributes="consumed_inputs")
def _extreme(node: GraphNode, *inputs: Tensor) -> Tensor:
    result = inputs[0]
    for other in inputs[1:]:
        result = torch.maximum(result, other) if node.op == "Max" else torch.minimum(result, other)
    return result


@operator("Mod", attributes="fmod")
def _mod(node: GraphNode, x: Tensor, y: Tensor) -> Tensor:
    return torch.fmod(x, y) if node.get("fmod", 0) else torch.remainder(x, y)


@operator("Clip", attributes="min max consumed_inputs")
def _clip(node: GraphNode, x: Tensor, low: Tensor | None = None, high: Tensor | None = None) -> Tensor:
    bounds = [
        bound if bound is not None else (torch.tensor(node.get(name, 0.0), dtype=x.dtype, device=x.device))
        for name, bound in (("min", low), ("max", high))
        if bound is not None or name in node.attributes
    ]
    has_low = low is not None or "min" in node.attributes
    if has_low:
        x = torch.maximum(x, bounds[0])
    return torch.minimum(x, bounds[-1]) if len(bounds) > has_low else x


@operator("LeakyRelu", attributes="alpha consumed_inputs")
def _leaky_relu(node: GraphNode, x: Tensor) -> Tensor:
    return F.leaky_relu(x, node.get("alpha", 0.01))


@operator("ThresholdedRelu", attributes="alpha")
def _thresholded_relu(node: GraphNode, x: Tensor) -> Tensor:
    return torch.where(x > node.get("alpha", 1.0), x, torch.zeros_like(x))


@operator("Elu", attributes="alpha consumed_inputs")
def _elu(node: GraphNode, x: Tensor) -> Tensor:
    return F.elu(x, node.get("alpha", 1.0))


@operator("Selu", attributes="alpha gamma consumed_inputs")
def _selu(node: GraphNode, x: Tensor) -> Tensor:
    return node.get("gamma", 1.0507009873554805) * F.elu(x, node.get("alpha", 1.6732632423543772))


@operator("HardSigmoid", attributes="alpha beta consumed_inputs")
def _hard_sigmoid(node: GraphNode, x: Tensor) -> Tensor:
    return (node.get("alpha", 0.2) * x + node.get("beta", 0.5)).clamp(0, 1)


@operator("HardSwish")
def _hard_swish(node: GraphNode, x: Tensor) -> Tensor:
    return F.hardswish(x)


@operator("Gelu", attributes="approximate")
def _gelu(node: GraphNode, x: Tensor) -> Tensor:
    return F.gelu(x, approximate=node.get("approximate", "none"))


@operator("Cast", attributes="to saturate")
def _cast(node: GraphNode, x: Tensor) -> Tensor:
    to = node.attributes.get("to")
    if isinstance(to, str):
        # opset 1 has the type by its name
        named = {"FLOAT": 1, "INT32": 6, "INT64": 7, "BOOL": 9, "FLOAT16": 10, "DOUBLE": 11}
        to = named.get(to.upper(), 0)
    if to not in DTYPES:
        raise node.error(f"attribute 'to' is {to}, a type that is not supported")
    return x.to(DTYPES[to])  # type: ignore[index]


@operator("CastLike", attributes="saturate")
def _cast_like(node: GraphNode, x: Tensor, like: Tensor) -> Tensor:
    return x.to(like.dtype)


@operator("Dropout", attributes="ratio seed is_test consumed_inputs")
def _dropout(
    node: GraphNode, x: Tensor, ratio: Tensor | None = None, training: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Passes x through: a model that arrives is there to predict."""
    if training is not None and bool(training):
        raise node.error("input 'training_mode' is true; export the model for inference")
    return x, torch.ones_like(x, dtype=torch.bool)
