"""Every variant of every cell passes every check of a cell."""

import pytest

from unrolled.cells import CELLS, LSTMCell, RNNCell, variants
from unrolled.errors import ArgumentError
from unrolled.testing import Check, cell_checks

CHECKS = [check for cell in variants() for check in cell_checks(cell)]


@pytest.mark.parametrize("check", CHECKS, ids=str)
def test_cell(check: Check) -> None:
    check()


def test_every_cell_has_variants_and_they_differ() -> None:
    found = list(variants())
    assert len(set(found)) == len(found) == 6 + 16 + 4
    assert {type(cell) for cell in found} == set(CELLS.values())
    assert [cls.name for cls in CELLS.values()] == list(CELLS)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RNNCell(nonlinearity="gelu"), "nonlinearity: expected one of tanh, relu, sigmoid, found 'gelu'"),
        (lambda: LSTMCell(proj_size=-1), r"proj_size: expected 0 \(none\) or a positive width, found -1"),
        (lambda: LSTMCell(proj_size=4).parameter_shapes(2, 4), "proj_size: expected less than hidden_size=4, found 4"),
    ],
)
def test_options_out_of_range(make, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        make()
