"""How the repository becomes the site: its other documents, links out of `docs/`, formulas, and undocumented names.

- CHANGELOG.md and CONTRIBUTING.md become pages.
- A link from a page to a file outside `docs/` leads to a copy of the file in the site; Python files become pages.
- Formulas, in dollars as on GitHub, become MathML, which browsers draw without a script.
- A public name without a docstring in the API reference is a warning, which `--strict` makes an error.
"""

from __future__ import annotations

import functools
import html
import logging
import posixpath
import re
from pathlib import Path
from typing import Any

import griffe
from latex2mathml.converter import convert
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[2]
#: documents of the repository that are pages of the site
PAGES = {"CHANGELOG.md": "changelog.md", "CONTRIBUTING.md": "contributing.md", "README.md": "index.md"}
#: where copies of other files lie in the site
COPIES = "repository"

log = logging.getLogger("mkdocs.hooks.site")

_LINK = re.compile(r"(?<=\]\()(?![a-z]+:|#)([^)\s#]+)(?=[)#])")
_FENCE = re.compile(r"(```.*?```|`[^`\n]*`)", re.DOTALL)
_FORMULA = re.compile(r'<(span|div) class="arithmatex">\\([(\[])(.*?)\\[)\]]</\1>', re.DOTALL)
_DIRECTIVE = re.compile(r"(?m)^::: (\S+)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the documents of the repository, and the files outside `docs/` that pages link to."""
    for name, page in PAGES.items():
        if page not in files.src_uris:
            files.append(File.generated(config, page, content=(ROOT / name).read_text("utf-8")))
    for page in list(files.documentation_pages()):
        for target in _LINK.findall(_without_code(page.content_string)):
            copy = _copy_of(_in_repository(page.src_uri, target))
            if copy and copy not in files.src_uris:
                files.append(_copied(config, copy))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Lead links to where their targets are in the site, and report public names without a docstring."""
    if page.file.src_uri.startswith(COPIES):
        return markdown
    for name in _DIRECTIVE.findall(markdown):
        inner = name.removeprefix("unrolled").lstrip(".")
        for missing in undocumented(package()[inner] if inner else package()):
            log.warning("%s: the public name %s has no docstring", page.file.src_uri, missing)
    parts = _FENCE.split(markdown)
    here = posixpath.dirname(page.file.src_uri)
    for n in range(0, len(parts), 2):
        parts[n] = _LINK.sub(lambda m: _in_site(page.file.src_uri, m[1], here), parts[n])
    return "".join(parts)


def on_page_content(content: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn formulas into MathML."""
    return _FORMULA.sub(_mathml, content)


def undocumented(root: Any) -> list[str]:
    """Return the paths of the public names without a docstring: an object, its members, and the methods of classes.

    Attributes need none: annotations and comments say what they are.
    """
    objects = [root, *(root[member] for member in _public(root))]
    classes = [thing for thing in objects if thing.is_class]
    objects += [thing[member] for thing in classes for member in _public(thing)]
    return sorted({thing.path for thing in objects if not thing.has_docstring and not thing.is_attribute})


@functools.cache
def package() -> griffe.Module:
    """Return the package, read without being imported."""
    loader = griffe.GriffeLoader(search_paths=[ROOT / "src"])
    module = loader.load("unrolled")
    loader.resolve_aliases(implicit=True, external=False)
    assert isinstance(module, griffe.Module)
    return module


def _public(thing: Any) -> list[str]:
    return [name for name, member in thing.members.items() if member.is_public and not name.startswith("_")]


def _without_code(markdown: str) -> str:
    return "".join(_FENCE.split(markdown)[::2])


def _in_repository(page: str, target: str) -> str:
    """Return the path of a link's target in the repository."""
    origin = next((name for name, uri in PAGES.items() if uri == page and uri != "index.md"), f"docs/{page}")
    return posixpath.normpath(posixpath.join(posixpath.dirname(origin), target))


def _copy_of(path: str) -> str | None:
    """Return where the copy of a file outside `docs/` is in the site; None for pages."""
    if path.startswith("docs/") or path in PAGES:
        return None
    return f"{COPIES}/{path}.md" if path.endswith(".py") else f"{COPIES}/{path}"


def _copied(config: MkDocsConfig, copy: str) -> File:
    path = copy.removeprefix(f"{COPIES}/")
    if not path.endswith(".py.md"):
        return File.generated(config, copy, abs_src_path=str(ROOT / path))
    path = path.removesuffix(".md")
    text = f"---\nsearch: {{ exclude: true }}\n---\n# {path}\n\n```python\n{(ROOT / path).read_text('utf-8')}```\n"
    return File.generated(config, copy, content=text)


def _in_site(page: str, target: str, here: str) -> str:
    path = _in_repository(page, target)
    return posixpath.relpath(_copy_of(path) or PAGES.get(path) or path.removeprefix("docs/"), here or ".")


def _mathml(match: re.Match[str]) -> str:
    formula = html.unescape(match[3])
    if match[2] == "(":
        return convert(formula)
    return f'<div style="margin: 1em 0; overflow-x: auto">{convert(formula, display="block")}</div>'
