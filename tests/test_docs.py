"""Documents that are made of the code are what the code would make of them now."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

from unrolled.cli.reference import markdown

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"


def tables(name: str = "tables") -> ModuleType:
    """A script that writes tables of results; it is no part of the package."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "benchmarks" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_help_pages_are_up_to_date() -> None:
    assert (DOCS / "cli.md").read_text("utf-8") == markdown(), "run `make docs`"


def test_the_results_and_the_map_of_the_code_are_up_to_date() -> None:
    pages = tables().pages()
    assert len(pages) == 4
    for path, text in pages.items():
        assert path.read_text("utf-8") == text, "run `python benchmarks/tables.py`"


def test_the_table_of_exported_models_is_up_to_date() -> None:
    page = (DOCS / "export.md").read_text("utf-8")
    assert page == tables("export_table").updated(page), "run `python benchmarks/export_table.py`"


def test_the_results_in_the_page_on_the_engine_are_up_to_date() -> None:
    page = (DOCS / "engine.md").read_text("utf-8")
    assert page == tables("engine_tables").updated(page), "run `python benchmarks/engine_tables.py`"
