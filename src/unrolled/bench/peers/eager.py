"""torch.nn without compilation."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from unrolled.bench.grid import DTYPES
from unrolled.bench.peers.base import Peer, Way
from unrolled.bench.peers.elementwise_eager import by_loop
from unrolled.bench.peers.modules import as_state, inference, training
from unrolled.bench.problem import Problem, torch_layer

_CELLS: dict[str, Any] = {"lstm": nn.LSTMCell, "gru": nn.GRUCell, "rnn": nn.RNNCell}


def cell_of(problem: Problem) -> nn.Module:
    """Return torch.nn's cell with a problem's weights."""
    cell: nn.Module = _CELLS[problem.case.cell](problem.case.hidden, problem.case.hidden, dtype=problem.x.dtype)
    cell.load_state_dict(problem.weights)
    return cell


def cell_answer(new: Any) -> tuple[Tensor, Any]:
    """Return the result of a cell as a layer would: output and final state."""
    return (new[0] if isinstance(new, tuple) else new), new


class TorchEager(Peer):
    """torch.nn.LSTM, GRU and RNN; one step by the cell or the layer, whichever is faster."""

    name = "torch"
    packages = ("torch",)
    dtypes = DTYPES

    def prepare(self, problem: Problem, threads: int) -> list[Way]:
        """Build the layer; for a ragged batch, packing and unpacking are timed, too."""
        if problem.case.is_elementwise:
            return by_loop(problem)
        layer, x = torch_layer(problem), problem.x
        kind = type(layer).__name__
        if problem.case.mode == "training":
            return [training(kind, layer, layer, problem)]
        if problem.case.mode == "step":
            cell, state, stacked = cell_of(problem), as_state(problem, False), as_state(problem, True)

            def one_step() -> Any:
                output, final = layer(x.unsqueeze(0), stacked)
                return output.squeeze(0), final

            by_cell = inference(f"{kind}Cell", lambda: cell_answer(cell(x, state)))
            return [by_cell, inference(kind, one_step)]
        if problem.lengths is None:
            return [inference(kind, layer, x)]
        return [inference("packed", packed, layer, x, problem.lengths)]


def packed(layer: nn.Module, x: Tensor, lengths: Tensor) -> tuple[Tensor, Any]:
    """Run a padded batch, longest first, through a torch.nn layer as a PackedSequence."""
    output, final = layer(pack_padded_sequence(x, lengths))
    return pad_packed_sequence(output, total_length=x.shape[0])[0], final
