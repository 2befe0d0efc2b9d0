"""Documents that are made of the code are what the code would make of them now."""

from __future__ import annotations

from pathlib import Path

from unrolled.cli.reference import markdown

DOCS = Path(__file__).parents[1] / "docs"


def test_the_help_pages_are_up_to_date() -> None:
    assert (DOCS / "cli.md").read_text("utf-8") == markdown(), "run `make docs`"
