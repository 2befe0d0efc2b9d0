"""Steps as they come through a model that reads in one direction: whole, in pieces, forked, saved."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from unrolled.data import Findings
from unrolled.data.steps.read import read_steps
from unrolled.data.steps.recordings import StepOptions
from unrolled.errors import ArgumentError, ShapeError, StateError
from unrolled.layers import StreamState
from unrolled.tasks import Model

from .label_data import SMALL_FRAMES, learn, write_strip, write_table


@pytest.fixture(scope="module", params=["features", "frames"])
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Model, np.ndarray, Path]:
    """A causal model, the steps of a recording, and its file."""
    folder = tmp_path_factory.mktemp("stream")
    options = {"bidirectional": False, "differences": True, "num_layers": 2}
    if request.param == "features":
        for n in range(3):
            write_table(folder / f"{n}.csv", n, steps=30)
        path, options = folder / "2.csv", {**options, "time_column": "seconds"}
        [recording] = read_steps([path], StepOptions(time_column="seconds"), Findings())
        assert recording.features is not None
        steps = np.array(recording.features)
    else:
        for n in range(3):
            write_strip(folder, f"c{n}", n)
        path, options = folder / "c2.png", {**options, **SMALL_FRAMES}
        [recording] = read_steps([path], StepOptions(frame_height=12), Findings(), labelled=False)
        assert recording.clip is not None
        steps = recording.clip.footage(channels=1).frames
    model = learn(folder, folder / "m", path, options=options, steps=4, sample_every=0)
    model.network.eval()
    return model, steps, path


@pytest.mark.parametrize("size", [1, 3, 100])
def test_in_pieces_is_whole(case: tuple[Model, np.ndarray, Path], size: int) -> None:
    model, steps, path = case
    assert model.fitted["transition_weight"] == 0.0
    whole = model.predict(str(path))
    session = model.stream()
    pieces = [session.push(steps[at : at + size]) for at in range(0, len(steps), size)]
    assert tuple(label for piece in pieces for label in piece.labels) == whole.labels
    assert [s for piece in pieces for s in piece.scores] == pytest.approx(whole.scores, abs=1e-5)
    assert session.position == len(steps)


def test_single_steps_forks_and_saved_states(case: tuple[Model, np.ndarray, Path], tmp_path: Path) -> None:
    model, steps, _ = case
    expected = model.stream().push(steps)
    session = model.stream()
    # one row of features, or one grey frame, is a step
    single = steps[0] if steps.ndim == 2 else steps[0, ..., 0]
    assert session.push(single).labels == expected.labels[:1]
    session.push(steps[1:6])
    session.save(tmp_path / "state")
    fork = session.fork()
    assert fork.push(steps[6:]).scores == pytest.approx(expected.scores[6:], abs=1e-5)
    assert session.position == 6
    assert session.push(steps[6:9]).scores == pytest.approx(expected.scores[6:9], abs=1e-5)
    loaded = model.stream().load(tmp_path / "state")
    assert loaded.position == 6
    assert loaded.push(steps[6:]).scores == pytest.approx(expected.scores[6:], abs=1e-5)
    assert session.reset().push(steps[:4]).scores == pytest.approx(expected.scores[:4], abs=1e-5)
    assert session.push(steps[:0]).labels == ()


def test_steps_of_another_shape_are_refused(case: tuple[Model, np.ndarray, Path]) -> None:
    model, steps, _ = case
    session = model.stream()
    with pytest.raises(ShapeError, match="steps: expected shape"):
        session.push(np.zeros((2, 2, 2, 2, 2)) if steps.ndim == 4 else np.zeros((4, 5)))
    assert session.position == 0


def test_states_and_models_that_do_not_stream(tmp_path: Path) -> None:
    data, dev = tmp_path / "data", tmp_path / "data" / "0.csv"
    data.mkdir()
    for n in range(3):
        write_table(data / f"{n}.csv", n, steps=20)
    common = {"time_column": "seconds"}
    both = learn(data, tmp_path / "both", dev, options=common, steps=1)
    with pytest.raises(ArgumentError, match="reads in both directions and can't be streamed; train one with --no-bid"):
        both.stream()
    one_way = {**common, "bidirectional": False}
    own = learn(data, tmp_path / "own", dev, options={**one_way, "standardise": "recording"}, steps=1)
    with pytest.raises(ArgumentError, match="standardises each recording as a whole and can't be streamed"):
        own.stream()
    a, b = (
        learn(data, tmp_path / name, dev, options=one_way, steps=1, seed=seed) for name, seed in (("a", 1), ("b", 2))
    )
    a.stream().push(np.zeros((2, 2))).as_json()
    session = a.stream()
    session.push(np.zeros((2, 2)))
    session.save(tmp_path / "state")
    with pytest.raises(StateError, match="belongs to another model"):
        b.stream().load(tmp_path / "state")


def test_a_state_of_version_0_1_before_its_first_step(case: tuple[Model, np.ndarray, Path]) -> None:
    model, steps, _ = case
    old = StreamState((model.network.start(1), None), 0, model.fingerprint)  # type: ignore[operator]
    assert model.stream().resume(old).push(steps[:4]) == model.stream().push(steps[:4])
