"""`unrolled doctor`: what is here, and which engine serves which layer, and why."""

from __future__ import annotations

import os
import platform
import re
import sys
from collections.abc import Iterator
from dataclasses import fields
from importlib.metadata import PackageNotFoundError, requires, version
from typing import Any

from unrolled.cli.arguments import AsJson
from unrolled.cli.console import print_json
from unrolled.errors import EngineError

#: required by the package itself
CORE = "core"
#: of a requirement such as: matplotlib>=3.8; extra == "plot"
NAME, EXTRA = re.compile(r"[\w.-]+"), re.compile(r"extra == ['\"]([\w-]+)['\"]")
#: what the kernels care for, as /proc/cpuinfo and sysctl spell it
CPU_FLAGS = ("avx2", "fma", "avx512f", "avx512_bf16", "amx_tile", "asimd", "sve")


def doctor(as_json: AsJson = False) -> None:
    """
      unrolled doctor
      unrolled doctor --json | jq .engines

    What is installed and which extra brings what is not; the processor and its memory; which engine serves each cell,
    and why not a faster one; the environment variables that were heeded.
    """
    found = examine()
    if as_json:
        print_json(found)
        return
    for title, lines in described(found):
        print(title)
        for line in lines:
            print(f"  {line}")


def examine() -> dict[str, Any]:
    """Everything that `doctor` says, as JSON."""
    import torch

    cuda = [torch.cuda.get_device_name(k) for k in range(torch.cuda.device_count())]
    return {
        "unrolled": installed("unrolled"),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "system": platform.platform(),
        "cpu": {
            "name": cpu_name(),
            "cores": os.cpu_count(),
            "usable_cores": usable_cores(),
            "threads": torch.get_num_threads(),
            "capability": torch.backends.cpu.get_cpu_capability(),
            "flags": cpu_flags(),
        },
        "memory": memory(),
        "gpus": cuda,
        "libraries": libraries(),
        "engines": engines(),
        "cells": cells(),
        "variables": {name: value for name, value in sorted(os.environ.items()) if name.startswith("UNROLLED_")},
    }


def described(found: dict[str, Any]) -> Iterator[tuple[str, list[str]]]:
    """The same for people: titles and lines."""
    cpu, memory_found = found["cpu"], found["memory"]
    yield (
        f"unrolled {found['unrolled'] or '(not installed)'}, Python {found['python']}, torch {found['torch']}",
        [
            found["system"],
            f"{cpu['name']}: {cpu['usable_cores']} of {cpu['cores']} cores, {cpu['threads']} threads, "
            f"{cpu['capability']}" + (f" ({' '.join(cpu['flags'])})" if cpu["flags"] else ""),
            "memory: " + (", ".join(f"{v / 2**30:.1f} GiB {k}" for k, v in memory_found.items()) or "unknown"),
            "GPU: " + (", ".join(found["gpus"]) or "none that torch can use"),
        ],
    )
    width = max(len(library["name"]) for library in found["libraries"])
    yield (
        "libraries",
        [
            f"{library['name']:<{width}}  "
            + (library["version"] or f"missing: pip install 'unrolled[{library['extra']}]'")
            for library in found["libraries"]
        ],
    )
    yield (
        "engines, fastest first",
        [f"{engine['name']:<8}{engine['unavailable'] or 'available'}" for engine in found["engines"]],
    )
    width = max(len(cell["cell"]) for cell in found["cells"])
    yield (
        "which engine serves which cell, and why",
        [f"{cell['cell']:<{width}}  {cell['engine'] or 'none':<7} {cell['reason']}" for cell in found["cells"]],
    )
    variables = [f"{name}={value}" for name, value in found["variables"].items()]
    yield "variables", variables or ["none of UNROLLED_ENGINE, UNROLLED_CACHE, UNROLLED_MIRROR, UNROLLED_DEBUG is set"]


def libraries() -> list[dict[str, Any]]:
    """Every library that the package names, with the extra that brings it, and its version if it is here."""
    found: dict[str, dict[str, Any]] = {}
    for text in requirements():
        name = NAME.match(text)
        in_extra = EXTRA.search(text)
        extra = in_extra[1] if in_extra else CORE
        if name and name[0] != "unrolled" and extra not in ("all", "dev"):
            found.setdefault(name[0], {"name": name[0], "extra": extra, "version": installed(name[0])})
    return list(found.values())


def requirements() -> list[str]:
    """What the installed package says it needs."""
    try:
        return requires("unrolled") or []
    except PackageNotFoundError:
        return []


def installed(name: str) -> str | None:
    """The version of an installed library."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def engines() -> list[dict[str, Any]]:
    """Every engine, and why it can't be used in this process, if it can't."""
    from unrolled.kernels import engines as known

    found = [{"name": name, "unavailable": engine.unavailable()} for name, engine in known().items()]
    return [*found, {"name": "scan", "unavailable": None}]


def cells() -> list[dict[str, Any]]:
    """Which engine serves a layer of each cell, with every option that it has."""
    from unrolled.cells.catalog import variants
    from unrolled.layers import Recurrent

    found = []
    for cell in variants(proj_size=16):
        try:
            choice = Recurrent(cell, 32, 64).eval().engine
            name, reason = choice.name, choice.reason
        except EngineError as error:
            # UNROLLED_ENGINE insists on one that can't
            name, reason = None, str(error)
        found.append({"cell": spelled(cell), "engine": name, "reason": reason})
    return found


def spelled(cell: Any) -> str:
    """A cell by its name and the options that are not as usual.

    >>> from unrolled.cells import LSTMCell
    >>> spelled(LSTMCell(peephole=True, proj_size=16))
    'lstm peephole=True proj_size=16'
    """
    options = [f"{f.name}={getattr(cell, f.name)}" for f in fields(cell) if getattr(cell, f.name) != f.default]
    return " ".join([cell.name, *options])


def usable_cores() -> int | None:
    """Cores that this process may run on."""
    # not on macOS or Windows
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count()


def cpu_name() -> str:
    """The processor as the system calls it."""
    for line in _proc("cpuinfo"):
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def cpu_flags() -> list[str]:
    """Which of CPU_FLAGS the processor has, where the system tells."""
    for line in _proc("cpuinfo"):
        if line.startswith(("flags", "Features")):
            present = set(line.partition(":")[2].split())
            return [flag for flag in CPU_FLAGS if flag in present]
    return []


def memory() -> dict[str, int]:
    """Bytes in all and available, where the system tells."""
    found = {}
    for line in _proc("meminfo"):
        name, _, rest = line.partition(":")
        if name in ("MemTotal", "MemAvailable"):
            found["in all" if name == "MemTotal" else "available"] = int(rest.split()[0]) * 1024
    return found


def _proc(name: str) -> list[str]:
    if not sys.platform.startswith("linux"):
        return []
    with open(f"/proc/{name}", encoding="utf-8", errors="replace") as stream:
        return stream.read().splitlines()
