"""Examples on disk, held out and batched: nothing lost, nothing twice, the same again after a resume."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from unrolled.data import Example, ExampleBatches, ExampleStore, Findings, padded, sorted_batches, split_by_key
from unrolled.errors import ArgumentError, DataError, ModelError, StateError


@dataclass(frozen=True, kw_only=True)
class Word(Example):
    text: str

    @property
    def key(self) -> str:
        return self.text


def examples(count: int = 23) -> list[dict[str, Any]]:
    draw = np.random.default_rng(1)
    return [
        {
            "tokens": draw.integers(0, 9, size=int(draw.integers(0, 7))),
            "image": draw.integers(0, 255, size=(2, 3, 1)).astype(np.uint8),
            "label": np.int64(n),
        }
        for n in range(count)
    ]


def test_what_is_stored_comes_back(tmp_path: Path) -> None:
    given = examples()
    store = ExampleStore.write(tmp_path / "x", iter(given))
    for found in (store, ExampleStore.open(tmp_path / "x")):
        found.verify()
        assert len(found) == len(given)
        for n, example in enumerate(given):
            assert found[n].keys() == example.keys()
            for name, array in example.items():
                np.testing.assert_array_equal(found[n][name].reshape(np.shape(array)), array)
                assert found[n][name].dtype == np.asarray(array).dtype
    assert store.sizes("tokens").tolist() == [len(e["tokens"]) for e in given]


def test_the_fingerprint_sees_shapes_and_content(tmp_path: Path) -> None:
    def of(*arrays: Any) -> str:
        return ExampleStore.write(tmp_path / "y", ({"a": np.asarray(a)} for a in arrays)).fingerprint

    assert of([1, 2], [3]) == of([1, 2], [3])
    assert len({of([1, 2], [3]), of([1], [2, 3]), of([1, 2], [4]), of([1.0, 2.0], [3.0])}) == 4


def test_a_damaged_store_is_named(tmp_path: Path) -> None:
    store = ExampleStore.write(tmp_path / "z", examples())
    path = tmp_path / "z" / "label.bin"
    content = path.read_bytes()
    path.write_bytes(content[:-8])
    with pytest.raises(ModelError, match="z: the encoded examples are missing or damaged"):
        ExampleStore.open(tmp_path / "z")
    path.write_bytes(content[:-1] + b"\x07")
    with pytest.raises(ModelError, match="the encoded examples are damaged"):
        ExampleStore.open(store.folder).verify()
    with pytest.raises(ModelError, match="missing or damaged"):
        ExampleStore.open(tmp_path / "none")


def numbers(store: Any, **options: Any) -> ExampleBatches:
    def collate(chosen: list[dict[str, Any]], draw: np.random.Generator) -> dict[str, torch.Tensor]:
        return {
            "n": torch.tensor([int(c["label"]) for c in chosen]),
            "noise": torch.tensor(draw.random()),
        }

    lengths = np.array([len(e["tokens"]) for e in store])
    return ExampleBatches(store, lengths, 4, collate, **options)


def test_every_example_once_an_epoch_the_last_partial_batch_included() -> None:
    batches = numbers(examples(), seed=3)
    orders = []
    for epoch in range(2):
        drawn = [batches.next_batch() for _ in range(batches.batches_per_epoch)]
        assert all(batch.epoch == epoch and batch.resets for batch in drawn)
        order = [int(n) for batch in drawn for n in batch.data["n"]]
        assert sorted(order) == list(range(23))
        assert Counter(len(batch.data["n"]) for batch in drawn) == {4: 5, 3: 1}
        orders.append(order)
    assert orders[0] != orders[1]


def test_batches_hold_examples_of_similar_length() -> None:
    given = examples(200)
    spread = []
    for pool in (1, 50):
        batches = numbers(given, pool=pool)
        padding = 0
        for _ in range(batches.batches_per_epoch):
            lengths = [len(given[int(n)]["tokens"]) for n in batches.next_batch().data["n"]]
            padding += max(lengths) * len(lengths) - sum(lengths)
        spread.append(padding)
    assert spread[1] < spread[0] / 5


def test_going_on_from_a_saved_position_gives_the_same_batches() -> None:
    whole = numbers(examples(), seed=5)
    for _ in range(8):
        whole.next_batch()
    again = numbers(examples(), seed=5)
    again.load_state_dict(whole.state_dict())
    for _ in range(7):
        a, b = whole.next_batch(), again.next_batch()
        assert a.epoch == b.epoch
        assert all(torch.equal(a.data[name], b.data[name]) for name in a.data)
    with pytest.raises(StateError, match="saved with examples=23, now examples=22"):
        numbers(examples(22), seed=5).load_state_dict(whole.state_dict())
    with pytest.raises(StateError, match="batch 99 does not exist"):
        again.load_state_dict({**whole.state_dict(), "position": 99})


def test_bad_sizes_are_refused() -> None:
    with pytest.raises(ArgumentError, match="batch_size: expected at least 1, found 0"):
        ExampleBatches(examples(), None, 0, lambda e, d: {})
    with pytest.raises(DataError, match="no example"):
        ExampleBatches([], None, 2, lambda e, d: {})


def test_holding_out_keeps_equal_inputs_together_whatever_their_order() -> None:
    words = [Word(text=str(n % 60), line=n) for n in range(120)]
    train, dev = split_by_key(words, 0.2)
    assert len(train) + len(dev) == 120
    assert 0.1 < len(dev) / 120 < 0.35
    assert not {w.text for w in train} & {w.text for w in dev}
    assert {w.text for w in split_by_key(words[::-1], 0.2)[1]} == {w.text for w in dev}


@pytest.mark.parametrize("share", [1e-6, 1 - 1e-6])
def test_neither_part_is_ever_empty(share: float) -> None:
    train, dev = split_by_key([Word(text="a"), Word(text="b"), Word(text="c")], share)
    assert train
    assert dev


def test_one_input_can_not_be_split() -> None:
    with pytest.raises(DataError, match="2 examples of one input"):
        split_by_key([Word(text="a"), Word(text="a", line=2)], 0.5)


def test_padding_and_order_for_one_pass() -> None:
    table = padded([np.array([[1.0, 2.0]]), np.array([[3.0, 4.0], [5.0, 6.0]])], value=-1)
    assert table.tolist() == [[[1, 2], [3, 4]], [[-1, -1], [5, 6]]]
    batches = sorted_batches([2, 5, 1, 5, 3], 2)
    assert [b.tolist() for b in batches] == [[1, 3], [4, 0], [2]]


def test_findings_raise_at_once_or_are_kept(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(DataError, match=r"a\.csv:3: no label") as caught:
        Findings().error("label", "no label", "a.csv", 3)
    kept = Findings(strict=False)
    kept.caught(caught.value, "label")
    for line in range(7):
        kept.warning("duplicate", "the same", "a.csv", line + 1)
    assert str(kept.items[0]) == "a.csv:3: error: no label"
    assert kept.errors == 1
    kept.log("look there")
    messages = [record.getMessage() for record in caplog.records]
    assert messages[0] == "a.csv:3: error: no label (left out)"
    assert messages[-1] == "… and 2 more of this kind: look there"
    assert len(messages) == 7
