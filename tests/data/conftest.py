"""Where real data lies, for the tests that want some."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def test_data() -> Path:
    """The folder named by UNROLLED_TEST_DATA, or ``shared/data`` beside the repository; the test is skipped without."""
    folder = Path(os.environ.get("UNROLLED_TEST_DATA") or Path(__file__).parents[3] / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"no real data: {folder} is not there (name a folder in UNROLLED_TEST_DATA)")
    return folder
