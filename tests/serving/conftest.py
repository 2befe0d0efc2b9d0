"""Tiny models behind a server that all tests of a session share."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="the extra serve is not installed")
pytest.importorskip("uvicorn", reason="the extra serve is not installed")
pytest.importorskip("websockets", reason="the extra serve is not installed")
pytest.importorskip("httpx", reason="httpx is not installed")

from servers import Running

from unrolled.tasks import Model, load, train
from unrolled.tasks.outputs.next import completion

SENTENCES = (
    "Thank you for your help.",
    "I will see you tomorrow in the morning.",
    "Please let me know if you have any questions.",
    "The meeting is on Monday, in the big room.",
    "Where is the café that you told me about?",
)
GOOD, BAD = ("great", "lovely", "superb", "fine"), ("awful", "boring", "poor", "dull")


def text(sentences: int, seed: int) -> str:
    draw = random.Random(seed)
    return "".join(draw.choice(SENTENCES) + draw.choice(" \n") for _ in range(sentences))


def reviews(count: int, seed: int) -> str:
    draw, rows = random.Random(seed), ["text\tlabel"]
    for _ in range(count):
        words, label = draw.choice([(GOOD, "good"), (BAD, "bad")])
        rows.append(f"the {draw.choice(('film', 'play', 'book'))} was {draw.choice(words)} and long\t{label}")
    return "\n".join(rows) + "\n"


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders by name: `mail` writes, `feeling` reads as people type, `both` reads in both directions."""
    folder = tmp_path_factory.mktemp("served")
    (folder / "train.txt").write_text(text(200, 1), "utf-8")
    (folder / "dev.txt").write_text(text(8, 2), "utf-8")
    (folder / "train.tsv").write_text(reviews(60, 1), "utf-8")
    (folder / "dev.tsv").write_text(reviews(20, 2), "utf-8")
    small = {"hidden_size": 32, "num_layers": 2, "embedding_size": 16, "batch_size": 8, "window": 24, "dropout": 0.0}
    fast = {"lr": 0.02, "log_every": 1, "sample_every": 0, "seed": 7}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(completion, "FIT_PLACES", 60)
        train(
            "generate", folder / "train.txt", folder / "mail", dev=folder / "dev.txt", steps=60,
            options={"tokens": "char", **small}, evaluate_every=30, **fast,
        )  # fmt: skip
    for name, both in (("feeling", False), ("both", True)):
        train(
            "classify", folder / "train.tsv", folder / name, dev=folder / "dev.tsv", steps=30,
            options={"hidden_size": 16, "embedding_size": 8, "bidirectional": both}, **fast,
        )  # fmt: skip
    return {name: folder / name for name in ("mail", "feeling", "both")}


@pytest.fixture(scope="session")
def mail(models: dict[str, Path]) -> Model:
    """The library's own view of `mail`."""
    return load(models["mail"]).freeze()


@pytest.fixture(scope="session")
def feeling(models: dict[str, Path]) -> Model:
    """The library's own view of `feeling`."""
    return load(models["feeling"]).freeze()


@pytest.fixture(scope="session")
def server(models: dict[str, Path]) -> Iterator[Running]:
    """All three behind a server of the usual limits."""
    started = Running(models)
    yield started
    started.stop()
