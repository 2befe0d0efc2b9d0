"""Put the numbers of the engine's result files into docs/engine.md between its markers; `make bench` runs it.

python benchmarks/engine_tables.py           rewrites docs/engine.md
python benchmarks/engine_tables.py --check   exits with 1 if it would change
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"


def layers_table(results: dict[str, Any], name: str) -> str:
    """Return a table of the ratio to the fastest peer in every cell of the grid, and how it was measured."""
    rows = [row for row in results["rows"] if row.get("dtype", "float32") == "float32"]
    shapes = list(dict.fromkeys((r["B"], r["H"]) for r in rows))
    by = {(r["cell"], r["mode"], r["B"], r["H"]): r for r in rows}
    before, after = results["load_average"]["before"], results["load_average"]["after"]
    load = f"load average {before[0]:g} before and {after[0]:g} after" if before and after else "load average unknown"
    lines = [
        f"The fastest peer's time divided by ours, at B/H, of {', '.join(results['plan']['peers'])}: float32, T = 100, "
        f"I = H, {results['threads']} threads, medians of paired rounds, {load}, from "
        f"[{name}](../benchmarks/results/{name}), which has machine, versions, times and command. "
        "Above 1 we are ahead; **bold** reaches its goal.",
        "",
        "| | " + " | ".join(f"{b}/{h}" for b, h in shapes) + " |",
        "|---" * (len(shapes) + 1) + "|",
    ]
    for mode in dict.fromkeys(r["mode"] for r in rows):
        for cell in dict.fromkeys(r["cell"] for r in rows):
            cells = [_ratio(by.get((cell, mode, b, h))) for b, h in shapes]
            lines.append(f"| {cell} {mode} | " + " | ".join(cells) + " |")
    for cell in dict.fromkeys(r["cell"] for r in rows if r.get("bfloat16")):
        narrow = [by.get((cell, "step", b, h)) for b, h in shapes]
        cells = [f"{r['bfloat16']['ratio_best']:.2f}" if r and r["bfloat16"] else "" for r in narrow]
        lines.append(f"| {cell} step, bfloat16 weights | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _ratio(row: dict[str, Any] | None) -> str:
    if row is None or row["ratio_best"] is None:
        return ""
    return f"**{row['ratio_best']:.2f}**" if row["reached"] else f"{row['ratio_best']:.2f}"


def contention_table(results: dict[str, Any]) -> str:
    """Return a table of median and 95th percentile, alone and beside busy processes."""
    load = results["load_average_before"]
    lines = [
        f"Microseconds of a call, median / 95th percentile, from "
        f"[contention.json](../benchmarks/results/contention.json): up to {results['calls']:,} calls of each in four "
        f"turns, load average {load[0]:g} beforehand. Beside busy processes the system takes the core from more than "
        f"one in twenty of the calls that last a few tenths of a millisecond, as one thread shows.",
        "",
    ]
    for company, cases in results["microseconds"].items():
        names = list(next(iter(cases.values())))
        lines += [f"| {company} | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
        for case, contenders in cases.items():
            cells = [f"{v['p50']:.0f} / {v['p95']:.0f}" for v in contenders.values()]
            lines.append(f"| {case} | " + " | ".join(cells) + " |")
        lines.append("")
    return "\n".join(lines).rstrip()


def training_line(results: dict[str, Any]) -> str:
    """Return a sentence about the same training on two engines."""
    seconds = results["seconds"]
    note = f" ({results['note']})" if results["note"] else ""
    apart = results["largest_relative_difference_of_losses"]
    return (
        f"{results['steps']} steps of `unrolled train generate` on {results['data']}, end to end: "
        f"{seconds['native']:g} s on this engine, {seconds['torch']:g} s on torch's layers, a ratio of "
        f"{results['ratio']:.2f}; the losses differ by {apart:.0e} of themselves at most "
        f"([engines.json](../benchmarks/results/engines.json)){note}."
    )


def updated(text: str) -> str:
    """Return docs/engine.md with its parts replaced; a part without results is left unchanged."""
    parts: dict[str, str] = {}
    for path in sorted(RESULTS.glob("layers-*.json"))[:1]:
        parts["layers"] = layers_table(_read(path), path.name)
    if (RESULTS / "contention.json").is_file():
        parts["contention"] = contention_table(_read(RESULTS / "contention.json"))
    if (RESULTS / "engines.json").is_file():
        parts["training"] = training_line(_read(RESULTS / "engines.json"))
    for name, content in parts.items():
        pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", flags=re.DOTALL)
        if not pattern.search(text):
            raise SystemExit(f"docs/engine.md: the markers for {name!r} are missing")
        text = pattern.sub(lambda m, content=content: f"{m[1]}{content}\n{m[2]}", text)
    return text


def _read(path: Path) -> dict[str, Any]:
    results: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return results


def main() -> None:
    """Rewrite the file, or check it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true")
    args = parser.parse_args()
    path = ROOT / "docs" / "engine.md"
    before = path.read_text(encoding="utf-8")
    after = updated(before)
    if args.check:
        sys.exit(0 if before == after else "docs/engine.md is out of date: run python benchmarks/engine_tables.py")
    path.write_text(after, encoding="utf-8")


if __name__ == "__main__":
    main()
