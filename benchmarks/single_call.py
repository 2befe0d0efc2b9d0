"""Time single calls of two builds of the package, side by side.

    python benchmarks/single_call.py OLD_PYTHON NEW_PYTHON --instructions

Each Python executable has a build of `unrolled` installed. A process of each stays alive; in every round each call is
timed in both, one right after the other and in random order, so that whatever else the machine does falls on both
alike. The ratio of a call is the median over the rounds of new ÷ old. Where memory lies makes a process faster or
slower by some percent for as long as it lives, so that several pairs of processes share the rounds.

With `--instructions` each call also runs under Valgrind, on one thread and with AVX2 (Valgrind knows no AVX-512), and
its instructions are counted: a number that does not depend on what else the machine does. It needs Valgrind with its
header and a C compiler. Writes `results/single-call.json` beside this file.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import os
import random
import re
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import IO, Any, cast

CELLS = ("LSTM", "GRU", "RNN")
#: what is timed, and how many calls make one time
GROUPS = {"step": 20, "stream": 20, "sequence": 1, "training": 1}
#: seconds of a turn, of which the first quarter is not counted
TURN = 0.02
#: calls whose instructions are counted
COUNTED = {"step": 200, "stream": 200, "sequence": 20, "training": 20}

CALLGRIND = """
#include <valgrind/callgrind.h>
void begin(void) { CALLGRIND_START_INSTRUMENTATION; CALLGRIND_ZERO_STATS; }
void end(const char *name) { CALLGRIND_DUMP_STATS_AT(name); CALLGRIND_STOP_INSTRUMENTATION; }
"""


@dataclass(frozen=True)
class Case:
    """One call to be timed: a layer with I = H, and a kind of GROUPS."""

    cell: str
    kind: str
    batch: int
    hidden: int
    steps: int

    @property
    def name(self) -> str:
        """The case in a table, as in "LSTM step 1x128"."""
        return f"{self.cell} {self.kind} {self.batch}x{self.hidden}"

    def make(self) -> Callable[[], object]:
        """Return the call, ready to be timed."""
        import torch

        import unrolled

        torch.manual_seed(0)
        layer = getattr(unrolled, self.cell)(self.hidden, self.hidden)
        if self.kind in ("step", "stream"):
            layer.eval()
            x = torch.randn(self.batch, self.hidden)
            _, state = layer.step(x)
            stream = layer.stream(self.batch)
            return (lambda: layer.step(x, state)) if self.kind == "step" else (lambda: stream.step(x))
        x = torch.randn(self.steps, self.batch, self.hidden)
        if self.kind == "sequence":
            layer.eval()

            def infer() -> object:
                with torch.no_grad():
                    return layer(x)

            return infer
        gradient = torch.randn_like(x)
        leaves = [x.requires_grad_(), *layer.parameters()]
        return lambda: torch.autograd.grad(layer(x)[0], leaves, gradient)


class Worker:
    """A process of one build that times cases on request: a line of JSON in, a line of JSON out."""

    def __init__(self, python: str) -> None:
        self.python = python
        self.process = subprocess.Popen(
            [python, __file__, "--worker"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def ask(self, request: dict[str, Any]) -> Any:
        """Send a request and wait for the answer."""
        requests, answers = cast("IO[str]", self.process.stdin), cast("IO[str]", self.process.stdout)
        requests.write(json.dumps(request) + "\n")
        requests.flush()
        line = answers.readline()
        if not line:
            raise SystemExit(f"{self.python} ended before it answered {request}")
        return json.loads(line)

    def close(self) -> None:
        """End the process."""
        cast("IO[str]", self.process.stdin).close()
        self.process.wait()


def main() -> None:
    """Measure, print and write the result."""
    args = arguments()
    from machine import provenance

    cases = [
        Case(cell, kind, *map(int, size.split("x")), args.steps)
        for kind in args.kinds
        for size in args.sizes
        for cell in args.cells
    ]
    builds = {"old": args.old, "new": args.new}
    result: dict[str, Any] = {
        **provenance(
            f"python benchmarks/single_call.py OLD_PYTHON NEW_PYTHON {shlex.join(options(sys.argv[1:]))}".strip()
        ),
        "note": args.note,
        "load_average": {"before": os.getloadavg()},
        "steps": args.steps,
        "rounds": args.rounds,
        "processes": args.processes,
        "builds": {name: about(python) for name, python in builds.items()},
        "times": [
            row for threads in args.threads for row in timed(cases, builds, threads, args.rounds, args.processes)
        ],
    }
    result["load_average"]["after"] = os.getloadavg()
    if args.instructions:
        counts = {name: counted(python, cases) for name, python in builds.items()}
        result["instructions"] = [
            {
                "case": case.name,
                **{name: round(by_case[case.name]) for name, by_case in counts.items()},
                "ratio": round(counts["new"][case.name] / counts["old"][case.name], 4),
            }
            for case in cases
        ]
    args.out.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    report(result)
    print(f"written to {args.out}")


def options(words: list[str]) -> list[str]:
    """Return the words of a command without the executables and the note.

    >>> options(["old/python", "new/python", "--rounds", "60", "--note", "a busy machine"])
    ['--rounds', '60']
    """
    first = next((k for k, word in enumerate(words) if word.startswith("--")), len(words))
    note = words.index("--note") if "--note" in words else len(words)
    return words[first:note] + words[note + 2 :]


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("old", help="Python executable of the build to compare with")
    parser.add_argument("new", help="Python executable of the build in question")
    parser.add_argument("--kinds", nargs="+", choices=list(GROUPS), default=list(GROUPS))
    parser.add_argument("--cells", nargs="+", choices=CELLS, default=list(CELLS))
    parser.add_argument("--sizes", nargs="+", default=["1x128"], help="batch and hidden size, as in 1x128")
    parser.add_argument("--steps", type=int, default=100, help="steps of a sequence")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="thread counts to measure with")
    parser.add_argument("--rounds", type=int, default=60, help="turns of each case and build")
    parser.add_argument("--processes", type=int, default=20, help="pairs of processes that share the rounds")
    parser.add_argument("--instructions", action="store_true", help="count instructions under Valgrind, too")
    parser.add_argument("--note", default="", help="what else the machine did meanwhile")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "single-call.json")
    return parser.parse_args()


def report(result: dict[str, Any]) -> None:
    """Print the rows as a table."""
    for row in result["times"]:
        print(
            f"{row['case']:20} {row['threads']} thread(s)  {row['old']['median_us']:9.2f} → "
            f"{row['new']['median_us']:9.2f} µs  ratio {row['ratio']:.3f}, of minima {row['ratio_of_minima']:.3f}"
        )
    for row in result.get("instructions", []):
        print(f"{row['case']:20} instructions {row['old']:11,} → {row['new']:11,}  ratio {row['ratio']:.4f}")


def about(python: str) -> dict[str, str]:
    """Return versions and commit of a build."""
    worker = Worker(python)
    answer: dict[str, str] = worker.ask({"about": True})
    worker.close()
    return answer


def timed(cases: list[Case], builds: dict[str, str], threads: int, rounds: int, processes: int) -> list[dict[str, Any]]:
    """Return one row a case: microseconds of a call in both builds, and their ratio."""
    turns: dict[str, dict[str, list[list[float]]]] = {case.name: {name: [] for name in builds} for case in cases}
    shuffled, order, generator = list(cases), list(builds), random.Random(0)
    for _ in range(processes):
        workers = {name: Worker(python) for name, python in builds.items()}
        for worker in workers.values():
            worker.ask({"threads": threads})
        for _ in range(max(1, rounds // processes)):
            generator.shuffle(shuffled)
            for case in shuffled:
                generator.shuffle(order)
                for name in order:
                    turns[case.name][name].append(workers[name].ask({"case": asdict(case)}))
        for worker in workers.values():
            worker.close()
    return [make_row(case.name, threads, turns[case.name]) for case in cases]


def make_row(case: str, threads: int, turns: dict[str, list[list[float]]]) -> dict[str, Any]:
    """Return a row of the result, from the seconds of a call in each turn of each build."""
    medians = {name: [median(turn) for turn in of_build] for name, of_build in turns.items()}
    shortest = {name: min(min(turn) for turn in of_build) for name, of_build in turns.items()}
    ratios = sorted(new / old for old, new in zip(medians["old"], medians["new"], strict=True))
    quarter = len(ratios) // 4
    return {
        "case": case,
        "threads": threads,
        **{
            name: {"median_us": round(median(medians[name]) * 1e6, 3), "min_us": round(shortest[name] * 1e6, 3)}
            for name in turns
        },
        "ratio": round(median(ratios), 4),
        "ratio_quartiles": [round(ratios[quarter], 4), round(ratios[-1 - quarter], 4)],
        "ratio_of_minima": round(shortest["new"] / shortest["old"], 4),
    }


def work() -> None:
    """Answer requests until standard input ends."""
    import torch

    import unrolled

    gc.disable()
    calls: dict[Case, Callable[[], object]] = {}
    for line in sys.stdin:
        request = json.loads(line)
        answer: Any = None
        if "about" in request:
            answer = {"unrolled": unrolled.__version__, "torch": torch.__version__, "commit": commit(unrolled.__file__)}
        elif "threads" in request:
            torch.set_num_threads(request["threads"])
        else:
            case = Case(**request["case"])
            if case not in calls:
                calls[case] = case.make()
            answer = one_turn(calls[case], GROUPS[case.kind])
        print(json.dumps(answer), flush=True)


def one_turn(call: Callable[[], object], group: int) -> list[float]:
    """Return the seconds of a call, one number for each group of calls in a turn."""
    times: list[float] = []
    begin = time.perf_counter()
    while True:
        start = time.perf_counter()
        for _ in range(group):
            call()
        now = time.perf_counter()
        if start > begin + TURN / 4:
            times.append((now - start) / group)
        if now > begin + TURN and len(times) >= 3:
            return times


def commit(file: str) -> str | None:
    """Return the commit that a module was imported from, if it lies in a git repository."""
    command = ["git", "-C", str(Path(file).parent), "rev-parse", "--short", "HEAD"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip() or None


def counted(python: str, cases: list[Case]) -> dict[str, float]:
    """Return the instructions of a call of each case, run by Callgrind on one thread."""
    with tempfile.TemporaryDirectory() as folder:
        library, source = Path(folder) / "callgrind.so", Path(folder) / "callgrind.c"
        source.write_text(CALLGRIND, encoding="utf-8")
        subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", str(library), str(source)], check=True)
        # as reproducible as it gets: hashes fixed, one thread
        variables = {**os.environ, "PYTHONHASHSEED": "0", "UNROLLED_CPU": "avx2", "OMP_NUM_THREADS": "1"}
        valgrind = ["valgrind", "--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={folder}/out"]
        request = json.dumps([asdict(case) for case in cases])
        command = [*valgrind, python, __file__, "--count", str(library), request]
        subprocess.run(command, check=True, env=variables, capture_output=True)
        totals: dict[str, float] = {}
        for dump in Path(folder).glob("out.*"):
            text = dump.read_text(encoding="utf-8", errors="replace")
            trigger = re.search(r"desc: Trigger: Client Request: (.*)", text)
            summary = re.search(r"^(?:summary|totals): (\d+)", text, re.MULTILINE)
            if trigger and summary:
                totals[trigger[1]] = int(summary[1]) / COUNTED[trigger[1].split()[1]]
        return totals


def count(library: str, cases: list[Case]) -> None:
    """Run every case under Callgrind, and have it write the instructions of each."""
    import torch

    torch.set_num_threads(1)
    gc.disable()
    callgrind = ctypes.CDLL(library)
    for case in cases:
        call = case.make()
        for _ in range(5):
            call()
        callgrind.begin()
        for _ in range(COUNTED[case.kind]):
            call()
        callgrind.end(case.name.encode())


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        work()
    elif sys.argv[1:2] == ["--count"]:
        count(sys.argv[2], [Case(**fields) for fields in json.loads(sys.argv[3])])
    else:
        main()
