"""Measure the house: what `docs/architecture.md` says of lines, files, circles and types, from the code alone.

python -m tests.house [REPOSITORY …]    rows of a Markdown table, a column for each checkout (this one if none is named)
"""

from __future__ import annotations

import ast
import re
import sys
from collections import Counter
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

#: rooms in which the lines are counted on their own
ROOMS = ("data", "kernels", "serving", "tasks")
_ANY = re.compile(r"(?m)^.*\bAny\b.*$")
#: folders that are one file for each command
WIDE = ("cli",)


class House:
    """The source of one checkout."""

    def __init__(self, repository: Path) -> None:
        self.repository, self.source = repository, repository / "src" / "unrolled"

    @cached_property
    def texts(self) -> dict[Path, str]:
        """Every Python file of the package."""
        return {path: path.read_text("utf-8") for path in sorted(self.source.rglob("*.py"))}

    @cached_property
    def trees(self) -> dict[Path, ast.Module]:
        """The same, parsed."""
        return {path: ast.parse(text) for path, text in self.texts.items()}

    @cached_property
    def modules(self) -> dict[str, Path]:
        """Files by the name of their module."""
        return {self.name_of(path): path for path in self.texts}

    def name_of(self, path: Path) -> str:
        """Return the name of a file's module."""
        return ".".join(["unrolled", *path.relative_to(self.source).with_suffix("").parts]).removesuffix(".__init__")

    def imports(self, path: Path) -> Iterator[str]:
        """Yield the modules of the package that a file imports, in functions and under TYPE_CHECKING too."""
        for node in ast.walk(self.trees[path]):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names if alias.name in self.modules)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                for alias in node.names:
                    whole = f"{node.module}.{alias.name}"
                    if whole in self.modules or node.module in self.modules:
                        yield whole if whole in self.modules else node.module

    def circles(self) -> list[list[str]]:
        """Return the groups of modules that import each other in a loop; packages only hand names on."""
        graph = {
            name: {other for other in self.imports(path) if other != name and self.modules[other].name != "__init__.py"}
            for name, path in self.modules.items()
            if path.name != "__init__.py"
        }
        return [sorted(group) for group in _strongly_connected(graph) if len(group) > 1]

    def functions(self) -> Iterator[tuple[int, str]]:
        """Yield the length of every function, in lines, and its place."""
        for path, tree in self.trees.items():
            for node in ast.walk(tree):
                if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.end_lineno is not None:
                    yield node.end_lineno - node.lineno + 1, f"{path.relative_to(self.source)}:{node.name}"

    def files(self) -> Iterator[tuple[int, str]]:
        """Yield the length of every source file, in lines, and its place; C++, JavaScript and CSS included."""
        for base in (self.source, self.repository / "native"):
            for path in sorted(base.rglob("*")):
                if path.suffix in (".py", ".cpp", ".hpp", ".js", ".css", ".html"):
                    yield len(path.read_text("utf-8").splitlines()), str(path.relative_to(self.repository))

    def folders(self) -> dict[str, int]:
        """Return how many Python files each folder holds."""
        return dict(Counter(str(path.parent.relative_to(self.source)) for path in self.texts))

    def figures(self) -> dict[str, str]:
        """Return what the table shows, by its name."""
        classes = Counter(
            node.name
            for tree in self.trees.values()
            for node in ast.walk(tree)
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
        )
        files, text = list(self.files()), "\n".join(self.texts.values())
        most = max((count, name) for name, count in self.folders().items() if name not in WIDE)
        of_rooms = {
            room: sum(lines for lines, name in files if name.startswith(f"src/unrolled/{room}/")) for room in ROOMS
        }
        return {
            "lines of source": f"{sum(lines for lines, _ in files):,}",
            **{f"of these in `{room}`": f"{lines:,}" for room, lines in of_rooms.items()},
            "files of source": f"{len(files):,}",
            "most Python files in a folder": f"{most[0]} (`{most[1]}`)",
            "circles of imports": str(len(self.circles())),
            "files over 400 lines": str(sum(lines > 400 for lines, _ in files)),
            "functions over 60 lines": str(sum(lines > 60 for lines, _ in self.functions())),
            "lines that mention `Any`": f"{len(_ANY.findall(text)):,}",
            "`type: ignore`": str(text.count("type: ignore")),
            "names of public classes used twice": str(sum(count > 1 for count in classes.values())),
        }


def _strongly_connected(graph: dict[str, set[str]]) -> list[list[str]]:
    """Return the strongly connected components of a graph.

    Source: Tarjan 1972, doi:10.1137/0201010.
    """
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    groups: list[list[str]] = []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in graph.get(node, ()):
            if other not in index:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], index[other])
        if low[node] == index[node]:
            at = stack.index(node)
            groups.append(stack[at:])
            del stack[at:]

    for node in graph:
        if node not in index:
            visit(node)
    return groups


def main() -> None:
    """Print the table's rows, with a column for each checkout."""
    checkouts = [Path(path) for path in sys.argv[1:]] or [Path(__file__).parents[1]]
    columns = [House(path).figures() for path in checkouts]
    for name in columns[0]:
        print(f"| {name} |", " | ".join(figures[name] for figures in columns), "|")


if __name__ == "__main__":
    main()
