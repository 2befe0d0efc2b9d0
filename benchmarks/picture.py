"""Draw `docs/images/learning.png` from a result file: the loss over training, and samples on the way.

python benchmarks/picture.py benchmarks/results/tinyshakespeare-3min.json
"""

from __future__ import annotations

import argparse
import json
import re
import textwrap
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

INK, BLUE, ORANGE = "#222222", "#0072B2", "#D55E00"


def samples(text: str) -> list[tuple[int, str]]:
    """Return step and text of each sample in samples.md."""
    sections = re.findall(r"## Step (\d+) .*?\n\n(`{3,})text\n(.*?)\n\2", text, flags=re.DOTALL)
    return [(int(step), body) for step, _, body in sections]


def chosen(all_samples: list[tuple[int, str]], count: int = 4) -> list[tuple[int, str]]:
    """Return the first sample, the last, and some in between, evenly spaced on a logarithmic scale of steps."""
    if len(all_samples) <= count:
        return all_samples
    steps = [step for step, _ in all_samples]
    last = steps[-1]
    picks = {0, len(steps) - 1}
    for k in range(1, count - 1):
        aim = last ** (k / (count - 1)) if k else 0
        picks.add(min(range(1, len(steps) - 1), key=lambda i: abs(steps[i] - aim) + 1e9 * (i in picks)))
    return [all_samples[i] for i in sorted(picks)]


def draw(result: dict[str, Any], path: Path) -> None:
    """Draw the loss by minutes on the left, and samples on the right."""
    curve = result["curve"]
    figure = Figure(figsize=(11, 5.4), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.15))
    left.plot([p["minutes"] for p in curve], [p["loss"] for p in curve], color=BLUE, marker="o", markersize=3)
    ngram = result["baseline"]["nats_per_character"]
    left.axhline(ngram, color=ORANGE, linestyle="--", linewidth=1)
    left.text(curve[-1]["minutes"], ngram, f"{result['baseline']['model'].split(',')[0]}: {ngram:.2f}", color=ORANGE,
              ha="right", va="bottom", fontsize=9)  # fmt: skip
    left.set(xlabel="training time (minutes)", ylabel="loss on held-out text (nats per character)")
    left.set_title("tinyshakespeare, last 10 %", fontsize=10, color=INK)
    left.grid(alpha=0.25)
    right.axis("off")
    minutes = {p["step"]: p for p in curve}
    blocks = []
    for step, body in chosen(samples(result["samples"])):
        at = minutes.get(step)
        lines = [w for line in body.splitlines() if line.strip() for w in textwrap.wrap(line, 58)][:5]
        head = f"step {step}" + (f" · {at['minutes']:.1f} min · loss {at['loss']:.2f}" if at else "")
        blocks.append((head, lines))
    y = 1.0
    for head, lines in blocks:
        right.text(0, y, head, fontsize=9, color=BLUE, fontweight="bold", va="top", transform=right.transAxes)
        shown = "\n".join(line.replace("$", r"\$") for line in lines)
        right.text(0, y - 0.04, shown, fontsize=8.5, color=INK, family="monospace", va="top", transform=right.transAxes)
        y -= 0.26
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110, facecolor="white")


def main() -> None:
    """Read a result and draw it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("result", type=Path)
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1] / "docs" / "images" / "learning.png")
    args = parser.parse_args()
    draw(json.loads(args.result.read_text(encoding="utf-8")), args.out)
    print(args.out)


if __name__ == "__main__":
    main()
