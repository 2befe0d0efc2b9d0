"""The English that comes with Python: its language reference, and what its library says of itself."""

from __future__ import annotations

import ast
import sysconfig
from collections.abc import Iterator
from pathlib import Path

#: parts of the library that are no documentation to read, or are not there everywhere
LEFT_OUT = {"site-packages", "dist-packages", "test", "tests", "idlelib", "lib2to3", "pydoc_data", "__pycache__"}
#: characters of a paragraph worth reading
SHORTEST = 60
_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def python_documentation() -> Iterator[tuple[str, str]]:
    """Yield the topics of the language reference, then the docstrings of each module of the library, with their names.

    Always in the same order; nothing is imported. Paragraphs are separated by blank lines. A Python that was installed
    without its reference or its library's source has less of both.
    """
    try:
        from pydoc_data.topics import topics
    except ImportError:
        pass
    else:
        yield from sorted(topics.items())
    library = Path(sysconfig.get_path("stdlib"))
    for path in sorted(library.rglob("*.py")):
        place = path.relative_to(library)
        if LEFT_OUT.isdisjoint(place.parts) and (text := "\n\n".join(docstrings(path))):
            yield place.as_posix(), text


def docstrings(path: Path) -> Iterator[str]:
    """Yield the docstrings of a module, its own first; none where it can't be parsed."""
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError):
        # files that are meant to be broken, or of another Python, lie in some libraries
        return
    for node in ast.walk(tree):
        if isinstance(node, _DOCUMENTED) and (text := ast.get_docstring(node)):
            yield text


def split_documentation(one_in: int) -> tuple[list[str], list[str]]:
    """Return the texts to learn from, and every so many-th one to judge by.

    Texts quote each other at length. A paragraph is kept only where it first occurs, so that none that is judged has
    been memorised; what is short, or a session at the prompt, is left out.
    """
    seen: set[str] = set()
    parts: tuple[list[str], list[str]] = ([], [])
    # what is judged comes first, so that it stays whole
    for number, (_, text) in sorted(enumerate(python_documentation()), key=lambda item: item[0] % one_in != 0):
        paragraphs = []
        for paragraph in text.split("\n\n"):
            if len(paragraph) > SHORTEST and ">>>" not in paragraph and paragraph.strip() not in seen:
                seen.add(paragraph.strip())
                paragraphs.append(paragraph)
        if paragraphs:
            parts[number % one_in == 0].append("\n\n".join(paragraphs).strip("\n") + "\n")
    return parts
