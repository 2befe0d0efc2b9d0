"""Kill a training run at random moments, resume it each time, and compare with an uninterrupted run.

    python benchmarks/sigkill.py --data PATH/input.txt --kills 20

The run is `unrolled train generate` in a process of its own; it is killed with SIGKILL after a random time, which may
fall into reading, encoding, a step, an evaluation or a save. Then every file in its folder is read, and it is resumed.
In the end metrics.jsonl must hold the same losses, bit for bit, and the weights must be the same. Writes
`results/sigkill.json` beside this file, and exits with 1 if anything differs.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

from machine import provenance
from safetensors.numpy import load_file

from unrolled.training import read_metrics

OPTIONS = ["--hidden-size", "64", "--num-layers", "2", "--dropout", "0.2", "--batch-size", "16", "--window", "32"]


def command(text: Path, out: Path, steps: int, *more: str) -> list[str]:
    """Return the command line of the run."""
    every = ["--log-every", "1", "--save-every", "7", "--evaluate-every", "15", "--sample-every", "15"]
    task = ["train", "generate", str(text), "--out", str(out), "--steps", str(steps), "--threads", "1", "--quiet"]
    return [sys.executable, "-m", "unrolled.cli", *task, *OPTIONS, *every, *more]


def losses(folder: Path) -> list[tuple[int, str, float]]:
    """Return step, split and loss of every line of metrics.jsonl."""
    return [(m["step"], m["split"], m["loss"]) for m in read_metrics(folder / "metrics.jsonl")]


def unreadable(folder: Path) -> list[str]:
    """Return the files of a killed run that can't be read, except hidden ones, which a resumed run removes."""
    broken = []
    for path in sorted(folder.rglob("*")):
        if not path.is_file() or any(part.startswith(".") for part in path.relative_to(folder).parts):
            continue
        try:
            if path.suffix == ".json":
                json.loads(path.read_text())
            elif path.suffix == ".safetensors":
                load_file(path)
            elif path.name == "metrics.jsonl":
                read_metrics(path)
        except Exception as error:
            broken.append(f"{path.relative_to(folder)}: {error}")
    return broken


def main() -> None:
    """Run once uninterrupted and once with kills, and compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("runs/sigkill"))
    args = parser.parse_args()
    shutil.rmtree(args.out, ignore_errors=True)
    args.out.mkdir(parents=True)
    text = args.out / "text.txt"
    text.write_text(args.data.read_text(encoding="utf-8")[:200_000], encoding="utf-8")

    started = time.perf_counter()
    subprocess.run(command(text, args.out / "whole", args.steps), check=True)
    whole = time.perf_counter() - started
    print(f"uninterrupted: {whole:.1f} s", flush=True)

    draw = random.Random(args.seed)
    kills, broken = [], []
    killed = args.out / "killed"
    while len(kills) < args.kills:
        process = subprocess.Popen(command(text, killed, args.steps, "--resume"))
        delay = draw.uniform(0.5, 0.5 * whole)
        try:
            process.wait(delay)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.returncode == 0:
            # it ended before it could be killed: start again, so that every kill hits a running process
            shutil.rmtree(killed)
            continue
        reached = losses(killed)[-1][0] if (killed / "metrics.jsonl").exists() and losses(killed) else 0
        broken += unreadable(killed)
        kills.append({"after_seconds": delay, "step": reached})
        print(f"kill {len(kills)} after {delay:.1f} s, at step {reached}", flush=True)
    subprocess.run(command(text, killed, args.steps, "--resume"), check=True)

    same_losses = losses(args.out / "whole") == losses(killed)
    weights = [load_file(args.out / name / "model.safetensors") for name in ("whole", "killed")]
    same_weights = all((weights[0][k] == weights[1][k]).all() for k in weights[0])
    result = {
        **provenance(),
        "steps": args.steps,
        "kills": kills,
        "unreadable_files": broken,
        "losses_compared": len(losses(killed)),
        "losses_identical": same_losses,
        "weights_identical": bool(same_weights),
    }
    path = Path(__file__).parent / "results" / "sigkill.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print({k: result[k] for k in ("losses_identical", "weights_identical", "unreadable_files")})
    sys.exit(0 if same_losses and same_weights and not broken else 1)


if __name__ == "__main__":
    main()
