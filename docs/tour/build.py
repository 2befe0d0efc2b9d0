"""Build docs/tour.md: run every command of the tour, keep what it says and draws.

python docs/tour/build.py                      writes docs/tour.md and docs/images/tour (about 10 minutes)
python docs/tour/build.py --small --out DIR    the same commands at a small size, to see that they all work
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from chapters import CHAPTERS, Run

from data import make_all
from unrolled.cli import main as unrolled

DOCS = Path(__file__).resolve().parents[1]
INTRODUCTION = """# A tour of recurrent neural networks

The chapters of an introductory article, in their order, each with commands that were really run and pictures that they
drew. `make tour` runs them all again and writes this page. The data is small and made for the tour
(`docs/tour/data.py`), so each command takes seconds to a few minutes on two cores; results on
published data are in the [results](results.md).
"""


def build(out: Path, images: Path, small: bool) -> None:
    """Run everything, and write the page.

    Args:
        out: the Markdown file.
        images: the folder for its pictures.
        small: at a small size.
    """
    lines = [INTRODUCTION]
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        make_all(work)
        for number, chapter in enumerate(CHAPTERS, 1):
            print(f"{number}. {chapter.title}", flush=True)
            lines.append(f"## {number}. {chapter.title}\n")
            for part in chapter.parts:
                lines.append(done(part, work, images, small) if isinstance(part, Run) else f"{part}\n")
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text("\n".join(lines), encoding="utf-8")


def done(run: Run, work: Path, images: Path, small: bool) -> str:
    """Run a command, and what the page says of it."""
    command = run.command.replace(*run.small) if small and run.small[0] else run.command
    print(f"   {command}", flush=True)
    arguments = shlex.split(command)
    said = io.StringIO()
    with inside(work), contextlib.redirect_stdout(said):
        code = unrolled(arguments[1:])
    if code != 0:
        raise SystemExit(f"{command}\n{said.getvalue()}\nended with {code}")
    lines = said.getvalue().rstrip().splitlines()
    kept = [
        line
        for line in lines
        if line.strip() and not line.lstrip().startswith("next:") and "unrolled evaluate" not in line
    ]
    text = "\n".join(["$ " + run.command, *(kept[-run.lines :] if run.lines else [])])
    parts = [f"```text\n{text}\n```\n"]
    for name, caption in run.figures:
        images.mkdir(parents=True, exist_ok=True)
        target = images / f"{name.replace('/', '-')}.png"
        shutil.copy(work / f"{name}.png", target)
        parts.append(f"![{caption}](images/tour/{target.name})\n\n*{caption}*\n")
    return "\n".join(parts)


@contextlib.contextmanager
def inside(folder: Path) -> Iterator[None]:
    """Work in a folder for a while."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def main() -> None:
    """Build it where it belongs, or elsewhere at a small size."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--out", type=Path, default=DOCS)
    args = parser.parse_args()
    build(args.out / "tour.md", args.out / "images" / "tour", args.small)


if __name__ == "__main__":
    main()
