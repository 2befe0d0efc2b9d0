"""JAX: one jitted lax.scan over time, with the input's product for all steps before it."""

from __future__ import annotations

import os
import sys
from typing import Any

import torch

from unrolled.bench.grid import Case
from unrolled.bench.peers.base import Peer, Way
from unrolled.bench.peers.elementwise_jax import by_scan
from unrolled.bench.problem import Answer, Problem

_PARAMETERS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


class JaxScan(Peer):
    """jit(lax.scan), and jit(value_and_grad) of it for training. A ragged batch is computed whole, under a mask."""

    name = "jax"
    packages = ("jax", "jaxlib")

    def __init__(self) -> None:
        self._threads: int | None = None

    def note(self, threads: int) -> str | None:
        """Return a note if JAX was started with another number of threads, which it keeps."""
        if self._threads is None or self._threads == threads:
            return None
        return f"jax was started before and keeps its {self._threads or 'own number of'} threads"

    def _start(self, threads: int) -> Any:
        """Start JAX on the CPU with as many threads as the others have, if it is not running yet."""
        if self._threads is not None:
            return sys.modules["jax"]
        started = "jax" in sys.modules
        import jax

        # XLA sizes its pool when its client is made, by this variable where it is set
        before = os.environ.get("NPROC")
        os.environ["NPROC"] = str(threads)
        try:
            jax.config.update("jax_platforms", "cpu")
            jax.devices()
        finally:
            if before is None:
                del os.environ["NPROC"]
            else:
                os.environ["NPROC"] = before
        self._threads = 0 if started else threads
        return jax

    def refuses(self, case: Case) -> str | None:
        """Refuse ragged batches and steps of elementwise cells, which are written here for whole sequences alone."""
        is_whole = case.mode in ("inference", "training")
        return None if is_whole or not case.is_elementwise else "no way of an elementwise cell but whole sequences"

    def prepare(self, problem: Problem, threads: int) -> list[Way]:
        """Put everything on JAX's device; weights are stored transposed, (I, G·H), which is faster."""
        jax = self._start(threads)
        case = problem.case
        if case.is_elementwise:
            return [by_scan(jax, problem)]
        weights = tuple(
            jax.numpy.asarray(w.t().contiguous().numpy() if w.dim() == 2 else w.numpy())
            for w in (problem.weights[name] for name in _PARAMETERS)
        )
        x = jax.numpy.asarray(problem.x.numpy())
        states = tuple(jax.numpy.asarray(s.numpy()) for s in problem.state)
        if case.mode == "step":
            step = jax.jit(lambda w, x, s: _step(jax, case.cell)(w, s, _project(case.cell, w, x)))

            def run_step() -> Any:
                new = jax.block_until_ready(step(weights, x, states))
                return new[0], new

            return [Way("jit", run_step, _named)]
        zeros = tuple(jax.numpy.zeros_like(s) for s in states)
        lengths = None if problem.lengths is None else jax.numpy.asarray(problem.lengths.numpy())
        if case.mode == "training":
            doutput = jax.numpy.asarray(problem.doutput.numpy())
            return [self._training(jax, case.cell, weights, x, zeros, doutput)]
        scan = jax.jit(lambda w, x, s, n: _scan(jax, case.cell, w, x, s, n))
        return [Way("scan", lambda: jax.block_until_ready(scan(weights, x, zeros, lengths)), _named)]

    @staticmethod
    def _training(jax: Any, cell: str, weights: Any, x: Any, zeros: Any, doutput: Any) -> Way:
        def loss(weights: Any, x: Any) -> Any:
            output, final = _scan(jax, cell, weights, x, zeros, None)
            return (output * doutput).sum(), (output, final)

        both = jax.jit(jax.value_and_grad(loss, argnums=(0, 1), has_aux=True))

        def answer(result: Any) -> Answer:
            (_, results), (dweights, dx) = result
            grads = {f"d{name}": _tensor(g.T) for name, g in zip(_PARAMETERS, dweights, strict=True)}
            return _named(results) | grads | {"dx": _tensor(dx)}

        return Way("scan", lambda: jax.block_until_ready(both(weights, x)), answer)


def _project(cell: str, weights: Any, x: Any) -> Any:
    """Return W_ih x + b_ih, with b_hh where it may be added beforehand."""
    weight_ih, _, bias_ih, bias_hh = weights
    return x @ weight_ih + (bias_ih if cell == "gru" else bias_ih + bias_hh)


def _step(jax: Any, cell: str) -> Any:
    """Return the step of a cell: (weights, states, projected input) → states."""
    np, sigmoid = jax.numpy, jax.nn.sigmoid

    def lstm(weights: Any, state: Any, x: Any) -> Any:
        i, f, g, o = np.split(x + state[0] @ weights[1], 4, -1)
        c = sigmoid(f) * state[1] + sigmoid(i) * np.tanh(g)
        return sigmoid(o) * np.tanh(c), c

    def gru(weights: Any, state: Any, x: Any) -> Any:
        (h,) = state
        (xr, xz, xn), (hr, hz, hn) = np.split(x, 3, -1), np.split(h @ weights[1] + weights[3], 3, -1)
        z, n = sigmoid(xz + hz), np.tanh(xn + sigmoid(xr + hr) * hn)
        return ((1 - z) * n + z * h,)

    def rnn(weights: Any, state: Any, x: Any) -> Any:
        return (np.tanh(x + state[0] @ weights[1]),)

    return {"lstm": lstm, "gru": gru, "rnn": rnn}[cell]


def _scan(jax: Any, cell: str, weights: Any, x: Any, states: Any, lengths: Any) -> Any:
    """Return outputs (T, B, H) and final states."""
    step = _step(jax, cell)

    def plain(state: Any, x_t: Any) -> Any:
        new = step(weights, state, x_t)
        return new, new[0]

    def masked(state: Any, t_and_x: Any) -> Any:
        t, x_t = t_and_x
        runs = (t < lengths)[:, None]
        new = step(weights, state, x_t)
        return tuple(jax.numpy.where(runs, n, o) for n, o in zip(new, state, strict=True)), new[0] * runs

    x_gates = _project(cell, weights, x)
    if lengths is None:
        final, output = jax.lax.scan(plain, states, x_gates)
    else:
        final, output = jax.lax.scan(masked, states, (jax.numpy.arange(x.shape[0]), x_gates))
    return output, final


def _tensor(array: Any) -> torch.Tensor:
    import numpy

    return torch.from_numpy(numpy.array(array))


def _named(result: Any) -> Answer:
    output, final = result
    return {"output": _tensor(output)} | {name: _tensor(s) for name, s in zip(("h_n", "c_n"), final, strict=False)}
