"""Measures how the error flows back over time, now and then during every training run, at next to no cost.

Every 200 steps the calls of the recurrent layers are recorded; after the backward pass the error that the last step's
loss sent to a layer's output is propagated back by hand, for two sequences and at most 64 steps. Where steps are short
and measuring would take more than 2 % of the time, some measurements are skipped.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Literal, TypedDict

import torch
from torch import Tensor, nn

from unrolled.layers import Recurrent
from unrolled.layers.recurrent.arguments import LayerState, map_state
from unrolled.layers.recurrent.unfolding import RecordedCall, Unfolding, as_dtype, columns, recording
from unrolled.networks.parts import merge_rows
from unrolled.training.gradients.verdict import NEEDED, Advice, Verdict, advice_in_place, judge

log = logging.getLogger("unrolled.training")

#: steps between two measurements, after the first at step 20
EVERY, FIRST = 200, 20
#: the largest share of the training time that measurements may take
SHARE = 0.02
#: sequences, and steps back, that are measured
SEQUENCES, LAGS = 2, 64
#: a layer is reported when this many measurements in a row agree
IN_A_ROW = 3


class FlowRecord(TypedDict):
    """One layer's entry in `metrics.jsonl`: the norms by lag, the verdict and the lag from which it holds."""

    norms: list[float]
    verdict: Literal["healthy", "vanishing", "exploding", "unknown"]
    lag: int | None


class FlowState(TypedDict):
    """A monitor's part of a checkpoint: the last verdict of each layer and how often in a row, what has been said."""

    last: dict[str, list[str | int]]
    said: list[str]
    report: dict[str, FlowRecord] | None


class FlowMonitor:
    """Measures the flow of the error through each recurrent layer of a network, and warns once of vanishing or
    exploding gradients.

    Args:
        network: the network in training. Nothing is measured without recurrent layers, or with cells that define only
            `step`.
        options: names of the options that the network is trained with, for advice; None where there is no command.
        in_place: advice that the training follows already.
    """

    def __init__(
        self, network: nn.Module, options: Collection[str] | None = None, in_place: Collection[Advice] = ()
    ) -> None:
        layers = [m for m in network.modules() if isinstance(m, Recurrent)]
        self._network = network
        self._options, self._in_place = options, in_place
        self._active = bool(layers) and all(layer.cell.is_traced for layer in layers)
        self._calls: list[RecordedCall] = []
        self._last: dict[str, tuple[str, int]] = {}
        self._said: set[str] = set()
        # the duration of the last measurement, and when it was
        self._cost, self._measured = 0.0, time.perf_counter()
        #: the latest measurement by layer, for metrics.jsonl; cleared when it is written
        self.report: dict[str, FlowRecord] | None = None
        if layers and not self._active:
            log.info("the flow of gradients is not measured: a cell that defines only step has no step_backward")

    @contextmanager
    def watching(self, step: int) -> Iterator[None]:
        """Record the layers' calls within the block, if a measurement is due."""
        due = self._active and (step == FIRST or (step > 0 and step % EVERY == 0))
        if not due or self._cost > SHARE * (time.perf_counter() - self._measured):
            yield
            return
        with recording(self._network, retain=True) as calls:
            yield
        self._calls = calls

    def observe(self) -> list[str]:
        """Measure the recorded calls after the backward pass, and return warnings, each layer and kind once."""
        calls, self._calls = self._calls, []
        if not calls:
            return []
        begun = time.perf_counter()
        warnings: list[str] = []
        report: dict[str, FlowRecord] = {}
        for call in calls:
            for name, norms in norms_by_lag(call).items():
                verdict = verdict_on(call, name, norms, self._options, self._in_place)
                report[verdict.layer] = {"norms": norms, "verdict": verdict.kind, "lag": verdict.lag}
                warning = self._warning(verdict)
                if warning:
                    warnings.append(warning)
            for tensor in (call.output, *call.final):
                tensor.grad = None
        self.report = report or self.report
        self._measured = time.perf_counter()
        self._cost = self._measured - begun
        return warnings

    def _warning(self, verdict: Verdict) -> str | None:
        """Record a verdict; return a sentence if it is a warning that is due."""
        kind, times = self._last.get(verdict.layer, ("", 0))
        times = times + 1 if kind == verdict.kind else 1
        self._last[verdict.layer] = (verdict.kind, times)
        mark = f"{verdict.layer} {verdict.kind}"
        if verdict.kind not in ("vanishing", "exploding") or times < IN_A_ROW or mark in self._said:
            return None
        self._said.add(mark)
        return (
            f"gradients over time in {verdict.layer}: {verdict.kind}; {verdict.evidence}. Try "
            f"{', or '.join(verdict.remedies[:2])}; unrolled inspect shows more"
        )

    def state_dict(self) -> FlowState:
        """Return the verdicts and warnings so far, for checkpoints."""
        last: dict[str, list[str | int]] = {name: [kind, times] for name, (kind, times) in self._last.items()}
        return {"last": last, "said": sorted(self._said), "report": self.report}

    def load_state_dict(self, state: FlowState) -> None:
        """Restore what `state_dict` returned."""
        self._last = {k: (str(v[0]), int(v[1])) for k, v in state["last"].items()}
        self._said, self.report = set(state["said"]), state["report"]


def verdict_on(
    call: RecordedCall,
    name: str,
    norms: Sequence[float],
    options: Collection[str] | None = None,
    in_place: Collection[Advice] = (),
) -> Verdict:
    """Return the verdict on one layer of a recorded stack.

    Args:
        call: a call that was recorded with `retain`, after the backward pass.
        name: the layer's, as in `norms_by_lag`, which gave the norms.
        norms, options: as for `judge`.
        in_place: advice that the training follows already.
    """
    needed = NEEDED if _has_losses_everywhere(call) else None
    own = {*in_place, *advice_in_place(call.layer)}
    return judge(f"{call.name}.{name}", norms, call.layer.cell.name, options, needed=needed, in_place=own)


def _has_losses_everywhere(call: RecordedCall) -> bool:
    """Return whether an error arrives at most outputs, and not only at the end of sequences."""
    if call.output.grad is None:
        return False
    steps, batch = call.output.shape[:2] if not call.layer.batch_first else call.output.shape[1::-1]
    valid = steps * batch if call.lengths is None else int(call.lengths.sum())
    return 2 * int(call.output.grad.ne(0).any(-1).sum()) > valid


def norms_by_lag(call: RecordedCall, sequences: int = SEQUENCES, lags: int = LAGS) -> dict[str, list[float]]:
    """Return ‖∂L_t/∂s_{t−k}‖ for k = 0, 1, …, with t each sequence's last step, in each layer of a recurrent stack.

    s are all states of the cell: the error of an LSTM flows through c where it does not through h.

    The error at the last step is the one that the backward pass brought to the output or to the final state; the errors
    of the other steps are left out. It is propagated back by hand through the stack in evaluation mode, without
    dropout.

    Args:
        call: a call that was recorded with `retain`, after the backward pass.
        sequences: how many, the longest first.
        lags: how many steps back.

    Returns:
        For each layer of the stack the norms over those sequences, up to the length of the shortest; reverse layers
        count from their own last step, the first of the sequence.
    """
    layer, time_first = call.layer, not call.layer.batch_first
    x = call.x if time_first else call.x.transpose(0, 1)
    reset = call.reset if call.reset is None or time_first else call.reset.T
    arrived = [tensor.grad for tensor in (call.output, *call.final)]
    if all(grad is None for grad in arrived):
        return {}
    # an encoder of which only the final state is used gets its error there
    grad = torch.zeros_like(call.output) if arrived[0] is None else arrived[0]
    # tensors narrowed by autocast are propagated back in the precision of the weights
    exact = next(layer.parameters()).dtype
    x, grad, given = x.to(exact), grad.to(exact), as_dtype(call.state, exact)
    grad = grad if time_first else grad.transpose(0, 1)
    steps, batch = x.shape[:2]
    lengths = torch.full((batch,), steps) if call.lengths is None else call.lengths.cpu().long()
    chosen = torch.argsort(lengths, descending=True, stable=True)[: min(sequences, batch)].to(x.device)
    ends = lengths[chosen.cpu()]
    seen = min(int(ends.min()), lags)
    if seen < 2:
        return {}
    norms_of: dict[str, list[float]] = {}
    for reverse in range(layer.num_directions):
        part = _windows(x, chosen, ends, seen, bool(reverse))
        error = _windows(grad, chosen, ends, seen, bool(reverse))
        only = torch.zeros_like(error)
        at = 0 if reverse else seen - 1
        only[at] = error[at]
        state = _entering(layer, x, given, chosen, ends - seen, reset)
        begins = None if reset is None else _windows(reset, chosen, ends, seen, bool(reverse))
        part = part if time_first else part.transpose(0, 1)
        dstate = tuple(
            _last_states(_cast(final.grad, exact), chosen, layer.num_directions, reverse) for final in call.final
        )
        if begins is not None and not time_first:
            begins = begins.T
        for flow in Unfolding.of(layer, part, state, reset=begins).backward(only, dstate=dstate).layers:
            if flow.name.endswith("_reverse") == bool(reverse):
                norms = flow.error.double().norm(dim=(1, 2))
                norms_of[flow.name] = (norms if reverse else norms.flip(0)).tolist()
    return dict(sorted(norms_of.items()))


def _cast(grad: Tensor | None, dtype: torch.dtype) -> Tensor | None:
    return None if grad is None else grad.to(dtype)


def _last_states(grad: Tensor | None, chosen: Tensor, directions: int, direction: int) -> Tensor | None:
    """Return the error at the final states of one direction, for some sequences; zero for the other direction."""
    if grad is None:
        return None
    errors = grad.index_select(1, chosen)
    other = torch.arange(len(errors), device=errors.device) % directions != direction
    return errors.masked_fill(other.view(-1, 1, 1), 0)


def _entering(
    layer: Recurrent, x: Tensor, state: LayerState, chosen: Tensor, firsts: Tensor, reset: Tensor | None
) -> LayerState:
    """Return the state with which each sequence enters its window.

    None, which stands for zeros, in bidirectional stacks: there the state inside a sequence depends on all of it.
    """
    if not int(firsts.max()):
        return columns(state, chosen)
    if layer.bidirectional:
        return None
    training, states = layer.training, []
    layer.eval()
    try:
        with torch.no_grad():
            for first, c in zip(firsts.tolist(), chosen, strict=True):
                own = columns(state, c.unsqueeze(0))
                # one sequence is (T, I) whatever batch_first says
                begins = None if reset is None else reset[:first, int(c)]
                alone = map_state(own, lambda s: s.squeeze(1))
                after = layer(x[:first, int(c)], alone, reset=begins)[1] if first else alone
                states.append(map_state(after, lambda s: s.unsqueeze(1)))
    finally:
        layer.train(training)
    whole = [own for own in states if own is not None]
    return merge_rows(whole) if len(whole) == len(states) else None


def _windows(x: Tensor, chosen: Tensor, ends: Tensor, seen: int, reverse: bool) -> Tensor:
    """Return the last `seen` valid steps of some sequences (the first, in reverse), (seen, B', ·)."""
    firsts = [0 if reverse else int(end) - seen for end in ends]
    return torch.stack([x[first : first + seen, int(c)] for first, c in zip(firsts, chosen, strict=True)], 1)
