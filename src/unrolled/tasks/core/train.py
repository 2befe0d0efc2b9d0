"""Training of a task: from files to a model in a folder."""

from __future__ import annotations

import logging
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch

import unrolled
from unrolled.data.core.files import Source
from unrolled.data.core.folders import Place
from unrolled.data.core.memory import as_places
from unrolled.errors import ArgumentError, ModelError
from unrolled.settings import Settings
from unrolled.storage import locked, make_folder, part_path
from unrolled.tasks.core.catalog import input_of, task_named
from unrolled.tasks.core.contract import AnyUse
from unrolled.tasks.core.folder.claim import begin_here, check_free, claimed, was_begun_here
from unrolled.tasks.core.folder.config import CONFIG, ModelConfig, read_config, write_config
from unrolled.tasks.core.folder.examples import read_examples, write_examples
from unrolled.tasks.core.folder.load import load
from unrolled.tasks.core.model import AnyModel, Model
from unrolled.tasks.core.plan import chosen_device
from unrolled.tasks.core.start.base import Base, take_over
from unrolled.tasks.core.values import DATA, Progress, Sources, silent
from unrolled.training import (
    FitResult,
    MuteReporter,
    QuietReporter,
    Reporter,
    TrainingSettings,
    Workers,
    fit,
    joined,
    seed_everything,
)
from unrolled.types import Json

log = logging.getLogger("unrolled.tasks")

#: training settings that a resumed run may change: they control when to stop and what to log, not the optimisation
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


class _Request(NamedTuple):
    """The arguments of `train`, checked."""

    task: AnyUse
    sources: Sources
    options: Settings
    #: the training settings that were given
    given: Mapping[str, Any]
    out: Path
    progress: Progress
    reporter: Reporter
    #: whether a few inputs are kept with the model
    examples: bool
    #: what the data is
    about: str
    #: the older model that training goes on from
    base: Base | None


def train(
    task: str | AnyUse,
    paths: object,
    out: str | Path,
    *,
    dev: object = (),
    resume: bool = False,
    overwrite: bool = False,
    options: Mapping[str, Any] | None = None,
    examples: bool = True,
    about: str = "",
    base: str | Path | AnyModel | None = None,
    freeze: bool = False,
    old_data: object = (),
    reporter: Reporter | None = None,
    progress: Progress = silent,
    **training: Any,
) -> AnyModel:
    """Train a model and save it in a folder; in a process that `torchrun` started, as one of its workers.

    Args:
        task: a task, or its name.
        paths: training data: files and folders, or rows in memory, as `unrolled.data.core.memory.as_places` takes them.
        out: the model's folder; it must not exist, unless `resume` or `overwrite`.
        dev: development data, as `paths`; without any, a part of the training data is held out.
        resume: continue the run in `out`, or start a run if there is none.
        overwrite: replace the contents of `out`.
        options: the task's own options.
        examples, about: keep a few inputs for the model's page; what the data is, for its card and its page.
        reporter, progress: report the training steps, and the work before and after them.
        base: an older model of the task to go on from, or its folder: its weights, and what is new in the data.
        freeze: leave the encoder of `base`, its input and hidden layers, as it is.
        old_data: what `base` is measured on before and after; by default the development data in its folder.
        training: fields of `TrainingSettings`; the data's size determines the others.

    Returns:
        The model, with the weights that did best on the development data. A run that was interrupted returns the best
        so far; `model.config.result["interrupted"]` says so.

    Raises:
        ArgumentError: an option or a setting is out of range, or two exclude each other.
        DataError: a file cannot be read as the task reads it.
        OutputExistsError: `out` holds a model, and neither `resume` nor `overwrite` was given.
        StorageError, CheckpointError: the folder cannot be written, or its checkpoint is not of this run.
        DivergenceError: the loss is not a finite number.
        WorkerError: another worker has ended, or can't be reached.
    """
    task, out = task_named(task) if isinstance(task, str) else task, Path(out)
    if resume and overwrite:
        raise ArgumentError("--resume and --overwrite exclude each other")
    given, own = ({k: v for k, v in dict(some or {}).items() if v is not None} for some in (training, options))
    sources = Sources(as_places(paths), as_places(dev, may_be_empty=True))
    task = _reading(task, sources.train[0], own, out if resume else None)
    older = Base.of(base, task, freeze, as_places(old_data, may_be_empty=True))
    own, sources = (own, sources) if older is None else (older.options(own), older.sources(sources))
    # invalid options are refused before anything is read or written
    chosen = task.options(**own)
    reporter = reporter or QuietReporter()
    request = _Request(task, sources, chosen, given, out, progress, reporter, examples, about, older)
    return _run(request, TrainingSettings(**given).device, resume, overwrite)


def _run(request: _Request, device: str, resume: bool, overwrite: bool) -> AnyModel:
    """Begin or resume the run, alone or as one of several workers."""
    with joined(device) as workers:
        chosen_device(device)
        # a worker that was started again, in the place of one that had died, goes on with what that one began
        resume = workers.agreed(resume or was_begun_here(request.out))
        if workers.leads:
            return _led(request, workers, resume, overwrite)
        return _followed(request._replace(progress=silent, reporter=MuteReporter()), workers, resume)


def _reading(task: AnyUse, path: Place, options: Mapping[str, Any], begun: Path | None) -> AnyUse:
    """Return which of the uses of one name reads the data: the one of the run that was `begun`, if there is one."""
    if begun is not None and part_path(begun / CONFIG).is_file():
        return task.for_input(input_of(read_config(begun)))
    return task.for_data(path, options)


def versions() -> dict[str, str]:
    """Return the versions that a model is trained with."""
    return {"unrolled": unrolled.__version__, "torch": torch.__version__, "python": platform.python_version()}


def _begun(request: _Request) -> tuple[ModelConfig, Any]:
    """Prepare the data and the plan of a new run, and write config.json."""
    task, out, options = request.task, request.out, request.options
    make_folder(out / DATA)
    begin_here(out)
    material = task.prepare(request.sources, options, out, request.progress)
    plan = task.plan(material, options, request.given)
    base: Json = {}
    if request.base is not None:
        plan = request.base.plan(plan, task.parts(material), request.given)
        base = request.base.begin(out, request.progress)
    for reason in plan.reasons:
        log.info("%s", reason)
    config = ModelConfig(
        task=task.name,
        about=request.about,
        options=options.model_dump(exclude_unset=True),
        network=plan.network,
        training=plan.training.model_dump(),
        batching=plan.batching,
        data=task.describe(material),
        sources=_described(request.sources),
        base=base,
        versions=versions(),
    )
    write_config(out, config)
    return config, material


def _described(sources: Sources) -> dict[str, list[list[str | int]]]:
    """Return the name, number of files and bytes of every path, by which a resumed run recognises its data."""

    def entries(paths: tuple[Place, ...]) -> list[list[str | int]]:
        described: list[list[str | int]] = []
        for path in paths:
            if isinstance(path, Source):
                described.append([path.name, 1, len(path.content or b"")])
                continue
            files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
            size = sum(p.stat().st_size for p in files if p.is_file())
            described.append([path.name, len(files), size])
        return described

    return {"train": entries(sources.train), "dev": entries(sources.dev)}


def _resumed(request: _Request) -> tuple[ModelConfig, Any] | None:
    """Return the plan and the data of the run in `out`; None if it stopped before it had a plan.

    Raises:
        ArgumentError: it belongs to another task, or has other options.
        ModelError: it is incomplete.
    """
    task, out, options = request.task, request.out, request.options
    if not part_path(out / CONFIG).is_file():
        if any((out / "checkpoints").glob("step-*")):
            raise ModelError(f"{out / CONFIG}: missing, and without it the checkpoints can't be used")
        return None
    config = read_config(out)
    if config.task != task.name:
        raise ArgumentError(f"{out}: holds a model for the task {config.task!r}, not {task.name!r}")
    begun = task.options(**config.options)
    for name in options.model_fields_set:
        if getattr(begun, name) != getattr(options, name):
            raise ArgumentError(_unchangeable(name, getattr(begun, name)))
    material = task.reopen(begun, out)
    if config.sources != _described(request.sources):
        request.reporter.notice(f"{out}: continues with the data of the first run; PATH and --dev now differ from it")
    return config, material


def _led(request: _Request, workers: Workers, resume: bool, overwrite: bool) -> AnyModel:
    """Prepare the data, train with the other workers if there are any, and save the model.

    Raises:
        OutputExistsError: the folder is taken.
    """
    out = request.out
    check_free(out, resume, overwrite)
    with locked(out):
        # once more, as another run may have filled it before this one locked it
        check_free(out, resume, overwrite)
        if resume:
            config, material = _resumed(request) or _begun(request)
        else:
            with claimed(out):
                config, material = _begun(request)
        workers.wait()
        model = _finished(request, *_trained(request, config, material, resume), material)
        workers.wait()
        return model


def _followed(request: _Request, workers: Workers, resume: bool) -> AnyModel:
    """Train as a worker that does not lead: on what the leader has prepared, and return the model that it wrote.

    Raises:
        ModelError: the leader's folder can't be seen from here.
    """
    workers.wait()
    prepared = _resumed(request)
    if prepared is None:
        raise ModelError(f"{request.out}: not the folder that worker 0 writes; workers need a file system in common")
    _, result = _trained(request, *prepared, resume)
    workers.wait()
    model = load(request.out)
    model.config.result["interrupted"] = result.interrupted
    return model


def _trained(request: _Request, config: ModelConfig, material: Any, resume: bool) -> tuple[AnyModel, FitResult]:
    """Build the network and train it."""
    task, out = request.task, request.out
    settings = _settings(config, request.given)
    seed_everything(settings.seed)
    parts = task.parts(material)
    network = task.build(config.network, parts)
    task.initialise(network, material)
    if config.base:
        take_over(network, out, freeze=bool(config.base.get("freeze")))
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
        reporter=request.reporter,
        options=task.trained_with,
    )
    network.eval()
    config.training, config.result = settings.model_dump(), _described_result(model, result)
    return model, result


def _finished(request: _Request, model: AnyModel, result: FitResult, material: Any) -> AnyModel:
    """Fit what comes after training, and save the model."""
    task, out = request.task, request.out
    if not result.interrupted:
        task.finish(model, material, request.progress)
        if request.base is not None:
            model.config.base["after"] = request.base.measured(model, request.progress)
    model.save(out)
    if not result.interrupted:
        own = task.examples(model, material) if request.examples else []
        write_examples(out, read_examples(out / DATA) if own is None else own)
    return model


def _settings(config: ModelConfig, given: Mapping[str, Any]) -> TrainingSettings:
    """Return the run's settings with the changes that a resumed run may make.

    Raises:
        ArgumentError: a change that it may not make.
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


def _unchangeable(name: str, value: object) -> str:
    return (
        f"--{name.replace('_', '-')}: the run was begun with {value!r}; "
        "a resumed run keeps it, use another --out to try another value"
    )


def _described_result(model: AnyModel, result: FitResult) -> Json:
    """Return the result of training, for config.json."""
    return {
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
