"""Commands in the documents are ones that the command accepts, their Python runs, and the data they show is read.

Commands are parsed, not run, with the checks of their options' names and values. Models are the stored ones of earlier
versions, under the names that the documents use.
"""

from __future__ import annotations

import inspect
import re
import shlex
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import typer
from tests.models import forms
from typer.core import TyperGroup

import unrolled
from unrolled.cli.app import app
from unrolled.cli.failures import UsageError
from unrolled.data import Findings
from unrolled.errors import UnrolledError
from unrolled.settings import Settings
from unrolled.tasks import Sources, task_named
from unrolled.tasks.core.folder.config import read_config
from unrolled.training import TrainingSettings

ROOT = Path(__file__).parents[2]
STORED = ROOT / "tests" / "models" / "v0.1"
PAGES = ("README.md", "docs/index.md", "docs/layers.md", "docs/inspection.md", "docs/deployment.md")
PAGES += tuple(sorted(f"docs/uses/{path.name}" for path in (ROOT / "docs" / "uses").glob("*.md")))

#: the models that the documents speak of, and the stored model that stands in for each
MODELS = {
    "my-mail": "generate-characters",
    "other-mail": "generate-byte-pairs",
    "feeling": "classify-causal",
    "names": "tag-labels",
    "de-en": "translate",
    "digits": "recognize-rows",
    "captions": "caption",
    "phases": "label-features",
    "dictation": "transcribe-causal",
    "sales": "forecast-direct",
}
#: files that the documents name, and a stored file of the same kind; one that a page shows has too few steps to read
FILES = {
    "photo.png": "caption/data/dev-images/100.png",
    "test/1.csv": "label-features/data/dev/100.csv",
    "seven.png": "caption/data/dev-images/100.png",
    "hello.wav": "transcribe/data/dev0.wav",
    "sales.csv": "forecast-direct/data/all.csv",
}
#: arrays that the documents leave to the reader
ARRAYS = {
    "docs/uses/forecast.md": {"values": forms.series(20)},
    "docs/uses/label.md": {"features": forms.features(50)},
    "docs/uses/recognize.md": {"rows": forms.bar("up", 50)[:4]},
    "docs/uses/transcribe.md": {"samples": forms.samples(["re", "do"], 9)},
}

_IMAGE, _SOUND = "caption/data/dev-images/100.png", "transcribe/data/dev0.wav"
#: data that the documents show: the paths to read it from, its use and options, what it needs beside it, its examples
SHOWN: dict[str, tuple[str, str, dict[str, Any], dict[str, str], int]] = {
    "captions.txt": ("captions.txt", "caption", {}, {"1.jpg": _IMAGE, "2.jpg": _IMAGE}, 2),
    "captions.json": ("captions.json", "caption", {}, {"1.jpg": _IMAGE}, 1),
    "captions.csv": ("captions.csv", "caption", {}, {"1.jpg": _IMAGE}, 1),
    "reviews.tsv": ("reviews.tsv", "classify", {}, {}, 2),
    "reviews.txt": ("reviews.txt", "classify", {}, {}, 2),
    "labelled.txt": ("labelled.txt", "classify", {"format": "label-first"}, {}, 2),
    "sales.csv": ("sales.csv", "forecast", {}, {}, 2),
    "long.csv": ("long.csv", "forecast", {"known": ["price"]}, {}, 2),
    "rows.csv": ("rows.csv", "forecast", {}, {}, 2),
    "tank.csv": ("tank.csv", "signal", {"input": "valve,inflow", "target": "level"}, {}, 1),
    "notes.txt": ("notes.txt", "generate", {}, {}, 1),
    "notes.jsonl": ("notes.jsonl", "generate", {}, {}, 2),
    "mail.mbox": ("mail.mbox", "generate", {}, {}, 1),
    "switches.csv": ("switches.csv", "label", {"time_column": "seconds"}, {}, 1),
    "train.conll": ("train.conll", "tag", {}, {}, 1),
    "train.jsonl": ("train.jsonl", "tag", {}, {}, 1),
    "speech.jsonl": ("speech.jsonl", "transcribe", {}, {"1.wav": _SOUND, "2.wav": _SOUND}, 2),
    "metadata.csv": (".", "transcribe", {}, {"wavs/LJ001.wav": _SOUND, "wavs/LJ002.wav": _SOUND}, 2),
    "wav.scp text": (".", "transcribe", {}, {"wavs/1.wav": _SOUND, "wavs/2.wav": _SOUND}, 2),
    "train.de train.en": ("train.de train.en", "translate", {}, {}, 2),
    "pairs.tsv": ("pairs.tsv", "translate", {"source": "de", "target": "en"}, {}, 1),
    "memory.tmx": ("memory.tmx", "translate", {"source": "de", "target": "en"}, {}, 1),
}
#: files that are shown and can't be read here, and why
NOT_READ = {
    "84-121123.trans.txt": "belongs to FLAC files, which the test of that reader writes",
    "one.align": "belongs to a clip of 31 frames, which is no part of the documents",
    "segments.csv": "belongs to a clip of 20 frames, which is no part of the documents",
}

_FENCE = re.compile(r"^```(\w*)(?: title=\"([^\"]+)\")?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`(unrolled [^`\n]+)`")


def fences(page: str) -> Iterator[tuple[str, str, str, int]]:
    """Yield language, title, text and the line of the text's beginning of each fenced block of a page."""
    text = (ROOT / page).read_text("utf-8")
    for match in _FENCE.finditer(text):
        yield match[1], match[2] or "", match[3], text.count("\n", 0, match.start(3)) + 1


def commands() -> Iterator[tuple[str, str]]:
    """Yield page:line and text of each command in a fenced block."""
    for page in PAGES:
        for language, _, text, begin in fences(page):
            lines = text.splitlines() if language in ("", "sh", "text") else []
            yield from ((f"{page}:{begin + n}", line) for n, line in enumerate(lines) if line.startswith("unrolled "))


def resolved(arguments: Sequence[str]) -> tuple[list[str], Any, list[str]]:
    """Return the path of the command that some arguments name, the command, and the other arguments."""
    command, path, rest = typer.main.get_command(app), [], list(arguments)
    while isinstance(command, TyperGroup) and rest:
        name, command, rest = command.resolve_command(typer.Context(command), rest)
        path.append(str(name))
    return path, command, rest


def parse(line: str) -> None:
    """Parse a command with the checks of its options, and don't run it.

    Raises:
        UnrolledError: it names a task, a model or a value that there is not.
        UsageError: it has an option that there is not, or lacks an argument.
    """
    path, command, rest = resolved(shlex.split(line, comments=True)[1:])
    values = command.make_context(path[-1], rest).params
    # a list that is not given is empty
    given = {name: value for name, value in values.items() if value is not None and value not in ([], ())}
    for settings in declared(path, given):
        settings(**{name: value for name, value in given.items() if name in settings.model_fields})


def declared(path: list[str], given: dict[str, Any]) -> list[type[Settings]]:
    """Return the declarations that a command's options of a task come from."""
    if path[0] == "train":
        return [task_named(path[1]).options, TrainingSettings]
    if path[0] not in ("predict", "evaluate"):
        return []
    task = task_named(read_config(given["model"]).task)
    if path[0] == "evaluate":
        return [task.evaluate_options]
    return [task.predict_options, task.asking_options, *([task.writing_options] if task.writing_options else [])]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the models and files that the documents name or show."""
    folder = tmp_path_factory.mktemp("documents")
    for name, stored in MODELS.items():
        shutil.copytree(STORED / stored / "model", folder / name)
    for name, stored in FILES.items():
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copyfile(STORED / stored, folder / name)
    for page in PAGES:
        for _, title, text, _ in fences(page):
            if title and title not in FILES:
                assert not (folder / title).exists(), f"{page}: another page shows {title}, too"
                (folder / title).write_text(text, "utf-8")
    shutil.copyfile(folder / "mail.mbox", folder / "other.mbox")
    return folder


@pytest.fixture
def workplace(models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of `models`, as the current folder."""
    shutil.copytree(models, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_commands_are_ones_that_the_command_accepts(workplace: Path) -> None:
    refused, count = [], 0
    for place, line in commands():
        count += 1
        try:
            parse(line)
        except (UsageError, UnrolledError) as error:
            refused.append(f"{place}: {line}: {type(error).__name__}: {error}")
    assert count > 80
    assert refused == []


def test_commands_within_sentences_exist() -> None:
    lines = [line for page in PAGES for line in _INLINE.findall((ROOT / page).read_text("utf-8"))]
    assert len(lines) > 5
    for line in lines:
        _, command, rest = resolved(shlex.split(line)[1:])
        options = {name for parameter in command.params for name in parameter.opts}
        assert [word for word in rest if word.startswith("-") and word not in options] == [], line


@pytest.mark.parametrize(
    "line",
    [
        "unrolled trane classify reviews.tsv --out feeling",
        "unrolled train clasify reviews.tsv --out feeling",
        "unrolled train classify reviews.tsv --out feeling --poling max",
        "unrolled train classify reviews.tsv --out feeling --hidden-size none",
        "unrolled train classify reviews.tsv --out feeling --dropout 2",
        "unrolled train classify reviews.tsv",
        "unrolled predict feeling a --n-best 3",
        "unrolled evaluate felling test.tsv",
    ],
)
def test_mistakes_are_noticed(line: str, workplace: Path) -> None:
    with pytest.raises((UsageError, UnrolledError)):
        parse(line)


def accept(task: str, paths: Any, out: str, **settings: Any) -> unrolled.Model[Any, Any]:
    """Check the arguments of `unrolled.train`, and return the model that stands in for the trained one."""
    bound = inspect.signature(unrolled.tasks.train).bind(task, paths, out, **settings).arguments
    task_named(task).options(**bound.get("options", {}))
    TrainingSettings(**bound.get("training", {}))
    model = unrolled.load(out)
    assert model.task.name == task
    return model


@pytest.mark.parametrize("page", [page for page in PAGES if any(fence[0] == "python" for fence in fences(page))])
def test_python_runs(page: str, workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unrolled, "train", accept)
    names: dict[str, Any] = dict(ARRAYS.get(page, {}))
    for language, _, text, begin in fences(page):
        if language == "python":
            # empty lines put the block where it stands in the page, for tracebacks
            exec(compile("\n" * (begin - 1) + text, page, "exec"), names)


def shown() -> dict[str, str]:
    """Return the text of each file that a page shows, by its name."""
    return {title: text for page in PAGES for _, title, text, _ in fences(page) if title}


def test_all_data_that_is_shown_is_tested() -> None:
    assert sorted(shown()) == sorted([*(name for names in SHOWN for name in names.split()), *NOT_READ])


def read(use: str, paths: tuple[Path, ...], options: dict[str, Any], findings: Findings) -> int:
    """Return the number of examples that a use reads from some files, or of documents."""
    task: Any = task_named(use)
    if use == "generate":
        counts = task.check(Sources(paths), task.options(**options), findings, lambda *_: None)
        return int(counts["train_documents"])
    return len(task.read(paths, task.options(**options), findings))


@pytest.mark.parametrize("names", SHOWN)
def test_data_that_is_shown_is_read(names: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths, use, options, beside, count = SHOWN[names]
    for name in names.split():
        (tmp_path / name).write_text(shown()[name], "utf-8")
    for name, stored in beside.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copyfile(STORED / stored, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    findings = Findings()
    assert read(use, tuple(map(Path, paths.split())), options, findings) == count
    assert findings.items == []
