"""Who imports whom: the house's one-way corridor, read from the source, and what `import unrolled` brings with it."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import unrolled

SOURCE = Path(unrolled.__file__).parent

CORE = ("errors", "cells", "scan", "kernels", "layers", "networks")
BELOW_TASKS = {*CORE, "data", "decoding", "metrics", "training"}
#: the ground floor, which every room may stand on
GROUND = {"types", "errors", "storage", "settings", "terminal"}
#: room → the rooms it may import from, besides itself
ALLOWED: dict[str, set[str]] = {
    **{room: set(CORE[:place]) for place, room in enumerate(CORE)},
    "types": set(),
    "terminal": set(),
    "storage": {"errors"},
    "settings": {"errors"},
    "data": set(),
    "decoding": set(),
    "metrics": set(),
    "training": {*CORE, "data"},
    "tasks": BELOW_TASKS,
    "inspection": {*CORE, "data", "decoding", "tasks", "training"},
    "export": {*CORE, "data", "decoding", "tasks"},
    "bench": {"layers", "kernels", "scan", "cells"},
    "testing": {*BELOW_TASKS, "tasks"},
    "serving": {"tasks", "inspection", "export"},
    "cli": {"tasks", "inspection", "export", "serving", "data", "training", "decoding", "bench"},
}
#: the one file of the command that looks under the floor: which engine serves which layer, and why
EXCEPTIONS = {"cli/doctor.py": {"cells", "kernels", "layers"}}
#: library → the only places that may import it at all; a path is a room or a file
LEAVES = {
    "matplotlib": ("inspection/plot/", "training/plots.py", "bench/plot.py"),
    "pooch": ("data",),
    "typer": ("cli",),
    "jax": ("bench/peers/jax_scan.py",),
    "onnx": ("bench/peers/onnx_graph.py", "export/onnx/files.py"),
    "h5py": ("export/keras/files.py",),
    "keras": ("export/keras/files.py",),
    "onnxruntime": ("bench/peers/onnx_runtime.py", "export/onnx/driver.py"),
    "openvino": ("bench/peers/open_vino.py",),
    "optuna": ("tasks/core/tuning/search.py",),
    "PIL": ("data/images/files.py",),
    "soundfile": ("data/sound/files.py",),
    "av": ("data/video/files.py",),
    "pyarrow": ("data/core/rows.py", "data/core/frames.py", "data/tables/"),
    "charset_normalizer": ("data/core/encodings.py",),
    "seqeval": ("metrics/entities.py",),
    "sacrebleu": ("metrics/translation.py",),
    "jiwer": ("metrics/speech.py",),
    "sklearn": ("tasks/uses/classify/baseline.py", "tasks/uses/recognize/demo.py", "inspection/lab/problems.py"),
    "statsmodels": ("tasks/uses/forecast/demo.py",),
    "babel": ("tasks/uses/translate/demo.py",),
    "django": ("tasks/uses/classify/demo.py",),
    "fastapi": ("serving/",),
    "starlette": ("serving/",),
    "uvicorn": ("serving/http/server.py",),
    "websockets": ("serving/client.py",),
    "httpx": ("serving/client.py",),
    "itsdangerous": ("serving/security.py",),
    "prometheus_client": ("serving/metrics.py",),
}
#: what only runs may import, never the mere `import unrolled`
HEAVY = (
    "matplotlib",
    "pooch",
    "typer",
    "rich",
    "prompt_toolkit",
    "pydantic",
    "tokenizers",
    "datasets",
    "PIL",
    "soundfile",
    "av",
    "pyarrow",
    "charset_normalizer",
    "seqeval",
    "sacrebleu",
    "jiwer",
    "sklearn",
    "jax",
    "onnx",
    "optuna",
    "h5py",
    "keras",
    "fastapi",
    "starlette",
    "uvicorn",
    "websockets",
    "httpx",
    "itsdangerous",
    "prometheus_client",
    "statsmodels",
    "babel",
    "django",
)


def imports(path: Path) -> Iterator[tuple[int, str, bool]]:
    """Line, full module name and whether it runs at import, for every import in a file outside TYPE_CHECKING."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    package = ["unrolled", *path.relative_to(SOURCE).parent.parts]
    lazy = {
        node
        for function in ast.walk(tree)
        if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef))
        for node in ast.walk(function)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name, node not in lazy
        elif isinstance(node, ast.ImportFrom):
            stem = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            module = ".".join(part for part in (stem, node.module) if part)
            for alias in node.names:
                # `from unrolled import data` names a room as much as `from unrolled.data import …`
                yield node.lineno, f"{module}.{alias.name}" if module == "unrolled" else module, node not in lazy


def room_of(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


FILES = sorted(SOURCE.rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.relative_to(SOURCE).as_posix())
def test_imports_go_down_the_corridor(path: Path) -> None:
    room, place = room_of(path), path.relative_to(SOURCE).as_posix()
    if room in ("__init__", "__main__"):
        pytest.skip("the front door may name every room")
    assert room in ALLOWED, f"{room}/ is a room that the rule does not know: say in this test whom it may import"
    leaks = []
    for line, module, _ in imports(path):
        first, _, rest = module.partition(".")
        target = rest.partition(".")[0]
        if first != "unrolled" or target in (room, "_native"):
            continue
        if target in ("", "__version__") and room in ("tasks", "cli", "serving"):  # the front door, for its version
            continue
        allowed = (set() if room in GROUND else GROUND) | ALLOWED[room] | EXCEPTIONS.get(place, set())
        if target not in allowed:
            leaks.append(f"{place}:{line} imports {module}, but may import {sorted(allowed)}")
    assert not leaks, "\n".join(leaks)


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.relative_to(SOURCE).as_posix())
def test_optional_and_heavy_libraries_stay_in_their_leaf(path: Path) -> None:
    place = path.relative_to(SOURCE).as_posix()
    for line, module, _ in imports(path):
        top = module.partition(".")[0]
        allowed = LEAVES.get(top)
        assert allowed is None or place.startswith(allowed), f"{place}:{line} imports {top}, which is for {allowed}"


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.relative_to(SOURCE).as_posix())
def test_nothing_is_unpickled(path: Path) -> None:
    found = [
        line for line, module, _ in imports(path) if module.partition(".")[0] in ("pickle", "shelve", "joblib", "dill")
    ]
    assert not found, f"{path.relative_to(SOURCE)}:{found} imports something that unpickles"


@pytest.mark.parametrize("room", [room for room in ALLOWED if (SOURCE / room).is_dir()])
def test_each_room_says_what_it_is_for(room: str) -> None:
    text = ast.get_docstring(ast.parse((SOURCE / room / "__init__.py").read_text(encoding="utf-8")))
    assert text
    assert len(text) > 40


def test_importing_unrolled_is_light() -> None:
    code = "import sys, unrolled; print(*[m for m in sys.argv[1:] if m in sys.modules])"
    # torch's own imports are its affair: what it brings by itself does not count
    run = subprocess.run([sys.executable, "-c", code, *HEAVY], capture_output=True, text=True, check=True)
    bare = subprocess.run(
        [sys.executable, "-c", code.replace("unrolled", "torch"), *HEAVY], capture_output=True, text=True, check=True
    )
    assert set(run.stdout.split()) - set(bare.stdout.split()) == set()


def test_the_exported_names() -> None:
    assert len(set(unrolled.__all__)) == len(unrolled.__all__)
    assert {"GRU", "LSTM", "RNN", "Recurrent", "__version__", "use_engine"} <= set(unrolled.__all__)
    for name in unrolled.__all__:
        assert getattr(unrolled, name) is not None


@pytest.mark.parametrize("room", sorted({*ALLOWED} - GROUND - {"cli", "export"} | {"errors"}))
def test_every_room_is_an_attribute_of_the_package(room: str) -> None:
    assert getattr(unrolled, room).__name__ == f"unrolled.{room}"
    assert room in dir(unrolled)


@pytest.mark.parametrize("room", ["cells", "kernels", "layers", "testing"])
def test_every_exported_name_of_a_room_exists(room: str) -> None:
    module = __import__(f"unrolled.{room}", fromlist=["__all__"])
    assert len(set(module.__all__)) == len(module.__all__)
    for name in module.__all__:
        assert hasattr(module, name), f"unrolled.{room}.{name}"
