"""The parts of every network: the recurrent stack and the output layer. P width of h."""

from __future__ import annotations

from torch import Tensor, nn

from unrolled import cells
from unrolled.cells.maths import NORM_EPS
from unrolled.errors import ArgumentError
from unrolled.export.c.plan import NONE, Plan, struct, table
from unrolled.export.plain import check_even
from unrolled.layers import LinearOutput, Recurrent

_ACTIVATIONS = {"tanh": "tanhf", "sigmoid": "sigmoid", "relu": "RELU"}
_OPTIONAL = ("bias_ih", "bias_hh", "norm_ih", "norm_hh", "norm_c", "norm_c_bias", "weight_peephole", "weight_hr")


def lacking(part: str) -> ArgumentError:
    """Return the error of a part that has no C."""
    return ArgumentError(f"model: a C export has no {part.removeprefix('a ')}; --to onnx exports it")


def add_stack(plan: Plan, layer: Recurrent) -> None:
    """Add the layers of a stack of one direction.

    Raises:
        ArgumentError: for a cell that has no C, a second direction, or layers of several widths.
    """
    if layer.bidirectional:
        raise lacking("a bidirectional stack, which reads the future")
    check_even(layer, "C export")
    cell = layer.cell
    if not isinstance(cell, (cells.RNNCell, cells.GRUCell, cells.LSTMCell)):
        raise ArgumentError(
            f"model: a C export has no cell {cell.name!r}, only rnn, gru and lstm; train with one of these (--cell)"
        )
    sizes = cell.state_sizes(layer.hidden_size)
    entries, width = [], layer.input_size
    for index, block in enumerate(layer.parameter_blocks()):
        state = plan.carry(sum(sizes))
        initial = NONE
        if layer.learn_initial_state:
            own = [layer.get_parameter(f"initial_{name}")[index, 0] for name in cell.state_names]
            initial = plan.weight(_joined(own))
        weights = {name: plan.weight(block[name]) for name in ("weight_ih", "weight_hh")}
        weights |= {name: plan.weight(block.get(name)) for name in _OPTIONAL}
        entries.append(
            struct(
                input=width, hidden=layer.hidden_size, output=sizes[0], **weights, initial=initial,
                state=state, state_size=sum(sizes),
            )
        )  # fmt: skip
        width = layer.output_size
    plan.define(
        LAYERS=layer.num_layers,
        LAYER_TABLE=table(entries),
        RESIDUAL=layer.residual,
        HIDDEN=layer.hidden_size,
        BLOCKS=cell.num_gates,
        WIDTH=max(layer.input_size, layer.output_size),
        INPUT=layer.input_size,
        OUTPUT=layer.output_size,
        SIGMOID="sigmoid" in cell.activations.values(),
        LAYER_NORM=cell.layer_norm,
        NORM_EPSILON=f"{NORM_EPS!r}f",
    )
    for name, kept in zip(cell.state_names, layer.zoneout, strict=True):
        plan.define(**{f"ZONEOUT_{name.upper()}": f"{float(kept)!r}f"})
    if isinstance(cell, cells.LSTMCell):
        plan.define(COUPLED=cell.coupled, PEEPHOLE=cell.peephole, PROJECTED=bool(cell.proj_size))
    elif isinstance(cell, cells.GRUCell):
        plan.define(RESET_AFTER=cell.reset_after)
    else:
        plan.constants["RELU(x)"] = "((x) > 0.0f ? (x) : 0.0f)"
        plan.define(ACTIVATION=_ACTIVATIONS[cell.nonlinearity])
    plan.sources += ["cells/layer.c", f"cells/{cell.name}.c", "stack.c"]


def _joined(parts: list[Tensor]) -> Tensor:
    return parts[0].new_tensor([number for part in parts for number in part.tolist()])


def add_output(plan: Plan, output: nn.Module, width: int) -> None:
    """Add an output layer that reads vectors of a width.

    Raises:
        ArgumentError: for an output layer that has no C.
    """
    if not isinstance(output, LinearOutput):
        raise lacking(f"a {type(output).__name__}")
    bridge = 0
    if isinstance(output.bridge, nn.Linear):
        bridge = output.bridge.out_features
        plan.define(BRIDGE_WEIGHT=plan.weight(output.bridge.weight), BRIDGE_BIAS=plan.weight(output.bridge.bias))
    plan.define(BRIDGE=bridge, OUTPUT_WEIGHT=plan.weight(output.weight), OUTPUT_BIAS=plan.weight(output.bias))
    plan.publish(CLASSES=output.classes)
    plan.sources.append("output.c")
