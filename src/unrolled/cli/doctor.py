"""`unrolled doctor`: shows what is installed, and which engine serves which layer and why."""

from __future__ import annotations

import os
import platform
import re
import sys
from collections.abc import Iterator
from dataclasses import fields
from typing import Any

from unrolled.cli.arguments import AsJson
from unrolled.cli.console import print_json
from unrolled.errors import EngineError
from unrolled.terminal import say
from unrolled.types import Json

#: the "extra" of libraries that the package always requires
CORE = "core"
#: the parts of a requirement such as: matplotlib>=3.8; extra == "plot"
NAME, EXTRA = re.compile(r"[\w.-]+"), re.compile(r"extra == ['\"]([\w-]+)['\"]")
#: the CPU features that the kernels use, as /proc/cpuinfo and sysctl spell them
CPU_FLAGS = ("avx2", "fma", "avx512f", "avx512_bf16", "amx_tile", "asimd", "sve")


def doctor(as_json: AsJson = False) -> None:
    """
      unrolled doctor
      unrolled doctor --json | jq .engines

    Show what is installed, and the extra that brings what is missing; the processor and its memory; which engine serves
    each cell, and why not a faster one; the environment variables in effect.
    """
    report = examine()
    if as_json:
        print_json(report)
        return
    for title, lines in described(report):
        say(title)
        for line in lines:
            say(f"  {line}")


def examine() -> Json:
    """Return everything that `doctor` shows."""
    import torch

    from unrolled.kernels import bfloat16_support

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
            "bfloat16": bfloat16_support()._asdict(),
        },
        "memory": memory(),
        "gpus": cuda,
        "libraries": libraries(),
        "engines": engines(),
        "cells": cells(),
        "variables": {name: value for name, value in sorted(os.environ.items()) if name.startswith("UNROLLED_")},
    }


def described(report: Json) -> Iterator[tuple[str, list[str]]]:
    """Yield the titles and lines of a report in readable form."""
    cpu, sizes = report["cpu"], report["memory"]
    yield (
        f"unrolled {report['unrolled'] or '(not installed)'}, Python {report['python']}, torch {report['torch']}",
        [
            report["system"],
            f"{cpu['name']}: {cpu['usable_cores']} of {cpu['cores']} cores, {cpu['threads']} threads, "
            f"{cpu['capability']}" + (f" ({' '.join(cpu['flags'])})" if cpu["flags"] else ""),
            f"--precision auto trains in {'bfloat16' if cpu['bfloat16']['is_fast'] else 'float32'}: "
            + cpu["bfloat16"]["reason"],
            "memory: " + (", ".join(f"{v / 2**30:.1f} GiB {k}" for k, v in sizes.items()) or "unknown"),
            "GPU: " + (", ".join(report["gpus"]) or "none that torch can use"),
        ],
    )
    width = max(len(library["name"]) for library in report["libraries"])
    yield (
        "libraries",
        [
            f"{library['name']:<{width}}  "
            + (library["version"] or f"missing: pip install 'unrolled[{library['extra']}]'")
            for library in report["libraries"]
        ],
    )
    yield (
        "engines, fastest first",
        [f"{engine['name']:<8}{engine['unavailable'] or 'available'}" for engine in report["engines"]],
    )
    width = max(len(cell["cell"]) for cell in report["cells"])
    yield (
        "which engine serves which cell, and why",
        [f"{cell['cell']:<{width}}  {cell['engine'] or 'none':<7} {cell['reason']}" for cell in report["cells"]],
    )
    variables = [f"{name}={value}" for name, value in report["variables"].items()]
    yield "variables", variables or ["none of UNROLLED_ENGINE, UNROLLED_CACHE, UNROLLED_MIRROR, UNROLLED_DEBUG is set"]


def libraries() -> list[Json]:
    """Return every library that the package names, with the extra that brings it, and its version if installed."""
    libraries_by_name: dict[str, Json] = {}
    for text in requirements():
        name = NAME.match(text)
        in_extra = EXTRA.search(text)
        extra = in_extra[1] if in_extra else CORE
        if name and name[0] != "unrolled" and extra not in ("all", "dev"):
            libraries_by_name.setdefault(name[0], {"name": name[0], "extra": extra, "version": installed(name[0])})
    return list(libraries_by_name.values())


def requirements() -> list[str]:
    """Return the requirements of the installed package."""
    from importlib.metadata import PackageNotFoundError, requires

    try:
        return requires("unrolled") or []
    except PackageNotFoundError:
        return []


def installed(name: str) -> str | None:
    """Return the version of a library, or None if it is not installed."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(name)
    except PackageNotFoundError:
        return None


def engines() -> list[Json]:
    """Return every engine, with the reason if it can't be used in this process."""
    from unrolled.kernels import engines as known

    states = [{"name": name, "unavailable": engine.unavailable()} for name, engine in known().items()]
    return [*states, {"name": "scan", "unavailable": None}]


def cells() -> list[Json]:
    """Return which engine serves a layer of each cell, with each of its options."""
    from unrolled.cells.catalog import variants
    from unrolled.layers import Recurrent

    served = []
    for cell in variants(proj_size=16):
        try:
            choice = Recurrent(cell, 32, 64).eval().engine
            name, reason = choice.name, choice.reason
        except EngineError as error:
            # UNROLLED_ENGINE forces an engine that can't serve it
            name, reason = None, str(error)
        served.append({"cell": spelled(cell), "engine": name, "reason": reason})
    return served


def spelled(cell: Any) -> str:
    """Return a cell's name and its options that differ from the default.

    >>> from unrolled.cells import LSTMCell
    >>> spelled(LSTMCell(peephole=True, proj_size=16))
    'lstm peephole=True proj_size=16'
    """
    options = [f"{f.name}={getattr(cell, f.name)}" for f in fields(cell) if getattr(cell, f.name) != f.default]
    return " ".join([cell.name, *options])


def usable_cores() -> int | None:
    """Return the number of cores that this process may run on."""
    # missing on macOS and Windows
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count()


def cpu_name() -> str:
    """Return the system's name for the processor."""
    for line in _proc("cpuinfo"):
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def cpu_flags() -> list[str]:
    """Return those of CPU_FLAGS that the processor has, as far as the system tells."""
    for line in _proc("cpuinfo"):
        if line.startswith(("flags", "Features")):
            present = set(line.partition(":")[2].split())
            return [flag for flag in CPU_FLAGS if flag in present]
    return []


def memory() -> dict[str, int]:
    """Return the bytes of memory, in all and available, as far as the system tells."""
    sizes = {}
    for line in _proc("meminfo"):
        name, _, rest = line.partition(":")
        if name in ("MemTotal", "MemAvailable"):
            sizes["in all" if name == "MemTotal" else "available"] = int(rest.split()[0]) * 1024
    return sizes


def _proc(name: str) -> list[str]:
    if not sys.platform.startswith("linux"):
        return []
    with open(f"/proc/{name}", encoding="utf-8", errors="replace") as stream:
        return stream.read().splitlines()
