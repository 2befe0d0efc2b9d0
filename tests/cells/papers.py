"""The papers' equations in numpy, one sequence and one step at a time: a second implementation, which knows ours not.

Each function takes x (T, I), H, and the parameters as ours are named and shaped, and returns the outputs (T, H) from
the initial state that the paper starts with, zeros. Nothing is stabilised: the numbers are float64, and moderate.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Params = dict[str, Array]


def sigmoid(a: Array) -> Array:
    return 1 / (1 + np.exp(-a))


def mingru(x: Array, hidden: int, p: Params) -> Array:
    """Feng et al. 2024, section 3.1: z = σ(Linear(x_t)), h̃ = Linear(x_t), h_t = (1 − z) ⊙ h_{t−1} + z ⊙ h̃."""
    (w_z, w_h), (b_z, b_h) = np.split(p["weight_ih"], 2), np.split(p["bias_ih"], 2)
    h, outputs = np.zeros(hidden), []
    for x_t in x:
        z, candidate = sigmoid(w_z @ x_t + b_z), w_h @ x_t + b_h
        h = (1 - z) * h + z * candidate
        outputs.append(h)
    return np.array(outputs)


def minlstm(x: Array, hidden: int, p: Params) -> Array:
    """Section 3.2: f'_t = f_t / (f_t + i_t), i'_t = i_t / (f_t + i_t), h_t = f'_t ⊙ h_{t−1} + i'_t ⊙ h̃_t."""
    w_f, w_i, w_h = np.split(p["weight_ih"], 3)
    b_f, b_i, b_h = np.split(p["bias_ih"], 3)
    h, outputs = np.zeros(hidden), []
    for x_t in x:
        f, i = sigmoid(w_f @ x_t + b_f), sigmoid(w_i @ x_t + b_i)
        h = f / (f + i) * h + i / (f + i) * (w_h @ x_t + b_h)
        outputs.append(h)
    return np.array(outputs)


def sru(x: Array, hidden: int, p: Params, alpha: float = 1.0) -> Array:
    """Lei et al. 2018, eq. 1-4, with α of section 3.2 and a fourth matrix where x is not as wide as h."""
    blocks = np.split(p["weight_ih"], len(p["weight_ih"]) // hidden)
    (b_f, b_r), (v_f, v_r) = np.split(p["bias_ih"], 2), np.split(p["weight_peephole"], 2)
    c, outputs = np.zeros(hidden), []
    for x_t in x:
        f = sigmoid(blocks[0] @ x_t + v_f * c + b_f)
        r = sigmoid(blocks[1] @ x_t + v_r * c + b_r)
        c = f * c + (1 - f) * (blocks[2] @ x_t)
        highway = x_t if len(x_t) == hidden else blocks[3] @ x_t
        outputs.append(r * c + (1 - r) * highway * alpha)
    return np.array(outputs)


def rglru(x: Array, hidden: int, p: Params) -> Array:
    """De et al. 2024, eq. 1-4, with a linear map before it where x is not as wide as h."""
    blocks = np.split(p["weight_ih"], len(p["weight_ih"]) // hidden)
    b_a, b_x = np.split(p["bias_ih"], 2)
    a, h, outputs = sigmoid(p["decay"]), np.zeros(hidden), []
    for x_t in x:
        r, i = sigmoid(blocks[0] @ x_t + b_a), sigmoid(blocks[1] @ x_t + b_x)
        u = x_t if len(x_t) == hidden else blocks[2] @ x_t
        a_t = a ** (8 * r)
        h = a_t * h + np.sqrt(1 - a_t**2) * (i * u)
        outputs.append(h)
    return np.array(outputs)


def lru(x: Array, hidden: int, p: Params) -> Array:
    """Orvieto et al. 2023: x_k = Λ x_{k−1} + exp(γ) ⊙ B u_k, y_k = Re(C x_k) + D u_k, in complex numbers."""
    b_re, b_im, d = np.split(p["weight_ih"], 3)
    c_re, c_im = np.split(p["weight_out"], 2, axis=1)
    eigenvalues = np.exp(-np.exp(p["nu_log"]) + 1j * np.exp(p["theta_log"]))
    state, outputs = np.zeros(hidden, dtype=complex), []
    for u in x:
        state = eigenvalues * state + np.exp(p["gamma_log"]) * ((b_re + 1j * b_im) @ u)
        outputs.append(((c_re + 1j * c_im) @ state).real + d @ u)
    return np.array(outputs)


def indrnn(x: Array, hidden: int, p: Params, bend: Callable[[Array], Array] = lambda a: np.maximum(a, 0)) -> Array:
    """Li et al. 2018: h_t = σ(W x_t + u ⊙ h_{t−1} + b)."""
    h, outputs = np.zeros(hidden), []
    for x_t in x:
        h = bend(p["weight_ih"] @ x_t + p["weight_hh"] * h + p["bias_ih"])
        outputs.append(h)
    return np.array(outputs)


def slstm(x: Array, hidden: int, p: Params, heads: int = 1, forget: Callable[[Array], Array] = sigmoid) -> Array:
    """Beck et al. 2024, section 2.2, without the stabiliser: the exponentials themselves, R written out in full."""
    size = hidden // heads
    recurrent = np.zeros((4, hidden, hidden))
    for gate, block in enumerate(np.split(p["weight_hh"], 4)):
        for unit in range(hidden):
            first = unit // size * size
            recurrent[gate, unit, first : first + size] = block[unit]
    weights, biases = np.split(p["weight_ih"], 4), np.split(p["bias_ih"], 4)
    h, c, n, outputs = np.zeros(hidden), np.zeros(hidden), np.zeros(hidden), []
    for x_t in x:
        i, f, z, o = (w @ x_t + r @ h + b for w, r, b in zip(weights, recurrent, biases, strict=True))
        c = forget(f) * c + np.exp(i) * np.tanh(z)
        n = forget(f) * n + np.exp(i)
        h = sigmoid(o) * c / n
        outputs.append(h)
    return np.array(outputs)


def mogrifier(x: Array, hidden: int, p: Params, rounds: int = 5, rank: int = 0) -> Array:
    """Melis et al. 2020: x^i = 2σ(Q^i h^{i−1}) ⊙ x^{i−2} for odd i, h^i = 2σ(R^i x^{i−1}) ⊙ h^{i−2} for even."""
    matrices = {}
    for i in range(1, rounds + 1):
        name = f"weight_q{i}" if i % 2 else f"weight_r{i}"
        matrices[i] = p[f"{name}_left"] @ p[f"{name}_right"] if rank else p[name]
    h, c, outputs = np.zeros(hidden), np.zeros(hidden), []
    for x_t in x:
        versions = {-1: x_t, 0: h}
        for i in range(1, rounds + 1):
            versions[i] = 2 * sigmoid(matrices[i] @ versions[i - 1]) * versions[i - 2]
        odd, even = (max(k for k in versions if k % 2 == parity) for parity in (1, 0))
        sums = p["weight_ih"] @ versions[odd] + p["bias_ih"] + p["weight_hh"] @ versions[even] + p["bias_hh"]
        i_t, f_t, j_t, o_t = np.split(sums, 4)
        c = sigmoid(f_t) * c + sigmoid(i_t) * np.tanh(j_t)
        h = sigmoid(o_t) * np.tanh(c)
        outputs.append(h)
    return np.array(outputs)
