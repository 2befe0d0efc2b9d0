"""Elementwise cells in JAX: associative_scan where the state is a linear function of the last one, else lax.scan."""

from __future__ import annotations

from typing import Any

import torch

from unrolled.bench.peers.base import Way
from unrolled.bench.problem import Answer, Problem
from unrolled.cells.rglru import SPEED


def by_scan(jax: Any, problem: Problem) -> Way:
    """Return the way of a whole sequence, or of its training."""
    np, case = jax.numpy, problem.case
    weights = {name: np.asarray(w.numpy()) for name, w in problem.weights.items()}
    x, doutput = np.asarray(problem.x.numpy()), np.asarray(problem.doutput.numpy())
    name = "scan" if case.cell in ("sru", "indrnn") else "associative_scan"
    run = {"sru": _sru, "lru": _lru, "indrnn": _indrnn}.get(case.cell)

    def forward(weights: Any, x: Any) -> Any:
        if run is not None:
            return run(jax, weights, x)
        h = _linear(jax, *_coefficients(jax, case.cell, weights, x))
        return h, (h[-1],)

    if case.mode == "inference":
        infer = jax.jit(forward)
        return Way(name, lambda: jax.block_until_ready(infer(weights, x)), _answer)

    def loss(weights: Any, x: Any) -> Any:
        output, final = forward(weights, x)
        return (output * doutput).sum(), (output, final)

    both = jax.jit(jax.value_and_grad(loss, argnums=(0, 1), has_aux=True))

    def answer(result: Any) -> Answer:
        (_, results), (dweights, dx) = result
        grads = {f"d{name}": _tensor(dweights[name]) for name in problem.weights}
        return _answer(results) | grads | {"dx": _tensor(dx)}

    return Way(name, lambda: jax.block_until_ready(both(weights, x)), answer)


def _linear(jax: Any, a: Any, b: Any) -> Any:
    """h_t = a_t h_{t−1} + b_t from h of zeros, in the order of a tree."""
    return jax.lax.associative_scan(lambda p, q: (p[0] * q[0], q[0] * p[1] + q[1]), (a, b))[1]


def _project(jax: Any, weights: Any, x: Any, blocks: int) -> Any:
    sums = x @ weights["weight_ih"].T
    if "bias_ih" in weights:
        bias = weights["bias_ih"]
        sums = sums + jax.numpy.pad(bias, (0, sums.shape[-1] - len(bias)))
    return jax.numpy.split(sums, blocks, -1)


def _coefficients(jax: Any, cell: str, weights: Any, x: Any) -> Any:
    """Return a and b of all steps."""
    np, sigmoid = jax.numpy, jax.nn.sigmoid
    if cell == "mingru":
        z, n = _project(jax, weights, x, 2)
        return sigmoid(-z), sigmoid(z) * n
    if cell == "minlstm":
        f, i, g = _project(jax, weights, x, 3)
        total = sigmoid(f) + sigmoid(i)
        return sigmoid(f) / total, sigmoid(i) / total * g
    r, i = _project(jax, weights, x, 2)
    log_a = -SPEED * jax.nn.softplus(-weights["decay"]) * sigmoid(r)
    return np.exp(log_a), np.sqrt(-np.expm1(2 * log_a)) * sigmoid(i) * x


def _lru(jax: Any, weights: Any, x: Any) -> Any:
    np = jax.numpy
    re, im, through = _project(jax, weights, x, 3)
    phase = np.exp(weights["theta_log"])
    eigenvalues = np.exp(-np.exp(weights["nu_log"])) * (np.cos(phase) + 1j * np.sin(phase))
    b = np.exp(weights["gamma_log"]) * (re + 1j * im)
    s = _linear(jax, np.broadcast_to(eigenvalues, b.shape), b)
    out_re, out_im = np.split(weights["weight_out"], 2, -1)
    h = s.real @ out_re.T - s.imag @ out_im.T + through
    return h, (h[-1], s[-1].real, s[-1].imag)


def _sru(jax: Any, weights: Any, x: Any) -> Any:
    sigmoid = jax.nn.sigmoid
    v_f, v_r = jax.numpy.split(weights["weight_peephole"], 2)

    def step(c: Any, gates: Any) -> Any:
        x_f, x_r, g, u = gates
        f, r = sigmoid(x_f + v_f * c), sigmoid(x_r + v_r * c)
        c = f * c + (1 - f) * g
        return c, r * c + (1 - r) * u

    c, h = jax.lax.scan(step, jax.numpy.zeros_like(x[0]), (*_project(jax, weights, x, 3), x))
    return h, (h[-1], c)


def _indrnn(jax: Any, weights: Any, x: Any) -> Any:
    def step(h: Any, gate: Any) -> Any:
        h = jax.nn.relu(gate + weights["weight_hh"] * h)
        return h, h

    (gates,) = _project(jax, weights, x, 1)
    last, output = jax.lax.scan(step, jax.numpy.zeros_like(x[0]), gates)
    return output, (last,)


def _answer(result: Any) -> Answer:
    output, final = result
    return {"output": _tensor(output)} | {name: _tensor(s) for name, s in zip(("h_n", "c_n"), final, strict=False)}


def _tensor(array: Any) -> torch.Tensor:
    import numpy

    return torch.from_numpy(numpy.array(array))
