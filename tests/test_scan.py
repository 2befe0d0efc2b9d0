"""The scan against numbers worked by hand, closed forms, and its own parts put together differently."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from unrolled.cells import GRUCell, LSTMCell, RNNCell
from unrolled.errors import ArgumentError
from unrolled.scan import Masks, bptt, scan, unfold
from unrolled.testing.samples import draw

DERIVATION = Path(__file__).parents[1] / "docs" / "derivations" / "rnn.md"


def worked_example():
    """The example of docs/derivations/rnn.md: two steps, one unit, loss ½ (h_2 − 1)²."""
    params = {
        "weight_ih": torch.tensor([[0.5]], dtype=torch.float64),
        "weight_hh": torch.tensor([[0.8]], dtype=torch.float64),
        "bias_ih": torch.tensor([0.1], dtype=torch.float64),
        "bias_hh": torch.tensor([0.0], dtype=torch.float64),
    }
    x = torch.tensor([1.0, -0.5], dtype=torch.float64).view(2, 1, 1)
    state = (torch.tensor([[0.2]], dtype=torch.float64),)
    result, tape = unfold(RNNCell(), x, state, params)
    doutput = torch.zeros_like(result.output)
    doutput[1] = result.output[1] - 1
    return result, tape, bptt(RNNCell(), tape, params, doutput, (torch.zeros_like(state[0]),))


def test_two_steps_by_hand() -> None:
    result, tape, gradients = worked_example()
    # a_1 = 0.5·1 + 0.8·0.2 + 0.1 = 0.76;  a_2 = 0.5·(−0.5) + 0.8·tanh 0.76 + 0.1
    h_1 = math.tanh(0.76)
    a_2 = -0.25 + 0.8 * h_1 + 0.1
    h_2 = math.tanh(a_2)
    dh_2 = h_2 - 1
    da_2 = dh_2 * (1 - h_2**2)
    dh_1 = 0.8 * da_2
    da_1 = dh_1 * (1 - h_1**2)
    assert [trace["preactivation"].item() for trace in tape.traces] == pytest.approx([0.76, a_2], rel=1e-15)
    assert result.output.flatten().tolist() == pytest.approx([h_1, h_2], rel=1e-15)
    assert gradients.errors[0].flatten().tolist() == pytest.approx([dh_1, dh_2], rel=1e-14)
    assert gradients.dparams["weight_hh"].item() == pytest.approx(da_1 * 0.2 + da_2 * h_1, rel=1e-14)
    assert gradients.dparams["weight_ih"].item() == pytest.approx(da_1 * 1.0 + da_2 * -0.5, rel=1e-14)
    assert gradients.dparams["bias_hh"].item() == pytest.approx(da_1 + da_2, rel=1e-14)
    assert gradients.dparams["bias_ih"].item() == pytest.approx(da_1 + da_2, rel=1e-14)
    assert gradients.dx.flatten().tolist() == pytest.approx([0.5 * da_1, 0.5 * da_2], rel=1e-14)
    assert gradients.dstate[0].item() == pytest.approx(0.8 * da_1, rel=1e-14)


def test_the_numbers_in_the_derivation_are_the_codes() -> None:
    result, tape, gradients = worked_example()
    da = [gradients.dx[t].item() / 0.5 for t in range(2)]
    computed = {
        "a_1": tape.traces[0]["preactivation"],
        "h_1": result.output[0],
        "a_2": tape.traces[1]["preactivation"],
        "h_2": result.output[1],
        "dh_2": gradients.errors[0][1],
        "da_2": da[1],
        "dh_1": gradients.errors[0][0],
        "da_1": da[0],
        "dweight_hh": gradients.dparams["weight_hh"],
        "dweight_ih": gradients.dparams["weight_ih"],
        "dbias_ih": gradients.dparams["bias_ih"],
        "dh_0": gradients.dstate[0],
    }
    rows = re.findall(r"^\| `(\w+)` \|.*\| (−?[\d.]+) \|$", DERIVATION.read_text(encoding="utf-8"), re.MULTILINE)
    written = {name: float(value.replace("−", "-")) for name, value in rows}
    assert set(written) == set(computed)
    for name, value in written.items():
        assert value == pytest.approx(float(computed[name]), abs=5e-7), name


@pytest.mark.parametrize("factor", [0.8, 1.0, 1.25])
def test_gradient_norm_of_a_linear_recurrence(factor: float) -> None:
    """relu in its positive range with W = a·permutation: the error shrinks or grows by exactly a at each step."""
    time, hidden = 12, 4
    params = {
        "weight_ih": torch.ones(hidden, 1, dtype=torch.float64),
        "weight_hh": factor * torch.eye(hidden, dtype=torch.float64).roll(1, 0),
    }
    x = torch.ones(time, 1, 1, dtype=torch.float64)
    state = (torch.ones(1, hidden, dtype=torch.float64),)
    result, tape = unfold(RNNCell(nonlinearity="relu"), x, state, params)
    assert result.output.min() > 0
    # h_T = a^T P^T h_0 + Σ a^k: with ones everywhere, a geometric series
    expected = factor**time + sum(factor**k for k in range(time))
    torch.testing.assert_close(
        result.state[0], torch.full((1, hidden), expected, dtype=torch.float64), rtol=1e-13, atol=0
    )
    error = torch.tensor([[3.0, 0.0, 4.0, 0.0]], dtype=torch.float64)
    gradients = bptt(RNNCell(nonlinearity="relu"), tape, params, torch.zeros_like(result.output), (error,))
    norms = gradients.errors[0].norm(dim=-1).flatten()
    closed_form = torch.tensor([5 * factor ** (time - 1 - t) for t in range(time)], dtype=torch.float64)
    torch.testing.assert_close(norms, closed_form, rtol=1e-13, atol=0)
    assert gradients.dstate[0].norm().item() == pytest.approx(5 * factor**time, rel=1e-13)


CELLS = [RNNCell(), LSTMCell(peephole=True), GRUCell(reset_after=False)]


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.name)
@pytest.mark.parametrize("window", [1, 2, 3, 7, 9])
@pytest.mark.parametrize("reverse", [False, True])
def test_truncated_bptt_is_windows_detached_from_each_other(cell, window: int, reverse: bool) -> None:
    sample = replace(draw(cell, time=7, lengths=(7, 3, 5), seed=2), truncate=window, reverse=reverse)
    found = sample.by_autograd()
    leaves = sample.leaves()
    order = list(range(7))[::-1] if reverse else list(range(7))
    state, loss = leaves.state, torch.zeros((), dtype=torch.float64)
    for start in range(0, 7, window):
        steps = sorted(order[start : start + window])
        inside = (sample.lengths - steps[0]).clamp(0, len(steps))
        part = scan(cell, leaves.x[steps[0] : steps[-1] + 1], state, leaves.params, lengths=inside, reverse=reverse)
        loss = loss + (part.output * sample.weights[0][steps]).sum()
        last = start + window >= 7
        state = part.state if last else tuple(s.detach() for s in part.state)
    loss = loss + sum((w * s).sum() for w, s in zip(sample.weights[1:], state, strict=True))
    named = leaves.named()
    for name, d in zip(named, torch.autograd.grad(loss, list(named.values())), strict=True):
        torch.testing.assert_close(found[f"d{name}"], d, rtol=1e-11, atol=1e-12, msg=lambda m, n=name: f"d{n}: {m}")
    whole = replace(sample, truncate=None).scan()
    assert torch.equal(sample.scan().output, whole.output)
    by_hand = sample.by_bptt()
    for name in found:
        torch.testing.assert_close(by_hand[name], found[name], rtol=1e-11, atol=1e-12)


def test_a_cut_stops_the_gradient_where_it_says() -> None:
    sample = replace(draw(LSTMCell(), time=6), truncate=4)
    leaves = sample.leaves()
    result = leaves.scan()
    (dx,) = torch.autograd.grad(result.output[5].sum(), leaves.x)
    assert [bool(dx[t].abs().sum() > 0) for t in range(6)] == [False, False, False, False, True, True]


def test_a_reset_by_hand() -> None:
    # h_t = x_t + 2 h_{t−1}, ones everywhere: in the second row a document begins at t = 1, from 10
    x, ones = torch.ones(3, 2, 1, dtype=torch.float64), torch.ones(2, 1, dtype=torch.float64)
    params = {"weight_ih": torch.ones(1, 1).double(), "weight_hh": 2 * torch.ones(1, 1).double()}
    reset = torch.tensor([[False, False], [False, True], [False, False]])
    cell, start = RNNCell(nonlinearity="relu"), (10 * ones,)
    forwards = scan(cell, x, (ones,), params, reset=reset, start=start)
    assert forwards.output[:, :, 0].T.tolist() == [[3, 7, 15], [3, 21, 43]]
    # backwards that document is t = 2, 1, from 1, and the one before it is t = 0, from 10
    backwards = scan(cell, x, (ones,), params, reset=reset, start=start, reverse=True)
    assert backwards.output[:, :, 0].T.tolist() == [[15, 7, 3], [21, 7, 3]]
    # dL/dh_2 = 1: 2³ reaches h_0 in the first row; in the second 2² reaches the start of the document
    _, tape = unfold(cell, x, (ones,), params, reset=reset, start=start)
    back = bptt(cell, tape, params, torch.zeros(3, 2, 1, dtype=torch.float64), (ones,))
    assert back.dstate[0].flatten().tolist() == [8, 0]
    assert back.dstart[0].flatten().tolist() == [0, 4]
    assert back.dx[:, :, 0].T.tolist() == [[4, 2, 1], [0, 2, 1]]


def test_zoneout_of_everything_keeps_the_state_and_of_nothing_changes_nothing() -> None:
    sample = draw(LSTMCell())
    keep = torch.ones(4, 3, 4, dtype=torch.bool)
    kept = replace(sample, masks=Masks(zoneout=(keep, keep))).scan()
    assert torch.equal(kept.state[0], sample.state[0])
    assert torch.equal(kept.state[1], sample.state[1])
    assert torch.equal(kept.output, sample.state[0].expand(4, 3, 4))
    free = replace(sample, masks=Masks(zoneout=(~keep, None))).scan()
    assert torch.equal(free.output, sample.scan().output)


def test_zoneout_in_evaluation_is_the_expectation() -> None:
    sample = draw(RNNCell(), time=1)
    new, old = sample.scan().output, sample.state[0]
    found = replace(sample, masks=Masks(zoneout=(0.25,))).scan().output
    torch.testing.assert_close(found, 0.25 * old + 0.75 * new, rtol=1e-14, atol=0)


def test_zoneout_of_single_units() -> None:
    sample = draw(GRUCell(), time=2)
    keep = torch.zeros(2, 3, 4, dtype=torch.bool)
    keep[0, 1, 2] = True
    result = replace(sample, masks=Masks(zoneout=(keep,))).scan()
    assert result.output[0, 1, 2] == sample.state[0][1, 2]
    others = torch.ones(3, 4, dtype=torch.bool)
    others[1, 2] = False
    assert torch.equal(result.output[0][others], sample.scan().output[0][others])


def test_the_recurrent_mask_acts_on_the_products_alone() -> None:
    """A GRU carries h over unmasked; a mask of zeros makes its gates those of a zero state."""
    sample = draw(GRUCell(), time=1)
    none = torch.zeros_like(sample.state[0])
    found = replace(sample, masks=Masks(recurrent=none)).scan().output[0]
    cell, params = GRUCell(), sample.params
    _, trace = cell.trace(cell.project_input(sample.x[0], params), (none,), params)
    expected = (1 - trace["z"]) * trace["n"] + trace["z"] * sample.state[0]
    torch.testing.assert_close(found, expected, rtol=1e-14, atol=1e-15)


def test_one_recurrent_mask_for_all_steps() -> None:
    """Masking h_{t-1} is the same as masking the columns of W_hh, at every step."""
    sample = draw(RNNCell(), batch=1)
    mask = torch.tensor([[2.0, 0.0, 2.0, 0.0]], dtype=torch.float64)
    masked = replace(sample, masks=Masks(recurrent=mask)).scan().output
    columns = {**sample.params, "weight_hh": sample.params["weight_hh"] * mask}
    torch.testing.assert_close(masked, replace(sample, params=columns).scan().output, rtol=1e-14, atol=1e-15)


def test_reverse_is_forwards_over_reversed_sequences() -> None:
    lengths = (4, 1, 3)
    sample = draw(LSTMCell(), lengths=lengths)
    found = replace(sample, reverse=True).scan()
    for row, steps in enumerate(lengths):
        flipped = scan(
            sample.cell, sample.x[:steps, [row]].flip(0), tuple(s[[row]] for s in sample.state), sample.params
        )
        torch.testing.assert_close(found.output[:steps, [row]], flipped.output.flip(0), rtol=1e-12, atol=1e-14)
        torch.testing.assert_close(found.state[1][[row]], flipped.state[1], rtol=1e-12, atol=1e-14)


def test_the_tape_is_in_time_order_and_blank_beyond_lengths() -> None:
    sample = draw(GRUCell(), lengths=(4, 0, 2))
    for reverse in (False, True):
        result, tape = unfold(
            sample.cell, sample.x, sample.state, sample.params, lengths=sample.lengths, reverse=reverse
        )
        stacks = tape.stacked()
        assert set(stacks) == {"h_prev", "r", "z", "n", "h", "h_n"}
        assert torch.equal(stacks["h"], result.output)
        assert stacks["z"][2:, 2].abs().max() == 0
        assert stacks["z"][:, 1].abs().max() == 0


def test_errors_say_how_much_each_step_matters() -> None:
    """The error at h_t is the gradient of the loss with respect to h_t, the loss at t included."""
    sample = draw(RNNCell())
    result, tape = unfold(sample.cell, sample.x, sample.state, sample.params)
    gradients = bptt(sample.cell, tape, sample.params, sample.weights[0], sample.weights[1:])
    h_1 = result.output[1].clone().requires_grad_()
    rest = scan(sample.cell, sample.x[2:], (h_1,), sample.params)
    loss = (sample.weights[0][1] * h_1).sum() + (sample.weights[0][2:] * rest.output).sum()
    loss = loss + (sample.weights[1] * rest.state[0]).sum()
    torch.testing.assert_close(gradients.errors[0][1], torch.autograd.grad(loss, h_1)[0], rtol=1e-12, atol=1e-14)


def test_unfolding_wants_a_cell_with_a_trace() -> None:
    class Bare(RNNCell):
        name = "bare"
        trace = RNNCell.__mro__[2].trace

    sample = draw(RNNCell())
    with pytest.raises(ArgumentError, match="cell: 'bare' defines step alone; unfolding needs trace and step_backward"):
        unfold(Bare(), sample.x, sample.state, sample.params)
