"""The tour's commands all work: run at a small size."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_every_command_of_the_tour_runs_and_draws(tmp_path: Path) -> None:
    for library in ("matplotlib", "sklearn", "PIL", "soundfile", "jiwer", "seqeval", "sacrebleu"):
        pytest.importorskip(library)
    command = [sys.executable, str(ROOT / "docs" / "tour" / "build.py"), "--small", "--out", str(tmp_path)]
    run = subprocess.run(command, capture_output=True, text=True, encoding="utf-8")
    assert run.returncode == 0, run.stderr[-2000:]
    page = (tmp_path / "tour.md").read_text("utf-8")
    pictures = [line for line in page.splitlines() if line.startswith("![")]
    assert len(pictures) >= 7
    for line in pictures:
        name = line.split("](")[1].removesuffix(")")
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG"), name


def test_the_page_was_built_from_these_chapters() -> None:
    sys.path.insert(0, str(ROOT / "docs" / "tour"))
    try:
        from chapters import CHAPTERS, Run  # type: ignore[import-not-found]
    finally:
        sys.path.pop(0)
    page = (ROOT / "docs" / "tour.md").read_text("utf-8")
    for chapter in CHAPTERS:
        assert chapter.title in page
        for part in chapter.parts:
            said = f"$ {part.command}\n" if isinstance(part, Run) else part
            assert said in page, "run `make tour`"
            for name, _ in part.figures if isinstance(part, Run) else ():
                assert (ROOT / "docs" / "images" / "tour" / f"{name.replace('/', '-')}.png").is_file(), name
