from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from unrolled.tasks.outputs.next import completion

from .running import Result, unrolled

SENTENCES = ("Thank you for your help with the report.", "Please find the agenda attached.")


@pytest.fixture(scope="session", autouse=True)
def _few_places() -> Iterator[None]:
    """Thresholds from fewer places than in earnest: these models are sure of themselves."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(completion, "FIT_PLACES", 60)
        yield


@pytest.fixture(scope="session")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A text of two sentences that follow each other, so that a small network is soon sure of how they go on."""
    path = tmp_path_factory.mktemp("text") / "mail.txt"
    path.write_text("\n".join(SENTENCES * 200) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def trained(text: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    """A model's folder, and what training it said."""
    out = tmp_path_factory.mktemp("models") / "model"
    result = unrolled(
        "train", "generate", text, "--out", out, "--steps", 120, "--hidden-size", 48, "--window", 48,
        "--batch-size", 8, "--lr", 0.01, "--log-every", 1, "--evaluate-every", 60, "--sample-every", 60,
        "--dropout", 0, "--seed", 3, "--threads", 1,
    )  # fmt: skip
    assert result.code == 0, result.err
    return out, result


@pytest.fixture(scope="session")
def model(trained: tuple[Path, Result]) -> Path:
    """A model's folder."""
    return trained[0]


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine's own settings don't reach the tests."""
    for name in ("UNROLLED_DEBUG", "UNROLLED_MIRROR", "UNROLLED_CACHE", "UNROLLED_ENGINE", "DEMO_MINUTES"):
        monkeypatch.delenv(name, raising=False)
