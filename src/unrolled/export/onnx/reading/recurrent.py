"""RNN, GRU and LSTM nodes as layers of ours.

Where our cells can say what a node computes, a node whose weights are constants is an `unrolled.RNN`, `GRU` or `LSTM`;
where they can't (clipping, other activations), it is a `Recurrent` of one of the cells in `cells` beside this file. A
node that runs in reverse only is a layer over reversed sequences. Weights that come with each call are run by the same
engines.

Letters: T time, B batch, I input, H hidden, D directions, G gates.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from unrolled import cells
from unrolled.errors import DTypeError, ShapeError
from unrolled.export.onnx.graph import GraphNode
from unrolled.export.onnx.reading.cells import ACTIVATIONS, OnnxActivation, OnnxGRUCell, OnnxLSTMCell, OnnxRNNCell
from unrolled.kernels import Call, Direction, run
from unrolled.layers import GRU, LSTM, RNN, Recurrent
from unrolled.scan import valid_steps

RECURRENT = ("RNN", "GRU", "LSTM")
#: where ours has each gate in the files' order: i o f c → i f g o, z r h → r z n
_GATES = {"RNN": (0,), "GRU": (1, 0, 2), "LSTM": (0, 2, 3, 1)}
#: the activations that a node has unless it says otherwise
_DEFAULT = {"RNN": ("tanh",), "GRU": ("sigmoid", "tanh"), "LSTM": ("sigmoid", "tanh", "tanh")}
_ATTRIBUTES = {"activation_alpha", "activation_beta", "activations", "clip", "direction", "hidden_size", "layout"}
#: beyond those that all three have
_OWN = {"RNN": set[str](), "GRU": {"linear_before_reset"}, "LSTM": {"input_forget"}}
#: inputs after X that are parameters of a layer, by place
WEIGHTS = (1, 2, 3, 7)


@dataclass(frozen=True)
class NodeSettings:
    """The attributes of a node.

    Attributes:
        kind: RNN, GRU or LSTM.
        direction: forward, reverse or bidirectional.
        layout: 1 for (B, T, ·), else 0.
        activations: for each direction, its f, g and h.
        clip: the bound of what activations are given.
        coupled, reset_after: input_forget of an LSTM, linear_before_reset of a GRU.
    """

    kind: str
    direction: str
    layout: int
    activations: tuple[tuple[OnnxActivation, ...], ...]
    clip: float | None
    coupled: bool
    reset_after: bool

    @property
    def directions(self) -> int:
        """D."""
        return len(self.activations)

    def cell(self, direction: int, peephole: bool) -> cells.Cell:
        """Return the cell of a direction: ours where it computes the same."""
        functions = self.activations[direction]
        names = tuple(f.name for f in functions)
        if self.kind == "RNN":
            if self.clip is None and names[0] in ("tanh", "relu", "sigmoid"):
                return cells.RNNCell(nonlinearity=names[0])
            return OnnxRNNCell(functions, self.clip)
        if self.kind == "GRU":
            if self.clip is None and names == _DEFAULT["GRU"]:
                return cells.GRUCell(reset_after=self.reset_after)
            return OnnxGRUCell(functions, self.clip, self.reset_after)
        if self.clip is None and names == _DEFAULT["LSTM"]:
            return cells.LSTMCell(peephole=peephole, coupled=self.coupled)
        return OnnxLSTMCell(functions, self.clip, self.coupled, peephole)


def settings(node: GraphNode) -> NodeSettings:
    """Read the attributes of an RNN, GRU or LSTM node.

    Raises:
        ModelError: naming the node and the attribute that is not supported, or has a value that isn't.
    """
    kind = node.op
    # output_sequence, of opsets below 7, says whether Y is wanted, which the node's outputs say too
    known = _ATTRIBUTES | _OWN[kind] | {"output_sequence"}
    for name in node.attributes:
        if name not in known:
            raise node.error(f"attribute {name!r} is not supported")
    direction, layout = node.get("direction", "forward").lower(), node.get("layout", 0)
    if direction not in ("forward", "reverse", "bidirectional"):
        raise node.error(f"attribute 'direction' is {direction!r}; expected forward, reverse or bidirectional")
    if layout not in (0, 1):
        raise node.error(f"attribute 'layout' is {layout}; expected 0 or 1")
    clip = node.get("clip", 0.0) if "clip" in node.attributes else None
    if clip is not None and not clip > 0:
        raise node.error(f"attribute 'clip' is {clip}; expected a number above 0")
    activations = _activations(node, 2 if direction == "bidirectional" else 1)
    coupled, after = bool(node.get("input_forget", 0)), bool(node.get("linear_before_reset", 0))
    return NodeSettings(kind, direction, layout, activations, clip, coupled, after)


def _activations(node: GraphNode, directions: int) -> tuple[tuple[OnnxActivation, ...], ...]:
    """Read f, g and h of each direction; α and β go, in order, to those that have them."""
    default = _DEFAULT[node.op]
    names = [str(name).lower() for name in node.get("activations", [""])] if "activations" in node.attributes else []
    names = names or list(default) * directions
    if len(names) != len(default) * directions:
        raise node.error(f"attribute 'activations' has {len(names)} names; expected {len(default) * directions}")
    alphas, betas = (
        iter(node.get(f"activation_{which}", [0.0]) if f"activation_{which}" in node.attributes else [])
        for which in ("alpha", "beta")
    )
    made = []
    for name in names:
        definition = ACTIVATIONS.get(name)
        if definition is None:
            raise node.error(f"attribute 'activations' names {name!r}; supported are {', '.join(ACTIVATIONS)}")
        alpha = 0.0 if definition.alpha is None else next(alphas, definition.alpha)
        beta = 0.0 if definition.beta is None else next(betas, definition.beta)
        made.append(OnnxActivation(name, alpha, beta))
    return tuple(tuple(made[k : k + len(default)]) for k in range(0, len(made), len(default)))


class RecurrentNode(nn.Module):
    """A node of a graph, as layers.

    Args:
        node: the node.
        weights: W, R, B and P where they are constants, None for each that the node does not have; None altogether
            where they come with each call.

    Attributes:
        layers: one layer of ours, or one a direction where the directions' activations differ; none where the weights
            come with each call.

    Raises:
        ModelError: naming what is not supported.
    """

    def __init__(self, node: GraphNode, weights: Sequence[Tensor | None] | None) -> None:
        super().__init__()
        self.node, self.settings = node, settings(node)
        self.layers = nn.ModuleList()
        if weights is not None:
            for cell, blocks in self._groups(weights):
                self.layers.append(_layer(cell, blocks))
            self.layers.requires_grad_(False)

    def forward(self, *inputs: Tensor | None) -> tuple[Tensor, ...]:
        """Return Y, Y_h and for an LSTM Y_c.

        Args:
            inputs: the node's: X, W, R, B, sequence_lens, initial_h, initial_c, P; those left out are None.

        Raises:
            ModelError, ArgumentError, DTypeError: naming the input that does not fit.
        """
        given = (*inputs, *(None,) * 8)[:8]
        x, lengths, state = given[0], given[4], given[5:7] if self.settings.kind == "LSTM" else given[5:6]
        if x is None or x.dim() != 3:
            raise self.node.error(f"input X has shape {() if x is None else tuple(x.shape)}; expected three dimensions")
        layout, lengths = self.settings.layout, None if lengths is None else lengths.long()
        if layout:
            x, state = x.transpose(0, 1), tuple(s if s is None else s.transpose(0, 1) for s in state)
        if self.layers:
            calls = [_of_layer(layer) for layer in self.layers]
        else:
            calls = [_of_weights(*group) for group in self._groups([given[k] for k in WEIGHTS])]
        outputs, finals = [], []
        share = self.settings.directions // len(calls)
        for k, call in enumerate(calls):
            own = tuple(s if s is None else s[k * share : (k + 1) * share] for s in state)
            reverse = k == 1 or self.settings.direction == "reverse"
            y, final = call(_reversed(x, lengths) if reverse else x, own, lengths)
            outputs.append(_reversed(y, lengths) if reverse else y)
            finals.append(final)
        # (T, B, D, H) and for each state (D, B, H)
        y = torch.cat(outputs, -1).unflatten(-1, (self.settings.directions, -1))
        settled = [torch.cat(parts) for parts in zip(*finals, strict=True)]
        if layout:
            return y.transpose(0, 1), *(s.transpose(0, 1) for s in settled)
        return y.transpose(1, 2), *settled

    def _groups(self, weights: Sequence[Tensor | None]) -> list[tuple[cells.Cell, list[dict[str, Tensor]]]]:
        """Return each cell with the parameters of the directions that it runs, in our names and order."""
        w, r, b, p = weights
        if w is None or r is None:
            raise self.node.error("inputs W and R are needed")
        count, kind = self.settings.directions, self.settings.kind
        hidden = self.node.get("hidden_size", r.shape[-1])
        if hidden != r.shape[-1]:
            raise self.node.error(f"attribute 'hidden_size' is {hidden}, but R has shape {tuple(r.shape)}")
        rows = len(_GATES[kind]) * r.shape[-1]
        expected: dict[str, tuple[Tensor, tuple[int, ...]]]
        expected = {"W": (w, (count, rows, w.shape[-1])), "R": (r, (count, rows, r.shape[-1]))}
        expected |= {} if b is None else {"B": (b, (count, 2 * rows))}
        expected |= {} if p is None else {"P": (p, (count, 3 * r.shape[-1]))}
        for name, (tensor, shape) in expected.items():
            if tuple(tensor.shape) != shape:
                raise self.node.error(f"input {name} has shape {tuple(tensor.shape)}; expected {shape}")
        made = [self.settings.cell(d, p is not None) for d in range(count)]
        blocks = [
            _block(kind, cell, w[d], r[d], None if b is None else b[d], None if p is None else p[d])
            for d, cell in enumerate(made)
        ]
        if len(set(made)) == 1:
            return [(made[0], blocks)]
        return [(cell, [block]) for cell, block in zip(made, blocks, strict=True)]


#: runs some directions over x (T, B, I), from states (D, B, H) or None; returns (T, B, D·H) and the final states
_Run = Callable[[Tensor, Sequence[Tensor | None], Tensor | None], tuple[Tensor, tuple[Tensor, ...]]]


def _of_layer(layer: nn.Module) -> _Run:
    def call(x: Tensor, state: Sequence[Tensor | None], lengths: Tensor | None) -> tuple[Tensor, tuple[Tensor, ...]]:
        full = _full(state, layer.num_directions, layer.hidden_size, x)  # type: ignore[arg-type]
        y, final = layer(x, full if full is None or len(full) > 1 else full[0], lengths)
        return y, final if isinstance(final, tuple) else (final,)

    return call


def _of_weights(cell: cells.Cell, blocks: list[dict[str, Tensor]]) -> _Run:
    hidden = blocks[0]["weight_hh"].shape[1]

    def call(x: Tensor, state: Sequence[Tensor | None], lengths: Tensor | None) -> tuple[Tensor, tuple[Tensor, ...]]:
        width = blocks[0]["weight_ih"].shape[1]
        if x.shape[-1] != width:
            raise ShapeError("X", f"(…, I={width}), as W has it", x.shape)
        dtypes = {name: tensor.dtype for name, tensor in blocks[0].items() if tensor.dtype != x.dtype}
        if dtypes:
            raise DTypeError(
                f"X: expected the dtype of W, R and B, found {x.dtype} beside {next(iter(dtypes.values()))}"
            )
        if lengths is not None:
            valid_steps(lengths, x.shape[0], x.shape[1])
        full = _full(state, len(blocks), hidden, x) or tuple(
            x.new_zeros(len(blocks), x.shape[1], hidden) for _ in state
        )
        directions = tuple(
            Direction(block, tuple(s[d] for s in full), reverse=bool(d)) for d, block in enumerate(blocks)
        )
        result = run(Call(cell, x, directions, lengths))
        return result.output, tuple(torch.stack(parts) for parts in zip(*result.states, strict=True))

    return call


def _full(state: Sequence[Tensor | None], directions: int, hidden: int, x: Tensor) -> tuple[Tensor, ...] | None:
    """Return the initial states, zeros for those that are left out; None where all are."""
    if all(s is None for s in state):
        return None
    shape = (directions, x.shape[1], hidden)
    for name, tensor in zip(("initial_h", "initial_c"), state, strict=False):
        if tensor is not None and tuple(tensor.shape) != shape:
            raise ShapeError(name, f"(D={directions}, B={shape[1]}, H={hidden})", tensor.shape)
        if tensor is not None and tensor.dtype != x.dtype:
            raise DTypeError(f"{name}: expected {x.dtype} as X, found {tensor.dtype}")
    return tuple(x.new_zeros(shape) if s is None else s for s in state)


def _layer(cell: cells.Cell, blocks: list[dict[str, Tensor]]) -> Recurrent:
    """Return a layer of ours with these parameters."""
    first = blocks[0]
    width, hidden = first["weight_ih"].shape[1], first["weight_hh"].shape[1]
    options: dict[str, Any] = {"bias": "bias_ih" in first, "bidirectional": len(blocks) == 2}
    options |= {"dtype": first["weight_ih"].dtype, "device": first["weight_ih"].device}
    layer: Recurrent
    if isinstance(cell, cells.RNNCell):
        layer = RNN(width, hidden, nonlinearity=cell.nonlinearity, **options)
    elif isinstance(cell, cells.GRUCell):
        layer = GRU(width, hidden, reset_after=cell.reset_after, **options)
    elif isinstance(cell, cells.LSTMCell):
        layer = LSTM(width, hidden, peephole=cell.peephole, coupled=cell.coupled, **options)
    else:
        layer = Recurrent(cell, width, hidden, **options)
    with torch.no_grad():
        for own, block in zip(layer.parameter_blocks(), blocks, strict=True):
            for name, parameter in own.items():
                parameter.copy_(block[name])
    return layer.eval()


def _block(kind: str, cell: cells.Cell, w: Tensor, r: Tensor, b: Tensor | None, p: Tensor | None) -> dict[str, Tensor]:
    """Return one direction's parameters, in our names and order of gates, of W (G·H, I), R, B (2·G·H,), P (3·H,)."""
    order, parameters = list(_GATES[kind]), {"weight_ih": w, "weight_hh": r}
    if b is not None:
        parameters["bias_ih"], parameters["bias_hh"] = b.chunk(2)
    block = {name: tensor.unflatten(0, (len(order), -1))[order] for name, tensor in parameters.items()}
    if p is not None:
        block["weight_peephole"] = p.unflatten(0, (3, -1))[[0, 2, 1]]
    if isinstance(cell, cells.LSTMCell) and cell.coupled:
        # ours keeps f and has i = 1 − f; the files keep i and have f = 1 − i = σ(−…)
        for name, tensor in block.items():
            rest = tensor[2:]
            block[name] = torch.cat([-tensor[:1], rest])
    return {name: tensor.flatten(0, 1) for name, tensor in block.items()}


def _reversed(x: Tensor, lengths: Tensor | None) -> Tensor:
    """Return x (T, B, ·) with the valid steps of each sequence in reverse; what lies beyond them stays."""
    if lengths is None:
        return x.flip(0)
    steps, lengths = torch.arange(x.shape[0], device=x.device).unsqueeze(1), lengths.to(x.device)
    order = torch.where(steps < lengths, lengths - 1 - steps, steps)
    return x[order, torch.arange(x.shape[1], device=x.device)]
