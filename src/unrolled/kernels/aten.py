"""torch's own recurrent operators behind the contract: ATen and oneDNN on a CPU, cuDNN on a GPU."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import ClassVar, NamedTuple, cast

import torch
from torch import _VF, Tensor
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from unrolled.cells import Cell, GRUCell, LSTMCell, Params, RNNCell, State
from unrolled.kernels.autograd import step_by_cell
from unrolled.kernels.contract import Call, Engine, Gradients, Result, Saved
from unrolled.kernels.documents import Documents


def _operator(cell: Cell) -> str | None:
    """Return torch's name for a cell, as in `torch._VF`, or None if it has none."""
    # a subclass is another cell
    if type(cell) is LSTMCell:
        return None if cell.layer_norm or cell.peephole or cell.coupled else "lstm"
    if type(cell) is GRUCell:
        return None if cell.layer_norm or not cell.reset_after else "gru"
    if type(cell) is RNNCell:
        return None if cell.layer_norm or cell.nonlinearity == "sigmoid" else f"rnn_{cell.nonlinearity}"
    return None


class _InnerGraph(NamedTuple):
    """A graph of torch's own, from the leaves to the results of a call."""

    leaves: list[Tensor]
    outputs: list[Tensor]


class GraphEngine(Engine):
    """An engine whose operations autograd follows: it keeps a graph of its own between the passes."""

    @abstractmethod
    def run(self, call: Call, train: bool) -> Result:
        """Serve a call by differentiable operations; `train` says whether there will be a backward pass."""

    def infer(self, call: Call) -> Result:
        """Run without a graph."""
        with torch.no_grad():
            return self.run(call, train=False)

    def forward(self, call: Call) -> tuple[Result, Saved]:
        """Run on leaves of a graph of its own, which `backward` differentiates."""
        leaves = [t.detach().requires_grad_() for t in call.tensors]
        with torch.enable_grad():
            inner = self.run(call.with_tensors(leaves), train=True)
        outputs = list(inner.flat)
        detached = Result(inner.output.detach(), tuple(tuple(s.detach() for s in state) for state in inner.states))
        return detached, Saved((), _InnerGraph(leaves, outputs))

    def backward(
        self, call: Call, saved: Saved, doutput: Tensor, dstates: tuple[State, ...], needed: Sequence[bool]
    ) -> Gradients:
        """Differentiate the inner graph, and keep it for a caller who kept theirs."""
        leaves, outputs = cast(_InnerGraph, saved.extra)
        wanted = [leaf for leaf, need in zip(leaves, needed, strict=True) if need]
        grads = [doutput, *(d for state in dstates for d in state)]
        gradients = iter(torch.autograd.grad(outputs, wanted, grads, retain_graph=True, allow_unused=True))
        return Gradients(tuple(next(gradients) if need else None for need in needed))


class AtenEngine(GraphEngine):
    """The operators that `torch.nn.RNN`, `LSTM` and `GRU` themselves run."""

    name: ClassVar[str] = "torch"

    def unavailable(self) -> str | None:
        """Return None: torch is a requirement."""
        return None

    def refuses(self, call: Call) -> str | None:
        """Refuse cells, regularisers and lengths that torch's operators lack."""
        if _operator(call.cell) is None:
            return f"torch has no operator for {call.cell}"
        if call.is_masked:
            return "torch has no recurrent dropout or zoneout"
        if call.truncate is not None:
            return "torch's operators do not truncate BPTT"
        if call.memory is not None and call.needs_grad and (len(call.directions) > 1 or call.lengths is not None):
            return "torch's operators can't run pieces of a reversed direction or of a ragged batch"
        if call.x.shape[1] == 0:
            return "torch's operators want at least one sequence"
        if not _is_runnable(call):
            return "torch's bidirectional operators want one direction, or forward then backward"
        if call.lengths is not None and int(call.lengths.min()) == 0:
            return "torch can't pack a sequence of length 0"
        return None

    def run(self, call: Call, train: bool) -> Result:
        """Run the operator."""
        return _run(call, train)

    def trace(self, call: Call) -> Result | None:
        """Run the operator as it is; None with resets, whose places would be recorded as constants."""
        if call.reset is not None:
            return None
        # as if for a backward pass, whatever the mode: a trace may be used in another
        return _run(call, train=True)

    def step(
        self, cell: Cell, x: Tensor, state: State, params: Params, products: torch.dtype | None = None
    ) -> State | None:
        """Take one step by torch's cell operators, which skip the set-up of a sequence of one step."""
        operator = _operator(cell)
        if operator is None or "weight_hr" in params:
            return None
        if products is not None:
            return step_by_cell(cell, x, state, params, products)
        weights = (params["weight_ih"], params["weight_hh"], params.get("bias_ih"), params.get("bias_hh"))
        if operator == "lstm":
            return tuple(_VF.lstm_cell(x, list(state), *weights))
        return (getattr(_VF, f"{operator}_cell")(x, state[0], *weights),)


def _is_runnable(call: Call) -> bool:
    return [d.reverse for d in call.directions] in ([False], [False, True])


def _run(call: Call, train: bool) -> Result:
    """Call the operator over all directions; ragged batches and documents are packed.

    Args:
        call: the call.
        train: whether there will be a backward pass, which cuDNN refuses otherwise.
    """
    dtype, call = call.result_dtype, call.to(call.products)
    flat = [p for d in call.directions for p in d.params.values()]
    options = ("bias_ih" in call.directions[0].params, 1, 0.0, train, len(call.directions) == 2)
    operator = getattr(_VF, str(_operator(call.cell)))
    if call.reset is not None:
        return _run_documents(call, lambda data, sizes, hx: operator(data, sizes, hx, flat, *options)).to(dtype)
    initial = [d.state for d in call.directions]
    if call.lengths is None:
        output, *final = operator(call.x, _joined(initial), flat, *options, False)
    else:
        packed = pack_padded_sequence(call.x, call.lengths.cpu(), enforce_sorted=False)
        order, inverse = cast(Tensor, packed.sorted_indices), cast(Tensor, packed.unsorted_indices)
        data, *final = operator(packed.data, packed.batch_sizes, _joined(initial, order), flat, *options)
        ragged = PackedSequence(data, packed.batch_sizes, order, inverse)
        output = pad_packed_sequence(ragged, total_length=call.x.shape[0])[0]
        final = [s.index_select(1, inverse) for s in final]
    return Result(output, tuple(tuple(s[d] for s in final) for d in range(len(call.directions)))).to(dtype)


def _run_documents(call: Call, run: Callable[[Tensor, Tensor, list[Tensor] | Tensor], tuple[Tensor, ...]]) -> Result:
    """Call the operator over the documents of a call with resets; `run` takes packed data, its sizes and states."""
    (time, batch), device = call.x.shape[:2], call.x.device
    documents = Documents.of(call)
    steps, sizes, order = documents.packing(batch)
    steps, order = steps.to(device), order.to(device)
    initial = _joined([documents.initial_states(d) for d in call.directions], order)
    data, *final = run(call.x.flatten(0, 1).index_select(0, steps), sizes, initial)
    output = data.new_zeros(time * batch, data.shape[1]).index_copy(0, steps, data).unflatten(0, (time, batch))
    final = [s.index_select(1, order.argsort()) for s in final]
    finals = [documents.final_states(d, tuple(s[k] for s in final)) for k, d in enumerate(call.directions)]
    return Result(output, tuple(finals))


def _joined(states: Sequence[State], order: Tensor | None = None) -> list[Tensor] | Tensor:
    """Return the states of each direction as torch's operators take them, (D, N, size), in another order if given."""
    joined = [torch.stack(parts) for parts in zip(*states, strict=True)]
    if order is not None:
        joined = [s.index_select(1, order) for s in joined]
    return joined if len(joined) == 2 else joined[0]
