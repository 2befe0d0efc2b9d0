"""Every engine of this build keeps the contract of the scan, for every cell it serves."""

import pytest
import torch

from unrolled.cells import variants
from unrolled.errors import ArgumentError
from unrolled.kernels import engines
from unrolled.testing import ConformanceError, check_engine, engine_checks

PRESENT = [name for name, engine in engines().items() if engine.unavailable() is None]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
@pytest.mark.parametrize("cell", list(variants()), ids=repr)
@pytest.mark.parametrize("name", PRESENT)
def test_engine(name: str, cell, dtype: torch.dtype) -> None:
    checks = list(engine_checks(name, cell, dtype))
    if not checks:
        pytest.skip(f"{name} leaves {cell} to another engine")
    for check in checks:
        check()


def test_torch_serves_what_torch_has() -> None:
    served = [cell for cell in variants() if list(engine_checks("torch", cell))]
    assert [repr(cell) for cell in served] == [
        "RNNCell(layer_norm=False, nonlinearity='tanh')",
        "RNNCell(layer_norm=False, nonlinearity='relu')",
        "LSTMCell(layer_norm=False, peephole=False, coupled=False, proj_size=0)",
        "LSTMCell(layer_norm=False, peephole=False, coupled=False, proj_size=3)",
        "GRUCell(layer_norm=False, reset_after=True)",
    ]


def test_an_engine_that_serves_nothing_does_not_pass() -> None:
    refused = [cell for cell in variants() if not list(engine_checks("torch", cell))]
    with pytest.raises(ConformanceError, match="serves none of the cells"):
        check_engine("torch", cells=refused)


def test_an_engine_unheard_of() -> None:
    with pytest.raises(ArgumentError, match=r"engine: expected one of .*torch.*, found 'abacus'"):
        check_engine("abacus")
