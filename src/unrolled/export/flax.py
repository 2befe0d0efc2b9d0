"""Weights from and to Flax, as its trees of arrays: LSTMCell, GRUCell and SimpleCell of linen and of nnx.

Flax keeps a matrix a gate, transposed, `ii … io` for the input and `hi … ho` for the state (nnx also all gates in
`dense_i` and `dense_h`), and a bias on one side. Gates are as ours, i f g o and r z n. Flax itself is not needed.
Letters: I input, H hidden, G gates, L layers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from unrolled import cells
from unrolled.errors import ArgumentError
from unrolled.export.plain import check_plain
from unrolled.layers import GRU, LSTM, RNN, Recurrent

#: a cell's parameters: a dictionary of dictionaries of arrays
Tree = dict[str, Any]
#: the gates of each cell by the letters that names end in, in our order
_GATES = {"lstm": ("i", "f", "g", "o"), "gru": ("r", "z", "n"), "rnn": ("",)}
_LAYERS: dict[str, Callable[..., Recurrent]] = {"lstm": LSTM, "gru": GRU, "rnn": RNN}


def from_flax(params: Mapping[str, Any]) -> Recurrent:
    """Make a layer of ours of the parameters of a Flax cell.

    Args:
        params: the tree of an LSTMCell, OptimizedLSTMCell, GRUCell or SimpleCell of linen or nnx, as it is, in
            "params", in an RNN, or in a Bidirectional of two RNNs; of nnx what `nnx.state(module)` returns.

    Returns:
        The layer, batch_first and in evaluation mode. What a tree does not say is taken to be Flax's default: gates are
        sigmoids, the rest is tanh, and nothing is residual.

    Raises:
        ArgumentError: the tree is of no such cell; the message has its keys.
    """
    tree = _plain(params)
    tree = tree.get("params", tree)
    halves = [tree]
    if "forward_rnn" in tree and "backward_rnn" in tree:
        halves = [tree["forward_rnn"], tree["backward_rnn"]]
    directions = [_cell(half.get("cell", half) if isinstance(half, dict) else half) for half in halves]
    kind, blocks = directions[0][0], [block for _, block in directions]
    if any(other != kind for other, _ in directions):
        raise ArgumentError("params: the two directions are of different cells")
    first = blocks[0]
    inputs, hidden, dtype = first["weight_ih"].shape[1], first["weight_hh"].shape[1], first["weight_ih"].dtype
    has_bias = any("bias_ih" in block for block in blocks)
    layer = _LAYERS[kind](inputs, hidden, bias=has_bias, batch_first=True, bidirectional=len(blocks) == 2, dtype=dtype)
    with torch.no_grad():
        for own, block in zip(layer.parameter_blocks(), blocks, strict=True):
            for name, parameter in own.items():
                tensor = block.get(name, torch.zeros_like(parameter))
                if tensor.shape != parameter.shape:
                    shapes = f"{tuple(tensor.shape)}, expected {tuple(parameter.shape)}"
                    raise ArgumentError(f"params: {name} is put together to {shapes}")
                parameter.copy_(tensor)
    return layer.eval()


def to_flax(layer: Recurrent, style: Literal["linen", "nnx"] = "linen") -> list[Tree]:
    """Return the parameters of a stack as trees for Flax's LSTMCell, GRUCell or SimpleCell.

    Args:
        layer: an RNN with tanh, an LSTM or a GRU.
        style: "linen", for `{"params": tree}`; or "nnx", for `nnx.update(cell, tree)`.

    Returns:
        For each layer of the stack the tree of its cell; of a bidirectional one, `forward_rnn` and `backward_rnn`, each
        with its `cell`. Leaves are numpy arrays.

    Raises:
        ArgumentError: the layer has what those cells lack, naming it.
    """
    if style not in ("linen", "nnx"):
        raise ArgumentError(f"style: expected linen or nnx, found {style!r}")
    check_plain(layer, "Flax")
    cell = layer.cell
    if isinstance(cell, cells.RNNCell) and cell.nonlinearity != "tanh":
        raise ArgumentError(f"layer: the tree of a SimpleCell does not say that its activation is {cell.nonlinearity}")
    if isinstance(cell, cells.GRUCell) and not cell.reset_after:
        raise ArgumentError("layer: Flax's GRUCell resets after the product; this one has reset_after=False")
    trees = [_tree(cell.name, style, block) for block in layer.parameter_blocks()]
    if layer.num_directions == 1:
        return trees
    pairs = zip(trees[::2], trees[1::2], strict=True)
    return [{"forward_rnn": {"cell": forward}, "backward_rnn": {"cell": backward}} for forward, backward in pairs]


def _plain(tree: Any) -> Any:
    """Return a tree as dictionaries with str keys, without what nnx wraps around them."""
    if isinstance(tree, Mapping):
        # `if` is no attribute's name in Python, so nnx writes `if_`
        return {str(key).removesuffix("_"): _plain(value) for key, value in tree.items()}
    return tree


def _array(leaf: Any, name: str) -> Tensor:
    try:
        array = np.asarray(leaf.get_value() if hasattr(leaf, "get_value") else getattr(leaf, "value", leaf))
        return torch.from_numpy(np.array(array))
    except (TypeError, ValueError) as error:
        raise ArgumentError(f"params: {name} is no array: {type(leaf).__name__}") from error


def _cell(tree: Any) -> tuple[str, dict[str, Tensor]]:
    """Return the kind of a cell, and its parameters in our names and shapes."""
    keys = set(tree) if isinstance(tree, dict) else set()
    if keys == {"dense_i", "dense_h"}:
        parts = {side: _dense(tree, f"dense_{side}") for side in "ih"}
        recurrent = parts["h"]["kernel"]
        kind = {4: "lstm", 3: "gru", 1: "rnn"}.get(recurrent.shape[1] // max(recurrent.shape[0], 1), "")
    else:
        kind = next((k for k, gates in _GATES.items() if keys == {side + g for side in "ih" for g in gates}), "")
        parts = {}
        for side in "ih" if kind else ():
            gates = [_dense(tree, side + gate) for gate in _GATES[kind]]
            parts[side] = {"kernel": torch.cat([gate["kernel"] for gate in gates], 1)}
            if any("bias" in gate for gate in gates):
                zeros = torch.zeros_like(gates[0]["kernel"][0])
                parts[side]["bias"] = torch.cat([gate.get("bias", zeros) for gate in gates])
    if not kind:
        present = ", ".join(sorted(keys)) or type(tree).__name__
        raise ArgumentError(f"params: expected the tree of an LSTMCell, GRUCell or SimpleCell, found {present}")
    block = {f"weight_{side}h": part["kernel"].T for side, part in parts.items()}
    if any("bias" in part for part in parts.values()):
        zeros = torch.zeros_like(block["weight_ih"][:, 0])
        block |= {f"bias_{side}h": part.get("bias", zeros) for side, part in parts.items()}
    return kind, block


def _dense(tree: Tree, name: str) -> dict[str, Tensor]:
    """Return the kernel (I, O) of a dense layer, and its bias (O,) where it has that."""
    leaves = tree[name]
    if not isinstance(leaves, dict) or "kernel" not in leaves or not set(leaves) <= {"kernel", "bias"}:
        raise ArgumentError(
            f"params: {name}: expected kernel and bias, found {leaves if leaves is None else list(leaves)}"
        )
    tensors = {key: _array(leaf, f"{name}/{key}") for key, leaf in leaves.items()}
    if tensors["kernel"].dim() != 2:
        raise ArgumentError(f"params: {name}/kernel: expected two dimensions, found {tuple(tensors['kernel'].shape)}")
    return tensors


def _tree(kind: str, style: str, block: Mapping[str, Tensor]) -> Tree:
    """Return the tree of a cell."""
    gates = _GATES[kind]
    own = {name: tensor.detach().cpu().chunk(len(gates)) for name, tensor in block.items()}
    zeros = tuple(torch.zeros_like(weight[:, 0]) for weight in own["weight_ih"])
    b_i, b_h = own.get("bias_ih", zeros), own.get("bias_hh", zeros)
    if style == "nnx" and kind == "gru" and bool(b_h[2].any()):
        raise ArgumentError("layer: nnx.GRUCell has no bias inside the reset, where bias_hh has one; linen's has")
    both: Sequence[Tensor] = [i + h for i, h in zip(b_i, b_h, strict=True)]
    if style == "nnx" and kind != "lstm":
        parts = {"kernel": torch.cat(own["weight_ih"]).T, "bias": torch.cat(list(both))}
        return {"dense_i": _arrays(parts), "dense_h": _arrays({"kernel": torch.cat(own["weight_hh"]).T})}
    tree: Tree = {}
    for k, gate in enumerate(gates):
        inputs, recurrent = {"kernel": own["weight_ih"][k].T}, {"kernel": own["weight_hh"][k].T}
        # linen has the bias with h in an LSTM, with x elsewhere, and with both inside a GRU's reset
        if kind == "lstm":
            recurrent["bias"] = both[k]
        else:
            inputs["bias"] = b_i[k] if gate == "n" else both[k]
            recurrent |= {"bias": b_h[k]} if gate == "n" else {}
        tree["if_" if style == "nnx" and gate == "f" else f"i{gate}"] = _arrays(inputs)
        tree[f"h{gate}"] = _arrays(recurrent)
    return tree


def _arrays(parts: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
    return {name: tensor.contiguous().numpy() for name, tensor in parts.items()}
