"""The native engine in a process: packed weights that change, forks, threads, the environment."""

from __future__ import annotations

import copy
import gc
import os
import subprocess
import sys
import threading

import pytest
import torch

from unrolled.cells import GRUCell, LSTMCell, RNNCell
from unrolled.kernels import Call, Direction, native
from unrolled.kernels.autograd import run_scan
from unrolled.kernels.native import packed

from .native_cases import ENGINE, flat, problem, solve

pytestmark = pytest.mark.skipif(ENGINE.unavailable() is not None, reason="the native engine was not built")


def _right(call: Call) -> bool:
    """Whether the engine's answer is the scan's, for the parameters as they are now."""
    with torch.no_grad():
        expected = run_scan(call)
    found = ENGINE.infer(call)
    return all(torch.allclose(a, b, atol=1e-5) for a, b in zip(flat(found), flat(expected), strict=True))


def _change_by_optimiser(params):
    for p in params.values():
        p.grad = torch.ones_like(p)
    torch.optim.SGD(params.values(), lr=0.3).step()


def _change_in_place(params):
    with torch.no_grad():
        params["bias_hh"].add_(0.5)


def _change_through_data(params):
    params["weight_hh"].data.mul_(0.5)


def _swap_data(params):
    params["weight_ih"].data = torch.randn_like(params["weight_ih"])


@pytest.mark.parametrize("change", [_change_by_optimiser, _change_in_place, _change_through_data, _swap_data])
def test_changed_parameters_are_packed_again(change) -> None:
    call = problem(LSTMCell())
    (side,) = call.directions
    assert _right(call)
    x, state = call.x[0].detach(), tuple(s.detach() for s in side.state)
    before = ENGINE.step(call.cell, x, state, side.params)
    change(side.params)
    assert _right(call)
    after = ENGINE.step(call.cell, x, state, side.params)
    assert not torch.equal(before[0], after[0])


def test_packed_weights_are_packed_once_and_die_with_their_parameters() -> None:
    call = problem(GRUCell(), seed=5)
    key = (id(call.directions[0].params["weight_ih"]), False)
    ENGINE.infer(call)
    entry = packed.packed_weights[key]
    ENGINE.infer(call)
    assert packed.packed_weights[key] is entry
    del call, entry
    gc.collect()
    assert key not in packed.packed_weights


def test_copies_and_shared_parameters() -> None:
    call = problem(LSTMCell(), seed=6)
    (side,) = call.directions
    ENGINE.infer(call)
    params = copy.deepcopy(dict(side.params))
    with torch.no_grad():
        params["weight_hh"].mul_(2)
    assert _right(Call(call.cell, call.x, (Direction(params, side.state),)))
    assert _right(call)
    tied = dict(side.params) | {"weight_hh": params["weight_hh"]}
    assert _right(Call(call.cell, call.x, (Direction(tied, side.state),)))
    assert _right(call)


def test_inference_tensors_are_never_trusted_twice() -> None:
    with torch.inference_mode():
        plain = problem(GRUCell(), seed=7)
        params = {k: p.detach().clone() for k, p in plain.directions[0].params.items()}
        call = Call(plain.cell, plain.x.detach(), (Direction(params, plain.directions[0].state),))
        assert _right(call)
        params["weight_hh"][1, 1] += 1.0
        assert _right(call)


def test_parameters_that_are_views() -> None:
    call = problem(LSTMCell(), seed=8)
    (side,) = call.directions
    params = dict(side.params)
    params["weight_hh"] = params["weight_hh"].detach().T.contiguous().T
    params["weight_ih"] = torch.cat([params["weight_ih"].detach()] * 2, 1)[:, :3]
    assert _right(Call(call.cell, call.x, (Direction(params, side.state),)))


def test_several_python_threads() -> None:
    cells = [RNNCell(), LSTMCell(), GRUCell()] * 2
    calls = [problem(cell, batch=4, hidden=40, time=20, seed=i) for i, cell in enumerate(cells)]
    expected = [solve(call, native=True) for call in calls]
    wrong: list[int] = []

    def work(i: int) -> None:
        for _ in range(10):
            found = solve(calls[i], native=True)
            if not all(torch.equal(a, b) for a, b in zip(found, expected[i], strict=True)):
                wrong.append(i)

    workers = [threading.Thread(target=work, args=(i,)) for i in range(len(calls))]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert wrong == []


FORK = """
import os, sys, torch
from tests.kernels.native_cases import ENGINE, problem, solve
from unrolled.cells import LSTMCell
from unrolled.kernels.native import single_thread_reason
torch.set_num_threads(2)
call = problem(LSTMCell(), time=30, batch=16, hidden=64, inputs=64)
expected = solve(call, native=True)
pid = os.fork()
if pid == 0:
    found = ENGINE.forward(call)[0].output
    good = torch.equal(found, expected[0]) and "forked" in str(single_thread_reason())
    os._exit(0 if good else 3)
_, status = os.waitpid(pid, 0)
assert single_thread_reason() is None
sys.exit(os.waitstatus_to_exitcode(status))
"""

FORCED = """
from unrolled.kernels.native import cpu_variant
print(cpu_variant())
"""


def _python(code: str, **variables: str) -> subprocess.CompletedProcess[str]:
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    path = os.pathsep.join(p for p in (root, os.environ.get("PYTHONPATH", "")) if p)
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        env={**os.environ, "PYTHONPATH": path, **variables},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.skipif(native.single_thread_reason() is not None, reason="no OpenMP runtime to share")
def test_a_forked_child_works_alone_and_does_not_hang() -> None:
    done = _python(FORK)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", native.cpu_variants())
def test_the_environment_forces_an_instruction_set(name: str) -> None:
    assert _python(FORCED, UNROLLED_CPU=name).stdout.strip() == name


def test_the_environment_names_an_instruction_set_unheard_of() -> None:
    done = _python(FORCED, UNROLLED_CPU="mmx")
    assert done.returncode == 1
    assert "UNROLLED_CPU: expected one of baseline" in done.stderr
