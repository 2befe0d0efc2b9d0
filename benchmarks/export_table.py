"""Put `results/export.json`, which `export.py` writes, into docs/export.md between its markers.

python benchmarks/export_table.py           rewrites docs/export.md
python benchmarks/export_table.py --check   exits with 1 if it would change
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULT, PAGE = ROOT / "benchmarks" / "results" / "export.json", ROOT / "docs" / "export.md"
RUNTIMES = {
    "fp32": "fp32",
    "bf16": "bf16",
    "int8": "int8",
    "onnx": "ONNX Runtime",
    "c": "C",
    "wasm": "WebAssembly",
}
MISSING = "not measured"


def table(record: dict[str, Any]) -> str:
    """Return a row a model: size, metric and time of a step in each runtime, states, and whether all agree."""
    titles = ["model", *(RUNTIMES[name] for name in RUNTIMES), "states", "whole = chunked = exported"]
    lines = ["| " + " | ".join(titles) + " |", "|---" * len(titles) + "|"]
    for model in record["models"]:
        cells = [_cell(model["runtimes"].get(name)) for name in RUNTIMES]
        states = ", ".join(f"`{name}`" for name in model["states"]) or "none carried"
        lines.append(f"| {model['name']} | " + " | ".join([*cells, states, model["equal"]]) + " |")
    versions = record["versions"]
    lines += [
        "",
        f"Each cell: size; metric; time of a step of one stream. {record['command']}, {record['date']}, "
        f"{record['machine']['cpu']}, one thread, torch {versions['torch']}. A metric is computed where there is data; "
        "what an exported file computes is what Python computes (rtol = atol = 1e-5), or there is no row.",
    ]
    return "\n".join(lines)


def _cell(runtime: dict[str, Any] | None) -> str:
    if runtime is None:
        return MISSING
    if "lacks" in runtime:
        return f"no {runtime['lacks']}"
    parts = [f"{runtime['bytes'] / 1000:,.0f} kB" if runtime.get("bytes") else ""]
    parts += [f"{name} {value:.4g}" for name, value in (runtime.get("metric") or {}).items()]
    parts += [f"{runtime['microseconds']:.3g} µs" if runtime.get("microseconds") else ""]
    return "; ".join(part for part in parts if part) or MISSING


def updated(page: str) -> str:
    """Return the page with its table as the result file has it; the page itself where there is no result."""
    if not RESULT.is_file():
        return page
    text = f"<!-- export -->\n{table(json.loads(RESULT.read_text(encoding='utf-8')))}\n<!-- /export -->"
    return re.sub(r"<!-- export -->.*<!-- /export -->", lambda _: text, page, flags=re.DOTALL)


def main() -> None:
    """Rewrite the page, or check it."""
    before = PAGE.read_text(encoding="utf-8")
    after = updated(before)
    if "--check" in sys.argv:
        sys.exit(int(before != after))
    PAGE.write_text(after, encoding="utf-8")


if __name__ == "__main__":
    main()
