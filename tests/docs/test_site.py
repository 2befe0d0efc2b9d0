"""The site builds strictly, fetches nothing, and documents every public name; links hold in the repository, too."""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import unrolled

pytest.importorskip("mkdocstrings", reason="the extra docs is not installed")
pytest.importorskip("material", reason="the extra docs is not installed")
griffe = pytest.importorskip("griffe")
# the site takes a quarter of a minute, and several on a busy machine
pytestmark = pytest.mark.timeout(900)

ROOT = Path(__file__).parents[2]
ROOMS = ("cells", "data", "decoding", "export", "inspection", "kernels", "layers", "networks", "serving", "tasks")
ROOMS += ("testing", "training")
_FETCHED = re.compile(
    r"<(?:script|img|iframe|source)\b[^>]*?\bsrc=[\"']?((?:https?:)?//[^\"' >]+)"
    r"|<link\b[^>]*?\bhref=[\"']?((?:https?:)?//[^\"' >]+)"
)
_FENCE = re.compile(r"```.*?```|`[^`\n]*`", re.DOTALL)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the built site."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    env = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    run = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, encoding="utf-8")
    assert run.returncode == 0, run.stderr[-3000:]
    return folder


def test_the_site_fetches_nothing(site: Path) -> None:
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 50
    for page in pages:
        html = page.read_text("utf-8")
        fetched = re.findall(
            r"<(?:script|img|link|iframe|source)\b[^>]*?(?:src|href)=[\"']?((?:https?:)?//[^\"' >]+)", html
        )
        assert fetched == [], page.name


def test_formulas_need_no_script(site: Path) -> None:
    html = (site / "derivations" / "lstm.html").read_text("utf-8")
    assert html.count("<math") > 20
    assert "arithmatex" not in html


def test_every_public_name_is_in_the_reference(site: Path) -> None:
    anchors = "".join(page.read_text("utf-8") for page in (site / "reference").glob("*.html"))
    names = [f"unrolled.{name}" for name in unrolled.__all__ if name != "__version__"]
    for room in ROOMS:
        names += [f"unrolled.{room}.{name}" for name in importlib.import_module(f"unrolled.{room}").__all__]

    def is_there(name: str) -> bool:
        # a function named like its own file is documented there
        return any(f'id="{path}"' in anchors for path in (name, f"{name}.{name.rpartition('.')[2]}"))

    assert [name for name in names if not is_there(name)] == []


def test_links_lead_to_copies_of_files_outside_the_documents(site: Path) -> None:
    results = (site / "results.html").read_text("utf-8")
    copies = re.findall(r'href="(repository/[^"#]+)"', results)
    assert len(copies) > 30
    assert [copy for copy in copies if not (site / copy).is_file()] == []
    assert 'href="repository/examples/own_network.py.html"' in (site / "shapes.html").read_text("utf-8")


def test_examples_in_docstrings_are_code(site: Path) -> None:
    for page in (site / "reference").glob("*.html"):
        assert "<blockquote>" not in page.read_text("utf-8"), page.name
    # prompts that the highlighter has marked
    assert (site / "reference" / "layers.html").read_text("utf-8").count('<span class="gp">') > 10


def test_a_name_without_a_docstring_is_reported() -> None:
    sys.path.insert(0, str(ROOT / "docs" / "site"))
    try:
        from hooks import undocumented  # type: ignore[import-not-found]
    finally:
        sys.path.pop(0)
    source = '''
"""A module."""
class A:
    """A class."""
    def told(self): "It is documented."
    def untold(self): ...
    def _private(self): ...
def bare(): ...
'''
    with griffe.temporary_visited_module(source, module_name="planted") as module:
        assert undocumented(module) == ["planted.A.untold", "planted.bare"]


def links() -> Iterator[tuple[Path, str]]:
    """Yield each relative link of the repository's documents."""
    for page in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\((?![a-z]+:)([^)\s]+)\)", _FENCE.sub("", page.read_text("utf-8"))):
            yield page, target


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as the site and the usual hosts of repositories make them."""
    headings = re.findall(r"(?m)^#+ (.+)$", re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.DOTALL))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def test_links_hold_in_the_repository() -> None:
    broken, count = [], 0
    for page, target in links():
        path, _, anchor = target.partition("#")
        file = page.parent / path if path else page
        count += 1
        if not file.is_file() or (anchor and file.suffix == ".md" and anchor not in anchors(file)):
            broken.append(f"{page.relative_to(ROOT)}: {target}")
    assert count > 100
    assert broken == []
