"""The plan of the house: no circles, no folder that is too wide, and the one way through `tasks`."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.house import WIDE, House

HOUSE = House(Path(__file__).parents[1])
#: part of `tasks` → the parts it may import, besides itself
TASKS = {"core": (), "inputs": ("core",), "outputs": ("core",), "uses": ("core", "inputs", "outputs")}
IN_TASKS = [path for path in HOUSE.texts if path.relative_to(HOUSE.source).parts[0] == "tasks"]


def test_no_modules_import_each_other_in_a_circle() -> None:
    assert HOUSE.circles() == []


def test_no_folder_is_too_wide() -> None:
    assert {name: count for name, count in HOUSE.folders().items() if count > 16 and name not in WIDE} == {}


def test_every_file_can_be_read_in_a_sitting_and_every_function_on_a_screen() -> None:
    assert [place for lines, place in HOUSE.files() if lines > 400] == []
    assert [place for lines, place in HOUSE.functions() if lines > 60] == []


@pytest.mark.parametrize("path", IN_TASKS, ids=lambda path: path.relative_to(HOUSE.source).as_posix())
def test_tasks_know_only_what_is_below_them(path: Path) -> None:
    part, *rest = path.relative_to(HOUSE.source / "tasks").parts
    if part == "__init__.py":
        pytest.skip("the room's door hands names on")
    leaks = []
    for module in HOUSE.imports(path):
        if not module.startswith("unrolled.tasks."):
            continue
        other, *more = module.removeprefix("unrolled.tasks.").split(".")
        allowed = other == part or other in TASKS[part]
        # inputs know inputs, outputs outputs; a use knows no other use
        own = part != "uses" or other != "uses" or more[0] == rest[0]
        # how a use is spoken to concerns the server alone
        spoken = more[-1:] != ["api"] or path.name in ("api.py", "payloads.py")
        if not (allowed and own and spoken):
            leaks.append(module)
    assert leaks == []


def test_only_the_server_asks_how_uses_are_spoken_to() -> None:
    rooms = {
        path.relative_to(HOUSE.source).parts[0]
        for path in HOUSE.texts
        for module in HOUSE.imports(path)
        if module.startswith("unrolled.tasks.") and module.endswith(".api")
    }
    assert rooms <= {"tasks", "serving"}
