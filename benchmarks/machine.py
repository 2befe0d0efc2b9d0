"""The provenance that every result file records."""

from __future__ import annotations

import datetime
import os
import platform
import shlex
import sys
from pathlib import Path
from typing import Any

import torch

import unrolled


def provenance(command: str | None = None) -> dict[str, Any]:
    """Return machine, versions, date and command of a measurement."""
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d"),
        "command": command or "python " + shlex.join(map(_shortened, sys.argv)),
        "machine": {"cpu": _cpu(), "cores": os.cpu_count(), "threads": torch.get_num_threads()},
        "versions": {
            "unrolled": unrolled.__version__,
            "torch": torch.__version__,
            "python": platform.python_version(),
            "system": f"{platform.system()} {platform.machine()}",
        },
    }


def _shortened(argument: str) -> str:
    """Return an argument in a portable form: paths in the repository from its root, other paths by their last name."""
    root, path = Path(__file__).resolve().parents[1], Path(argument)
    if path.is_absolute():
        return str(path.relative_to(root)) if path.is_relative_to(root) else path.name
    return argument


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "")
