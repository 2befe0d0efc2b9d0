"""Every variant of every cell passes every check of a cell, and has its page."""

import math
import re
from pathlib import Path

import pytest

from unrolled.cells import CELLS, LSTMCell, RGLRUCell, RNNCell, SRUCell, variants
from unrolled.errors import ArgumentError
from unrolled.testing import Check, cell_checks

DOCS = Path(__file__).parents[2] / "docs"
CHECKS = [check for cell in variants() for check in cell_checks(cell)]
# where the input is as wide as the state, these two carry it as it is
CHECKS += [check for cell in (SRUCell(rescale=True), RGLRUCell()) for check in cell_checks(cell, input_size=4)]


@pytest.mark.parametrize("check", CHECKS, ids=str)
def test_cell(check: Check) -> None:
    check()


def test_every_cell_has_variants_and_they_differ() -> None:
    found = list(variants())
    assert len(set(found)) == len(found) == 6 + 16 + 4 + 4 + 2 + 3 + 4 + 4
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


def row(name: str) -> list[str]:
    """A cell's row in the first table of docs/cells.md, by column."""
    lines = (DOCS / "cells.md").read_text("utf-8").partition("\n## ")[0].splitlines()
    (line,) = [line for line in lines if line.startswith(f"| `{name}` ")]
    return line.split("|")[1:-1]


def value(formula: str, inputs: int, hidden: int) -> int:
    """A sum of terms such as 4HI, 2H² and 8H."""
    total = 0
    for factor, unknowns in re.findall(r"(\d*)([HI²]+)", formula):
        sizes = {"H": hidden, "I": inputs, "H²": hidden**2}
        total += int(factor or 1) * math.prod(sizes[u] for u in re.findall("H²|H|I", unknowns))
    return total


@pytest.mark.parametrize("name", CELLS)
def test_every_cell_has_a_derivation_and_a_row_with_its_states_and_source(name: str) -> None:
    derivation = (DOCS / "derivations" / f"{name}.md").read_text("utf-8")
    cell = CELLS[name]
    assert f"`{cell.__name__}` in `cells/{name}.py`" in derivation or name == "rnn"
    _, layer, _, states, _, source = row(name)
    assert f"`{cell.__name__.removesuffix('Cell')}`" in layer
    assert f"(derivations/{name}.md)" in layer
    assert states.strip() == ", ".join(cell.state_names)
    papers = re.findall(r"arXiv (\d{4}\.\d{4,5})", cell.__doc__ or "")
    assert all(f"arXiv {paper}" in derivation for paper in papers)
    assert name in ("rnn", "lstm") or f"arXiv {papers[0]}" in source


@pytest.mark.parametrize("name", CELLS)
def test_the_page_counts_the_parameters(name: str) -> None:
    formula = row(name)[4]
    for inputs, hidden in ((3, 5), (7, 4)):
        shapes = CELLS[name]().parameter_shapes(inputs, hidden).values()
        assert value(formula, inputs, hidden) == sum(math.prod(shape) for shape in shapes)
