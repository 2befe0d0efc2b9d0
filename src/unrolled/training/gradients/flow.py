"""A look at how the error flows back over time, now and then during every training run, at next to no cost.

Every so many steps the passes through the recurrent layers are noted; after the backward pass the error that the last
step's loss sent to a layer's output is walked back by hand, for two sequences and at most 64 steps. Where steps are
short and looks would take more than 2 % of the time, some are left out.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from unrolled.layers import Recurrent
from unrolled.layers.recurrent.unfolding import RecordedCall, Unfolding, as_dtype, columns, recording
from unrolled.training.gradients.verdict import Verdict, judge

log = logging.getLogger("unrolled.training")

#: steps between two looks, after the first at step 20
EVERY, FIRST = 200, 20
#: of the time of training, at most this share is spent on looks
SHARE = 0.02
#: sequences, and steps back, that are looked at
SEQUENCES, LAGS = 2, 64
#: a layer is warned of when so many looks in a row say the same
IN_A_ROW = 3


class FlowMonitor:
    """Looks at the flow of the error through each recurrent layer of a network, and says once if it is ill.

    Args:
        network: the network in training; one without recurrent layers, or with cells that define `step` alone, is
            left alone.
        options: names of those that the network is trained with, for advice; None where there is no command.
    """

    def __init__(self, network: nn.Module, options: Collection[str] | None = None) -> None:
        layers = [m for m in network.modules() if isinstance(m, Recurrent)]
        self._network = network
        self._options = options
        self._active = bool(layers) and all(layer.cell.is_traced for layer in layers)
        self._calls: list[RecordedCall] = []
        self._last: dict[str, tuple[str, int]] = {}
        self._said: set[str] = set()
        # what the last look took, and when it was
        self._cost, self._looked = 0.0, time.perf_counter()
        #: the latest look, for metrics.jsonl: layer → lags, norms and verdict; taken away when it is written
        self.report: dict[str, Any] | None = None
        if layers and not self._active:
            log.info("the flow of gradients is not watched: a cell that defines step alone can't be walked back")

    @contextmanager
    def watching(self, step: int) -> Iterator[None]:
        """Note the passes of this step's forward, if a look is due."""
        due = self._active and (step == FIRST or (step > 0 and step % EVERY == 0))
        if not due or self._cost > SHARE * (time.perf_counter() - self._looked):
            yield
            return
        with recording(self._network, retain=True) as calls:
            yield
        self._calls = calls

    def observe(self) -> list[str]:
        """After the backward pass: what there is to say, each layer and illness once."""
        calls, self._calls = self._calls, []
        if not calls:
            return []
        begun = time.perf_counter()
        said: list[str] = []
        report: dict[str, Any] = {}
        for call in calls:
            for name, norms in norms_by_lag(call).items():
                verdict = judge(f"{call.name}.{name}", norms, call.layer.cell.name, self._options)
                report[verdict.layer] = {"norms": norms, "verdict": verdict.kind, "lag": verdict.lag}
                sentence = self._note(verdict)
                if sentence:
                    said.append(sentence)
            for tensor in (call.output, *call.final):
                tensor.grad = None
        self.report = report or self.report
        self._looked = time.perf_counter()
        self._cost = self._looked - begun
        return said

    def _note(self, verdict: Verdict) -> str | None:
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

    def state_dict(self) -> dict[str, Any]:
        """What has been seen and said, for checkpoints."""
        last = {name: list(seen) for name, seen in self._last.items()}
        return {"last": last, "said": sorted(self._said), "report": self.report}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse of `state_dict`."""
        self._last = {k: (str(v[0]), int(v[1])) for k, v in state["last"].items()}
        self._said, self.report = set(state["said"]), state["report"]


def norms_by_lag(call: RecordedCall, sequences: int = SEQUENCES, lags: int = LAGS) -> dict[str, list[float]]:
    """‖∂L_t/∂h_{t−k}‖ for k = 0, 1, …, with t each sequence's last step, within one recurrent layer of a network.

    The error at the last step is the one that the backward pass brought there, to the output or to the final state;
    that of the other steps is left out.
    Walked back by hand through the stack as it is in evaluation, without dropout.

    Args:
        call: a pass that was recorded with `retain`, after the backward pass.
        sequences: how many, the longest first.
        lags: how many steps back.

    Returns:
        For each layer of the stack the norms over the sequences looked at, as long as the shortest of them allows;
        those that run in reverse are told from their own last step, the first of the text.
    """
    layer, time_first = call.layer, not call.layer.batch_first
    x = call.x if time_first else call.x.transpose(0, 1)
    arrived = [tensor.grad for tensor in (call.output, *call.final)]
    if all(grad is None for grad in arrived):
        return {}
    # an encoder of which the final state alone is used gets its error there
    grad = torch.zeros_like(call.output) if arrived[0] is None else arrived[0]
    # what autocast made narrower is walked back in the weights' own precision
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
    found: dict[str, list[float]] = {}
    for reverse in range(layer.num_directions):
        part = _windows(x, chosen, ends, seen, bool(reverse))
        error = _windows(grad, chosen, ends, seen, bool(reverse))
        only = torch.zeros_like(error)
        at = 0 if reverse else seen - 1
        only[at] = error[at]
        state = _entering(layer, x, given, chosen, ends - seen)
        part = part if time_first else part.transpose(0, 1)
        dstate = tuple(
            _last_states(_cast(final.grad, exact), chosen, layer.num_directions, reverse) for final in call.final
        )
        for flow in Unfolding.of(layer, part, state).backward(only, dstate=dstate).layers:
            if flow.name.endswith("_reverse") == bool(reverse):
                norms = flow.error.double().norm(dim=(1, 2))
                found[flow.name] = (norms if reverse else norms.flip(0)).tolist()
    return dict(sorted(found.items()))


def _cast(grad: Tensor | None, dtype: torch.dtype) -> Tensor | None:
    return None if grad is None else grad.to(dtype)


def _last_states(grad: Tensor | None, chosen: Tensor, directions: int, direction: int) -> Tensor | None:
    """The error that arrived at the final states of one direction, of some sequences; zero for the other direction."""
    if grad is None:
        return None
    found = grad.index_select(1, chosen)
    other = torch.arange(len(found), device=found.device) % directions != direction
    return found.masked_fill(other.view(-1, 1, 1), 0)


def _entering(layer: Recurrent, x: Tensor, state: Any, chosen: Tensor, firsts: Tensor) -> Any:
    """The state with which each sequence enters its window; None, for zeros, where both directions meet in every step
    and the state inside a sequence can't be told without all of it.
    """
    if not int(firsts.max()):
        return columns(state, chosen)
    if layer.bidirectional:
        return None
    training, found = layer.training, []
    layer.eval()
    try:
        with torch.no_grad():
            for first, c in zip(firsts.tolist(), chosen, strict=True):
                own = columns(state, c.unsqueeze(0))
                before = x[:first, int(c)].unsqueeze(1)
                found.append(layer(before.transpose(0, 1) if layer.batch_first else before, own)[1] if first else own)
    finally:
        layer.train(training)
    if any(one is None for one in found):
        return None
    if isinstance(found[0], Tensor):
        return torch.cat(found, 1)
    return tuple(torch.cat(parts, 1) for parts in zip(*found, strict=True))


def _windows(x: Tensor, chosen: Tensor, ends: Tensor, seen: int, reverse: bool) -> Tensor:
    """The last `seen` valid steps of some sequences (the first, in reverse), (seen, B', ·)."""
    firsts = [0 if reverse else int(end) - seen for end in ends]
    return torch.stack([x[first : first + seen, int(c)] for first, c in zip(firsts, chosen, strict=True)], 1)
