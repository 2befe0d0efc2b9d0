"""Help pages: examples first, every option explained, nothing heavy imported for the first of them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import unrolled as package
from unrolled.cli.options import GLOSSARY
from unrolled.cli.reference import pages
from unrolled.settings import Settings
from unrolled.tasks import task_named, task_names
from unrolled.training import TrainingSettings

from .running import unrolled

PAGES = dict(pages())


def models_of(name: str) -> list[type[Settings]]:
    """All that a task lets a user choose."""
    task = task_named(name)
    return [m for m in (task.options, task.evaluate_options, task.predict_options, task.writing_options) if m]


def test_every_command_is_there() -> None:
    wanted = {
        "train",
        "train generate",
        "evaluate",
        "predict",
        "personalise",
        "data",
        "data list",
        "data get",
        "doctor",
        "demo",
    }
    assert PAGES.keys() >= {"unrolled"} | {f"unrolled {name}" for name in wanted}


@pytest.mark.parametrize("name", PAGES)
def test_a_help_page_begins_with_an_example(name: str) -> None:
    result = unrolled(*name.split()[1:], "--help")
    assert result.code == 0
    first = result.out.strip().splitlines()[0].strip()
    assert first.startswith(name if name != "unrolled" else "unrolled train generate")
    assert "Usage: unrolled" in result.out
    assert result.err == ""


@pytest.mark.parametrize("name", task_names())
def test_every_option_of_training_is_explained(name: str) -> None:
    for model in (TrainingSettings, *models_of(name)):
        unexplained = [n for n, field in model.model_fields.items() if not (field.description or n in GLOSSARY)]
        assert unexplained == []


def test_the_glossary_has_no_word_too_many() -> None:
    used = {n for name in task_names() for model in models_of(name) for n in model.model_fields} | set(
        TrainingSettings.model_fields
    )
    assert set(GLOSSARY) <= used


def test_no_arguments_show_the_help_page_and_the_version_is_short() -> None:
    assert "Usage: unrolled" in unrolled().err
    assert unrolled().code == 2
    assert unrolled("--version") == (0, f"unrolled {package.__version__}\n", "")


def test_the_first_help_page_needs_nothing_heavy() -> None:
    # the package's own __init__ aside: it exports layers, and these need torch
    code = (
        "import sys, types; package = types.ModuleType('unrolled'); package.__path__ = [sys.argv.pop(1)];"
        "sys.modules['unrolled'] = package; from unrolled.cli import main; code = main();"
        "sys.exit(code or [m for m in ('torch', 'numpy', 'tokenizers', 'matplotlib') if m in sys.modules] or 0)"
    )
    folder = str(Path(package.__file__).parent)
    run = subprocess.run([sys.executable, "-c", code, folder, "--help"], capture_output=True, text=True)
    assert (run.returncode, run.stderr) == (0, "")


def test_verbose_says_why(text: Path, tmp_path: Path) -> None:
    command = ("train", "generate", text, "--steps", 1, "--quiet", "--threads", 1, "--hidden-size", 8)
    loud = unrolled("--verbose", *command, "--out", tmp_path / "a")
    assert "unrolled.tasks: " in loud.err
    assert unrolled(*command, "--out", tmp_path / "b").err == ""
