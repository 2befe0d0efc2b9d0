"""A stream's state on disk: whole, bound to its model, and harmless when it is not ours."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

import unrolled
from unrolled.errors import StateError, StorageError
from unrolled.layers import StreamState, fingerprint
from unrolled.layers.recurrent.state import tensors_of


def layer(seed: int = 0) -> unrolled.LSTM:
    torch.manual_seed(seed)
    return unrolled.LSTM(2, 3, num_layers=2).eval()


def test_a_stream_goes_on_from_disk_to_the_last_bit(tmp_path: Path) -> None:
    model, x = layer(), torch.randn(6, 1, 2)
    state = None
    for t in range(3):
        _, state = model.step(x[t], state)
    StreamState(state, 3, fingerprint(model), {"text": "häuser"}).save(tmp_path / "state")
    loaded = StreamState.load(tmp_path / "state", fingerprint(model))
    assert (loaded.position, loaded.extra) == (3, {"text": "häuser"})
    resumed = loaded.tensors
    for t in range(3, 6):
        expected, state = model.step(x[t], state)
        found, resumed = model.step(x[t], resumed)
        assert torch.equal(found, expected)
    assert [p.name for p in tmp_path.iterdir()] == ["state"]


@pytest.mark.parametrize(
    "form",
    [
        None,
        torch.arange(6.0).view(2, 3),
        (torch.zeros(2), torch.ones(3)),
        (torch.zeros(2), None, (torch.ones(1), (torch.tensor(4), ()))),
        (torch.tensor([True, False]), torch.tensor(2.5, dtype=torch.bfloat16), torch.zeros(0, 3)),
    ],
)
def test_nested_forms(form, tmp_path: Path) -> None:
    StreamState(form, 0, "m").save(tmp_path / "s")
    found = StreamState.load(tmp_path / "s", "m").tensors

    def shape(value):
        return tuple(shape(v) for v in value) if isinstance(value, tuple) else value is None

    assert shape(found) == shape(form)
    for a, b in zip(tensors_of(found), tensors_of(form), strict=True):
        assert a.dtype == b.dtype
        assert torch.equal(a, b)


def test_parts_that_share_memory(tmp_path: Path) -> None:
    h = torch.randn(4, 3)
    StreamState((h, h, h[1:], h.T), 0, "m").save(tmp_path / "s")
    assert torch.equal(StreamState.load(tmp_path / "s", "m").tensors[3], h.T)


def test_a_state_of_another_model_is_refused(tmp_path: Path) -> None:
    StreamState(torch.zeros(1), 0, fingerprint(layer(0))).save(tmp_path / "s")
    with pytest.raises(StateError, match="s: this state belongs to another model"):
        StreamState.load(tmp_path / "s", fingerprint(layer(1)))


def test_a_fingerprint_sees_every_bit_and_name() -> None:
    model = layer()
    before = fingerprint(model)
    assert fingerprint(layer()) == before
    assert fingerprint(layer().double()) != before
    with torch.no_grad():
        model.bias_hh_l1[2] = torch.nextafter(model.bias_hh_l1[2], torch.tensor(9.0))
    assert fingerprint(model) != before
    assert fingerprint(unrolled.GRU(2, 3)) != fingerprint(unrolled.RNN(2, 3))
    counted = torch.nn.BatchNorm1d(3)  # has a buffer of no dimensions
    first = fingerprint(counted)
    counted.num_batches_tracked += 1
    assert fingerprint(counted) != first


@pytest.mark.parametrize("keep", [0, 4, 8, 100, -1])
def test_a_torn_file(keep: int, tmp_path: Path) -> None:
    path = tmp_path / "s"
    StreamState((torch.zeros(20), torch.ones(20)), 5, "m").save(path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(StateError, match="s: not a saved state, or a torn one"):
        StreamState.load(path, "m")


def write(path: Path, **changes) -> None:
    header = {"format": "unrolled-state", "version": "1", "model": "m", "position": "0", "form": '"a"', "extra": "{}"}
    save_file({"a": torch.zeros(2)}, path, {k: v for k, v in (header | changes).items() if v is not None})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": "weights"}, "not a saved state of a stream"),
        ({"format": None}, "not a saved state of a stream"),
        ({"version": "2"}, r"written by a later version \(format 2\); update unrolled"),
        ({"version": "one"}, "the header of the saved state is damaged"),
        ({"position": None}, "the header of the saved state is damaged"),
        ({"form": '"b"'}, "the header of the saved state is damaged"),
        ({"form": '{"a": 1}'}, "the header of the saved state is damaged"),
        ({"form": "7"}, "the header of the saved state is damaged"),
        ({"form": "["}, "the header of the saved state is damaged"),
        ({"form": "[" * 100_000 + "]" * 100_000}, "the header of the saved state is damaged"),
        ({"extra": "[1"}, "the header of the saved state is damaged"),
    ],
)
def test_foreign_and_damaged_files(changes: dict, message: str, tmp_path: Path) -> None:
    write(tmp_path / "s")
    assert StreamState.load(tmp_path / "s", "m").tensors.tolist() == [0.0, 0.0]
    write(tmp_path / "s", **changes)
    with pytest.raises(StateError, match=message):
        StreamState.load(tmp_path / "s", "m")


def test_a_pickle_is_never_opened(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(2)}, tmp_path / "s")
    with pytest.raises(StateError, match="not a saved state"):
        StreamState.load(tmp_path / "s", "m")


def test_paths_that_can_not_be_read_or_written(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="absent: no such file"):
        StreamState.load(tmp_path / "absent", "m")
    with pytest.raises(StorageError, match="folder: No such file or directory while writing"):
        StreamState(None, 0, "m").save(tmp_path / "no" / "folder")


def test_a_failed_write_leaves_the_older_file_whole(tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / "s"
    StreamState(torch.ones(2), 1, "m").save(path)

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(StorageError, match="s: the disk is full while writing"):
        StreamState(torch.zeros(2), 2, "m").save(path)
    monkeypatch.undo()
    assert StreamState.load(path, "m").position == 1


def test_what_is_no_tensor_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StateError, match="a stream's state holds tensors in tuples and lists, found dict"):
        StreamState({"h": torch.zeros(1)}, 0, "m").save(tmp_path / "s")
    assert json.loads("{}") == StreamState(None, 0, "m").extra
