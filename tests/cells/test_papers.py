"""Each cell of today against the equations of its paper, written a second time."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import pytest
import torch

from unrolled.cells import (
    IndRNNCell,
    LRUCell,
    LSTMCell,
    MinGRUCell,
    MinLSTMCell,
    MogrifierLSTMCell,
    RGLRUCell,
    SLSTMCell,
    SRUCell,
)
from unrolled.scan import scan
from unrolled.testing.samples import draw

from . import papers

CASES = [
    (MinGRUCell(), papers.mingru),
    (MinLSTMCell(), papers.minlstm),
    (SRUCell(), papers.sru),
    (SRUCell(rescale=True, highway_bias=-2.0), partial(papers.sru, alpha=math.sqrt(1 + 2 * math.exp(-2)))),
    (RGLRUCell(), papers.rglru),
    (LRUCell(), papers.lru),
    (IndRNNCell(), papers.indrnn),
    (IndRNNCell(nonlinearity="tanh"), partial(papers.indrnn, bend=np.tanh)),
    (SLSTMCell(), papers.slstm),
    (SLSTMCell(num_heads=3), partial(papers.slstm, heads=3)),
    (SLSTMCell(num_heads=2, forget_gate_by="exp"), partial(papers.slstm, heads=2, forget=np.exp)),
    (MogrifierLSTMCell(), papers.mogrifier),
    (MogrifierLSTMCell(rounds=4, rank=2), partial(papers.mogrifier, rounds=4, rank=2)),
    (MogrifierLSTMCell(rounds=1), partial(papers.mogrifier, rounds=1)),
]


@pytest.mark.parametrize("input_size", [3, 6])
@pytest.mark.parametrize(("cell", "paper"), CASES, ids=[repr(cell) for cell, _ in CASES])
def test_outputs_are_those_of_the_paper(cell, paper, input_size: int) -> None:
    sample = draw(cell, time=9, batch=2, input_size=input_size, hidden_size=6, seed=3)
    params = {name: p.numpy() for name, p in sample.params.items()}
    found = scan(cell, sample.x, cell.initial_state(2, 6, sample.x), sample.params).output
    for row in range(2):
        expected = paper(sample.x[:, row].numpy(), 6, params)
        np.testing.assert_allclose(found[:, row].numpy(), expected, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("options", [{}, {"peephole": True, "proj_size": 2, "layer_norm": True}], ids=str)
def test_a_mogrifier_of_no_rounds_is_the_lstm(options: dict) -> None:
    sample = draw(LSTMCell(**options), seed=1)
    mogrified = scan(MogrifierLSTMCell(rounds=0, **options), sample.x, sample.state, sample.params)
    torch.testing.assert_close(mogrified.output, sample.scan().output, rtol=1e-13, atol=1e-14)


def test_the_state_of_the_slstm_is_the_papers_divided_by_the_stabiliser() -> None:
    """h, and c and n times eᵐ, do not depend on m: the same step from states that are scaled alike."""
    cell = SLSTMCell()
    sample = draw(cell, time=3, seed=2)
    h, c, n, m = sample.state
    shift = torch.linspace(-3, 3, 4, dtype=torch.float64)
    scaled = scan(cell, sample.x, (h, c * shift.exp(), n * shift.exp(), m - shift), sample.params)
    plain = sample.scan()
    torch.testing.assert_close(scaled.output, plain.output, rtol=1e-12, atol=1e-14)
    for k in (1, 2):
        torch.testing.assert_close(
            scaled.state[k] * scaled.state[3].exp(), plain.state[k] * plain.state[3].exp(), rtol=1e-12, atol=1e-14
        )
