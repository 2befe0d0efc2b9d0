"""Put the numbers of `results/*.json`, and the map of the code, into the documents between their markers.

    python benchmarks/tables.py           rewrites README.md, docs/results.md, docs/cells.md and docs/architecture.md
    python benchmarks/tables.py --check   exits with 1 if it would change one of them

So no result in the documents is typed by hand, and the map matches the code; a test runs the check.
"""

from __future__ import annotations

import argparse
import ast
import json
import re
import statistics
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"


def result(name: str) -> dict[str, Any] | None:
    """Return a result file's content, or None if it does not exist yet."""
    path = RESULTS / name
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def results_table() -> str:
    """Return a table with a row for each measurement, with its file."""
    rows = ["| what | measured | beside it | file |", "|---|---|---|---|"]
    runs = [json.loads(p.read_text(encoding="utf-8")) for p in RESULTS.glob("tinyshakespeare-*min.json")]
    for record in sorted(runs, key=lambda run: float(run["minutes"])):
        minutes, threads = f"{record['minutes']:g}", record["machine"]["threads"]
        name = f"tinyshakespeare-{minutes}min.json"
        beside = [f"{record['baseline']['model'].split(',')[0]}: {record['baseline']['nats_per_character']:.3f}"]
        beside += [f"{what}: {value}" for what, value in record["published"].items()]
        rows.append(
            f"| tinyshakespeare, last 10 %, after {minutes} minutes on {threads} thread{'s' * (threads != 1)} "
            f"({record['parameters'] / 1e6:.2f} M parameters) "
            f"| **{record['result']['nats_per_character']:.3f}** nats/char | {'; '.join(beside)} "
            f"| [{name}](../benchmarks/results/{name}) |"
        )
    for kind in ("char", "bpe"):
        name = f"aeslc-{kind}.json"
        record = result(name)
        if record is None:
            continue
        ours, other = record["metrics"], record["baseline"]
        trained = f"{record['outcome']['epoch']:.1f} epochs in {record['minutes']:g} minutes"
        link = f"[{name}](../benchmarks/results/{name})"
        rows += [
            f"| e-mail (AESLC test), {kind} tokens, {trained} "
            f"({record['parameters'] / 1e6:.2f} M parameters) "
            f"| **{ours['nats_per_character']:.3f}** nats/char "
            f"| {other['model'].split(',')[0]}: {other['nats_per_character']:.3f} | {link} |",
            *_completion_rows(ours["completion"], other["completion"], name),
        ]
    rows += _task_rows() + _memory_rows() + _sigkill_rows()
    return "\n".join(rows)


def _task_rows() -> list[str]:
    """Return a row for each use on a published data set, from the files of `uses.write_result`."""
    rows = []
    for path in sorted(RESULTS.glob("task-*.json")):
        run = json.loads(path.read_text(encoding="utf-8"))
        how = f"{run['parameters'] / 1e6:.2f} M parameters, {run['minutes']:.0f} minutes of training"
        others = "; ".join([run["beside"], *(f"{what}: {value}" for what, value in run["published"].items())])
        link = f"[{path.name}](../benchmarks/results/{path.name})"
        rows.append(f"| {run['title']} ({how}) | {run['measured']} | {others} | {link} |")
    return rows


#: a part of cells.json, the heading of its column, and the format of its figure
_CELL_PARTS = {
    "generate": ("tinyshakespeare, nats/char", "{:.3f}"),
    "tag": ("CoNLL-2003, F1", "{:.1f}"),
    "forecast": ("ETTh1, MSE", "{:.3f}"),
    "adding": ("adding problem, error", "{:.4f}"),
}


def cells_table() -> str:
    """Return the figures of each cell, from cells.json; "not measured" for those that are not there."""
    run = result("cells.json") or {}
    speed, missing = run.get("speed", {}).get("cells", {}), "not measured"
    heads = ["cell", "parameters", "training, ms", "a step, µs"]
    for part, (head, _) in _CELL_PARTS.items():
        minutes = f" after {run[part]['minutes']:g} min" if part in run else ""
        heads.append(head + minutes)
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for cell in _cell_names():
        own = speed.get(cell)
        row = [f"`{cell}`"]
        row += (
            [f"{own['parameters']:,}", f"{own['training_ms']:.1f}", f"{own['step_us']:.0f}"] if own else [missing] * 3
        )
        for part, (_, form) in _CELL_PARTS.items():
            figures = run.get(part, {}).get("cells", {}).get(cell)
            row.append(missing if figures is None else form.format(figures["value"]))
        lines.append("| " + " | ".join(row) + " |")
    return "\n".join(lines)


def _cell_names() -> list[str]:
    """Return the names of all cells, from the first column of docs/cells.md."""
    text = (ROOT / "docs" / "cells.md").read_text(encoding="utf-8")
    return re.findall(r"^\| `(\w+)` \| `\w+` \[", text, flags=re.MULTILINE)


def _share(value: float | None) -> str:
    return "—" if value is None else f"{100 * value:.1f} %"


def _completion_rows(ours: dict[str, Any], other: dict[str, Any], name: str) -> list[str]:
    link = f"[{name}](../benchmarks/results/{name})"

    def exact(completion: dict[str, Any]) -> str:
        lengths = completion["exact_match"]
        known = [n for n in sorted(lengths, key=int) if lengths[n] is not None]
        return ", ".join(f"{n}: {100 * lengths[n]:.1f} %" for n in known[:5])

    return [
        f"| … the next words guessed exactly, by number of words | {exact(ours)} | n-gram {exact(other)} | {link} |",
        f"| … keystrokes saved | **{_share(ours['keystrokes_saved'])}** (shown at {_share(ours['coverage'])} of them, "
        f"right {_share(ours['accuracy'])} of the time) "
        f"| n-gram: {_share(other['keystrokes_saved'])} (right {_share(other['accuracy'])}) | {link} |",
        f"| … time for a suggestion on one core, p50 / p90 "
        f"| {1000 * ours['p50_seconds']:.1f} / **{1000 * ours['p90_seconds']:.1f} ms** | | {link} |",
    ]


def _memory_rows() -> list[str]:
    run = result("memory.json")
    if run is None:
        return []
    peaks = ", ".join(f"{row['corpus_mb']:,.0f} MB: {row['peak_mb']:.0f} MB" for row in run["rows"])
    return [
        f"| peak memory of a training run, by size of the text | {peaks} | "
        "| [memory.json](../benchmarks/results/memory.json) |"
    ]


def _sigkill_rows() -> list[str]:
    run = result("sigkill.json")
    if run is None:
        return []
    same = "identical" if run["losses_identical"] and run["weights_identical"] else "DIFFERENT"
    return [
        f"| killed with SIGKILL {len(run['kills'])} times and resumed: losses and weights "
        f"| **{same}** | the run never interrupted | [sigkill.json](../benchmarks/results/sigkill.json) |"
    ]


def code_map() -> str:
    """Return the rooms of the package with the first sentence of their docstrings."""
    package = ROOT / "src" / "unrolled"
    lines = ["```", "src/unrolled/"]
    entries = sorted([p for p in package.iterdir() if (p / "__init__.py").is_file()] + list(package.glob("*.py")))
    for entry in entries:
        if entry.name.startswith("__"):
            continue
        source = entry / "__init__.py" if entry.is_dir() else entry
        doc = ast.get_docstring(ast.parse(source.read_text(encoding="utf-8"))) or ""
        first = re.split(r"(?<=[.:;])\s", " ".join(doc.split()), maxsplit=1)[0].rstrip(".:;")
        lines.append(f"  {entry.name + ('/' if entry.is_dir() else ''):14}{first}")
    return "\n".join([*lines, "```"])


def headline() -> str:
    """Return the table of the README: four figures, each with its file."""
    layers, text = _read("layers-amd-epyc-2c.json"), _read("tinyshakespeare-3min.json")
    mail, names = _read("aeslc-char.json"), _read("task-entities-conll2003.json")
    ratios = [row["ratios"]["torch"] for row in layers["rows"] if "torch" in row["ratios"]]
    ahead = sum(ratio > 1 for ratio in ratios)
    baseline = text["baseline"]
    completion, counted = mail["metrics"]["completion"], mail["baseline"]["completion"]
    rows = [
        (
            f"RNN, LSTM and GRU layers on {layers['threads']} CPU threads, {len(ratios)} cases",
            f"**{statistics.median(ratios):.1f} times** as fast as torch.nn's in the median",
            f"faster in {ahead} of {len(ratios)}; {min(ratios):.2f} to {max(ratios):.1f} times",
            "layers-amd-epyc-2c.json",
        ),
        (
            f"tinyshakespeare, after {text['minutes']:g} minutes on {text['machine']['threads']} CPU threads",
            f"**{text['result']['nats_per_character']:.2f}** nats a character",
            f"{baseline['model'].split(',')[0]}: {baseline['nats_per_character']:.2f}",
            "tinyshakespeare-3min.json",
        ),
        (
            f"completing e-mail (AESLC), after {mail['minutes']:g} minutes",
            f"**{_share(completion['keystrokes_saved'])}** of keystrokes saved",
            f"n-gram: {_share(counted['keystrokes_saved'])}",
            "aeslc-char.json",
        ),
        (names["title"], names["measured"], names["beside"], "task-entities-conll2003.json"),
    ]
    lines = ["| | result | for comparison | file |", "|---|---|---|---|"]
    lines += [f"| {what} | {ours} | {other} | [json](benchmarks/results/{name}) |" for what, ours, other, name in rows]
    return "\n".join(lines)


def _read(name: str) -> dict[str, Any]:
    return json.loads((RESULTS / name).read_text(encoding="utf-8"))


def pages() -> dict[Path, str]:
    """Return the documents with the parts between their markers replaced, by path."""
    return {
        ROOT / "README.md": replaced(ROOT / "README.md", "headline", headline()),
        ROOT / "docs" / "results.md": replaced(ROOT / "docs" / "results.md", "results", results_table()),
        ROOT / "docs" / "cells.md": replaced(ROOT / "docs" / "cells.md", "figures", cells_table()),
        ROOT / "docs" / "architecture.md": replaced(ROOT / "docs" / "architecture.md", "map", code_map()),
    }


def replaced(path: Path, name: str, content: str) -> str:
    """Return a document with what stands between the markers of `name` replaced."""
    pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", flags=re.DOTALL)
    text = path.read_text(encoding="utf-8")
    if not pattern.search(text):
        raise SystemExit(f"{path.name}: the markers for {name!r} are missing")
    return pattern.sub(lambda m: f"{m[1]}{content}\n{m[2]}", text)


def main() -> None:
    """Rewrite the documents, or check them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true")
    args = parser.parse_args()
    for path, text in pages().items():
        if args.check and path.read_text(encoding="utf-8") != text:
            sys.exit(f"{path.name} is out of date: run python benchmarks/tables.py")
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
