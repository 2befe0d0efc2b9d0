"""What all tests share: one thread, so that timings and bits do not depend on the machine, and the real data."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from hypothesis import settings


def pytest_configure(config: pytest.Config) -> None:
    torch.set_num_threads(1)
    # a busy machine may take any time over an example
    settings.register_profile("unhurried", deadline=None)
    settings.load_profile("unhurried")
    # torch says once a process that oneDNN lacks projections; it then computes the same without oneDNN
    config.addinivalue_line("filterwarnings", "ignore:LSTM with projections is not supported with oneDNN")
    # torch.func imports torch.jit, whose deprecation is torch's own affair
    config.addinivalue_line("filterwarnings", "ignore:.torch.jit.script. is deprecated:DeprecationWarning")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data sets, from UNROLLED_TEST_DATA or beside the repository; skips where there is none."""
    folder = Path(os.environ.get("UNROLLED_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip("no real data here; set UNROLLED_TEST_DATA to its folder")
    return folder
