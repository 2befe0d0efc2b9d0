"""From files to a trained model in a folder: the walk over a task's declaration."""

from __future__ import annotations

import logging
import os
import platform
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

import unrolled
from unrolled.errors import ArgumentError, ModelError, OutputExistsError
from unrolled.settings import Settings
from unrolled.storage import make_folder, storage_error
from unrolled.tasks.core.catalog import task_named
from unrolled.tasks.core.contract import AnyUse
from unrolled.tasks.core.folder.config import CONFIG, ModelConfig, read_config, write_config
from unrolled.tasks.core.model import AnyModel, Model
from unrolled.tasks.core.values import DATA, Progress, Sources, silent
from unrolled.training import FitResult, QuietReporter, Reporter, TrainingSettings, fit, seed_everything

log = logging.getLogger("unrolled.tasks")

#: training settings that a resumed run may change: they say when to stop and what to show, not what is learned
MAY_CHANGE = (
    "steps",
    "epochs",
    "minutes",
    "until",
    "patience",
    "log_every",
    "sample_every",
    "save_every",
    "keep_every",
)


def train(
    task: str | AnyUse,
    paths: str | Path | Sequence[str | Path],
    out: str | Path,
    *,
    dev: str | Path | Sequence[str | Path] = (),
    resume: bool = False,
    overwrite: bool = False,
    options: Mapping[str, Any] | None = None,
    reporter: Reporter | None = None,
    progress: Progress = silent,
    **training: Any,
) -> AnyModel:
    """Train a model and leave it in a folder.

    Args:
        task: what is to be learned, by name.
        paths: files and folders to learn from.
        out: the model's folder; it must not exist, unless `resume` or `overwrite`.
        dev: files and folders to choose by; without any, a part of the training data is held out.
        resume: go on with the run in `out`, or begin one if there is none.
        overwrite: replace what is in `out`.
        options: the task's own options.
        reporter: is told of the training as it goes.
        progress: is told of what comes before and after it.
        training: fields of `TrainingSettings`; what is left out is chosen by how much data there is.

    Returns:
        The model, with the weights that did best on the development data. A run that was interrupted returns the best
        so far; `model.config.result["interrupted"]` says so.

    Raises:
        ArgumentError, DataError, StorageError, OutputExistsError, CheckpointError, DivergenceError.
    """
    task = task_named(task) if isinstance(task, str) else task
    out = Path(out)
    if resume and overwrite:
        raise ArgumentError("--resume and --overwrite exclude each other")
    given = {k: v for k, v in training.items() if v is not None}
    # a wrong option is refused before anything is read or written
    chosen = task.options(**{k: v for k, v in dict(options or {}).items() if v is not None})
    chosen_device(TrainingSettings(**given).device)
    sources = Sources(_as_paths(paths), _as_paths(dev))
    check_free(out, resume, overwrite)
    config, material = None, None
    if resume:
        make_folder(out)
        config, material = _reopened(task, out, chosen)
        if config is not None and config.sources != _described(sources):
            warning = f"{out}: goes on with the data it was begun with; PATH and --dev as given now differ from them"
            (reporter or QuietReporter()).notice(warning)
        if config is None:
            config, material = _begun(task, sources, chosen, given, out, progress)
    else:
        with claimed(out):
            config, material = _begun(task, sources, chosen, given, out, progress)
    settings = _settings(config, given)
    seed_everything(settings.seed)
    parts = task.parts(material)
    network = task.build(config.network, parts)
    task.initialise(network, material)
    device = chosen_device(settings.device)
    log.info("training on %s", device)
    network.to(device)
    model = Model(task, config, parts, network, out)
    result = fit(
        task.learner(model, material, settings),
        task.batches(model, material, settings),
        settings,
        out,
        identity={"task": task.name, "network": config.network, "batching": config.batching, "data": config.data},
        resume=resume,
        reporter=reporter,
        options=task.trained_with,
    )
    network.eval()
    _finish(model, material, result, settings, out, progress)
    return model


def chosen_device(name: str) -> torch.device:
    """The device called `name`; "auto" is a GPU if there is one.

    Raises:
        ArgumentError: torch knows no such device, or this machine has none.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ArgumentError(f"--device: {name!r} can't be used here: {str(error).splitlines()[0]}") from error
    return device


def versions() -> dict[str, str]:
    """What a model was made with."""
    return {"unrolled": unrolled.__version__, "torch": torch.__version__, "python": platform.python_version()}


def check_free(out: Path, resume: bool = False, overwrite: bool = False) -> None:
    """Make sure that a model may be written into `out`.

    Raises:
        OutputExistsError: something is there already.
        StorageError: the folder can't be looked at.
    """
    try:
        is_file = out.exists() and not out.is_dir()
        is_taken = out.is_dir() and any(out.iterdir())
    except OSError as error:
        raise storage_error(error, out, "looking for an older model") from error
    if is_file:
        raise OutputExistsError(f"{out}: is a file; name a folder for the model")
    if is_taken and not resume:
        if not overwrite:
            raise OutputExistsError(f"{out}: exists already; give --resume to go on, --overwrite to replace it")
        if not (out / CONFIG).is_file() and not (out / DATA).is_dir():
            raise OutputExistsError(f"{out}: holds no model, and will not be overwritten; name another folder")


@contextmanager
def claimed(out: Path) -> Iterator[None]:
    """An empty folder `out` to be filled; what was in it is gone when that succeeds, and back when it fails.

    Raises:
        StorageError: the folder can't be made, or what is in it not moved out of the way.
    """
    # absolute, since "." has no name
    here = Path(os.path.abspath(out))
    aside = here.with_name(f".{here.name}.overwritten")
    is_taken = out.is_dir() and any(out.iterdir())
    if is_taken:
        try:
            if aside.is_dir() and not (out / CONFIG).is_file():
                # a run that was killed while it read its data left the older model there
                shutil.rmtree(out)
            else:
                shutil.rmtree(aside, ignore_errors=True)
                out.rename(aside)
        except OSError as error:
            raise storage_error(error, out, "moving the older model out of the way") from error
    try:
        make_folder(out)
        yield
    except BaseException:
        shutil.rmtree(out, ignore_errors=True)
        if is_taken:
            aside.rename(out)
        raise
    if is_taken:
        shutil.rmtree(aside, ignore_errors=True)


def _begun(
    task: AnyUse, sources: Sources, chosen: Any, given: Mapping[str, Any], out: Path, progress: Progress
) -> tuple[ModelConfig, Any]:
    """Prepare the data and the plan of a new run, and write config.json."""
    make_folder(out / DATA)
    material = task.prepare(sources, chosen, out, progress)
    plan = task.plan(material, chosen, given)
    for reason in plan.reasons:
        log.info("%s", reason)
    config = ModelConfig(
        task=task.name,
        options=chosen.model_dump(exclude_unset=True),
        network=plan.network,
        training=plan.training.model_dump(),
        batching=plan.batching,
        data=task.describe(material),
        sources=_described(sources),
        versions=versions(),
    )
    write_config(out, config)
    return config, material


def _described(sources: Sources) -> dict[str, list[list[Any]]]:
    """Name and bytes of every file named, so that a resumed run can tell whether it is given others."""

    def entries(paths: tuple[Path, ...]) -> list[list[Any]]:
        found: list[list[Any]] = []
        for path in paths:
            files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
            size = sum(p.stat().st_size for p in files if p.is_file())
            found.append([path.name, len(files), size])
        return found

    return {"train": entries(sources.train), "dev": entries(sources.dev)}


def _reopened(task: AnyUse, out: Path, chosen: Settings) -> tuple[ModelConfig | None, Any]:
    """What an earlier run left in `out`; (None, None) if it did not get as far as its plan.

    Raises:
        ArgumentError: it is of another task, or was begun with other options.
        ModelError: it is not whole.
    """
    if not (out / CONFIG).is_file():
        if any((out / "checkpoints").glob("step-*")):
            raise ModelError(f"{out / CONFIG}: missing, and without it the checkpoints can't be used")
        return None, None
    config = read_config(out)
    if config.task != task.name:
        raise ArgumentError(f"{out}: holds a model for the task {config.task!r}, not {task.name!r}")
    begun = task.options(**config.options)
    for name in chosen.model_fields_set:
        if getattr(begun, name) != getattr(chosen, name):
            raise ArgumentError(_unchangeable(name, getattr(begun, name)))
    return config, task.reopen(begun, out)


def _settings(config: ModelConfig, given: Mapping[str, Any]) -> TrainingSettings:
    """The run's settings, with those changed that a resumed run may change.

    Raises:
        ArgumentError: for one that it may not.
    """
    settings = TrainingSettings(**config.training)
    changes = {}
    for name, value in given.items():
        if getattr(settings, name) == (tuple(value) if isinstance(value, list) else value):
            continue
        if name not in MAY_CHANGE:
            raise ArgumentError(_unchangeable(name, getattr(settings, name)))
        changes[name] = value
    return settings.replace(**changes) if changes else settings


def _unchangeable(name: str, value: Any) -> str:
    return (
        f"--{name.replace('_', '-')}: the run was begun with {value!r}; "
        "a resumed run keeps what it learns with, use another --out to try another value"
    )


def _finish(
    model: AnyModel, material: Any, result: FitResult, settings: TrainingSettings, out: Path, progress: Progress
) -> None:
    """Fit what comes after training, and write the model."""
    config = model.config
    config.training = settings.model_dump()
    config.result = {
        "reason": result.reason,
        "interrupted": result.interrupted,
        "step": result.step,
        "epoch": result.epoch,
        "seconds": result.seconds,
        "skipped": result.skipped,
        "best_step": result.best_step,
        "dev": result.best,
        "parameters": model.parameters,
        "threads": torch.get_num_threads(),
    }
    if not result.interrupted:
        model.task.finish(model, material, progress)
    model.save(out)


def _as_paths(paths: str | Path | Sequence[str | Path]) -> tuple[Path, ...]:
    return (Path(paths),) if isinstance(paths, (str, Path)) else tuple(Path(p) for p in paths)
