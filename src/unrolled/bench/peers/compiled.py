"""torch.compile over torch.nn.

A step is one compiled cell. A sequence is the compiled layer, which torch.compile leaves to the eager kernels. The
other way, `torch._higher_order_ops.scan`, compiles for 30 to 60 seconds a shape and was measured no faster than eager
at B = 1 (GRU, H = 128: 2.1 against 2.2 ms inference, 114 against 139 ms training with a busy machine), so it is left
out.
"""

from __future__ import annotations

import warnings
from typing import Any

import torch

from unrolled.bench.grid import Case
from unrolled.bench.peers.base import Peer, Way
from unrolled.bench.peers.eager import cell_answer, cell_of, packed
from unrolled.bench.peers.modules import as_state, inference, training
from unrolled.bench.problem import Problem, torch_layer


class TorchCompile(Peer):
    """torch.compile(torch.nn.LSTM(…)), or of LSTMCell for a step."""

    name = "torch.compile"
    packages = ("torch",)

    def refuses(self, case: Case) -> str | None:
        """Refuse elementwise cells: a loop over time is compiled step by step, for minutes."""
        return "torch.compile unrolls a loop over time" if case.is_elementwise else None

    def prepare(self, problem: Problem, threads: int) -> list[Way]:
        """Compile here, so that a failure shows before anything is timed."""
        from torch import _inductor as inductor

        # graphs compiled for other shapes would count towards the limit of recompilations
        torch.compiler.reset()
        # inductor's own workers are forked, which may hang once other peers have started threads
        with inductor.config.patch(compile_threads=1), warnings.catch_warnings():
            # warnings about torch itself, not about the numbers
            warnings.simplefilter("ignore")
            way = self._way(problem)
            way.run()
            way.run()
        return [way]

    @staticmethod
    def _way(problem: Problem) -> Way:
        x, mode = problem.x, problem.case.mode
        if mode == "step":
            cell, state = torch.compile(cell_of(problem), fullgraph=True), as_state(problem, layers=False)
            return inference("cell", lambda: cell_answer(cell(x, state)))
        layer = torch_layer(problem)
        compiled: Any = torch.compile(layer)
        if mode == "training":
            return training("layer", layer, compiled, problem)
        if problem.lengths is None:
            return inference("layer", compiled, x)
        return inference("packed", packed, compiled, x, problem.lengths)
