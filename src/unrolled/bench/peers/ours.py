"""Our own layer, as a user has it: engine "auto"."""

from __future__ import annotations

from typing import Any

from unrolled.bench.peers.base import Peer, Way
from unrolled.bench.peers.modules import as_state, inference, training
from unrolled.bench.problem import Problem, named
from unrolled.layers import GRU, LSTM, RNN

_LAYERS: dict[str, Any] = {"lstm": LSTM, "gru": GRU, "rnn": RNN}


class Ours(Peer):
    """unrolled.LSTM, GRU and RNN."""

    name = "unrolled"
    packages = ("unrolled",)

    def layer(self, problem: Problem) -> Any:
        """The layer with a problem's weights."""
        layer = _LAYERS[problem.case.cell](problem.case.hidden, problem.case.hidden)
        layer.load_state_dict(problem.state_dict)
        return layer

    def prepare(self, problem: Problem, threads: int) -> list[Way]:
        """The layer itself, or its `step`."""
        layer, mode = self.layer(problem), problem.case.mode
        engine = layer.engine.name
        if mode == "training":
            return [training(engine, layer, layer, problem)]
        if mode == "step":
            x, state = problem.x, as_state(problem, layers=True)
            # it makes no graph by itself
            return [Way(engine, lambda: layer.step(x, state), lambda result: named(*result))]
        return [inference(engine, layer, problem.x, None, problem.lengths)]
