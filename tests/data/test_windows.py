"""Windows: each target exactly once, the state's text unbroken, positions that resume exactly."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from unrolled.data import IGNORED, ByteTokenizer, Piece, TokenBatch, Windows, encode_corpus, evaluation_windows
from unrolled.errors import ArgumentError, DataError, StateError

SIZES = (st.integers(2, 90), st.integers(1, 9), st.integers(1, 12))


def one_epoch(windows: Windows) -> list[TokenBatch]:
    return [windows.next_batch() for _ in range(windows.batches_per_epoch)]


def laid_out(batches: list[TokenBatch]) -> tuple[np.ndarray, np.ndarray]:
    """Inputs and targets of whole lanes, (B, T)."""
    return (
        torch.cat([batch.inputs for batch in batches]).numpy().T,
        torch.cat([batch.targets for batch in batches]).numpy().T,
    )


def test_hand_worked() -> None:
    windows = Windows(np.arange(10, 20), batch_size=2, window=3)
    assert (windows.lanes, windows.batches_per_epoch) == (2, 2)
    first, second = one_epoch(windows)
    # Nine predictions: lane 0 has four (of tokens 11..14), lane 1 has five (of tokens 15..19).
    assert first.inputs.tolist() == [[10, 14], [11, 15], [12, 16]]
    assert first.targets.tolist() == [[11, 15], [12, 16], [13, 17]]
    assert second.inputs[:, 1].tolist() == [17, 18]
    assert second.inputs[0, 0] == 13
    assert second.targets.tolist() == [[14, 18], [IGNORED, 19]]
    assert [(batch.resets, batch.epoch) for batch in (first, second, windows.next_batch())] == [
        (True, 0),
        (False, 0),
        (True, 1),
    ]
    assert first.inputs.dtype == first.targets.dtype == torch.int64


@given(*SIZES, st.integers(0, 5))
def test_every_epoch_predicts_every_token_but_the_first_once(n: int, batch_size: int, window: int, seed: int) -> None:
    tokens = np.arange(n)
    windows = Windows(tokens, batch_size, window, seed=seed)
    for epoch in range(3):
        batches = one_epoch(windows)
        assert [batch.resets for batch in batches] == [True] + [False] * (len(batches) - 1)
        assert {batch.epoch for batch in batches} == {epoch}
        assert [len(batch.inputs) for batch in batches[:-1]] == [window] * (len(batches) - 1)
        inputs, targets = laid_out(batches)
        counted = targets != IGNORED
        assert sorted(targets[counted].tolist()) == list(range(1, n))
        np.testing.assert_array_equal(inputs[counted] + 1, targets[counted])
        # The text of a lane runs on, as a ring; lanes are of equal length but for one target at the end.
        np.testing.assert_array_equal((inputs[:, :-1] + 1)[counted[:, 1:]] % (n - 1), inputs[:, 1:][counted[:, 1:]])
        assert counted[:, :-1].all()


def test_borders_move_from_epoch_to_epoch_by_the_seed() -> None:
    def starts(seed: int) -> list[int]:
        windows = Windows(np.arange(1000), 4, 10, seed=seed)
        return [int(one_epoch(windows)[0].inputs[0, 0]) for _ in range(4)]

    assert starts(1) == starts(1)
    assert starts(1)[0] == starts(2)[0] == 0
    assert len({*starts(1), *starts(2)}) == 7


@given(*SIZES, st.integers(0, 40))
def test_resuming_at_any_batch_goes_on_exactly(n: int, batch_size: int, window: int, steps: int) -> None:
    tokens = np.random.default_rng(n).integers(0, 99, n)
    windows = Windows(tokens, batch_size, window, seed=7)
    for _ in range(steps):
        windows.next_batch()
    resumed = Windows(tokens, batch_size, window, seed=7)
    resumed.load_state_dict(windows.state_dict())
    assert (resumed.epoch, resumed.position) == (windows.epoch, windows.position)
    for _ in range(3):
        ours, theirs = windows.next_batch(), resumed.next_batch()
        assert torch.equal(ours.inputs, theirs.inputs)
        assert torch.equal(ours.targets, theirs.targets)
        assert ours[2:] == theirs[2:]


def test_a_state_of_other_data_is_refused() -> None:
    state = Windows(np.arange(100), 4, 10, seed=1).state_dict()
    for other in (
        Windows(np.arange(101), 4, 10, seed=1),
        Windows(np.arange(100), 3, 10, seed=1),
        Windows(np.arange(100), 4, 9, seed=1),
        Windows(np.arange(100), 4, 10, seed=2),
    ):
        with pytest.raises(StateError, match="data position: was saved with"):
            other.load_state_dict(state)
    with pytest.raises(StateError, match="epoch 0, batch 99 does not exist"):
        Windows(np.arange(100), 4, 10, seed=1).load_state_dict(state | {"position": 99})


@given(*SIZES, st.integers(0, 20))
def test_evaluation_counts_every_token_once_in_order(n: int, batch_size: int, window: int, warmup: int) -> None:
    batches = list(evaluation_windows(np.arange(n), batch_size, window, warmup=warmup))
    assert [batch.resets for batch in batches] == [True] + [False] * (len(batches) - 1)
    inputs, targets = laid_out(batches)
    counted = targets != IGNORED
    assert targets[counted].tolist() == list(range(1, n))
    np.testing.assert_array_equal(inputs[counted] + 1, targets[counted])
    for lane in range(len(inputs)):
        first, last = np.flatnonzero(counted[lane])[[0, -1]]
        # Unbroken from the first token read on; every lane but the first has read `warmup` tokens (or what there is).
        np.testing.assert_array_equal(np.diff(inputs[lane, : last + 1]), 1)
        assert first == (0 if lane == 0 else min(warmup, n - 1 - len(inputs)))


def test_one_lane_of_evaluation_is_the_text_itself() -> None:
    inputs, targets = laid_out(list(evaluation_windows(np.arange(25), 1, 10)))
    assert inputs.tolist() == [list(range(24))]
    assert targets.tolist() == [list(range(1, 25))]


@pytest.mark.parametrize(("n", "lanes", "length"), [(2, 1, 1), (5, 1, 4), (11, 1, 10), (21, 2, 10), (1000, 8, 10)])
def test_a_small_corpus_gets_fewer_lanes_and_a_shorter_window(n: int, lanes: int, length: int) -> None:
    windows = Windows(np.arange(n), batch_size=8, window=10)
    assert windows.next_batch().inputs.shape == (length, lanes)


@pytest.mark.parametrize("n", [0, 1])
def test_a_corpus_with_nothing_to_predict(n: int, tmp_path: Path) -> None:
    for make in (Windows, evaluation_windows):
        with pytest.raises(DataError, match=rf"the corpus has {n} tokens?, at least 2 are needed"):
            make(np.arange(n), 4, 4)
    file = encode_corpus([Piece("x", "one.txt", True)], ByteTokenizer(), tmp_path / "t")
    with pytest.raises(DataError, match="t: the corpus has 1 token, at least 2"):
        Windows(file, 4, 4)


def test_options_out_of_range() -> None:
    for make in (Windows, evaluation_windows):
        with pytest.raises(ArgumentError, match="batch_size: must be at least 1, found 0"):
            make(np.arange(9), 0, 4)
        with pytest.raises(ArgumentError, match="window: must be at least 1, found -1"):
            make(np.arange(9), 4, -1)
        with pytest.raises(ArgumentError, match=r"tokens: expected shape \(N,\)"):
            make(np.zeros((3, 3), dtype=np.int64), 4, 4)
    with pytest.raises(ArgumentError, match="warmup: must be at least 0"):
        evaluation_windows(np.arange(9), 4, 4, warmup=-1)


def test_a_token_file_reads_like_its_array(tmp_path: Path) -> None:
    file = encode_corpus([Piece("hello, world " * 400, "f", True)], ByteTokenizer(), tmp_path / "t")
    mapped, plain = Windows(file, 3, 5), Windows(np.array(file.tokens), 3, 5)
    # More batches than there are between two releases of the mapped pages.
    for _ in range(150):
        ours, theirs = mapped.next_batch(), plain.next_batch()
        assert torch.equal(ours.inputs, theirs.inputs)
        assert torch.equal(ours.targets, theirs.targets)
