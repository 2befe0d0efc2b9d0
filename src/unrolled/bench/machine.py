"""The machine and the versions that a measurement was made with."""

from __future__ import annotations

import os
import platform
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch

from unrolled.bench.peers import Ours, Peer
from unrolled.kernels.native import cpu_variant


def machine() -> dict[str, Any]:
    """Return the processor, the cores that this process may use, and the instruction set of the native engine."""
    return {
        "cpu": cpu_name(),
        "cores": usable_cores(),
        "system": f"{platform.system()} {platform.machine()}",
        "native": cpu_variant(),
        "slug": slug(cpu_name(), usable_cores()),
    }


def versions(peers: Iterable[Peer]) -> dict[str, str | None]:
    """Return the versions of Python, of this package and of the peers that are installed."""
    own = {"python": platform.python_version(), "unrolled": Ours().version(), "torch": torch.__version__}
    return own | {p.packages[0]: p.version() for p in peers if p.packages[0] != "torch" and p.available() is None}


def load_average() -> list[float] | None:
    """Return the load average of the last 1, 5 and 15 minutes, where the system has one."""
    return [round(x, 2) for x in os.getloadavg()] if hasattr(os, "getloadavg") else None


def usable_cores() -> int:
    """Count the cores that this process may run on."""
    # not on macOS or Windows
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def cpu_name() -> str:
    """Return the processor's name as the system has it."""
    if sys.platform.startswith("linux"):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine() or "unknown"


def slug(cpu: str, cores: int) -> str:
    """Return a machine's name for use in a file's name.

    >>> slug("AMD EPYC", 2), slug("Intel(R) Core(TM) i7-1165G7 @ 2.80GHz", 8)
    ('amd-epyc-2c', 'intel-core-i7-1165g7-8c')
    """
    text = re.sub(r"\((R|TM|C)\)|@.*|\bCPU\b|\bProcessor\b", " ", cpu, flags=re.IGNORECASE)
    words = re.findall(r"[a-z0-9]+", text.lower())
    return "-".join([*words, f"{cores}c"])
