"""Every example in a docstring runs, and gives what it says."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import unrolled


def modules() -> list[str]:
    found = [m.name for m in pkgutil.walk_packages(unrolled.__path__, "unrolled.") if not m.name.endswith("__main__")]
    return ["unrolled", *(name for name in found if not name.startswith("unrolled._native"))]


@pytest.mark.parametrize("name", modules())
def test_examples(name: str) -> None:
    module = importlib.import_module(name)
    examples = [t for t in doctest.DocTestFinder(exclude_empty=True).find(module, name) if t.examples]
    if not examples:
        pytest.skip("no examples")
    said: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    for example in examples:
        runner.run(example, out=said.append)
    assert runner.summarize(verbose=False).failed == 0, "".join(said)


def test_there_are_examples() -> None:
    finder = doctest.DocTestFinder()
    count = sum(len(t.examples) for name in modules() for t in finder.find(importlib.import_module(name), name))
    assert count >= 5
