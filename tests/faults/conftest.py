"""Small models that earlier versions wrote: loaded and saved again, they have what this version writes."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import unrolled

STORED = Path(__file__).parents[1] / "models" / "v0.1"
NAMES = sorted(path.name for path in STORED.iterdir() if path.is_dir())

Saved = Callable[[str], Path]


@pytest.fixture(scope="session")
def saved_once(tmp_path_factory: pytest.TempPathFactory) -> Saved:
    """Return the folder of a stored model as this version saves it; it is not to be changed."""
    folder = tmp_path_factory.mktemp("saved")

    def saved(name: str) -> Path:
        if not (folder / name).exists():
            unrolled.load(STORED / name / "model").save(folder / name)
        return folder / name

    return saved


@pytest.fixture
def saved(saved_once: Saved, tmp_path: Path) -> Saved:
    """Return a copy of a model's folder, to be changed."""

    def copied(name: str) -> Path:
        return Path(shutil.copytree(saved_once(name), tmp_path / name))

    return copied


@pytest.fixture(scope="session", autouse=True)
def _python_that_can_be_watched() -> None:
    if sys.version_info < (3, 11):
        pytest.skip("pathlib of Python 3.10 keeps functions of os, and they can't be made to fail")
