"""Measuring the grid: make a problem, compare every answer with the reference, time the right ones, write the rows."""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import torch

from unrolled.bench import timing
from unrolled.bench.ceiling import Ceiling
from unrolled.bench.goals import BFLOAT16_FROM, BFLOAT16_GOALS, goals, headline, regimes
from unrolled.bench.grid import Case, grid
from unrolled.bench.machine import load_average, machine, versions
from unrolled.bench.peers import PEERS, Ours, Peer, Way
from unrolled.bench.problem import Problem, make, mistake, rounded, truth
from unrolled.errors import ArgumentError, DataError
from unrolled.storage import storage_error, write_json

OURS = Ours.name
#: our layer with weights in bfloat16, which is timed with the others but not compared as one of them
NARROW = f"{OURS} bfloat16"
#: called with a sentence about the work in progress, the rows done, and the number of rows or None
Progress = Callable[[str, int, "int | None"], None]
#: the parts of the results that rows of an earlier run must share to be kept
_SAME = ("machine", "versions", "threads", "plan")


@dataclass(frozen=True)
class Plan:
    """The rows to measure, and how thoroughly.

    Attributes:
        cases: the rows.
        peers: names of `PEERS`; those that are not installed are named in the results.
        seconds: for the rounds of one row, without its preparation.
        repeats: the most rounds of a row.
        threads: the number that every contender has.
        command: the command line.
        path: the file of the results, rewritten after each row; None for none.
        resume: keep the rows that are in `path` already.
    """

    cases: Sequence[Case] = tuple(grid())
    peers: Sequence[str] = tuple(PEERS)
    seconds: float = 2.5
    repeats: int = 200
    threads: int = 1
    command: str = ""
    path: Path | None = None
    resume: bool = False


def measure_layers(plan: Plan, progress: Progress = lambda sentence, done, of: None) -> dict[str, Any]:
    """Measure every case of a plan.

    Returns:
        The results as `--json` writes them: machine, versions, date, command, threads, load average, ceiling, rows.

    Raises:
        ArgumentError: no peer is left, or `resume` finds results of another machine, version or plan.
        DataError, StorageError: results that can't be read or written.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(plan.threads)
    try:
        return _measure_layers(plan, progress)
    finally:
        torch.set_num_threads(before)


def _measure_layers(plan: Plan, progress: Progress) -> dict[str, Any]:
    missing = {name: reason for name in plan.peers if (reason := PEERS[name].available()) is not None}
    peers = [PEERS[name] for name in plan.peers if name not in missing]
    if not peers:
        raise ArgumentError("--peers: " + "; ".join(f"{name} is {reason}" for name, reason in missing.items()))
    results: dict[str, Any] = {
        "machine": machine(),
        "versions": versions(peers),
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d"),
        "command": plan.command,
        "threads": plan.threads,
        "plan": {"peers": [p.name for p in peers], "seconds": plan.seconds, "repeats": plan.repeats},
        "missing": missing,
        "notes": {},
        "load_average": {"before": load_average(), "after": None},
    }
    kept = _kept(plan, results)
    progress("measuring the machine's ceiling", 0, None)
    ceiling = Ceiling(plan.threads)
    rows: list[dict[str, Any]] = []
    for index, case in enumerate(plan.cases):
        progress(f"measuring {case}", index, len(plan.cases))
        row = kept.get(case)
        rows.append(measure(case, peers, plan, ceiling) if row is None else row)
        results["notes"] = {p.name: note for p in peers if (note := p.note(plan.threads)) is not None}
        results["load_average"]["after"] = load_average()
        results |= {"ceiling": ceiling.as_json(), "rows": rows}
        if plan.path is not None:
            write_json(plan.path, results)
    return results


def measure(
    case: Case, peers: Sequence[Peer], plan: Plan, ceiling: Ceiling, ours: Peer | None = None
) -> dict[str, Any]:
    """Measure one row: first that answers are right, then times."""
    problem = make(case)
    true = truth(problem)
    errors: dict[str, str] = {}
    skipped: dict[str, str] = {}
    ways: dict[tuple[str, str], Way] = {}
    for peer in [Ours() if ours is None else ours, *peers]:
        refusal = peer.refuses(case)
        if refusal is None and case.dtype not in peer.dtypes:
            refusal = f"{peer.name} is measured in {' and '.join(peer.dtypes)} alone"
        if refusal is not None:
            skipped[peer.name] = refusal
            continue
        right, wrong = _right_ways(peer, problem, true, plan.threads)
        ways |= {(peer.name, way.name): way for way in right}
        errors |= wrong
    has_narrow = case.mode == "step" and case.hidden >= BFLOAT16_FROM and case.dtype == "float32"
    if has_narrow and ours is None and not case.is_elementwise:
        narrow = rounded(problem)
        right, wrong = _checked(NARROW, Ours().narrow(problem), narrow, truth(narrow))
        ways |= {(NARROW, way.name): way for way in right}
        errors |= wrong
    seconds: dict[tuple[str, str], list[float]] = {}
    # without ours there is nothing to compare
    if any(name == OURS for name, _ in ways):
        names = {" / ".join(key): key for key in ways}
        timed = timing.interleaved({n: ways[k].run for n, k in names.items()}, plan.seconds, plan.repeats)
        seconds = {names[name]: values for name, values in timed.items()}
    row = _row(case, seconds, ceiling.least_seconds(case))
    if row["share_of_ceiling"] is not None and row["share_of_ceiling"] > 1:
        errors["ceiling"] = (
            f"{row['share_of_ceiling']:.0%} of what this machine can do: one of the two is measured wrong"
        )
    return row | {"skipped": skipped, "errors": errors}


def _right_ways(
    peer: Peer, problem: Problem, true: Mapping[str, torch.Tensor], threads: int
) -> tuple[list[Way], dict[str, str]]:
    """Return a peer's ways whose answer is right, and what is wrong with the others."""
    try:
        return _checked(peer.name, peer.prepare(problem, threads), problem, true)
    # whatever a library raises is a result about that library, and is written in the row
    except Exception as error:
        message = (str(error).strip().splitlines() or [""])[0]
        return [], {peer.name: f"{type(error).__name__}: {message}"}


def _checked(
    name: str, ways: Sequence[Way], problem: Problem, true: Mapping[str, torch.Tensor]
) -> tuple[list[Way], dict[str, str]]:
    right: list[Way] = []
    wrong: dict[str, str] = {}
    for way in ways:
        error = mistake(way.answer(way.run()), dict(true), problem.lengths, problem.case.dtype)
        if error is None:
            right.append(way)
        else:
            wrong[f"{name} {way.name}"] = error
    return right, wrong


def _row(case: Case, seconds: Mapping[tuple[str, str], list[float]], least: float | None) -> dict[str, Any]:
    """Return the numbers of a row, from seconds per contender and round; the fastest way of each peer counts."""
    fastest: dict[str, tuple[str | None, list[float]]] = {}
    for (name, way), values in seconds.items():
        if name not in fastest or median(values) < median(fastest[name][1]):
            fastest[name] = (way, values)
    taken, ours = fastest.pop(OURS, (None, []))
    narrow = fastest.pop(NARROW, (None, []))[1]
    ratios = {name: _round(timing.ratio(values, ours)) for name, (_, values) in fastest.items()}
    best = min(ratios, key=lambda name: ratios[name]) if ratios else None
    goal, wanted = headline(case), goals(case)
    bfloat16: dict[str, Any] = {}
    if narrow and best is not None:
        faster = _round(timing.ratio(fastest[best][1], narrow))
        bfloat16 = {"ours_ms": _round(1e3 * median(narrow)), "ratio_best": faster, "goal": BFLOAT16_GOALS[case.cell]}
    reached = ratios | ({} if best is None else {"best": ratios[best]})
    return {
        "cell": case.cell,
        "mode": case.mode,
        "dtype": case.dtype,
        "T": case.time,
        "B": case.batch,
        "I": case.hidden,
        "H": case.hidden,
        "engine": None if taken is None else taken.split()[0],
        "way": taken,
        "ours_ms": _round(1e3 * median(ours)) if ours else None,
        "ours_min_ms": _round(1e3 * min(ours)) if ours else None,
        "rounds": len(ours),
        "peers": {name: _round(1e3 * median(values)) for name, (_, values) in fastest.items()},
        "peers_min": {name: _round(1e3 * min(values)) for name, (_, values) in fastest.items()},
        "ways": {name: by for name, (by, _) in fastest.items()},
        "ratios": ratios,
        "best_peer": best,
        "ratio_best": None if best is None else ratios[best],
        "bfloat16": bfloat16 or None,
        "share_of_ceiling": _round(least / median(ours)) if ours and least is not None else None,
        "goal": goal.ratio,
        "goal_against": goal.against,
        "goals": wanted,
        "regimes": regimes(case),
        # None where the peer that a goal is against was not measured
        "reached": all(reached[name] >= value for name, value in wanted.items())
        if wanted.keys() <= reached.keys()
        else None,
    }


def _kept(plan: Plan, header: Mapping[str, Any]) -> dict[Case, dict[str, Any]]:
    """Return the rows of an earlier run that need not be measured again."""
    if plan.path is None or not plan.resume:
        return {}
    try:
        earlier = json.loads(plan.path.read_text(encoding="utf-8"))
        right = [row for row in earlier["rows"] if not row["errors"]]
        rows = {
            Case(row["cell"], row["mode"], row["T"], row["B"], row["H"], row.get("dtype", "float32")): row
            for row in right
        }
        different = [name for name in _SAME if earlier[name] != header[name]]
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise storage_error(error, plan.path, "reading the earlier results") from error
    except (ValueError, KeyError, TypeError) as error:
        raise DataError("these are no results of this command; give another --json", plan.path) from error
    if different:
        raise ArgumentError(f"--resume: {plan.path} was measured with another {', '.join(different)}; start anew")
    return rows


def _round(value: float) -> float:
    """Round to four significant digits."""
    return float(f"{value:.4g}")
