"""Our own layer as users have it: engine "auto"."""

from __future__ import annotations

from typing import Any

import torch

from unrolled.bench.grid import DTYPES
from unrolled.bench.peers.base import Peer, Way
from unrolled.bench.peers.modules import as_state, inference, training
from unrolled.bench.problem import Answer, Problem, named
from unrolled.layers import LayerStream, layer_kind


class Ours(Peer):
    """unrolled.LSTM, GRU and RNN, and the layers of elementwise cells."""

    name = "unrolled"
    packages = ("unrolled",)
    dtypes = DTYPES

    def layer(self, problem: Problem) -> Any:
        """Return the layer with a problem's weights."""
        kind = layer_kind(problem.case.cell)
        layer: Any = kind.layer(problem.case.hidden, problem.case.hidden, dtype=problem.x.dtype)
        layer.load_state_dict(problem.state_dict)
        return layer

    def prepare(self, problem: Problem, threads: int) -> list[Way]:
        """Return the layer itself, or its `step`."""
        layer, mode = self.layer(problem), problem.case.mode
        engine = layer.engine.name
        if mode == "training":
            return [training(engine, layer, layer, problem)]
        if mode == "step":
            # a step makes no graph
            return self._steps(layer, problem, engine)
        return [inference(engine, layer, problem.x, None, problem.lengths)]

    def narrow(self, problem: Problem) -> list[Way]:
        """Return a step with weights in bfloat16."""
        layer = self.layer(problem)
        layer.weights_dtype = torch.bfloat16
        return self._steps(layer, problem, layer.engine.name)

    @staticmethod
    def _steps(layer: Any, problem: Problem, engine: str) -> list[Way]:
        """Return steps that are given the state, that keep it in a stream, and that also write to a given output."""
        x, state = problem.x, as_state(problem, layers=True)
        layer.eval()
        stream, bound = layer.stream(problem.case.batch, state), layer.stream(problem.case.batch, state)
        out = torch.empty(problem.case.batch, problem.case.hidden, dtype=x.dtype)

        def answer(stream: LayerStream, y: Any) -> Answer:
            result = named(y.clone(), stream.state)
            # every call starts from the same state
            stream.state = state
            return result

        return [
            Way(engine, lambda: layer.step(x, state), lambda result: named(*result)),
            Way(f"{engine} stream", lambda: stream.step(x), lambda y: answer(stream, y)),
            Way(f"{engine} bound", lambda: bound.step(x, out), lambda y: answer(bound, y)),
        ]
