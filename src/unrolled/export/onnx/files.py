"""ONNX files, read into plain graphs and written from them: the one place that knows the library `onnx`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from unrolled.errors import MissingDependencyError, ModelError, StorageError
from unrolled.export.onnx.graph import DTYPES, NUMBERS, Attribute, Graph, GraphNode, Value
from unrolled.storage import storage_error, write_whole

if TYPE_CHECKING:
    import onnx

#: versions of operators and of the file format that runtimes of the last years all read
OPSET, IR_VERSION = 17, 9
#: integers of ONNX that numpy has and torch lacks, or that numpy itself lacks, by what is read instead
_WIDER = {"uint16": "int32", "uint32": "int64", "uint64": "int64"}


def _onnx() -> Any:
    try:
        import onnx
    except ImportError as error:
        raise MissingDependencyError("onnx", "onnx", "reading and writing ONNX files") from error
    return onnx


def read(source: str | Path | bytes) -> Graph:
    """Read an ONNX model.

    Args:
        source: a path, beside which weights that are kept apart lie, or the bytes of a model with its weights inside.

    Raises:
        StorageError: the file can't be read.
        ModelError: it is no ONNX model, or a damaged one.
        MissingDependencyError: onnx is not installed.
    """
    library = _onnx()
    where, folder, data = "ONNX model", "", source
    if not isinstance(source, bytes):
        path = Path(source)
        where, folder = str(path), str(path.resolve().parent)
        if not path.is_file():
            raise StorageError(f"{path}: no such file")
        try:
            data = path.read_bytes()
        except OSError as error:
            raise storage_error(error, path, "reading it") from error
    try:
        model = library.load_model_from_string(data)
    except Exception as error:  # protobuf's DecodeError, which has no name that lasts from version to version
        raise ModelError(f"{where}: not an ONNX model: {error}") from error
    if not model.ir_version or not model.graph.output:
        raise ModelError(f"{where}: not an ONNX model: it has no graph with outputs")
    try:
        if folder:
            library.external_data_helper.load_external_data_for_model(model, folder)
        if model.functions:
            model = library.inliner.inline_local_functions(model)
        return _graph(model.graph, {entry.domain: entry.version for entry in model.opset_import}, where)
    except (OSError, ValueError, TypeError, KeyError, RecursionError, library.checker.ValidationError) as error:
        raise ModelError(f"{where}: a damaged ONNX model: {error}") from error


def write(graph: Graph, path: str | Path, properties: Mapping[str, str]) -> None:
    """Write a graph to an ONNX file, after onnx's own check of it.

    Args:
        graph: what to write.
        path: the file; an older one of that name is whole until the new one is.
        properties: texts by name, the file's metadata.

    Raises:
        StorageError: the file can't be written.
        MissingDependencyError: onnx is not installed.
    """
    library = _onnx()
    model = library.helper.make_model(
        _graph_proto(graph),
        opset_imports=[library.helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="unrolled",
    )
    library.helper.set_model_props(model, dict(properties))
    library.checker.check_model(model, full_check=True)
    write_whole(path, model.SerializeToString())


def _graph(proto: onnx.GraphProto, opsets: dict[str, int], where: str) -> Graph:
    if proto.sparse_initializer:
        raise ModelError(
            f"{where}: initializer {proto.sparse_initializer[0].values.name!r} is sparse, which is not read"
        )
    constants = {_text(tensor.name): _tensor(tensor) for tensor in proto.initializer}
    nodes = tuple(_nodes(proto, opsets, where))
    inputs, outputs = (tuple(map(_value, values)) for values in (proto.input, proto.output))
    return Graph(inputs, outputs, nodes, constants, where)


def _nodes(proto: onnx.GraphProto, opsets: dict[str, int], where: str) -> Iterator[GraphNode]:
    for index, node in enumerate(proto.node):
        name = _text(node.name) or f"{_text(node.op_type)}_{index}"
        domain = "" if node.domain in ("", "ai.onnx") else node.domain
        opset = opsets.get(node.domain, opsets.get("ai.onnx", 1) if not domain else 1)
        attributes = {entry.name: _attribute(entry, opsets, f"{where}: node {name!r}") for entry in node.attribute}
        op = f"{domain}.{node.op_type}" if domain else node.op_type
        yield GraphNode(op, name, tuple(map(_text, node.input)), tuple(map(_text, node.output)), attributes, opset)


def _text(value: str | bytes) -> str:
    # what is no UTF-8 comes as bytes
    if isinstance(value, bytes):
        raise ValueError(f"{value!r} is no text")
    return value


def _attribute(entry: onnx.AttributeProto, opsets: dict[str, int], where: str) -> Attribute:
    kinds = _onnx().AttributeProto
    value = _onnx().helper.get_attribute_value(entry)
    if entry.type == kinds.TENSOR:
        return _tensor(value)
    if entry.type == kinds.GRAPH:
        return _graph(value, opsets, where)
    if entry.type == kinds.STRING:
        return str(value.decode("utf-8", "replace"))
    if entry.type == kinds.STRINGS:
        return [item.decode("utf-8", "replace") for item in value]
    if entry.type in (kinds.INT, kinds.FLOAT):
        return int(value) if entry.type == kinds.INT else float(value)
    if entry.type in (kinds.INTS, kinds.FLOATS):
        return [int(v) for v in value] if entry.type == kinds.INTS else [float(v) for v in value]
    raise ModelError(f"{where}: attribute {entry.name!r} is of a type that is not read ({entry.type})")


def _tensor(proto: onnx.TensorProto) -> Tensor:
    array = _onnx().numpy_helper.to_array(proto)
    if array.dtype.name == "bfloat16":
        return torch.from_numpy(array.view("int16").copy()).view(torch.bfloat16)
    array = array.astype(_WIDER.get(array.dtype.name, array.dtype))
    return torch.from_numpy(array.copy())


def _value(proto: onnx.ValueInfoProto) -> Value:
    if not proto.type.HasField("tensor_type"):
        raise ModelError(f"value {proto.name!r} is no tensor, and only tensors are read")
    kind = proto.type.tensor_type
    shape = None
    if kind.HasField("shape"):
        shape = tuple(d.dim_value if d.HasField("dim_value") else d.dim_param or None for d in kind.shape.dim)
    return Value(_text(proto.name), DTYPES.get(kind.elem_type, torch.float32), shape)


def _graph_proto(graph: Graph) -> Any:
    helper = _onnx().helper
    values = [
        [helper.make_tensor_value_info(v.name, NUMBERS[v.dtype], v.shape) for v in group]
        for group in (graph.inputs, graph.outputs)
    ]
    constants = [_tensor_proto(tensor, name) for name, tensor in graph.constants.items()]
    nodes = []
    for node in graph.nodes:
        attributes = {}
        for name, value in node.attributes.items():
            if isinstance(value, torch.Tensor):
                value = _tensor_proto(value, "")
            attributes[name] = _graph_proto(value) if isinstance(value, Graph) else value
        nodes.append(helper.make_node(node.op, node.inputs, node.outputs, node.name, **attributes))
    return helper.make_graph(nodes, graph.name, *values, constants)


def _tensor_proto(tensor: Tensor, name: str) -> Any:
    tensor = tensor.detach().cpu().contiguous()
    if tensor.dtype == torch.bfloat16:
        raw = tensor.view(torch.int16).numpy().tobytes()
        return _onnx().helper.make_tensor(name, NUMBERS[tensor.dtype], tensor.shape, raw, raw=True)
    return _onnx().numpy_helper.from_array(tensor.numpy(), name)
