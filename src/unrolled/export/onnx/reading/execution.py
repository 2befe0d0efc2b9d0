"""Running a graph: node after node, with the graphs that control nodes hold inside, and what is constant beforehand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet

import torch
from torch import Tensor, nn

from unrolled.errors import ModelError
from unrolled.export.onnx.graph import Graph, GraphNode
from unrolled.export.onnx.reading.operators import OPERATORS, run
from unrolled.export.onnx.reading.recurrent import RECURRENT, WEIGHTS, RecurrentNode, settings

Values = dict[str, Tensor | None]
#: control nodes by operator, with the attributes that are supported
_CONTROL = {
    "If": {"then_branch", "else_branch"},
    "Loop": {"body"},
    "Scan": {
        "body",
        "num_scan_inputs",
        "scan_input_axes",
        "scan_input_directions",
        "scan_output_axes",
        "scan_output_directions",
    },
}


def check(graph: Graph, around: AbstractSet[str] = frozenset()) -> None:
    """Refuse a graph that has something which is not supported, or reads what is not there.

    Args:
        graph: what is to be run.
        around: the names of the values that it may read from outside.

    Raises:
        ModelError: naming the node, the operator and the attribute or value.
    """
    names = {*around, *graph.constants, *(value.name for value in graph.inputs)}
    for node in graph.nodes:
        missing = sorted(free_names(node) - names)
        if missing:
            raise node.error(f"reads {missing[0]!r}, which no node before it yields")
        _check_node(node, names)
        names.update(node.outputs)
    for value in graph.outputs:
        if value.name not in names:
            raise ModelError(f"{graph.name}: no node yields the output {value.name!r}")


def _check_node(node: GraphNode, around: AbstractSet[str]) -> None:
    if node.op in RECURRENT:
        settings(node)
        return
    known = _CONTROL.get(node.op, OPERATORS[node.op].attributes if node.op in OPERATORS else None)
    if known is None:
        supported = ", ".join(sorted([*OPERATORS, *_CONTROL, *RECURRENT]))
        raise node.error(f"this operator is not supported; supported are {supported}")
    for name, value in node.attributes.items():
        if name not in known:
            raise node.error(f"attribute {name!r} is not supported")
        if isinstance(value, Graph):
            check(value, around)


def free_names(node: GraphNode) -> set[str]:
    """Return the names of the values that a node reads, those that graphs inside it read from around them included."""
    names = {name for name in node.inputs if name}
    for value in node.attributes.values():
        if isinstance(value, Graph):
            own = {v.name for v in value.inputs} | set(value.constants)
            for inner in value.nodes:
                names |= free_names(inner) - own
                own |= set(inner.outputs)
            names |= {v.name for v in value.outputs} - own
    return names


def fold(graph: Graph) -> tuple[dict[str, Tensor], list[GraphNode]]:
    """Compute what is constant.

    Returns:
        Every constant value by name, and the nodes that are left to run.
    """
    known, rest = dict(graph.constants), []
    with torch.no_grad():
        for node in graph.nodes:
            if node.op in RECURRENT or not free_names(node) <= set(known):
                rest.append(node)
                continue
            values: Values = dict(known)
            execute([node], values, {})
            known |= {name: tensor for name in node.outputs if name and (tensor := values[name]) is not None}
    return known, rest


def execute(nodes: Sequence[GraphNode], values: Values, layers: Mapping[tuple[str, ...], nn.Module]) -> None:
    """Run nodes one after the other.

    Args:
        nodes: in an order in which they can be run.
        values: by name; what the nodes yield is added.
        layers: the layers of recurrent nodes whose weights are constant, by the nodes' outputs.

    Raises:
        ModelError: a node can't be run on its inputs.
    """
    for node in nodes:
        layer = layers.get(node.outputs)
        names = ["" if layer is not None and k in WEIGHTS else name for k, name in enumerate(node.inputs)]
        given = [values[name] if name else None for name in names]
        if node.op in RECURRENT:
            results: Sequence[Tensor | None] = (RecurrentNode(node, None) if layer is None else layer)(*given)
        elif node.op in _CONTROL:
            results = {"If": _branch, "Loop": _loop, "Scan": _scan}[node.op](node, given, values)
        else:
            results = run(node, given)
        if any(node.outputs[len(results) :]):
            raise node.error(f"yields {len(results)} values, and the file asks for {len(node.outputs)}")
        values.update((name, tensor) for name, tensor in zip(node.outputs, results, strict=False) if name)


def _inside(graph: Graph, inputs: Sequence[Tensor | None], around: Values) -> list[Tensor | None]:
    """Return the outputs of a graph inside a node, which may read the values around it."""
    values = around | dict(graph.constants) | {v.name: x for v, x in zip(graph.inputs, inputs, strict=True)}
    execute(graph.nodes, values, {})
    return [values[v.name] for v in graph.outputs]


def _branch(node: GraphNode, given: Sequence[Tensor | None], around: Values) -> list[Tensor | None]:
    chosen = node.attributes["then_branch" if bool(given[0]) else "else_branch"]
    return _inside(chosen, (), around) if isinstance(chosen, Graph) else []


def _loop(node: GraphNode, given: Sequence[Tensor | None], around: Values) -> list[Tensor | None]:
    limit, going, *carried = given
    body = _body(node)
    stacks: list[list[Tensor]] = [[] for _ in body.outputs[1 + len(carried) :]]
    count, is_going = 0, going is None or bool(going)
    while is_going and (limit is None or count < int(limit)):
        result = _inside(body, (torch.tensor(count), torch.tensor(True), *carried), around)
        is_going, carried = bool(result[0]), result[1 : 1 + len(carried)]
        for stack, tensor in zip(stacks, result[1 + len(carried) :], strict=True):
            stack.append(_there(node, tensor))
        count += 1
    if not count and stacks:
        raise node.error("ran no step, so the shape of what it stacks is not known")
    return [*carried, *(torch.stack(stack) for stack in stacks)]


def _scan(node: GraphNode, given: Sequence[Tensor | None], around: Values) -> list[Tensor | None]:
    body, count = _body(node), node.get("num_scan_inputs", 0)
    if node.opset < 9:
        raise node.error("Scan is supported from opset 9 on")
    state, scanned = list(given[: len(given) - count]), [_there(node, x) for x in given[len(given) - count :]]
    outputs = len(body.outputs) - len(state)
    axes, directions = node.get("scan_input_axes", [0] * count), node.get("scan_input_directions", [0] * count)
    steps = [x.unbind(axis) for x, axis in zip(scanned, axes, strict=True)]
    steps = [x[::-1] if backwards else x for x, backwards in zip(steps, directions, strict=True)]
    stacks: list[list[Tensor]] = [[] for _ in range(outputs)]
    for pieces in zip(*steps, strict=True):
        result = _inside(body, (*state, *pieces), around)
        state = result[: len(state)]
        for stack, tensor in zip(stacks, result[len(state) :], strict=True):
            stack.append(_there(node, tensor))
    axes, directions = node.get("scan_output_axes", [0] * outputs), node.get("scan_output_directions", [0] * outputs)
    joined = [
        torch.stack(stack[::-1] if backwards else stack, axis)
        for stack, axis, backwards in zip(stacks, axes, directions, strict=True)
    ]
    return [*state, *joined]


def _body(node: GraphNode) -> Graph:
    body = node.attributes.get("body")
    if not isinstance(body, Graph):
        raise node.error("attribute 'body' is no graph")
    return body


def _there(node: GraphNode, tensor: Tensor | None) -> Tensor:
    if tensor is None:
        raise node.error("a value that it needs is left out")
    return tensor
