"""Export models to every runtime, hold each to Python, and measure size, metric and the time of a step.

    python benchmarks/export.py NAME=MODEL[:DATA] …      a row each; DATA is what the metric is computed on
    python benchmarks/export.py                          the models of the tests, which are tiny, without metrics
    python benchmarks/export.py --no-times …             on a busy machine

Writes `results/export.json`; `export_table.py` puts it into docs/export.md. A model whose exported file does not
compute what Python computes ends the run: there is no size or time of a wrong result. C and WebAssembly need gcc, Node
and the package ziglang. A model takes about a minute, and its metric three times what `unrolled evaluate` takes.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import torch
from machine import provenance
from torch import nn

import unrolled
from unrolled.errors import ArgumentError
from unrolled.export.html import compiler
from unrolled.export.models import export
from unrolled.layers import Recurrent
from unrolled.networks import ManyToOneNetwork, SyncedNetwork
from unrolled.tasks.core.model import AnyModel

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
from tests.export import test_exported_models as onnx_checks  # noqa: E402
from tests.export.test_c_steps import CUT, PROGRAMS, Stream  # noqa: E402

OUT = ROOT / "benchmarks" / "results" / "export.json"
STORED = ROOT / "tests" / "models" / "v0.1"
#: steps of one time, and how many times there are
STEPS, ROUNDS = 2000, 5
NODE = """
const bytes = (name) => new Uint8Array(require("fs").readFileSync(name));
const [wasm, weights, steps] = process.argv.slice(1);
Model.make(bytes(wasm), bytes(weights)).then((model) => {
  model.checked(-model.c.take(9));
  console.log(model.outputs().join(" "));
  const begin = process.hrtime.bigint();
  model.checked(-model.c.take(Number(steps)));
  console.log(Number(process.hrtime.bigint() - begin) / Number(steps));
});
"""

Runtime = dict[str, Any]


class Timer:
    """Times steps, or, where there are to be no times, does not."""

    def __init__(self, enabled: bool) -> None:
        self.enabled = enabled

    def of(self, step: Callable[[], object]) -> float | None:
        """Return the microseconds of a call, or None."""
        if not self.enabled:
            return None
        times = []
        for _ in range(ROUNDS):
            begin = time.perf_counter()
            for _ in range(STEPS // 10):
                step()
            times.append((time.perf_counter() - begin) / (STEPS // 10))
        return 1e6 * median(times)

    def written(self, command: list[str]) -> float | None:
        """Return the microseconds of a step, of which a program writes the nanoseconds; or None."""
        if not self.enabled:
            return None
        return median(float(_written(command)[1]) for _ in range(ROUNDS)) / 1000


def _written(command: list[str]) -> list[str]:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()


def _check_same(commands: list[list[str]]) -> None:
    """Compare what programs write of their first steps."""
    first, *others = (torch.tensor([float(word) for word in _written(command)[0].split()]) for command in commands)
    for other in others:
        torch.testing.assert_close(other, first, rtol=1e-5, atol=1e-5)


def measure(name: str, model: AnyModel, data: str | None, timer: Timer) -> dict[str, Any]:
    """Return the row of a model."""
    network = model.network.eval()
    runtimes: dict[str, Runtime | None] = {"fp32": python(model, data, timer, None)}
    for title, dtype in (("bf16", torch.bfloat16), ("int8", torch.int8)):
        runtimes[title] = python(model, data, timer, dtype)
    with tempfile.TemporaryDirectory() as folder:
        runtimes["onnx"], states = onnx(model, Path(folder), timer)
        runtimes["c"], runtimes["wasm"] = native(model, Path(folder), timer)
    reads_future = getattr(getattr(network, "hidden", None), "bidirectional", False)
    equal = "whole = exported" if reads_future or not states else "yes"
    return {"name": name, "task": model.task.name, "runtimes": runtimes, "states": states, "equal": equal}


def python(model: AnyModel, data: str | None, timer: Timer, dtype: torch.dtype | None) -> Runtime | None:
    """Measure Python, with weights rounded to a dtype for inference; None where there is no such dtype."""
    layers = [layer for layer in model.network.modules() if isinstance(layer, Recurrent)]
    if dtype is not None and not layers:
        return None
    try:
        for layer in layers:
            layer.weights_dtype = dtype
        metric = None if data is None else _main_metric(model.evaluate(data).metrics)
        step = _step(model.network)
        with torch.no_grad():
            taken = None if step is None else timer.of(step)
        return {"bytes": _bytes(model.network, layers, dtype), "metric": metric, "microseconds": taken}
    except ArgumentError as error:
        print(f"  {dtype}: {error}")
        return None
    finally:
        for layer in layers:
            layer.weights_dtype = None


def _bytes(network: nn.Module, layers: list[Recurrent], dtype: torch.dtype | None) -> int:
    """Return the bytes of all weights, with the recurrent layers' matrices in a dtype."""
    narrow = {id(p) for layer in layers for p in layer.parameters() if p.dim() == 2} if dtype is not None else set()
    size = 4 if dtype is None else dtype.itemsize
    return sum(p.numel() * (size if id(p) in narrow else p.element_size()) for p in network.parameters())


def _main_metric(metrics: dict[str, Any]) -> dict[str, float]:
    """Return the first number among the metrics, by its name, that is no loss."""
    numbers = {name: float(v) for name, v in metrics.items() if isinstance(v, (int, float)) and name != "loss"}
    return dict(list(numbers.items())[:1])


def _step(network: nn.Module) -> Callable[[], object] | None:
    """Return a step of a stream in Python; None for a network that has no streams."""
    if not isinstance(network, (SyncedNetwork, ManyToOneNetwork)) or network.hidden.bidirectional:
        return None
    try:
        stream = Stream(network)
    except (AttributeError, TypeError):
        # an input layer that C has not
        return None
    if isinstance(network, SyncedNetwork):
        x = stream.x[:1].unsqueeze(1)
        state = network(x, None, torch.tensor([1]))[1]
        return lambda: network(x, state, torch.tensor([1]))
    start = network.start(1)
    return lambda: network.step(stream._step(0), start)


def onnx(model: AnyModel, folder: Path, timer: Timer) -> tuple[Runtime, list[str]]:
    """Measure ONNX Runtime; returns the names of the states that are inputs, too."""
    files = export(model, "onnx", folder / "model.onnx")
    exported = onnx_checks.Exported(model.network, files)
    onnx_checks.check(exported)
    runtime = exported.onnx
    states = sorted(name for name in (runtime.decoder or runtime).inputs if name.endswith("_in"))
    taken = None
    if _step(model.network) is not None and states:
        network = model.network
        x = onnx_checks.random_inputs(network.inputs, [8], getattr(network, "beside", None))
        feeds = onnx_checks.feeds_of(onnx_checks.chunk_of(x, 0, 1))
        _, state = runtime(**feeds, lengths=[1])
        taken = timer.of(lambda: runtime(state, **feeds, lengths=[1]))
    return {"bytes": sum(file.stat().st_size for file in files), "microseconds": taken}, states


def native(model: AnyModel, folder: Path, timer: Timer) -> tuple[Runtime, Runtime]:
    """Measure C and WebAssembly: code and weights."""
    try:
        export(model, "c", folder / "model.c", weights_beside=True)
    except ArgumentError as error:
        lacks = {
            "lacks": str(error)
            .removeprefix("model: a C export has no ")
            .partition(";")[0]
            .partition(",")[0]
            .partition(" and ")[0]
        }
        return lacks, lacks
    shutil.copy(Path(compiler.__file__).parent / "page.c", folder)
    shutil.copy(ROOT / "benchmarks" / "export.c", folder)
    weights = folder / "model.bin"
    _check_c(model.network, folder)
    options = ["-std=gnu99", "-O3", "-march=native", "-w", "-s"]
    subprocess.run(["gcc", *options, "export.c", "model.c", "-o", "program", "-lm"], cwd=folder, check=True)
    code = compiler.compile_wasm(folder, ("export.c", "model.c"))
    script = (Path(compiler.__file__).parent / "model.js").read_text("utf-8") + NODE
    size = weights.stat().st_size
    in_c = [str(folder / "program"), str(weights), str(size), str(STEPS)]
    in_node = ["node", "-e", script, str(folder / "model.wasm"), str(weights), str(STEPS)]
    _check_same([in_c, in_node])
    return (
        {"bytes": (folder / "program").stat().st_size + size, "microseconds": timer.written(in_c)},
        {"bytes": len(code) + size, "microseconds": timer.written(in_node)},
    )


def _check_c(network: Any, folder: Path) -> None:
    """Compare C with Python over a random stream, saved and loaded on the way; a forecaster is left to the tests."""
    if not isinstance(network, (SyncedNetwork, ManyToOneNetwork)):
        return
    stream = Stream(network)
    options = [f"-D{stream.kind}", f"-DCUT={CUT}", f'-DWEIGHTS_FILE="{folder / "model.bin"}"', f"-I{folder}", "-O2"]
    command = ["gcc", "-std=c99", *options, str(PROGRAMS / "steps.c"), str(folder / "model.c"), "-o", "checked", "-lm"]
    subprocess.run(command, cwd=folder, check=True)
    written = subprocess.run([str(folder / "checked")], input=stream.given, capture_output=True, check=True).stdout
    expected = stream.expected()
    logits = torch.frombuffer(bytearray(written), dtype=torch.float32).reshape(expected.shape)
    torch.testing.assert_close(logits, expected, rtol=1e-5, atol=1e-5)


def main() -> None:
    """Measure, and write the result file."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("models", nargs="*", metavar="NAME=MODEL[:DATA]")
    parser.add_argument("--no-times", action="store_true")
    parser.add_argument("--out", type=Path, default=OUT)
    given = parser.parse_args()
    torch.set_num_threads(1)
    named = dict(text.split("=", 1) for text in given.models)
    named = named or {name: str(STORED / name / "model") for name in onnx_checks.MODELS}
    rows = []
    for name, place in named.items():
        folder, _, data = place.partition(":")
        print(name, flush=True)
        torch.manual_seed(0)
        rows.append(measure(name, unrolled.load(folder), data or None, Timer(not given.no_times)))
    given.out.write_text(json.dumps({**provenance(), "models": rows}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
