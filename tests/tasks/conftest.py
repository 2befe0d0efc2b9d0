"""Small models of `generate`, trained once a session: one for each kind of tokeniser, and text for them."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from unrolled.tasks import Model, load, train
from unrolled.tasks.outputs.next import completion

SENTENCES = (
    "Thank you for your help.",
    "I will see you tomorrow in the morning.",
    "Please let me know if you have any questions.",
    "The meeting is on Monday, in the big room.",
    "Where is the café that you told me about?",
    "We don't know who wrote it.",
)


def make_text(sentences: int, seed: int) -> str:
    draw = random.Random(seed)
    return "".join(draw.choice(SENTENCES) + draw.choice(" \n") for _ in range(sentences))


TINY = {"hidden_size": 48, "num_layers": 1, "embedding_size": 16, "batch_size": 8, "window": 24, "dropout": 0.0}
FAST = {"lr": 0.02, "log_every": 1, "evaluate_every": 60, "sample_every": 0, "seed": 7}


def learn(path: Path, out: Path, *, options: dict[str, Any] | None = None, **given: Any) -> Model:
    dev = given.pop("dev", ())
    chosen = {"tokens": "char", **TINY, **(options or {})}
    return train("generate", path, out, dev=dev, options=chosen, **{**FAST, "steps": 3, **given})


@pytest.fixture(scope="session", autouse=True)
def _few_places() -> Iterator[None]:
    """Thresholds from fewer places than in earnest: these models are sure of themselves."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(completion, "FIT_PLACES", 60)
        yield


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """train.txt and dev.txt, of the same few sentences."""
    folder = tmp_path_factory.mktemp("corpus")
    (folder / "train.txt").write_text(make_text(200, 1), encoding="utf-8")
    (folder / "dev.txt").write_text(make_text(14, 2), encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def trained(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Model]:
    """The model of a kind of tokeniser, as loaded from its folder; trained when first asked for. Not to be changed."""
    folder = tmp_path_factory.mktemp("models")

    def model(kind: str) -> Model:
        if not (folder / kind).exists():
            size = {"vocabulary_size": 300} if kind == "bpe" else {}
            options = {"tokens": kind, **TINY, **size}
            dev = corpus / "dev.txt"
            train("generate", corpus / "train.txt", folder / kind, dev=dev, options=options, steps=120, **FAST)
        return load(folder / kind)

    return model


@pytest.fixture(scope="session")
def wired(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Model]:
    """The model of a kind that `wire_models` names, hardly trained. Not to be changed."""
    from . import wire_models

    made: dict[str, Model] = {}

    def model(kind: str) -> Model:
        if kind not in made:
            made[kind] = wire_models.KINDS[kind](tmp_path_factory.mktemp(kind))
        return made[kind]

    return model
