"""Gates that are shut or open as far as float32 goes, and memories of thousands of steps: exact to rounding."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from unrolled.cells import CELLS, LinearCell, LRUCell, MinGRUCell, MinLSTMCell, RGLRUCell, SLSTMCell, SRUCell
from unrolled.scan import scan

EPS = float(torch.finfo(torch.float32).eps)
LINEAR = [MinGRUCell(), MinLSTMCell(), RGLRUCell()]
#: preactivations from where a sigmoid underflows in float32, over where 1 − σ is lost, to where it is 1
GRID = torch.cat([torch.linspace(-120, 120, 97), torch.tensor([-1e4, -17.0, -1e-8, 0.0, 1e-8, 17.0, 1e4])])


def pairs() -> tuple[Tensor, Tensor]:
    """Every pair of GRID."""
    a, b = torch.meshgrid(GRID, GRID, indexing="ij")
    return a.reshape(-1), b.reshape(-1)


def sigmoid(a: np.ndarray) -> np.ndarray:
    return np.where(a >= 0, 1 / (1 + np.exp(-np.abs(a))), np.exp(-np.abs(a)) / (1 + np.exp(-np.abs(a))))


def assert_exact(found: Tensor, expected: np.ndarray, ulps: float, least: float = 1e-37) -> None:
    """Within so many rounding errors of the number itself, down to where float32 has no more numbers."""
    gap = np.abs(found.double().numpy() - expected)
    assert np.all(gap <= ulps * EPS * np.abs(expected) + least), f"{np.max(gap / np.maximum(np.abs(expected), least))}"


def test_both_weights_of_a_mingru_keep_their_digits() -> None:
    a, b, _ = MinGRUCell().coefficients(torch.cat([GRID, torch.ones_like(GRID)]), {})
    k = GRID.double().numpy()
    assert_exact(a, sigmoid(-k), 4)
    assert_exact(b, sigmoid(k), 4)
    assert float(a[GRID == 17.0]) == pytest.approx(4.1399377e-8, rel=1e-6)


def test_both_weights_of_a_minlstm_keep_their_digits() -> None:
    k_f, k_i = pairs()
    a, b, _ = MinLSTMCell().coefficients(torch.cat([k_f, k_i, torch.ones_like(k_f)]), {})
    f, i = k_f.double().numpy(), k_i.double().numpy()
    # σ(f)/(σ(f) + σ(i)) without an intermediate number that may be 0
    log_quotient = np.logaddexp(0, -i) - np.logaddexp(0, -f)
    assert bool(torch.isfinite(a).all())
    # a share below e⁻⁴⁰ of the whole may be 0
    assert_exact(a, sigmoid(log_quotient), 8, least=5e-18)
    assert_exact(b, sigmoid(-log_quotient), 8, least=5e-18)
    near = np.abs(f) + np.abs(i) < 60
    assert_exact(a[near], sigmoid(log_quotient)[near], 8)


def test_the_decay_of_an_rglru_keeps_its_digits() -> None:
    k_r, decay = pairs()
    x_gates = torch.cat([k_r, torch.full_like(k_r, 200.0), torch.ones_like(k_r)])
    a, b, _ = RGLRUCell().coefficients(x_gates, {"decay": decay})
    log_a = -8 * np.logaddexp(0, -decay.double().numpy()) * sigmoid(k_r.double().numpy())
    assert_exact(a, np.exp(log_a), 4 * float(np.abs(log_a[log_a > -87]).max()))
    close = log_a > -1
    assert_exact(a[close], np.exp(log_a)[close], 8)
    # the square root of what is below float32's least number, times the largest decay of the grid
    assert_exact(b, np.sqrt(-np.expm1(2 * log_a)), 8, least=2e-17)


@pytest.mark.parametrize("cell", LINEAR, ids=repr)
def test_all_coefficients_at_once_are_those_of_each_step(cell: LinearCell) -> None:
    generator = torch.Generator().manual_seed(1)
    hidden = 33
    shapes = cell.parameter_shapes(7, hidden)
    params = {n: torch.randn(s, generator=generator) for n, s in shapes.items()}
    x_gates = cell.project_input(10 * torch.randn(50, 3, 7, generator=generator), params)
    whole = cell.coefficients(x_gates, params)[:2]
    for t in range(50):
        for found, step in zip(whole, cell.coefficients(x_gates[t], params)[:2], strict=True):
            # torch's own functions round the last few elements of a tensor in another way than whole vectors
            torch.testing.assert_close(found[t], step, rtol=4 * EPS, atol=1e-37)


@pytest.mark.parametrize("cell", LINEAR, ids=repr)
@pytest.mark.parametrize("openness", [-30.0, -12.0, 0.0, 12.0, 30.0])
def test_long_memories_are_exact_to_rounding(cell: LinearCell, openness: float) -> None:
    """T steps of float32 against the same recurrence of the same coefficients in float64."""
    time, hidden = 3000, 8
    generator = torch.Generator().manual_seed(2)
    shapes = cell.parameter_shapes(1, hidden)
    params = {n: torch.randn(s, generator=generator) for n, s in shapes.items()}
    params["bias_ih"][:hidden] += openness
    x = torch.randn(time, 2, 1, generator=generator)
    initial = torch.randn(2, hidden, generator=generator)
    found = scan(cell, x, (initial,), params).output
    a, b = (c.double() for c in cell.coefficients(cell.project_input(x, params), params)[:2])
    h, size = initial.double(), initial.double().abs()
    for t in range(time):
        h, size = a[t] * h + b[t], a[t] * size + b[t].abs()
        # each of t steps rounds a product and a sum, of numbers that add up to `size` where nothing cancels
        assert float(((found[t].double() - h).abs() / size).max()) <= (t + 2) * EPS


@pytest.mark.parametrize("name", sorted(set(CELLS) - {"rnn", "lstm", "gru"}))
def test_extreme_inputs_give_numbers_and_gradients(name: str) -> None:
    cell = CELLS[name]()
    generator = torch.Generator().manual_seed(4)
    shapes = cell.parameter_shapes(3, 3)
    params = {n: torch.randn(s, generator=generator).requires_grad_() for n, s in shapes.items()}
    for scale in (0.0, 1e2, 1e4):
        x = (scale * torch.randn(6, 4, 3, generator=generator)).requires_grad_()
        result = scan(cell, x, cell.initial_state(4, 3, x), params)
        loss = result.output.square().mean().sqrt() if scale else result.output.sum()
        for tensor in (result.output, *torch.autograd.grad(loss, [x, *params.values()], allow_unused=True)):
            assert tensor is not None
            assert bool(tensor.isfinite().all()), scale


@pytest.mark.parametrize("k_i", [-1e4, -300.0, -90.0, 300.0, 1e4])
def test_the_first_weight_of_an_slstm_may_be_of_any_size(k_i: float) -> None:
    """h_1 = o ⊙ z whatever its weight was, and a second value of equal weight counts as much."""
    cell = SLSTMCell(forget_gate_by="exp")
    params = {"weight_ih": torch.zeros(4, 2), "weight_hh": torch.zeros(4, 1), "bias_ih": torch.zeros(4)}
    params["weight_ih"][2, 0] = 1
    params["bias_ih"][0] = k_i
    x = torch.tensor([[[0.5, 0.0]], [[-0.25, 0.0]]], requires_grad=True)
    result = scan(cell, x, cell.initial_state(1, 1, x), params)
    z = np.tanh([0.5, -0.25])
    np.testing.assert_allclose(result.output.detach().flatten().numpy(), [0.5 * z[0], 0.25 * (z[0] + z[1])], rtol=1e-6)
    assert torch.autograd.grad(result.output.sum(), x)[0].isfinite().all()


def test_an_open_forget_gate_of_an_sru_writes_what_little_it_should() -> None:
    """c_1 = (1 − f) g with f = σ(20), which is 1 in float32."""
    cell = SRUCell()
    params = {
        "weight_ih": torch.tensor([[20.0], [0.0], [1.0]]),
        "weight_peephole": torch.zeros(2),
    }
    x = torch.ones(1, 1, 1)
    c = scan(cell, x, cell.initial_state(1, 1, x), params).state[1]
    assert float(c) == pytest.approx(2.0611536e-9, rel=1e-6)


def test_the_eigenvalues_of_an_lru_stay_within_the_circle() -> None:
    params = {"nu_log": torch.linspace(-30, 5, 100), "theta_log": torch.linspace(-20, 1.8, 100)}
    re, im = (part.double() for part in LRUCell().eigenvalues(params))
    rate = torch.exp(params["nu_log"].double())
    gap = (torch.hypot(re, im) - torch.exp(-rate)).abs()
    assert bool((gap <= (4 + 2 * rate) * EPS * torch.exp(-rate) + 1e-37).all())
    assert float(torch.hypot(re, im).max()) <= 1 + EPS
