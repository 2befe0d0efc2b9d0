"""Adapting to a writer: what it brings, that it is exact, and that it is kept."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.strangers import without_digests

from unrolled.errors import ArgumentError, DataError, ModelError, StateError, StorageError
from unrolled.tasks import Model, load
from unrolled.tasks.outputs.next.predictor import predictor_of
from unrolled.tasks.uses.generate.personal import PERSONAL, load_personal

Trained = Callable[[str], Model]
KINDS = ["char", "bpe"]
OWN = ("See you at the harbour at noon.", "The boat is ready, my friend.", "Thank you for the fish.")


def write(path: Path, sentences: int, seed: int) -> Path:
    draw = random.Random(seed)
    path.write_text("".join(draw.choice(OWN) + "\n" for _ in range(sentences)), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def own(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A writer's texts: to adapt to, and new ones."""
    folder = tmp_path_factory.mktemp("writer")
    return write(folder / "known.txt", 60, 1), write(folder / "new.txt", 8, 2)


def nats(model: Model, path: Path) -> float:
    return float(model.evaluate(path, completion=False).metrics["nats_per_character"])


@pytest.mark.parametrize("kind", KINDS)
def test_each_way_makes_the_writer_more_probable(trained: Trained, own: tuple[Path, Path], kind: str) -> None:
    model = trained(kind)
    before, print_before = nats(model, own[1]), model.fingerprint
    found = {}
    for method in ("cache", "finetune", "both"):
        adapted = model.personalise(own[0], method=method, epochs=2)
        found[method] = nats(adapted, own[1])
        assert adapted.fitted["personal"]["method"] == method
        assert adapted.fingerprint != print_before
    json.dumps(adapted.evaluate(own[1], positions=20).as_json())
    assert found["cache"] < 0.5 * before
    assert found["finetune"] < 0.9 * before
    assert found["both"] < 0.5 * before
    # the model given is as it was
    assert nats(model, own[1]) == before
    assert model.fingerprint == print_before
    assert "personal" not in model.fitted


def test_what_the_writer_always_says_is_suggested(trained: Trained, own: tuple[Path, Path]) -> None:
    model = trained("char")
    adapted = model.personalise([own[0]], method="cache")
    assert "bour" not in [s.text for s in model.stream().push("See you at the har").suggest()]
    best = adapted.stream().push("See you at the har").suggestion()
    assert best is not None
    assert best.text.startswith("bour")
    assert adapted.predict("The boat is rea").shown is not None


@pytest.mark.parametrize("kind", KINDS)
def test_scores_of_a_text_are_those_of_its_stream(trained: Trained, own: tuple[Path, Path], kind: str) -> None:
    adapted = trained(kind).personalise(own[0], method="cache")
    ids = adapted.input.tokenizer.encode("The boat is at the harbour, my friend.").astype(np.int64)
    predictor = predictor_of(adapted)
    scores, stepper = predictor.log_probabilities(ids), predictor.stepper
    state, stepped = stepper.start(1), []
    for token, following in pairwise(ids):
        logits, state = stepper.step(torch.tensor([token]), state)
        assert float(logits.double().exp().sum()) == pytest.approx(1, abs=1e-5)
        stepped.append(float(logits[0, following]))
    assert scores == pytest.approx(stepped, abs=1e-4)
    assert nats_of(scores) < nats_of(trained_scores(trained(kind), ids))


def trained_scores(model: Model, ids: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        logits, _ = model.network(torch.from_numpy(ids[:-1]).unsqueeze(1))
    return logits.squeeze(1).log_softmax(-1)[range(len(ids) - 1), ids[1:]].numpy()


def nats_of(scores: np.ndarray) -> float:
    return -float(scores.sum())


@pytest.mark.parametrize("kind", KINDS)
def test_long_pushes_equal_short_ones(trained: Trained, own: tuple[Path, Path], kind: str) -> None:
    adapted = trained(kind).personalise(own[0], method="cache")
    text = "See you at the harbour at noon. Thank you for the boat, my fr"
    whole, pieces = adapted.stream().push(text), adapted.stream()
    for character in text:
        pieces.push(character)
    torch.testing.assert_close(whole.logits, pieces.logits, rtol=0, atol=1e-4)
    assert [s.text for s in whole.suggest()] == [s.text for s in pieces.suggest()]
    assert whole.state.position == pieces.state.position


def test_it_is_saved_with_the_model(trained: Trained, own: tuple[Path, Path], tmp_path: Path) -> None:
    model = trained("char")
    adapted = model.personalise(own[0], method="both", epochs=1)
    adapted.save(tmp_path / "mine")
    loaded = load(tmp_path / "mine")
    assert nats(loaded, own[1]) == pytest.approx(nats(adapted, own[1]), abs=1e-9)
    assert loaded.fingerprint == adapted.fingerprint
    assert loaded.fitted == adapted.fitted
    assert model.folder is not None
    assert not (model.folder / PERSONAL).exists()
    # its streams are its own
    adapted.stream().push("See you").save(tmp_path / "state")
    loaded.stream().load(tmp_path / "state")
    with pytest.raises(StateError, match="another model"):
        model.stream().load(tmp_path / "state")


def test_a_damaged_cache_is_named(trained: Trained, own: tuple[Path, Path], tmp_path: Path) -> None:
    trained("char").personalise(own[0], method="cache").save(tmp_path / "mine")
    path = tmp_path / "mine" / PERSONAL
    whole = path.read_bytes()
    with pytest.raises(ModelError, match="does not fit the model"):
        load_personal(tmp_path / "mine", 7)
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ModelError, match=r"personal\.safetensors: corrupt or cut short"):
        load(tmp_path / "mine")
    without_digests(tmp_path / "mine")
    path.write_bytes((load_folder(trained("char")) / "model.safetensors").read_bytes())
    with pytest.raises(ModelError, match=r"personal\.safetensors: n-gram"):
        load(tmp_path / "mine")


def load_folder(model: Model) -> Path:
    assert model.folder is not None
    return model.folder


def test_fine_tuning_is_repeatable(trained: Trained, own: tuple[Path, Path]) -> None:
    first, second = (trained("char").personalise(own[0], method="finetune", epochs=1) for _ in range(2))
    assert first.fingerprint == second.fingerprint


@pytest.mark.parametrize(
    "options, names",
    [
        ({"method": "magic"}, "--method"),
        ({"minutes": 0}, "--minutes"),
        ({"epochs": -1}, "--epochs"),
        ({"colour": 1}, "colour"),
    ],
)
def test_options_out_of_range(trained: Trained, own: tuple[Path, Path], options: dict[str, object], names: str) -> None:
    with pytest.raises(ArgumentError, match=names):
        trained("char").personalise(own[0], **options)


def test_too_little_text_is_refused(trained: Trained, tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("Thank you for the fish.")
    with pytest.raises(DataError, match="23 characters are too few to adapt"):
        trained("char").personalise(tmp_path / "note.txt")
    with pytest.raises(StorageError, match="missing"):
        trained("char").personalise(tmp_path / "missing.txt")
    with pytest.raises(ArgumentError, match="no file, folder or row was given"):
        trained("char").personalise([])


def test_the_threshold_is_fitted_anew(trained: Trained, own: tuple[Path, Path]) -> None:
    model = trained("char")
    adapted = model.personalise(own[0], method="cache")
    assert adapted.fitted["threshold"] != model.fitted["threshold"]
    assert adapted.fitted["coverage"] == pytest.approx(0.3, abs=0.02)
