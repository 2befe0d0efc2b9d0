"""Results as text: a table for each mode, and footnotes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

#: results as `measure_layers` returns them, and one of their rows
Results = Mapping[str, Any]
Row = Mapping[str, Any]

_TITLES = {
    "inference": "inference, whole sequences",
    "training": "training: forward, and backward to inputs and parameters",
    "step": "one time step",
    "ragged": "inference, a ragged batch about half full",
}


def tables(results: Results) -> Iterator[Any]:
    """Yield a rich table for each mode in the results."""
    from rich.table import Table

    peers = results["plan"]["peers"]
    for mode, dtype in dict.fromkeys((row["mode"], dtype_of(row)) for row in results["rows"]):
        rows = [row for row in results["rows"] if (row["mode"], dtype_of(row)) == (mode, dtype)]
        unit, factor = ("µs", 1e3) if mode == "step" else ("ms", 1.0)
        time = f", T = {rows[0]['T']}" if mode != "step" else ""
        title = _TITLES[mode] + ("" if dtype == "float32" else f" in {dtype}")
        table = Table(title=f"{title}{time} ({unit}, medians)", title_justify="left")
        table.add_column("cell")
        for name in ("B×H", "engine", "ours", *peers, "best ÷ ours", "goal", "of ceiling"):
            table.add_column(name, justify="left" if name == "engine" else "right")
        for row in rows:
            table.add_row(
                row["cell"],
                f"{row['B']}×{row['H']}",
                row["engine"] or "",
                _time(row["ours_ms"], factor, not row["errors"]),
                *(_peer_time(row, name, factor) for name in peers),
                ratio_text(row),
                _goal_text(row),
                "" if row["share_of_ceiling"] is None else f"{row['share_of_ceiling']:.0%}",
            )
        yield table


def footnotes(results: Results) -> list[str]:
    """Return the footnotes: rows without a time and why, wrong answers, and how many goals are reached."""
    rows = results["rows"]
    lines = [f"{name}: {reason}" for name, reason in {**results["missing"], **results["notes"]}.items()]
    for row in rows:
        place = f"{row['cell']} {row['mode']} {row['B']}x{row['H']}"
        for name, error in row["errors"].items():
            lines.append(f"{place}: {name}: {error}" + ("" if name == "ceiling" else "; not timed"))
    refusals: dict[str, str] = {name: reason for row in rows for name, reason in row["skipped"].items()}
    lines += [f"{name}: {reason}" for name, reason in refusals.items()]
    products = ", ".join(f"{name} {rate:g}" for name, rate in results["ceiling"]["gflops"].items())
    lines.append(f"ceiling: {products or 'not measured'} GFLOP/s in registers, {results['threads']} threads")
    before, after = (results["load_average"][k] for k in ("before", "after"))
    if before and after:
        lines.append(f"load average: {before[0]:g} before, {after[0]:g} after")
    timed = [row for row in rows if row["ratio_best"] is not None]
    below = [row for row in timed if row["ratio_best"] < 1]
    known = [row for row in timed if row["reached"] is not None]
    for row in rows:
        if row.get("bfloat16"):
            narrow = row["bfloat16"]
            lines.append(
                f"{row['cell']} step {row['B']}x{row['H']}: with weights in bfloat16 {1e3 * narrow['ours_ms']:.3g} µs, "
                f"{narrow['ratio_best']:.2f} (goal {narrow['goal']:g})"
            )
    lines.append(
        f"{len(timed)} of {len(rows)} rows timed; {sum(row['reached'] for row in known)} of {len(known)} reach their "
        f"goals; {len(below)} slower than the fastest peer"
    )
    return lines


def dtype_of(row: Row) -> str:
    """Return the dtype of a row; those of earlier versions have none and are float32."""
    return str(row.get("dtype", "float32"))


def ratio_text(row: Row) -> str:
    """Return the ratio to the best peer and its name: green at the goal, yellow from 1.0, red below."""
    if row["ratio_best"] is None:
        return "[red]wrong[/red]" if row["ours_ms"] is None else ""
    colour = "red" if row["ratio_best"] < 1 else "green" if row["reached"] else "yellow"
    return f"[{colour}]{row['ratio_best']:.2f}[/{colour}] {row['best_peer']}"


def _goal_text(row: Row) -> str:
    goal = f"{row['goal']:g}"
    if row["goal_against"] == "best":
        return goal
    reached = row["ratios"].get(row["goal_against"])
    return goal + f" × {row['goal_against']}" + ("" if reached is None else f" ({reached:.2f})")


def _peer_time(row: Row, name: str, factor: float) -> str:
    if any(key.split()[0] == name for key in row["errors"]) and name not in row["peers"]:
        return "[red]error[/red]"
    return _time(row["peers"].get(name), factor, True)


def _time(milliseconds: float | None, factor: float, known: bool) -> str:
    if milliseconds is None:
        return "–" if known else "[red]error[/red]"
    return f"{milliseconds * factor:.3g}"
